from __future__ import annotations

import pytest

from radiogen.cohort.sequence_names import read_name

ROLES = {
    "t1n": "T1 t1n T1w t1_bet T1_pre t1-native AX_T1 sub-01_T1w MD_001_t1 T1-weighted t1_mprage P7_T1_precontrast",
    "t1c": "t1ce T1GD T1post gad ce t1c t1ce_znorm TCGA-FG-6692_t1c_bet T1+C T1wCE AxT1post Ax_T1_FSPGR_POST_GAD POST_T1 t1_gd T1_Gado",
    "t2w": "T2 t2w t2_bet T2_TSE case12-t2 AX_T2",
    "t2f": "fla flair FLAIR_znorm t2f T2_FLAIR t2flair 3D_T2_FLAIR t2Flair TCGA-FG-6692_fla_bet",
    "mask": "seg mask automatic-mask tumor_segmentation case1_seg label FLAIR_mask W39_1998.09.19_Segm TCGA-02-0006_GlistrBoost",
    "brain-mask": "brainmask brain_mask case1_brain_segmentation UCSF_brain_parenchyma_segmentation t1_bet_mask",
    "other": "ADC DWI case1_SWI T2star_perf dti_FA case_CBV",
    "": "readme scan image001 MPRAGE",
}


@pytest.mark.parametrize(("name", "role"), [(name, role) for role, names in ROLES.items() for name in names.split()])
def test_role(name, role):
    assert read_name(name).role == role


@pytest.mark.parametrize(
    ("name", "prefix"),
    [
        ("t1", ""),
        ("Ax T1 POST", ""),
        ("TCGA-FG-6692_t1c_bet", "TCGA-FG-6692"),
        ("007_flair", "007"),
        ("my case 3 t2", "my case 3"),
        ("case.01.flair", "case.01"),
        ("CE-001_t1", "CE-001"),
        ("t1_patient001", "patient001"),
        ("automatic-mask", ""),
    ],
)
def test_the_part_that_names_the_case(name, prefix):
    assert read_name(name).prefix == prefix


def test_processed_files_rank_behind_primary_ones():
    assert read_name("t1").rank < read_name("t1_bet").rank < read_name("t1_bet_znorm").rank
    assert read_name("seg").rank < read_name("automatic_seg").rank
    assert read_name("manual_seg").rank < read_name("seg").rank
