"""What the shipped weights score on real cases that they were not trained on. Writes `reports/segmentation/`.

Every case is segmented with all of its sequences and with several subsets of them, with the settings that `radiogen segment` has by default.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from radiogen.cohort.build import read_cohort_or_folder
from radiogen.cohort.case import CaseImages, read_case, read_case_mask
from radiogen.cohort.masks import region_masks
from radiogen.config.segment import SegmentSettings
from radiogen.run.atomic import write_csv, write_text
from radiogen.segment.network import NetworkMethod
from radiogen.segment.weights import DEFAULT_WEIGHTS, find_weights, read_card
from radiogen.stats.overlap import dice
from radiogen.types import SEQUENCES

REPORT = Path(__file__).resolve().parents[2] / "reports" / "segmentation"
COMMAND = "pytest -m benchmark tests/benchmarks/test_shipped_weights.py"
SUBSETS: dict[str, tuple[str, ...]] = {
    "all there are": SEQUENCES,
    "without t1n": ("t1c", "t2w", "t2f"),
    "t1c and t2f": ("t1c", "t2f"),
    "t1n, t1c and t2w": ("t1n", "t1c", "t2w"),
    "t2f alone": ("t2f",),
    "t2w alone": ("t2w",),
    "t1c alone": ("t1c",),
}
LOWER_GRADE_SUBSETS = ("all there are", "t2f alone")
LEAST = {"wt": 0.85, "tc": 0.70, "et": 0.65}
LEAST_FLAIR_WT = 0.75

pytestmark = [pytest.mark.benchmark, pytest.mark.real_data]


def _with(case: CaseImages, names: tuple[str, ...]) -> CaseImages | None:
    """Return the case with some of its sequences only; None where that is no change or nothing is left."""
    kept = {name: image for name, image in case.images.items() if name in names}
    if (
        not kept
        or (len(kept) == len(case.images) and names != SEQUENCES)
        or (names != SEQUENCES and len(kept) < len(names))
    ):
        return None
    return replace(case, images=kept)


def _rows(shared_data: Path) -> pd.DataFrame:
    method = NetworkMethod(SegmentSettings(weights=(DEFAULT_WEIGHTS,)))
    cohort = read_cohort_or_folder(shared_data / "mri")
    rows = []
    for case_id, row in cohort[cohort["mask"].notna()].iterrows():
        case = read_case(row)
        reference = region_masks(read_case_mask(row, case.grid))
        known = ("wt", "tc", "et") if reference["tc"].any() else ("wt",)
        for subset, names in SUBSETS.items():
            if len(known) == 1 and subset not in LOWER_GRADE_SUBSETS:
                continue
            chosen = _with(case, names)
            if chosen is None:
                continue
            found = region_masks(method(chosen).labels)
            scores = {
                name: dice(found[name], reference[name]) if name in known else np.nan for name in ("wt", "tc", "et")
            }
            group = "skull-stripped glioma" if len(known) == 3 else "lower-grade glioma, skull on"
            rows.append({"case": str(case_id), "group": group, "sequences": subset, **scores})
    return pd.DataFrame(rows)


def _table(frame: pd.DataFrame) -> list[str]:
    columns = list(frame.columns)
    body = [
        "| "
        + " | ".join(
            "" if pd.isna(value) else f"{value:.3f}" if isinstance(value, float) else str(value) for value in row
        )
        + " |"
        for row in frame.itertuples(index=False)
    ]
    return ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns), *body]


def test_shipped_weights_reach_their_marks_on_real_cases(shared_data: Path) -> None:
    rows = _rows(shared_data)
    means = rows.groupby(["group", "sequences"], sort=False).agg(
        n=("wt", "size"), wt=("wt", "mean"), wt_median=("wt", "median"), wt_least=("wt", "min"), tc=("tc", "mean"), et=("et", "mean")
    ).reset_index()  # fmt: skip
    card = read_card(find_weights(DEFAULT_WEIGHTS))
    text = [
        "# The shipped weights on real cases", "",
        f"Made by `{COMMAND}`. Weights: {card.name}, sha256 {card.sha256[:12]}. Dice on each case's own voxels, default settings,",
        "no tuning on these cases; but the generator of the training data was developed with these cases in view, as the card says.", "",
        *_table(means), "", "## Case by case", "", *_table(rows), "",
    ]  # fmt: skip
    write_csv(REPORT / "cases.csv", rows)
    write_text(REPORT / "README.md", "\n".join(text))
    whole = rows[(rows["group"] == "skull-stripped glioma") & (rows["sequences"] == "all there are")]
    flair = rows[(rows["group"] == "skull-stripped glioma") & (rows["sequences"] == "t2f alone")]
    assert {name: whole[name].mean() >= least for name, least in LEAST.items()} == dict.fromkeys(LEAST, True)
    assert flair["wt"].mean() >= LEAST_FLAIR_WT
