from __future__ import annotations

import pandas as pd
import pytest

from radiogen.branches.radiomics import data_dictionary
from radiogen.branches.radiomics.plan import make_plan
from radiogen.config.features import RadiomicsSettings


def words(column: str, **settings: object) -> pd.Series:
    return data_dictionary([column], make_plan(RadiomicsSettings(**settings))).iloc[0]


def test_a_column_says_what_it_is_in_the_standard() -> None:
    row = words("t1c_et_original_firstorder_Mean")
    assert row[["ibsi_code", "ibsi_name", "conformity"]].tolist() == ["Q4LE", "Mean", "conforming"]
    assert row[["ibsi_aggregation", "filter_ibsi_code", "filter_conformity"]].tolist() == ["", "", ""]
    row = words("wt_original_shape_LeastAxisLength")
    assert row["ibsi_code"] == "7J51"
    assert row["conformity"].startswith("deviates: the variance along the axis is divided by n")
    assert words("t1c_et_original_glcm_MCC")["conformity"] == "not in IBSI"
    assert words("t1c_et_original_glszm_ZoneEntropy")["ibsi_aggregation"] == "3D (KOBO)"


def test_settings_that_depart_from_the_standard_are_said() -> None:
    texture = "t1c_wt_original_glcm_Contrast"
    assert words(texture)["conformity"] == "conforming"
    row = words(texture, setting={"binWidth": 10})
    assert row["discretisation"] == "bins of width 10"
    assert (
        row["conformity"]
        == "deviates: bins of fixed width start at a multiple of the width, in IBSI at the lowest intensity"
    )
    several = words(texture, setting={"binCount": 8, "weightingNorm": "euclidean", "symmetricalGLCM": False})[
        "conformity"
    ]
    assert "weighted by distance (weightingNorm euclidean)" in several
    assert "not symmetrical" in several
    far = words(texture, setting={"binCount": 8, "distances": [1, 3]})["conformity"]
    assert far == "deviates: several distances are taken together (distances [1, 3])"
    assert (
        words(texture, setting={"binCount": 8, "weightingNorm": "no_weighting"})["ibsi_aggregation"]
        == "3D, merged (IAZD)"
    )
    assert "300 is added" in words("t1c_wt_original_firstorder_Energy", setting={"voxelArrayShift": 300})["conformity"]


@pytest.mark.parametrize(
    ("image_type", "code", "verdict"),
    [
        ("log-sigma-1-0-mm-3D", "L6PA", "deviates: recursive approximation, multiplied by sigma squared"),
        ("wavelet-HHL", "25BO", "not compared with IBSI 2"),
        ("gradient", "", "not in IBSI"),
    ],
)
def test_filters_are_named(image_type: str, code: str, verdict: str) -> None:
    row = words(f"t1c_wt_{image_type}_glcm_Contrast")
    assert row[["filter", "filter_ibsi_code", "filter_conformity"]].tolist() == [image_type, code, verdict]


@pytest.mark.parametrize(
    ("region", "meaning"),
    [
        ("ncr", "necrotic or non-enhancing core"),
        ("ed", "oedema"),
        ("ring5mm", "brain within 5 mm around the whole tumour"),
        ("ring12mm", "brain within 12 mm around the whole tumour"),
    ],
)
def test_every_region_has_a_meaning(region: str, meaning: str) -> None:
    for column, sequence in ((f"{region}_original_shape_Flatness", ""), (f"t2f_{region}_original_glcm_MCC", "t2f")):
        assert words(column)[["sequence", "region", "region_meaning"]].tolist() == [sequence, region, meaning]


def test_a_column_of_a_pair_has_neither_sequence_nor_region() -> None:
    row = words("wavelet-LLH_glrlm_RunEntropy")
    assert row[["sequence", "region", "region_meaning", "filter", "feature"]].tolist() == [
        "",
        "",
        "",
        "wavelet-LLH",
        "RunEntropy",
    ]
    assert row["ibsi_code"] == "HJ9O"


def test_own_settings_of_an_image_type_reach_its_columns() -> None:
    types = {"Original": {}, "Wavelet": {"binWidth": 3}, "Square": {"binCount": 7}, "SquareRoot": {"binWidth": 5}}
    expected = {
        "wavelet-LLL": "bins of width 3",
        "square": "7 bins",
        "squareroot": "bins of width 5",
        "original": "bins of width 25",
    }
    for image_type, text in expected.items():
        row = words(f"t1c_wt_{image_type}_glcm_Contrast", image_types=types, setting={"binWidth": 25})
        assert row["discretisation"].startswith(text)
