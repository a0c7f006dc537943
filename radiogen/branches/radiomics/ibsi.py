"""PyRadiomics features in the words of the Image Biomarker Standardisation Initiative (IBSI): one table for dictionary, tests and scorecard.

The table is `ibsi.csv` beside this file: every feature of IBSI's digital phantom with its 4-character code, the PyRadiomics feature that is the same
quantity, and in which documented way it departs from the standard. `equal_to` names a feature with the same value by definition, for those that
PyRadiomics dropped as repetitions.

Source: Zwanenburg et al., Radiology 2020;295:328 and reference manual arXiv:1612.07003 (features, aggregation); Whybra et al., Radiology
2024;310:e231319 (filters). Codes: DICOM PS3.16, coding scheme IBSI, where it has the feature; the others as the reference implementation MIRP 2.7 has
them.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

_TABLE = Path(__file__).with_name("ibsi.csv")
_DISCRETISED_FIRST_ORDER = ("Entropy", "Uniformity")
_SHIFTED = ("Energy", "RootMeanSquared")
_DIRECTIONAL = ("glcm", "glrlm")
_NEIGHBOURS = ("glcm", "gldm", "ngtdm")
_TEXTURE = (*_DIRECTIONAL, "glszm", "gldm", "ngtdm")


@dataclass(frozen=True)
class IbsiFeature:
    """One feature of the standard.

    Args:
        tag: name in the table of reference values, without the aggregation: `cm_joint_max`.
        code: IBSI's 4-character code.
        name: IBSI's name.
        feature_class: PyRadiomics class with the same quantity; blank where it has none.
        feature: PyRadiomics feature.
        deviation: PyRadiomics' documented convention where it departs from the standard; blank where it conforms.
        equal_to: tag of a feature that has the same value by definition.
    """

    tag: str
    code: str
    name: str
    feature_class: str
    feature: str
    deviation: str
    equal_to: str


@dataclass(frozen=True)
class Conformity:
    """What a column is in the standard.

    Args:
        code: IBSI's 4-character code; blank where IBSI has no such feature.
        name: IBSI's name.
        aggregation: how IBSI calls the way directions are summarised; blank where there are none.
        aggregation_code: its 4-character code.
        verdict: `conforming`, `deviates: <PyRadiomics' convention>` or `not in IBSI`.
    """

    code: str = ""
    name: str = ""
    aggregation: str = ""
    aggregation_code: str = ""
    verdict: str = "not in IBSI"


@cache
def ibsi_features() -> tuple[IbsiFeature, ...]:
    """Return every feature of the standard, in the order of IBSI's table of reference values.

    Example:
        >>> next(feature for feature in ibsi_features() if feature.code == "Q4LE").feature
        'Mean'
    """
    with _TABLE.open(encoding="utf-8", newline="") as file:
        return tuple(
            IbsiFeature(
                row["tag"], row["code"], row["name"], row["class"], row["feature"], row["deviation"], row["equal_to"]
            )
            for row in csv.DictReader(file)
        )


@cache
def _by_pyradiomics() -> dict[tuple[str, str], IbsiFeature]:
    return {(entry.feature_class, entry.feature): entry for entry in ibsi_features() if entry.feature}


def conformity(feature_class: str, feature: str, setting: Mapping[str, Any]) -> Conformity:
    """Return what a PyRadiomics feature is in the standard, under the settings it was computed with.

    Args:
        feature_class: PyRadiomics class.
        feature: PyRadiomics feature.
        setting: PyRadiomics settings of the image type.

    Example:
        >>> conformity("glcm", "Contrast", {"binCount": 32}).verdict
        'conforming'
        >>> conformity("firstorder", "Kurtosis", {}).verdict
        'deviates: the kurtosis itself, IBSI the excess over 3'
        >>> conformity("glcm", "MCC", {}).verdict
        'not in IBSI'
    """
    entry = _by_pyradiomics().get((feature_class, feature))
    if entry is None:
        return Conformity()
    deviations = [entry.deviation] if entry.deviation else []
    deviations += _deviations_by_setting(feature_class, feature, setting)
    verdict = f"deviates: {'; '.join(deviations)}" if deviations else "conforming"
    return Conformity(entry.code, entry.name, *aggregation(feature_class, setting), verdict)


def aggregation(feature_class: str, setting: Mapping[str, Any]) -> tuple[str, str]:
    """Return IBSI's name and code of the way a texture class summarises directions and slices; blanks for other classes.

    Example:
        >>> aggregation("glcm", {}), aggregation("glszm", {"force2D": True})
        (('3D, averaged', 'ITBB'), ('2.5D', '62GR'))
    """
    if feature_class not in _TEXTURE:
        return "", ""
    flat = bool(setting.get("force2D"))
    if feature_class not in _DIRECTIONAL:
        return ("2.5D", "62GR") if flat else ("3D", "KOBO")
    if setting.get("weightingNorm") is None:
        return ("2.5D, direction-merged", "JJUI") if flat else ("3D, averaged", "ITBB")
    return ("2.5D, merged", "ZW7Z") if flat else ("3D, merged", "IAZD")


def is_discretised(feature_class: str, feature: str) -> bool:
    """Return whether a feature is computed from intensities cut into bins."""
    return feature_class in _TEXTURE or (feature_class == "firstorder" and feature in _DISCRETISED_FIRST_ORDER)


def _deviations_by_setting(feature_class: str, feature: str, setting: Mapping[str, Any]) -> list[str]:
    found = []
    if is_discretised(feature_class, feature) and setting.get("binCount") is None:
        found.append("bins of fixed width start at a multiple of the width, in IBSI at the lowest intensity")
    if feature_class == "firstorder" and feature in _SHIFTED and setting.get("voxelArrayShift"):
        found.append(f"{setting['voxelArrayShift']} is added to every intensity (voxelArrayShift)")
    if feature_class in _DIRECTIONAL and setting.get("weightingNorm") not in (None, "no_weighting"):
        found.append(f"directions are weighted by distance (weightingNorm {setting['weightingNorm']})")
    if feature_class in _NEIGHBOURS and len(setting.get("distances") or ()) > 1:
        found.append(f"several distances are taken together (distances {setting['distances']})")
    if feature_class == "glcm" and setting.get("symmetricalGLCM") is False:
        found.append("the matrix is not symmetrical (symmetricalGLCM)")
    return found


@dataclass(frozen=True)
class Filter:
    """What an image type is in the second part of the standard.

    Args:
        code: IBSI's 4-character code; blank where IBSI has no such filter.
        name: IBSI's name.
        verdict: how it departs, `not compared with IBSI 2`, `not in IBSI`; blank for the unfiltered image.
    """

    code: str = ""
    name: str = ""
    verdict: str = "not in IBSI"


def ibsi_filter(image_type: str) -> Filter:
    """Return what a PyRadiomics image type is in the standard.

    Args:
        image_type: as in column names: `original`, `log-sigma-1-0-mm-3D`, `wavelet-LLH`.

    Example:
        >>> ibsi_filter("wavelet-LLH").code, ibsi_filter("square").verdict
        ('25BO', 'not in IBSI')
    """
    if image_type == "original":
        return Filter(verdict="")
    if image_type.startswith("log-sigma"):
        return Filter("L6PA", "Laplacian-of-Gaussian", "deviates: recursive approximation, multiplied by sigma squared")
    if image_type.startswith("wavelet"):
        return Filter("25BO", "Separable wavelet", "not compared with IBSI 2")
    return Filter()
