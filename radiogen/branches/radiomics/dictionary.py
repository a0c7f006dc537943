"""What each radiomics column means: a table beside the features."""

from __future__ import annotations

import pandas as pd

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

COLUMNS = ["column", "sequence", "region", "filter", "class", "feature", "unit", "discretisation"]


def data_dictionary(columns: list[str], plan: Plan) -> pd.DataFrame:
    """Return one row per feature column: sequence, region, filter, class, feature, unit, and how intensities were binned.

    `sequence` is blank for shape, which depends on the mask alone. `unit` is blank where the field knows none.
    """
    rows = [_row(column, plan) for column in columns]
    return pd.DataFrame(rows, columns=COLUMNS)


def _row(column: str, plan: Plan) -> dict[str, str]:
    first, _, rest = column.partition("_")
    sequence, region_and_rest = (first, rest) if first in SEQUENCES else ("", column)
    region, image_type, feature_class, feature = region_and_rest.split("_", 3)
    return {
        "column": column,
        "sequence": sequence,
        "region": region,
        "filter": image_type,
        "class": feature_class,
        "feature": feature,
        "unit": _unit(image_type, feature_class, feature, plan),
        "discretisation": ""
        if feature_class.startswith("shape")
        else _discretisation(feature_class, feature, image_type, plan),
    }


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


def _discretisation(feature_class: str, feature: str, image_type: str, plan: Plan) -> str:
    if feature_class == "firstorder" and feature not in ("Entropy", "Uniformity"):
        return "none"
    stem = image_type.partition("-")[0].rstrip("0123456789")  # log-sigma-1-0-mm-3D, wavelet2-LLH
    own = next((values for name, values in plan.image_types.items() if name.lower() == stem), {})
    setting = {**plan.setting, **own}
    if setting.get("binCount") is not None:
        return f"{setting['binCount']} bins between the region's minimum and maximum"
    return f"bins of width {setting.get('binWidth', 25)}"
