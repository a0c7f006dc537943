from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.base import clone

from radiogen.branches.clinical import ClinicalBranch
from radiogen.config.features import ClinicalSettings
from radiogen.errors import CaseError
from tests.branches.cases import cohort, labels, write_case

VOXEL_ML = 2.0 / 1000


def test_age_sex_and_volumes_from_the_mask(tmp_path: Path) -> None:
    table = cohort(tmp_path, [write_case(tmp_path, "a"), write_case(tmp_path, "b", seed=1)])
    features = ClinicalBranch(ClinicalSettings()).fit_transform(table)
    assert features.columns.tolist() == ["age", "sex_male", "wt_ml", "tc_ml", "et_ml"]
    assert features.index.tolist() == ["a", "b"]
    assert features.loc["a", ["age", "sex_male"]].tolist() == [50, 0]
    assert features.loc["b", ["age", "sex_male"]].tolist() == [51, 1]
    assert features.loc["a", "wt_ml"] == pytest.approx((labels() > 0).sum() * VOXEL_ML)
    assert features.loc["a", "et_ml"] == pytest.approx((labels() == 3).sum() * VOXEL_ML)


def test_volumes_in_the_table_win_and_gaps_are_measured(tmp_path: Path) -> None:
    table = cohort(tmp_path, [write_case(tmp_path, "a"), write_case(tmp_path, "b", seed=1)])
    table["wt_ml"] = ["12.5", ""]
    features = ClinicalBranch(ClinicalSettings()).transform(table)
    assert features.loc["a", "wt_ml"] == 12.5
    assert features.loc["b", "wt_ml"] == pytest.approx((labels() > 0).sum() * VOXEL_ML)


def test_what_is_unknown_stays_blank(tmp_path: Path) -> None:
    table = cohort(tmp_path, [write_case(tmp_path, "a", without=("mask",)), write_case(tmp_path, "b", seed=1)])
    table.loc["a", ["age", "sex"]] = [np.nan, "unknown"]
    extraction = ClinicalBranch(ClinicalSettings()).extract(table)
    assert extraction.features.loc["a"].isna().all()
    assert extraction.features.loc["b"].notna().all()
    assert "F and M are understood" in extraction.notes["a"][0]


def test_a_whole_tumour_mask_does_not_claim_that_nothing_enhances(tmp_path: Path) -> None:
    table = cohort(tmp_path, [write_case(tmp_path, "a", mask=(labels() > 0).astype(np.uint8))])
    features = ClinicalBranch(ClinicalSettings()).transform(table)
    assert features.loc["a", "wt_ml"] > 0
    assert features.loc["a", ["tc_ml", "et_ml"]].isna().all()


def test_kps_is_there_only_when_asked_for(tmp_path: Path) -> None:
    table = cohort(tmp_path, [{**write_case(tmp_path, "a"), "kps": 80}])
    branch = ClinicalBranch(ClinicalSettings(kps=True, volumes=False))
    assert branch.transform(table).loc["a"].to_dict() == {"age": 50, "sex_male": 0, "kps": 80}
    assert clone(branch).get_feature_names_out().tolist() == ["age", "sex_male", "kps"]


def test_an_unusable_mask_quarantines_its_case(tmp_path: Path) -> None:
    table = cohort(tmp_path, [write_case(tmp_path, "a"), write_case(tmp_path, "b", seed=1)])
    Path(table.loc["a", "mask"]).write_bytes(b"")
    extraction = ClinicalBranch(ClinicalSettings()).extract(table)
    assert extraction.features.index.tolist() == ["b"]
    assert [failure.case for failure in extraction.failures] == ["a"]
    with pytest.raises(CaseError, match=r"1 case\(s\)"):
        ClinicalBranch(ClinicalSettings()).transform(table)


def test_an_unknown_label_scheme_is_named(tmp_path: Path) -> None:
    table = cohort(tmp_path, [write_case(tmp_path, "a")])
    table["mask_labels"] = "brats2032"
    (failure,) = ClinicalBranch(ClinicalSettings()).extract(table).failures
    assert "'brats2032' is not a label scheme" in failure.cause


@pytest.mark.parametrize("change", ["age", "mask"])
def test_provenance_follows_what_the_columns_depend_on(tmp_path: Path, change: str) -> None:
    table = cohort(tmp_path, [write_case(tmp_path, "a")])
    branch = ClinicalBranch(ClinicalSettings())
    before = branch.provenance_inputs(table)
    table["grade"] = 4.0
    assert branch.provenance_inputs(table) == before
    if change == "age":
        table.loc["a", "age"] = 77.0
    else:
        Path(table.loc["a", "mask"]).write_bytes(b"changed")
    assert branch.provenance_inputs(table) != before
