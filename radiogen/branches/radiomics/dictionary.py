"""What each radiomics column means: a table beside the features."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import pandas as pd

from radiogen.branches.radiomics.ibsi import conformity, ibsi_filter, is_discretised
from radiogen.branches.radiomics.plan import Plan
from radiogen.types import SEQUENCES

_SHAPE_UNITS = {
    "MeshVolume": "mm3", "VoxelVolume": "mm3", "SurfaceArea": "mm2", "SurfaceVolumeRatio": "1/mm", "Maximum3DDiameter": "mm",
    "Maximum2DDiameterSlice": "mm", "Maximum2DDiameterColumn": "mm", "Maximum2DDiameterRow": "mm", "MajorAxisLength": "mm",
    "MinorAxisLength": "mm", "LeastAxisLength": "mm", "Elongation": "1", "Flatness": "1", "Sphericity": "1",
    "Compactness1": "1", "Compactness2": "1", "SphericalDisproportion": "1",
    "PixelSurface": "mm2", "MeshSurface": "mm2", "Perimeter": "mm", "PerimeterSurfaceRatio": "1/mm", "MaximumDiameter": "mm",
}  # fmt: skip
_SQUARED = ("Energy", "Variance")
_WITH_VOLUME = ("TotalEnergy",)
_WITHOUT_UNIT = ("Entropy", "Uniformity", "Skewness", "Kurtosis")
_REGIONS = {
    "wt": "whole tumour", "tc": "tumour core", "et": "enhancing tumour", "ncr": "necrotic or non-enhancing core", "ed": "oedema",
}  # fmt: skip
_COLUMN = re.compile(
    rf"(?:(?P<sequence>{'|'.join(SEQUENCES)})_)?(?:(?P<region>wt|tc|et|ncr|ed|ring\d+mm)_)?(?P<rest>.+)"
)

COLUMNS = [
    "column", "sequence", "region", "region_meaning", "filter", "class", "feature", "unit", "discretisation",
    "ibsi_code", "ibsi_name", "ibsi_aggregation", "conformity", "filter_ibsi_code", "filter_conformity",
]  # fmt: skip


def data_dictionary(columns: list[str], plan: Plan) -> pd.DataFrame:
    """Return one row per feature column: what was measured where, in which unit, how intensities were binned, and what it is in the IBSI standard.

    `sequence` is blank for shape, which depends on the mask alone, and `sequence` and `region` are blank in the table of image and mask pairs. `unit`
    is blank where the field knows none. `conformity` is `conforming`, `deviates: <PyRadiomics' convention>` or `not in IBSI` and speaks of the
    feature; `filter_conformity` of the filter before it. The PyRadiomics conventions that settings choose count too: a fixed bin width deviates.

    Source: `radiogen.branches.radiomics.ibsi`.
    """
    rows = [_row(column, plan) for column in columns]
    return pd.DataFrame(rows, columns=COLUMNS)


def discretisation_by_image_type(plan: Plan) -> dict[str, str]:
    """Return how intensities are cut into bins for texture, per image type of a plan, for sidecars."""
    return {name: _discretisation("glcm", "", {**plan.setting, **own}) for name, own in plan.image_types.items()}


def _row(column: str, plan: Plan) -> dict[str, str]:
    match = _COLUMN.fullmatch(column)
    sequence, region, rest = match.groups("") if match is not None else ("", "", column)
    image_type, feature_class, feature = rest.split("_", 2)
    setting = _setting(image_type, plan)
    standard, filtering = conformity(feature_class, feature, setting), ibsi_filter(image_type)
    return {
        "column": column,
        "sequence": sequence,
        "region": region,
        "region_meaning": _region_meaning(region),
        "filter": image_type,
        "class": feature_class,
        "feature": feature,
        "unit": _unit(image_type, feature_class, feature, plan),
        "discretisation": "" if feature_class.startswith("shape") else _discretisation(feature_class, feature, setting),
        "ibsi_code": standard.code,
        "ibsi_name": standard.name,
        "ibsi_aggregation": f"{standard.aggregation} ({standard.aggregation_code})" if standard.aggregation else "",
        "conformity": standard.verdict,
        "filter_ibsi_code": filtering.code,
        "filter_conformity": filtering.verdict,
    }


def _region_meaning(region: str) -> str:
    if not region.startswith("ring"):
        return _REGIONS.get(region, "")
    return f"brain within {region.removeprefix('ring').removesuffix('mm')} mm around the whole tumour"


def _unit(image_type: str, feature_class: str, feature: str, plan: Plan) -> str:
    if feature_class.startswith("shape"):
        return _SHAPE_UNITS.get(feature, "")
    if feature_class != "firstorder" or feature in _WITHOUT_UNIT:
        return "1" if feature_class == "firstorder" else ""
    scaled = plan.normalisation == "zscore" or bool(plan.setting.get("normalize"))
    unit = "SD" if scaled else "image unit"
    if image_type != "original":
        unit = f"{unit}, filtered"
    if feature in _WITH_VOLUME:
        return f"({unit})2 mm3"
    return f"({unit})2" if feature in _SQUARED else unit


def _setting(image_type: str, plan: Plan) -> Mapping[str, Any]:
    parts = image_type.lower().split("-")  # log-sigma-1-0-mm-3D, wavelet2-LLH, lbp-3D-m1
    stem = "".join(parts[:2]) if parts[0] == "lbp" else parts[0].rstrip("0123456789")
    own = next((values for name, values in plan.image_types.items() if name.lower() == stem), {})
    return {**plan.setting, **own}


def _discretisation(feature_class: str, feature: str, setting: Mapping[str, Any]) -> str:
    if not is_discretised(feature_class, feature):
        return "none"
    if setting.get("binCount") is not None:
        return f"{setting['binCount']} bins between the region's minimum and maximum"
    return f"bins of width {setting.get('binWidth', 25)}"
