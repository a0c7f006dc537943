"""The Image Biomarker Standardisation Initiative's digital phantom: every reference value that PyRadiomics has, in 3D and 2.5D.

Source: Zwanenburg et al., Radiology 2020;295:328; reference manual arXiv:1612.07003. Distance 1, intensities used as grey levels. The reference table
is read from the data folder; it gives three significant digits, and a tolerance where consensus needed one.
"""

from __future__ import annotations

import math
from pathlib import Path

import pandas as pd
import pytest
from pydicom.sr._concepts_dict import concepts

from radiogen.branches.radiomics.ibsi import conformity, ibsi_features
from tests.standards import ibsi_scorecard as card

VOXELS = 74
ELSEWHERE = ("loc_", "stat_", "ivh_")
"""Families whose codes DICOM does not have: it uses its own codes for statistics."""


@pytest.fixture(scope="module")
def scores(shared_data: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    return card.all_scores(shared_data)


@pytest.mark.real_data
def test_every_3d_reference_value(scores: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    _check(scores[0], conforming=145, deviating=4, absent=66)


@pytest.mark.real_data
def test_every_2_5d_reference_value(scores: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    _check(scores[1], conforming=118, deviating=0, absent=18)


def _check(table: pd.DataFrame, *, conforming: int, deviating: int, absent: int) -> None:
    assert table["tag"].is_unique
    verdict = table["verdict"]
    outside = table[verdict == card.OUTSIDE]
    assert outside.empty, outside.to_string()
    claimed = table[verdict.str.startswith(card.CONFORMING)]
    for _, row in claimed.iterrows():
        assert row["value"] == pytest.approx(row["reference"], abs=card.margin(row["reference"], row["tolerance"]))
    found = [
        len(claimed),
        int(verdict.str.startswith(card.DEVIATES).sum()),
        int(verdict.str.startswith(card.ABSENT).sum()),
    ]
    assert found == [conforming, deviating, absent]
    assert sum(found) == len(table)


@pytest.mark.real_data
def test_where_pyradiomics_departs_from_the_standard(scores: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    table = scores[0].set_index("tag")
    kurtosis = table.loc["stat_kurt"]
    assert kurtosis["value"] - 3 == pytest.approx(kurtosis["reference"], abs=5e-4)
    for tag in ("morph_pca_maj_axis", "morph_pca_min_axis", "morph_pca_least_axis"):
        row = table.loc[tag]
        by_n_minus_1 = row["value"] * math.sqrt(VOXELS / (VOXELS - 1))
        assert by_n_minus_1 == pytest.approx(row["reference"], abs=card.margin(row["reference"], 0.0))
        assert row["value"] != pytest.approx(row["reference"], abs=card.margin(row["reference"], 0.0))


@pytest.mark.real_data
def test_a_bin_width_is_called_deviating_for_a_reason(shared_data: Path) -> None:
    # Bins of width 2 from 0 put the phantom's grey levels 1 | 3 | 4 | 6 elsewhere than bins from the minimum, 1.
    values = card.phantom_features(shared_data, binWidth=2)
    assert conformity("firstorder", "Entropy", {"binWidth": 2}).verdict.startswith("deviates: bins of fixed width")
    assert conformity("firstorder", "Entropy", {"binCount": 3}).verdict == "conforming"
    levels = {1: 50, 3: 1, 4: 16, 6: 7}
    from_zero, from_minimum = _entropy(levels, 0), _entropy(levels, 1)
    assert values["firstorder", "Entropy"] == pytest.approx(from_zero)
    assert from_zero != pytest.approx(from_minimum)


def _entropy(levels: dict[int, int], first: int) -> float:
    counts: dict[int, int] = {}
    for level, number in levels.items():
        counts[(level - first) // 2] = counts.get((level - first) // 2, 0) + number
    total = sum(counts.values())
    return -sum(number / total * math.log2(number / total) for number in counts.values())


@pytest.mark.real_data
def test_the_committed_scorecard_is_what_is_computed(shared_data: Path) -> None:
    assert card.REPORT.read_text(encoding="utf-8") == card.compute(shared_data)


@pytest.mark.real_data
def test_the_table_has_every_feature_of_the_reference(shared_data: Path) -> None:
    reference = card.reference_values(shared_data).index
    tags = sorted((entry.tag for entry in ibsi_features()), key=len, reverse=True)
    stems = {
        next(tag for tag in tags if name == tag or name.startswith((f"{tag}_2", f"{tag}_3"))) for name in reference
    }
    assert stems == set(tags)
    assert len(reference) == 487


def test_codes_are_those_of_dicom() -> None:
    dicom = {code: meaning for entry in concepts["IBSI"].values() for code, (meaning, _) in entry.items()}
    ours = {entry.code: entry for entry in ibsi_features()}
    assert len(ours) == len(ibsi_features()) == 174
    assert set(dicom) <= set(ours)
    assert len(dicom) == 147
    assert all(entry.tag.startswith(ELSEWHERE) for code, entry in ours.items() if code not in dicom)


@pytest.mark.parametrize(
    ("code", "tag"),
    [
        ("Joint Maximum of GLCM", "cm_joint_max"),
        ("Least Axis in 3D Length", "morph_pca_least_axis"),
        ("Intensity Histogram Entropy", "ih_entropy"),
        ("Long Run Low Gray Level Emphasis", "rlm_lrlge"),
        ("Normalized Zone Size Nonuniformity", "szm_zsnu_norm"),
        ("High dependence low grey level emphasis", "ngl_hdlge"),
        ("Busyness of NGTDM", "ngt_busyness"),
    ],
)
def test_a_code_means_the_same_in_dicom(code: str, tag: str) -> None:
    found = next(key for entry in concepts["IBSI"].values() for key, (meaning, _) in entry.items() if meaning == code)
    assert next(entry.code for entry in ibsi_features() if entry.tag == tag) == found


def test_equal_features_point_at_ones_that_exist() -> None:
    tags = {entry.tag: entry for entry in ibsi_features()}
    equal = [entry for entry in ibsi_features() if entry.equal_to]
    assert len(equal) == 3
    assert all(tags[entry.equal_to].feature and not entry.feature for entry in equal)
