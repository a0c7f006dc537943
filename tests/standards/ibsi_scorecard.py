"""The scorecard of IBSI's digital phantom: what is computed, what the standard says, and the table in `reports/ibsi.md`.

Run `python -m tests.standards.ibsi_scorecard` in the checkout to write the report again.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from radiogen.branches.radiomics.branch import case_features
from radiogen.branches.radiomics.dictionary import data_dictionary
from radiogen.branches.radiomics.ibsi import IbsiFeature, ibsi_features
from radiogen.branches.radiomics.plan import Plan, make_plan
from radiogen.config.features import RadiomicsSettings
from radiogen.run.atomic import write_text

REPORT = Path(__file__).resolve().parents[2] / "reports" / "ibsi.md"
DATA = Path("peer", "ibsi")
CONFORMING, EQUAL, DEVIATES, ABSENT = "conforming", "conforming, as", "deviates", "not provided by PyRadiomics"
OUTSIDE = "outside the tolerance"
TAG_SUFFIXES = {"3D": ("_3D_avg", "_3D_comb", "_3D", ""), "2.5D": ("_2_5D_avg", "_2_5D_comb", "_2_5D")}
DROPPED = ["Compactness1", "Compactness2", "SphericalDisproportion"]
SHAPE = [
    "MeshVolume", "VoxelVolume", "SurfaceArea", "SurfaceVolumeRatio", "Sphericity", "Maximum3DDiameter", "Maximum2DDiameterSlice",
    "Maximum2DDiameterColumn", "Maximum2DDiameterRow", "MajorAxisLength", "MinorAxisLength", "LeastAxisLength", "Elongation", "Flatness",
]  # fmt: skip


def phantom_plan(**setting: object) -> Plan:
    """What is computed of the phantom: its intensities are grey levels, so a bin is one unit wide."""
    classes = {name: [] for name in ("firstorder", "glcm", "glrlm", "glszm", "gldm", "ngtdm")}
    settings = RadiomicsSettings(
        image_types={"Original": {}},
        feature_classes={"shape": [*SHAPE, *DROPPED], **classes},
        setting={"binWidth": 1, **setting},
        normalisation="none",
        sequences=("t1c",),
        regions=("wt",),
    )
    return make_plan(settings)


def phantom_features(shared_data: Path, **setting: object) -> dict[tuple[str, str], float]:
    """The phantom's features by PyRadiomics class and feature, computed as radiogen computes a case."""
    folder = shared_data / DATA / "ibsi_1_digital_phantom" / "nifti"
    row = pd.Series(
        {"t1c": str(folder / "image/phantom.nii.gz"), "mask": str(folder / "mask/mask.nii.gz")}, name="phantom"
    )
    plan = phantom_plan(**setting)
    values = case_features("phantom", row, plan=plan, cache_folder=None).values
    words = data_dictionary(list(values), plan)
    return {(row["class"], row["feature"]): values[row["column"]] for _, row in words.iterrows()}


def reference_values(shared_data: Path) -> pd.DataFrame:
    """IBSI's reference values and tolerances by tag."""
    return pd.read_csv(shared_data / DATA / "reference_values_digital_phantom.csv", sep=";").set_index("tag")


def margin(reference: float, tolerance: float) -> float:
    """How far a value may lie from the reference: the tolerance, and at least the rounding of three significant digits."""
    rounding = 0.5 * 10.0 ** (math.floor(math.log10(abs(reference))) - 2) * 1.001 if reference else 0.0
    return max(tolerance, rounding)


def score(features: Mapping[str, Mapping[tuple[str, str], float]], reference: pd.DataFrame, kind: str) -> pd.DataFrame:
    """One row per reference value of one kind of aggregation (`3D` or `2.5D`).

    Args:
        features: tag suffix -> the features computed with the settings that this suffix stands for.
        reference: as `reference_values` returns it.
        kind: key of TAG_SUFFIXES.
    """
    rows = []
    entries = {entry.tag: entry for entry in ibsi_features()}
    for entry in ibsi_features():
        for suffix in TAG_SUFFIXES[kind]:
            tag = entry.tag + suffix
            if tag in reference.index:
                expected, tolerance = (float(value) for value in reference.loc[tag, ["reference value", "tolerance"]])
                source = entries[entry.equal_to] if entry.equal_to else entry
                value = features[suffix].get((source.feature_class, source.feature), float("nan"))
                rows.append(
                    (tag, entry, expected, tolerance, value, _verdict(entry, source, expected, tolerance, value))
                )
    columns = ["tag", "entry", "reference", "tolerance", "value", "verdict"]
    return pd.DataFrame(rows, columns=columns)


def _verdict(entry: IbsiFeature, source: IbsiFeature, expected: float, tolerance: float, value: float) -> str:
    if not source.feature:
        return ABSENT if math.isfinite(expected) else f"{ABSENT}; IBSI gives no reference value"
    if entry.deviation:
        return f"{DEVIATES}: {entry.deviation}"
    if not abs(value - expected) <= margin(expected, tolerance):
        return OUTSIDE
    return f"{EQUAL} {source.feature_class} {source.feature}" if entry.equal_to else CONFORMING


def all_scores(shared_data: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The scores of the 3D reference values, and of the 2.5D ones (PyRadiomics' `force2D`)."""
    reference = reference_values(shared_data)
    scores = []
    for kind, setting in (("3D", {}), ("2.5D", {"force2D": True})):
        averaged = phantom_features(shared_data, **setting)
        merged = phantom_features(shared_data, weightingNorm="no_weighting", **setting)
        by_suffix = {suffix: merged if suffix.endswith("_comb") else averaged for suffix in TAG_SUFFIXES[kind]}
        scores.append(score(by_suffix, reference, kind))
    return scores[0], scores[1]


def report(volume: pd.DataFrame, flat: pd.DataFrame, not_in_ibsi: list[str]) -> str:
    """The scorecard as Markdown."""
    count = volume["verdict"].str.partition(":")[0].str.partition(";")[0].value_counts()
    conforming = sum(int(number) for verdict, number in count.items() if str(verdict).startswith(CONFORMING))
    again = sum(int(number) for verdict, number in count.items() if str(verdict).startswith(EQUAL))
    lines = [
        "# IBSI-1 digital phantom: scorecard",
        "",
        "Every reference value of the Image Biomarker Standardisation Initiative's digital phantom that belongs to a volume (3D), and what radiogen "
        "(PyRadiomics inside) computes. Zwanenburg et al., Radiology 2020;295:328; data and values: the initiative's repository. Written by "
        "`python -m tests.standards.ibsi_scorecard`; `tests/standards/test_ibsi.py` checks every row and that this page is what is computed.",
        "",
        "| verdict | reference values |",
        "|---|---|",
        f"| conforming (of these, {again} that PyRadiomics has under another name) | {conforming} |",
        f"| deviates by a known convention of PyRadiomics | {count.get(DEVIATES, 0)} |",
        f"| {OUTSIDE} without such a reason | {count.get(OUTSIDE, 0)} |",
        f"| IBSI feature that PyRadiomics does not provide | {count.get(ABSENT, 0)} |",
        f"| all | {len(volume)} |",
        "",
        f"Not in IBSI, but given by PyRadiomics: {', '.join(not_in_ibsi)}.",
        "",
        f"With PyRadiomics' `force2D`, {_n_conforming(flat)} of the {len(flat)} 2.5D reference values conform and the others are not provided.",
        "",
        "- Settings: the intensities are the grey levels (`binWidth` 1 on whole numbers), no normalisation, distance 1. `_3D_avg`: averaged over",
        "  directions, PyRadiomics' default; `_3D_comb`: one merged matrix, `weightingNorm: no_weighting`.",
        "- Conforming: within IBSI's tolerance, or equal at the three significant digits of the reference where the tolerance is smaller than these.",
        "- The axis lengths follow from IBSI's by the factor sqrt((n - 1) / n), n the number of voxels: 0.7 % in the phantom's 74,",
        "  0.005 % in a tumour of 10,000. The major axis stays inside its tolerance all the same.",
        "- Fixed bin widths start at a multiple of the width in PyRadiomics and at the lowest intensity in IBSI; here both are the same. The data",
        "  dictionary beside every radiomics table calls such columns deviating; a fixed bin number (radiogen's default) conforms.",
        "- Codes: DICOM PS3.16 (coding scheme IBSI) and, for the intensity statistics and the volume histogram, MIRP 2.7.",
        "",
        "| tag | code | IBSI name | reference | tolerance | radiogen | verdict |",
        "|---|---|---|---|---|---|---|",
        *(_line(row) for _, row in volume.iterrows()),
        "",
    ]
    return "\n".join(lines)


def _n_conforming(table: pd.DataFrame) -> int:
    return int(table["verdict"].str.startswith(CONFORMING).sum())


def _line(row: pd.Series) -> str:
    entry = row["entry"]
    numbers = " | ".join(
        "" if math.isnan(row[name]) else f"{row[name]:.{digits}g}"
        for name, digits in (("reference", 6), ("tolerance", 6), ("value", 5))
    )
    return f"| `{row['tag']}` | {entry.code} | {entry.name} | {numbers} | {row['verdict']} |"


def compute(shared_data: Path) -> str:
    """The text of the report, computed now."""
    known = {(entry.feature_class, entry.feature) for entry in ibsi_features()}
    not_in_ibsi = sorted(f"{name} {feature}" for name, feature in set(phantom_features(shared_data)) - known)
    return report(*all_scores(shared_data), not_in_ibsi)


if __name__ == "__main__":
    from tests.conftest import SHARED_DATA

    write_text(REPORT, compute(SHARED_DATA))
