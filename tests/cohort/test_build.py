from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from radiogen.cohort.build import assemble, check_case, cohort_table, coverage, read_for_check
from radiogen.cohort.labels import normalise_labels
from radiogen.cohort.layouts import Found, FoundCase, find_cases
from radiogen.cohort.table import COLUMNS, read_cohort, write_cohort
from radiogen.errors import CohortError, GeometryError, ImageError
from tests.conftest import save_nifti

SHAPE = (8, 9, 7)


def write_case(folder: Path, *, mask: bool = True, **affines: np.ndarray) -> Path:
    rng = np.random.default_rng(0)
    for name in ("t1n", "t1c", "t2w", "t2f"):
        save_nifti(folder / f"{name}.nii.gz", rng.normal(size=SHAPE).astype(np.float32), affines.get(name))
    if mask:
        labels = np.zeros(SHAPE, dtype=np.uint8)
        labels[2:5, 2:5, 2:5] = 2
        labels[3, 3, 3] = 3
        save_nifti(folder / "seg.nii.gz", labels)
    return folder


def row_of(folder: Path) -> pd.Series:
    return cohort_table(find_cases([folder])).iloc[0]


def test_cohort_table_has_the_types_of_a_read_one(tmp_path):
    write_case(tmp_path / "TCGA-02-0001")
    write_case(tmp_path / "b", mask=False)
    table = cohort_table(find_cases([tmp_path]))
    assert list(table.columns) == [*COLUMNS[1:], "mask_labels"]
    assert table["patient"].tolist() == ["b", "TCGA-02-0001"]
    assert table["site"].tolist() == [None, "TCGA-02"]
    assert table["mask"].tolist() == [None, str(tmp_path / "TCGA-02-0001" / "seg.nii.gz")]
    write_cohort(table, tmp_path / "cohort.csv")
    pd.testing.assert_frame_equal(read_cohort(tmp_path / "cohort.csv"), table)


def test_a_sound_case_passes_and_a_quick_check_opens_no_voxels(tmp_path):
    row = row_of(write_case(tmp_path / "a"))
    assert check_case(row) == []
    path = Path(row["t1c"])
    path.write_bytes(path.read_bytes()[:-200])
    assert check_case(row) == []
    with pytest.raises(ImageError, match="damaged or cut short"):
        read_for_check(row)


def test_other_grids_are_refused_or_kept_for_registration(tmp_path):
    moved = np.eye(4)
    moved[0, 3] = 3
    row = row_of(write_case(tmp_path / "a", t2f=moved))
    with pytest.raises(GeometryError, match="t2f"):
        check_case(row)
    (remark,) = check_case(row, keep_unregistered=True)
    assert "3.00" in remark
    case, labels, remarks = read_for_check(row, keep_unregistered=True)
    assert set(case.images) == {"t1n", "t1c", "t2w", "t2f"}
    assert labels is None
    assert remarks == [remark]


def test_a_mask_on_another_grid_is_refused(tmp_path):
    moved = np.eye(4)
    moved[1, 3] = -4
    folder = write_case(tmp_path / "a", mask=False)
    save_nifti(folder / "seg.nii.gz", np.ones(SHAPE, dtype=np.uint8), moved)
    with pytest.raises(GeometryError, match="mask"):
        check_case(row_of(folder))


def test_every_bad_file_of_a_case_is_named(tmp_path):
    folder = write_case(tmp_path / "a")
    (folder / "t1n.nii.gz").write_text("text")
    (folder / "seg.nii.gz").write_text("text")
    with pytest.raises(ImageError) as caught:
        check_case(row_of(folder))
    assert len(caught.value.problems) == 2


def test_a_mask_without_a_sequence_is_no_case(tmp_path):
    save_nifti(tmp_path / "a" / "seg.nii.gz", np.ones(SHAPE, dtype=np.uint8))
    with pytest.raises(ImageError, match="no sequence"):
        check_case(row_of(tmp_path / "a"))


def test_a_copied_sequence_is_noticed(tmp_path):
    folder = write_case(tmp_path / "a")
    (folder / "t1n.nii.gz").write_bytes((folder / "t1c.nii.gz").read_bytes())
    _, _, remarks = read_for_check(row_of(folder))
    assert remarks == ["t1n and t1c hold the same image: one is a copy of the other"]


def test_an_empty_mask_is_refused_when_it_is_read(tmp_path):
    folder = write_case(tmp_path / "a", mask=False)
    save_nifti(folder / "seg.nii.gz", np.zeros(SHAPE, dtype=np.uint8))
    assert check_case(row_of(folder)) == []
    with pytest.raises(ImageError, match="empty"):
        read_for_check(row_of(folder))


def cases(*names: str) -> Found:
    return Found([FoundCase(name, "plain", {"t1c": Path(f"/x/{name}.nii")}) for name in names], {})


def labels_of(name: str, **columns: list[str]):
    return normalise_labels(pd.DataFrame(columns), name=name)


def test_assemble_joins_unifies_and_tells(tmp_path):
    ucsf = labels_of(
        "ucsf.csv",
        ID=["UCSF-PDGM-004"],
        **{"BraTS21 ID": ["BraTS2021_00097"], "MGMT status": ["negative"], "IDH": ["what"]},
    )
    rsna = labels_of("rsna.csv", BraTS21ID=["00097"], MGMT_value=["1"])
    done = assemble(cases("BraTS2021_00097", "UCSF-PDGM-0004", "UCSF-PDGM-0005"), [ucsf, rsna])
    assert done.cohort["patient"].tolist() == ["BraTS2021_00097", "BraTS2021_00097", "UCSF-PDGM-0005"]
    assert done.cohort["mgmt"].tolist()[:2] == [0, 0]
    problems = done.remarks.loc[done.remarks["kind"] == "problem", "text"].tolist()
    assert any("'what'" in text for text in problems)
    assert any("mgmt: 0 from ucsf.csv kept, rsna.csv (00097) says 1" in text for text in problems)
    assert len(done.conflicts) == 1
    assert done.overlaps["links"].tolist() == [1]
    patients = done.remarks.loc[done.remarks["kind"] == "patient", "text"].tolist()
    assert any("has 2 scans" in text for text in patients)


def test_a_crosswalk_links_without_giving_labels():
    crosswalk = labels_of(
        "walk.csv", a=["UCSF-PDGM-004", "UCSF-PDGM-005"], b=["BraTS2021_00097", "BraTS2021_00098"], idh=["1", "1"]
    )
    done = assemble(cases("BraTS2021_00097", "UCSF-PDGM-0004"), [], [crosswalk])
    assert done.cohort["patient"].nunique() == 1
    assert done.cohort["idh"].isna().all()
    assert done.join is None


def test_assemble_refuses_a_table_of_strangers():
    with pytest.raises(CohortError, match="cannot be joined"):
        assemble(cases("a"), [labels_of("t.csv", ID=["z"], idh=["1"])])


def test_coverage_counts_every_column():
    cohort = cohort_table(cases("a", "b", "c"))
    cohort["idh"] = [1.0, 0.0, np.nan]
    cohort["age"] = [50.0, 60.0, np.nan]
    cohort["sex"] = ["F", None, "F"]
    table = coverage(cohort)
    assert table.loc["t1c"].tolist() == [3, 0, ""]
    assert table.loc["t2w"].tolist() == [0, 3, ""]
    assert table.loc["idh"].tolist() == [2, 1, "1 mutated, 1 wild-type"]
    assert table.loc["age"].tolist() == [2, 1, "median 55, 50 to 60"]
    assert table.loc["sex"].tolist() == [2, 1, "F: 2"]
