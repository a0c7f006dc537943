from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pandas as pd
import pytest

from radiogen.cohort import datasets
from radiogen.cohort.dataset_cohort import find_dataset_cases, read_dataset_labels, traps_that_apply
from radiogen.cohort.datasets import dataset_names, known_overlaps, load_dataset
from radiogen.config.dataset import Trap
from radiogen.errors import CohortError, ConfigError
from tests.cohort.test_layouts import files, make

ASKED_FOR = {
    "ucsf-pdgm", "upenn-gbm", "brats-2021", "rsna-miccai-2021", "tcga-gbm", "tcga-lgg", "lgg-segmentation", "brats-africa", "egd", "rembrandt",
    "lumiere", "brats-2024-post-treatment",
}  # fmt: skip


def test_the_sets_that_users_ask_for_are_there():
    assert set(dataset_names()) >= ASKED_FOR


@pytest.mark.parametrize("name", dataset_names())
def test_every_manifest_is_accepted_and_says_where_its_facts_come_from(name):
    manifest = load_dataset(name)
    assert manifest.sources
    assert manifest.citation
    assert manifest.doi == "not given" or re.fullmatch(r"10\.\d{4,}/\S+", manifest.doi)
    for overlap in manifest.overlaps:
        back = [other for other in load_dataset(overlap.dataset).overlaps if other.dataset == name]
        assert back, f"{overlap.dataset} does not say that it shares patients with {name}"
    if manifest.table is not None:
        assert set(manifest.table.columns) <= set(manifest.labels)


def test_an_unknown_set_names_the_nearest():
    with pytest.raises(ConfigError, match="Did you mean 'ucsf-pdgm'"):
        load_dataset("UCSF-PDMG")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("licens: x", "did you mean 'licence'"),
        ("layout: brats21", "layout 'brats21' is none of"),
        ("mask_labels: fets", "mask_labels 'fets' is none of"),
        ("name: other", "calls itself 'other'"),
        ("patient_pattern: '(x)'", "no group 'patient'"),
        ("sources: []", "'sources'"),
        ("[", "cannot be read"),
    ],
)
def test_a_bad_manifest_is_refused_with_the_reason(tmp_path, monkeypatch, line, message):
    text = """name: mine
title: Mine
doi: not given
licence: CC0
access: open
how_to_get: Ask.
form: nifti
modalities: [t1c]
preprocessing: none
masks: none
sources: [me]
"""
    key = line.split(":")[0]
    kept = "\n".join(row for row in text.splitlines() if not row.startswith(f"{key}:"))
    (tmp_path / "mine.yaml").write_text(f"{kept}\n{line}\n")
    monkeypatch.setattr(datasets, "_folder", lambda: tmp_path)
    load_dataset.cache_clear()
    with pytest.raises(ConfigError, match=re.escape(message)):
        load_dataset("mine")
    load_dataset.cache_clear()


def test_overlaps_are_counted_and_name_the_crosswalk():
    line = known_overlaps(["ucsf-pdgm", "brats-2021", "egd"])
    assert len(line) == 1
    assert "296 patients" in line[0]
    assert "UCSF-PDGM-metadata_v2.csv" in line[0]
    assert known_overlaps(["ucsf-pdgm"]) == []


def test_labels_are_read_as_the_manifest_says(tmp_path):
    path = tmp_path / "LUMIERE-Demographics_Pathology.csv"
    path.write_text(
        "Patient,Survival time (weeks),Sex,Age at surgery (years),IDH (WT: wild type),IDH method,MGMT qualitative\n"
        "Patient-001,72,female,57,WT,x,methylated\nPatient-002,na,male,61.5,na,x,not methylated\n"
    )
    table = read_dataset_labels(path, load_dataset("lumiere")).table
    assert table.loc["Patient-001", ["os_days", "idh", "mgmt", "age", "sex"]].tolist() == [504.0, 0.0, 1.0, 57.0, "F"]
    assert table.loc["Patient-002", ["mgmt", "sex"]].tolist() == [0.0, "M"]
    assert table.loc["Patient-002", ["os_days", "idh"]].isna().all()


def test_events_are_read_as_the_manifest_says(tmp_path):
    path = tmp_path / "upenn.csv"
    path.write_text(
        "ID,Gender,Age_at_scan_years,Survival_from_surgery_days_UPDATED,Survival_Status,IDH1,MGMT\n"
        "UPENN-GBM-00001_11,F,50,500,Deceased - uncertain date of death,NOS/NEC,Indeterminate\n"
        "UPENN-GBM-00002_11,M,60,900,Lost to Follow-up,Wildtype,Methylated\n"
    )
    table = read_dataset_labels(path, load_dataset("upenn-gbm")).table
    assert table["os_event"].tolist() == [1.0, 0.0]
    assert table["sex"].tolist() == ["F", "M"]
    assert table["idh"].isna().tolist() == [True, False]
    assert table["mgmt"].isna().tolist() == [True, False]


def test_another_table_is_read_as_any_table(tmp_path):
    path = tmp_path / "mine.csv"
    path.write_text("case,idh\nEGD-0001,mutant\n")
    assert read_dataset_labels(path, load_dataset("egd")).table["idh"].tolist() == [1.0]


def test_masks_that_would_be_misread_are_left_out(tmp_path):
    folder = make(tmp_path, files("plain/case1/", "T1", "seg_mask"))
    found, origin = find_dataset_cases([folder], [load_dataset("lumiere")], "plain")
    assert "mask" not in found.cases[0].files
    assert any("misread" in reason for reason in found.unused.values())
    assert {manifest.name for manifest in origin.values()} == {"lumiere"}


def test_examinations_in_folders_keep_their_patient(tmp_path):
    names = [f"Imaging/Patient-00{patient}/{week}/" for patient in (1, 2) for week in ("week-000-1", "week-012")]
    folder = make(tmp_path, "\n".join(files(name, "T1", "CT1", "T2", "FLAIR") for name in names))
    found, _ = find_dataset_cases([folder], [load_dataset("lumiere")])
    assert [(case.case, case.patient) for case in found.cases][:2] == [
        ("Patient-001_week-000-1", "Patient-001"),
        ("Patient-001_week-012", "Patient-001"),
    ]
    assert all(set(case.files) == {"t1n", "t1c", "t2w", "t2f"} for case in found.cases)


def test_rhuh_names_give_three_scans_of_one_patient(tmp_path):
    text = "\n".join(
        files(f"RHUH-0001/{time}/RHUH-0001_{time}_", "adc", "flair", "segmentations", "t1ce", "t1", "t2")
        for time in (0, 2)
    )
    found, _ = find_dataset_cases([make(tmp_path, text)], [load_dataset("rhuh-gbm")])
    assert [(case.case, case.patient) for case in found.cases] == [
        ("RHUH-0001_0", "RHUH-0001"),
        ("RHUH-0001_2", "RHUH-0001"),
    ]
    assert len(found.unused) == 2


def test_the_mask_scheme_of_the_set_is_taken(tmp_path):
    folder = make(tmp_path, files("EGD-0001/", "T1", "T1GD", "T2", "FLAIR", "MASK"))
    found, _ = find_dataset_cases([folder], [load_dataset("egd")])
    case = found.cases[0]
    assert (case.case, case.patient, case.mask_labels) == ("EGD-0001", "EGD-0001", "whole-tumour")
    assert set(case.files) == {"t1n", "t1c", "t2w", "t2f", "mask"}


def test_folders_and_sets_pair_up(tmp_path):
    manifests = [load_dataset("egd"), load_dataset("rhuh-gbm")]
    with pytest.raises(CohortError, match="do not pair up"):
        find_dataset_cases([tmp_path, tmp_path, tmp_path], manifests)
    one = make(tmp_path / "one", files("EGD-0001/", "T1"))
    with pytest.raises(CohortError, match="one name"):
        find_dataset_cases([one, one], manifests, "plain")


def test_traps_are_shown_where_they_apply():
    traps = [{"text": about, "about": about} for about in ("images", "labels", "masks", "survival", "patients")]
    manifest = load_dataset("egd").model_copy(update={"traps": tuple(map(Trap.parse, traps))})
    bare = pd.DataFrame({"mask": [None], "os_days": [float("nan")]})
    full = pd.DataFrame({"mask": ["a.nii.gz"], "os_days": [3.0]})
    assert traps_that_apply(manifest, bare, with_labels=False) == ["images", "patients"]
    assert len(traps_that_apply(manifest, full, with_labels=True)) == 5


@pytest.mark.real_data
def test_ucsf_table_gives_the_counts_of_its_manifest(shared_data):
    path = shared_data / "tables" / "ucsf-pdgm" / "UCSF-PDGM-metadata_v2.csv"
    manifest = load_dataset("ucsf-pdgm")
    labels = read_dataset_labels(path, manifest)
    table = labels.table
    assert len(table) == manifest.n_scans
    assert table["patient"].nunique() == manifest.n_patients
    assert table["mgmt"].value_counts().to_dict() == {1.0: 302, 0.0: 114}
    assert table["idh"].value_counts().to_dict() == {0.0: 398, 1.0: 103}
    assert (table["grade"] == 4).sum() == 402
    assert table["os_event"].value_counts().to_dict() == {1.0: 251, 0.0: 250}
    assert not any("not where" in note for note in labels.notes)
    overlap = next(item for item in manifest.overlaps if item.dataset == "brats-2021")
    assert table.loc[table["BraTS21 ID"] != "", "patient"].nunique() == overlap.patients


@pytest.mark.real_data
def test_tcga_table_is_read_in_days(shared_data):
    path = shared_data / "tables" / "tcga" / "lgg_gbm_subtype_TCGAbiolinks.csv"
    table = read_dataset_labels(path, load_dataset("tcga-lgg")).table
    assert table.at["TCGA-CS-4938", "os_days"] == pytest.approx(4.6982507 * 30.4375, abs=0.1)
    assert table["mgmt"].value_counts().to_dict() == {1.0: 613, 0.0: 319}
    assert table["os_event"].sum() == 524


def test_a_wheel_carries_the_manifests():
    root = Path(__file__).resolve().parents[2]
    packing = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["setuptools"]
    assert "data_manifests" in packing["packages"]["find"]["include"]
    assert packing["package-data"]["data_manifests"] == ["*.yaml"]
    assert {path.stem for path in (root / "data_manifests").iterdir()} == set(dataset_names())
