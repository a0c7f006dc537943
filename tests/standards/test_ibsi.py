"""The Image Biomarker Standardisation Initiative's digital phantom: 99 features that must have its reference value.

Source: Zwanenburg et al., Radiology 2020;295:328; reference manual arXiv:1612.07003. Texture: 3-D, averaged over directions, distance 1, intensities
used as grey levels. The reference table is read from the data folder; it gives three significant digits, and a tolerance where consensus needed one.
"""

from __future__ import annotations

import math
from pathlib import Path

import pandas as pd
import pytest

from radiogen.branches.radiomics.branch import case_features
from radiogen.branches.radiomics.plan import make_plan
from radiogen.config.features import RadiomicsSettings

pytestmark = pytest.mark.real_data

SHAPE = {
    "MeshVolume": "volume", "VoxelVolume": "vol_approx", "SurfaceArea": "area_mesh", "SurfaceVolumeRatio": "av", "Sphericity": "sphericity",
    "Maximum3DDiameter": "diam", "MajorAxisLength": "pca_maj_axis", "Elongation": "pca_elongation", "Flatness": "pca_flatness",
}  # fmt: skip
FIRST_ORDER = {
    "Mean": "stat_mean", "Variance": "stat_var", "Skewness": "stat_skew", "Median": "stat_median", "Minimum": "stat_min", "Maximum": "stat_max",
    "10Percentile": "stat_p10", "90Percentile": "stat_p90", "InterquartileRange": "stat_iqr", "Range": "stat_range",
    "MeanAbsoluteDeviation": "stat_mad", "RobustMeanAbsoluteDeviation": "stat_rmad", "Energy": "stat_energy", "RootMeanSquared": "stat_rms",
    "Entropy": "ih_entropy", "Uniformity": "ih_uniformity",
}  # fmt: skip
GLCM = {
    "MaximumProbability": "joint_max", "JointAverage": "joint_avg", "SumSquares": "joint_var", "JointEntropy": "joint_entr",
    "DifferenceAverage": "diff_avg", "DifferenceVariance": "diff_var", "DifferenceEntropy": "diff_entr", "SumAverage": "sum_avg",
    "SumEntropy": "sum_entr", "JointEnergy": "energy", "Contrast": "contrast", "Id": "inv_diff", "Idn": "inv_diff_norm", "Idm": "inv_diff_mom",
    "Idmn": "inv_diff_mom_norm", "InverseVariance": "inv_var", "Correlation": "corr", "Autocorrelation": "auto_corr",
    "ClusterTendency": "clust_tend", "ClusterShade": "clust_shade", "ClusterProminence": "clust_prom", "Imc1": "info_corr1", "Imc2": "info_corr2",
}  # fmt: skip
GLRLM = {
    "ShortRunEmphasis": "sre", "LongRunEmphasis": "lre", "LowGrayLevelRunEmphasis": "lgre", "HighGrayLevelRunEmphasis": "hgre",
    "ShortRunLowGrayLevelEmphasis": "srlge", "ShortRunHighGrayLevelEmphasis": "srhge", "LongRunLowGrayLevelEmphasis": "lrlge",
    "LongRunHighGrayLevelEmphasis": "lrhge", "GrayLevelNonUniformity": "glnu", "GrayLevelNonUniformityNormalized": "glnu_norm",
    "RunLengthNonUniformity": "rlnu", "RunLengthNonUniformityNormalized": "rlnu_norm", "RunPercentage": "r_perc", "GrayLevelVariance": "gl_var",
    "RunVariance": "rl_var", "RunEntropy": "rl_entr",
}  # fmt: skip
GLSZM = {
    "SmallAreaEmphasis": "sze", "LargeAreaEmphasis": "lze", "LowGrayLevelZoneEmphasis": "lgze", "HighGrayLevelZoneEmphasis": "hgze",
    "SmallAreaLowGrayLevelEmphasis": "szlge", "SmallAreaHighGrayLevelEmphasis": "szhge", "LargeAreaLowGrayLevelEmphasis": "lzlge",
    "LargeAreaHighGrayLevelEmphasis": "lzhge", "GrayLevelNonUniformity": "glnu", "GrayLevelNonUniformityNormalized": "glnu_norm",
    "SizeZoneNonUniformity": "zsnu", "SizeZoneNonUniformityNormalized": "zsnu_norm", "ZonePercentage": "z_perc", "GrayLevelVariance": "gl_var",
    "ZoneVariance": "zs_var", "ZoneEntropy": "zs_entr",
}  # fmt: skip
NGTDM = {name.title(): name for name in ("coarseness", "contrast", "busyness", "complexity", "strength")}
GLDM = {
    "SmallDependenceEmphasis": "lde", "LargeDependenceEmphasis": "hde", "LowGrayLevelEmphasis": "lgce", "HighGrayLevelEmphasis": "hgce",
    "SmallDependenceLowGrayLevelEmphasis": "ldlge", "SmallDependenceHighGrayLevelEmphasis": "ldhge",
    "LargeDependenceLowGrayLevelEmphasis": "hdlge", "LargeDependenceHighGrayLevelEmphasis": "hdhge", "GrayLevelNonUniformity": "glnu",
    "DependenceNonUniformity": "dcnu", "DependenceNonUniformityNormalized": "dcnu_norm", "GrayLevelVariance": "gl_var",
    "DependenceVariance": "dc_var", "DependenceEntropy": "dc_entr",
}  # fmt: skip

TAGS = {
    **{f"wt_original_shape_{name}": f"morph_{tag}" for name, tag in SHAPE.items()},
    **{f"t1c_wt_original_firstorder_{name}": tag for name, tag in FIRST_ORDER.items()},
    **{f"t1c_wt_original_glcm_{name}": f"cm_{tag}_3D_avg" for name, tag in GLCM.items()},
    **{f"t1c_wt_original_glrlm_{name}": f"rlm_{tag}_3D_avg" for name, tag in GLRLM.items()},
    **{f"t1c_wt_original_glszm_{name}": f"szm_{tag}_3D" for name, tag in GLSZM.items()},
    **{f"t1c_wt_original_ngtdm_{name}": f"ngt_{tag}_3D" for name, tag in NGTDM.items()},
    **{f"t1c_wt_original_gldm_{name}": f"ngl_{tag}_3D" for name, tag in GLDM.items()},
}
"""Column -> IBSI tag."""


@pytest.fixture(scope="module")
def features(shared_data: Path) -> dict[str, float]:
    folder = shared_data / "peer" / "ibsi" / "ibsi_1_digital_phantom" / "nifti"
    row = pd.Series(
        {"t1c": str(folder / "image/phantom.nii.gz"), "mask": str(folder / "mask/mask.nii.gz")}, name="phantom"
    )
    settings = RadiomicsSettings(image_types={"Original": {}}, setting={"binWidth": 1}, normalisation="none")
    return case_features("phantom", row, plan=make_plan(settings), cache_folder=None).values


@pytest.fixture(scope="module")
def reference(shared_data: Path) -> pd.DataFrame:
    path = shared_data / "peer" / "ibsi" / "reference_values_digital_phantom.csv"
    return pd.read_csv(path, sep=";").set_index("tag")


@pytest.mark.parametrize("column", TAGS)
def test_reference_value(features: dict[str, float], reference: pd.DataFrame, column: str) -> None:
    expected, tolerance = reference.loc[TAGS[column], ["reference value", "tolerance"]]
    rounding = 0.5 * 10.0 ** (math.floor(math.log10(abs(expected))) - 2)
    assert features[column] == pytest.approx(expected, abs=max(tolerance, rounding * 1.001))


def test_where_pyradiomics_departs_from_the_standard(features: dict[str, float], reference: pd.DataFrame) -> None:
    # Documented by PyRadiomics: its kurtosis is not the excess over 3; its axis lengths divide by the number of voxels.
    assert features["t1c_wt_original_firstorder_Kurtosis"] - 3 == pytest.approx(
        reference.loc["stat_kurt", "reference value"], abs=5e-4
    )
    for name, tag in (("MinorAxisLength", "morph_pca_min_axis"), ("LeastAxisLength", "morph_pca_least_axis")):
        expected, tolerance = reference.loc[tag, ["reference value", "tolerance"]]
        assert tolerance < expected - features[f"wt_original_shape_{name}"] < 0.01 * expected


def test_the_mapping_covers_the_classes() -> None:
    assert len(TAGS) == 99
    assert len(set(TAGS)) == len(TAGS)
