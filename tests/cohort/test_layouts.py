"""Made-up trees of every layout, with the exact table they must give. Files are empty: names alone decide here."""

from __future__ import annotations

from pathlib import Path

import pytest

from radiogen.cohort.layouts import LAYOUTS, find_cases, natural_key
from radiogen.errors import CohortError, ConfigError


def make(folder: Path, names: str) -> Path:
    for name in names.split("\n"):
        if name.strip():
            path = folder / name.strip()
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    return folder


def table_of(folder: Path, layout: str = "auto") -> dict[str, dict[str, str]]:
    found = find_cases([folder], layout)
    return {
        case.case: {role: path.relative_to(folder).as_posix() for role, path in case.files.items()}
        for case in found.cases
    }


def files(prefix: str, *suffixes: str) -> str:
    return "\n".join(f"{prefix}{suffix}.nii.gz" for suffix in suffixes)


TREES = {
    "bids": (
        files("sub-01/ses-1/anat/sub-01_ses-1_", "T1w", "ce-gadolinium_T1w", "T2w", "FLAIR", "desc-tumor_dseg"),
        {
            "sub-01_ses-1": (
                "sub-01/ses-1/anat/sub-01_ses-1_",
                "T1w",
                "ce-gadolinium_T1w",
                "T2w",
                "FLAIR",
                "desc-tumor_dseg",
            )
        },
    ),
    "lumiere": (
        files("Patient-001/week-000-1/", "T1", "CT1", "T2", "FLAIR"),
        {"Patient-001_week-000-1": ("Patient-001/week-000-1/", "T1", "CT1", "T2", "FLAIR")},
    ),
    "rhuh-gbm": (
        files("RHUH-0001/0/RHUH-0001_0_", "t1", "t1ce", "t2", "flair", "segmentations"),
        {"RHUH-0001_0": ("RHUH-0001/0/RHUH-0001_0_", "t1", "t1ce", "t2", "flair", "segmentations")},
    ),
    "brats2018-2020": (
        files("Brats18_TCIA01_101_1/Brats18_TCIA01_101_1_", "t1", "t1ce", "t2", "flair", "seg")
        + "\n"
        + files("HGG/BraTS20_Training_001/BraTS20_Training_001_", "t1", "t1ce", "t2", "flair"),
        {
            "Brats18_TCIA01_101_1": ("Brats18_TCIA01_101_1/Brats18_TCIA01_101_1_", "t1", "t1ce", "t2", "flair", "seg"),
            "BraTS20_Training_001": ("HGG/BraTS20_Training_001/BraTS20_Training_001_", "t1", "t1ce", "t2", "flair"),
        },
    ),
    "brats2021": (
        files("BraTS2021_00000/BraTS2021_00000_", "t1", "t1ce", "t2", "flair", "seg"),
        {"BraTS2021_00000": ("BraTS2021_00000/BraTS2021_00000_", "t1", "t1ce", "t2", "flair", "seg")},
    ),
    "brats2023": (
        files("BraTS-GLI-00005-000/BraTS-GLI-00005-000-", "t1n", "t1c", "t2w", "t2f", "seg")
        + "\n"
        + files("BraTS-GLI-00005-001/BraTS-GLI-00005-001-", "t1n", "t1c", "t2w", "t2f"),
        {
            "BraTS-GLI-00005-000": ("BraTS-GLI-00005-000/BraTS-GLI-00005-000-", "t1n", "t1c", "t2w", "t2f", "seg"),
            "BraTS-GLI-00005-001": ("BraTS-GLI-00005-001/BraTS-GLI-00005-001-", "t1n", "t1c", "t2w", "t2f"),
        },
    ),
    "ucsf-pdgm": (
        files(
            "UCSF-PDGM-0004_nifti/UCSF-PDGM-0004_",
            "T1",
            "T1c",
            "T1c_bias",
            "T2",
            "FLAIR",
            "FLAIR_bias",
            "ADC",
            "tumor_segmentation",
            "brain_segmentation",
        )
        + "\n"
        + files("UCSF-PDGM-0429_FU003d_nifti/UCSF-PDGM-0429_FU003d_", "T1_bias", "T1gad_bias", "T2_bias", "FLAIR_bias"),
        {
            "UCSF-PDGM-0004": (
                "UCSF-PDGM-0004_nifti/UCSF-PDGM-0004_",
                "T1",
                "T1c",
                "T2",
                "FLAIR",
                "tumor_segmentation",
            ),
            "UCSF-PDGM-0429_FU003d": (
                "UCSF-PDGM-0429_FU003d_nifti/UCSF-PDGM-0429_FU003d_",
                "T1_bias",
                "T1gad_bias",
                "T2_bias",
                "FLAIR_bias",
            ),
        },
    ),
    "upenn-gbm": (
        files("images_structural/UPENN-GBM-00001_11/UPENN-GBM-00001_11_", "T1", "T1GD", "T2", "FLAIR")
        + "\n"
        + files(
            "images_structural_unstripped/UPENN-GBM-00001_11/UPENN-GBM-00001_11_", "T1_unstripped", "T1GD_unstripped"
        )
        + "\nautomated_segm/UPENN-GBM-00001_11_automated_approx_segm.nii.gz"
        + "\nimages_segm/UPENN-GBM-00001_11_segm.nii.gz",
        None,
    ),
    "lgg-segmentation": (
        files("TCGA_CS_4941_19960909/TCGA_CS_4941_19960909_", "t1n", "t1c", "t2f", "mask"),
        {"TCGA_CS_4941_19960909": ("TCGA_CS_4941_19960909/TCGA_CS_4941_19960909_", "t1n", "t1c", "t2f", "mask")},
    ),
}
ROLE = {
    "t1": "t1n", "t1n": "t1n", "t1_bias": "t1n", "t1ce": "t1c", "t1c": "t1c", "t1gad_bias": "t1c", "t2": "t2w", "t2w": "t2w", "t2_bias": "t2w",
    "flair": "t2f", "t2f": "t2f", "flair_bias": "t2f", "seg": "mask", "mask": "mask", "tumor_segmentation": "mask",
    "t1w": "t1n", "ce-gadolinium_t1w": "t1c", "desc-tumor_dseg": "mask", "ct1": "t1c", "segmentations": "mask",
}  # fmt: skip


@pytest.mark.parametrize("name", [name for name, (_, expected) in TREES.items() if expected])
@pytest.mark.parametrize("automatic", [True, False])
def test_named_layouts(tmp_path, name, automatic):
    tree, expected = TREES[name]
    make(tmp_path, tree)
    wanted = {
        case: {ROLE[suffix.lower()]: f"{prefix}{suffix}.nii.gz" for suffix in suffixes}
        for case, (prefix, *suffixes) in expected.items()
    }
    assert table_of(tmp_path, "auto" if automatic else name) == wanted


def test_upenn_spreads_a_case_over_folders_and_the_primary_files_win(tmp_path):
    make(tmp_path, TREES["upenn-gbm"][0])
    found = find_cases([tmp_path])
    (case,) = found.cases
    assert case.layout == "upenn-gbm"
    assert {role: path.relative_to(tmp_path).as_posix() for role, path in case.files.items()} == {
        "t1n": "images_structural/UPENN-GBM-00001_11/UPENN-GBM-00001_11_T1.nii.gz",
        "t1c": "images_structural/UPENN-GBM-00001_11/UPENN-GBM-00001_11_T1GD.nii.gz",
        "t2w": "images_structural/UPENN-GBM-00001_11/UPENN-GBM-00001_11_T2.nii.gz",
        "t2f": "images_structural/UPENN-GBM-00001_11/UPENN-GBM-00001_11_FLAIR.nii.gz",
        "mask": "images_segm/UPENN-GBM-00001_11_segm.nii.gz",
    }
    assert {role: [path.name for path in paths] for role, paths in case.passed_over.items()} == {
        "t1n": ["UPENN-GBM-00001_11_T1_unstripped.nii.gz"],
        "t1c": ["UPENN-GBM-00001_11_T1GD_unstripped.nii.gz"],
        "mask": ["UPENN-GBM-00001_11_automated_approx_segm.nii.gz"],
    }


def test_ucsf_files_that_are_not_used_are_reported_with_the_reason(tmp_path):
    make(tmp_path, TREES["ucsf-pdgm"][0])
    found = find_cases([tmp_path])
    assert {path.name: reason for path, reason in found.unused.items()} == {
        "UCSF-PDGM-0004_ADC.nii.gz": "'ADC' is not a sequence or mask that radiogen uses",
        "UCSF-PDGM-0004_brain_segmentation.nii.gz": "'brain_segmentation' is not a sequence or mask that radiogen uses",
    }
    passed_over = {role: paths[0].name for role, paths in found.cases[0].passed_over.items()}
    assert passed_over == {"t1c": "UCSF-PDGM-0004_T1c_bias.nii.gz", "t2f": "UCSF-PDGM-0004_FLAIR_bias.nii.gz"}


@pytest.mark.parametrize(
    ("tree", "expected"),
    [
        # a folder of case folders, names only about the sequence
        (
            "007/t1ce.nii.gz\n007/flair_znorm.nii.gz\n007/brainmask.nii.gz\n007/seg.nii.gz\nJohn D/gad.nii\nJohn D/fla.nii",
            {
                "007": {"t1c": "007/t1ce.nii.gz", "t2f": "007/flair_znorm.nii.gz", "mask": "007/seg.nii.gz"},
                "John D": {"t1c": "John D/gad.nii", "t2f": "John D/fla.nii"},
            },
        ),
        # a folder of case folders, names that repeat the case
        (
            "A1/A1_t1c_bet.nii.gz\nA1/A1_fla_bet.nii.gz\nA1/automatic-mask.nii.gz",
            {"A1": {"t1c": "A1/A1_t1c_bet.nii.gz", "t2f": "A1/A1_fla_bet.nii.gz", "mask": "A1/automatic-mask.nii.gz"}},
        ),
        # one flat folder with case prefixes
        (
            "p1_t1.nii.gz\np1_t2.nii.gz\np10_t1.nii.gz\np2_t1.nii.gz\np2_seg.nii.gz",
            {
                "p1": {"t1n": "p1_t1.nii.gz", "t2w": "p1_t2.nii.gz"},
                "p2": {"t1n": "p2_t1.nii.gz", "mask": "p2_seg.nii.gz"},
                "p10": {"t1n": "p10_t1.nii.gz"},
            },
        ),
        # a flat folder of a single case with a prefix
        ("p1_t1.nii.gz\np1_flair.nii.gz", {"p1": {"t1n": "p1_t1.nii.gz", "t2f": "p1_flair.nii.gz"}}),
        # scanner names, with series numbers behind
        (
            "c1/Ax_T1_4.nii.gz\nc1/Ax_T1_POST_9.nii.gz\nc1/Sag_T2_FLAIR_7.nii.gz",
            {"c1": {"t1n": "c1/Ax_T1_4.nii.gz", "t1c": "c1/Ax_T1_POST_9.nii.gz", "t2f": "c1/Sag_T2_FLAIR_7.nii.gz"}},
        ),
        # the case is the folder above a folder that only says what kind of files it holds
        (
            "c1/anat/t1.nii.gz\nc2/anat/t1.nii.gz",
            {"c1": {"t1n": "c1/anat/t1.nii.gz"}, "c2": {"t1n": "c2/anat/t1.nii.gz"}},
        ),
        # two sessions of one name
        (
            "c1/s1/t1.nii.gz\nc2/s1/t1.nii.gz",
            {"c1_s1": {"t1n": "c1/s1/t1.nii.gz"}, "c2_s1": {"t1n": "c2/s1/t1.nii.gz"}},
        ),
        # BIDS
        (
            "sub-01/ses-1/anat/sub-01_ses-1_T1w.nii.gz\nsub-01/ses-1/anat/sub-01_ses-1_FLAIR.nii.gz",
            {
                "sub-01_ses-1": {
                    "t1n": "sub-01/ses-1/anat/sub-01_ses-1_T1w.nii.gz",
                    "t2f": "sub-01/ses-1/anat/sub-01_ses-1_FLAIR.nii.gz",
                }
            },
        ),
        # the misnamed mask of BraTS 2020
        (
            files("BraTS20_Training_355/BraTS20_Training_355_", "t1", "flair")
            + "\nBraTS20_Training_355/W39_1998.09.19_Segm.nii",
            {
                "BraTS20_Training_355": {
                    "t1n": "BraTS20_Training_355/BraTS20_Training_355_t1.nii.gz",
                    "t2f": "BraTS20_Training_355/BraTS20_Training_355_flair.nii.gz",
                    "mask": "BraTS20_Training_355/W39_1998.09.19_Segm.nii",
                }
            },
        ),
    ],
)
def test_plain_folders(tmp_path, tree, expected):
    make(tmp_path, tree)
    assert table_of(tmp_path) == expected


def test_a_single_case_folder_takes_the_folders_name(tmp_path):
    folder = make(tmp_path / "case 12", "t1c.nii.gz\nfla.nii.gz")
    assert list(table_of(folder)) == ["case 12"]


def test_duplicates_are_resolved_the_same_way_whatever_the_order_and_reported(tmp_path):
    make(tmp_path, "c/t1_bet.nii.gz\nc/t1.nii.gz\nc/t1_bet_znorm.nii.gz\nc/flair.nii.gz")
    (case,) = find_cases([tmp_path]).cases
    assert case.files["t1n"].name == "t1.nii.gz"
    assert [path.name for path in case.passed_over["t1n"]] == ["t1_bet.nii.gz", "t1_bet_znorm.nii.gz"]


def test_mixed_folder_recognises_each_file(tmp_path):
    make(tmp_path, "\n".join(tree for tree, _ in TREES.values()) + "\nodd/t1.nii.gz")
    found = find_cases([tmp_path])
    assert {case.layout for case in found.cases} == set(LAYOUTS.names())
    assert len({case.case for case in found.cases}) == len(found.cases)


def test_mask_labels_follow_the_layout(tmp_path):
    make(
        tmp_path,
        "\n".join(tree for tree, _ in TREES.values())
        + "\nodd/t1.nii.gz\nodd/seg.nii.gz\nbrats_2013_pat0001_1/seg.nii.gz",
    )
    schemes = {case.case: case.mask_labels for case in find_cases([tmp_path]).cases if "mask" in case.files}
    assert schemes == {
        "Brats18_TCIA01_101_1": "brats2021",
        "BraTS2021_00000": "brats2021",
        "BraTS-GLI-00005-000": "brats2023",
        "UCSF-PDGM-0004": "brats2021",
        "UPENN-GBM-00001_11": "brats2021",
        "TCGA_CS_4941_19960909": "whole-tumour",
        "RHUH-0001_0": "",
        "sub-01_ses-1": "",
        "brats_2013_pat0001_1": "brats2013",
        "odd": "",
    }


def test_hidden_files_and_links_that_lead_in_circles_are_passed_over(tmp_path):
    make(tmp_path, "c/t1.nii.gz\nc/._t1.nii.gz\n.hidden/t1.nii.gz")
    (tmp_path / "c" / "again").symlink_to(tmp_path, target_is_directory=True)
    assert table_of(tmp_path) == {"c": {"t1n": "c/t1.nii.gz"}}


def test_two_folders_at_once_and_the_same_folder_twice(tmp_path):
    one = make(tmp_path / "one", "a/t1.nii.gz")
    two = make(tmp_path / "two", "a/t1.nii.gz")
    assert [case.case for case in find_cases([one, two]).cases] == ["one_a", "two_a"]
    assert [case.case for case in find_cases([one, one]).cases] == ["a"]


@pytest.mark.parametrize("name", ["", "notes.txt"])
def test_nothing_found(tmp_path, name):
    make(tmp_path, name)
    with pytest.raises(CohortError, match="No NIfTI file"):
        find_cases([tmp_path])


def test_nothing_recognised_says_why(tmp_path):
    make(tmp_path, "scan1.nii.gz\nbrainmask.nii.gz")
    with pytest.raises(CohortError, match="2 NIfTI file"):
        find_cases([tmp_path])
    make(tmp_path, "c/t1.nii.gz")
    with pytest.raises(CohortError, match="brats2021"):
        find_cases([tmp_path], "brats2021")


def test_every_bad_folder_is_listed(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(CohortError) as caught:
        find_cases([tmp_path / "file", tmp_path / "absent"])
    assert [problem.rsplit(": ", 1)[1] for problem in caught.value.problems] == ["a file", "does not exist"]


def test_unknown_layout_gets_a_suggestion(tmp_path):
    with pytest.raises(ConfigError, match="brats2021"):
        find_cases([make(tmp_path, "c/t1.nii.gz")], "brats21")


def test_natural_order():
    assert sorted(["TCGA-1_raw", "TCGA-1", "c10", "c2"], key=natural_key) == ["c2", "c10", "TCGA-1", "TCGA-1_raw"]


@pytest.mark.real_data
def test_real_folder_of_mixed_cases(shared_data):
    found = find_cases([shared_data / "mri"])
    assert len(found.cases) == 33
    cases = {case.case: case for case in found.cases}
    assert set(cases["brats_2013_pat0001_1"].files) == {"t1c", "t2f", "mask"}
    assert set(cases["TCGA-FG-6692_raw"].files) == {"t1n", "t1c", "t2w", "t2f"}
    assert cases["BraTS-GLI-00001-000"].files["mask"].name == "automatic-mask.nii.gz"
    assert sorted(path.name for path in found.unused) == ["brainmask.nii.gz"] * 3
    assert sum(case.layout == "lgg-segmentation" for case in found.cases) == 26


@pytest.mark.real_data
@pytest.mark.parametrize("name", ["BraTS-GLI-00000-000", "TCGA-FG-6692", "TCGA-FG-6692_raw", "brats_2013_pat0002_1"])
def test_real_single_case_folders(shared_data, name):
    assert [case.case for case in find_cases([shared_data / "mri" / name]).cases] == [name]
