"""Make the shipped weights from a trained network: `python -m tests.benchmarks.ship_weights WEIGHTS TRAINING_SENTENCE [CASES]`.

Scores it on made-up patients that it was not trained on, calibrates its quality score on them, validates that on the real cases, and writes
`radiogen/segment/shipped/radiogen-compact.safetensors` with its card.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from radiogen.cohort.build import read_cohort_or_folder
from radiogen.cohort.case import CaseImages, read_case, read_case_mask
from radiogen.cohort.masks import region_masks
from radiogen.cohort.nifti import Grid
from radiogen.config.segment import SegmentSettings
from radiogen.segment.network import NetworkMethod
from radiogen.segment.quality import fit_calibration, validate_calibration
from radiogen.segment.randomised.dataset import make_patient
from radiogen.segment.weights import DEFAULT_WEIGHTS, SHIPPED, WeightsCard, load_network, save_weights
from radiogen.stats.overlap import dice
from radiogen.types import SEQUENCES

REAL = Path(__file__).resolve().parents[3] / "shared" / "data" / "mri"
HELD_OUT_SEED = 900_001
PASSES = 8
REGIONS = ("wt", "tc", "et")


def made_up(index: int) -> tuple[CaseImages, dict[str, np.ndarray]]:
    """Return a made-up patient that no training drew, and its regions."""
    patient = make_patient((HELD_OUT_SEED, index), 2.0, SEQUENCES)
    images = {name: np.ascontiguousarray(image.numpy()) for name, image in zip(SEQUENCES, patient.images, strict=True)}
    grid = Grid(tuple(patient.brain.shape), np.diag([2.0, 2.0, 2.0, 1.0]))
    return CaseImages(f"made-up-{index}", images, grid), dict(zip(REGIONS, patient.target.numpy() > 0, strict=True))


def real() -> list[tuple[CaseImages, dict[str, np.ndarray]]]:
    """Return the real cases with a reference; regions that the reference does not tell apart are left out."""
    cohort = read_cohort_or_folder(REAL)
    cases = []
    for _, row in cohort[cohort["mask"].notna()].iterrows():
        case = read_case(row)
        found = region_masks(read_case_mask(row, case.grid))
        cases.append((case, found if found["tc"].any() else {"wt": found["wt"]}))
    return cases


def score(method: NetworkMethod, case: CaseImages, reference: dict[str, np.ndarray]) -> list[dict[str, Any]]:
    """Return agreement and Dice of every region that the case has."""
    result = method(case)
    found, confidence = region_masks(result.labels), dict(result.confidence["confidence"])
    return [
        {"case": case.case, "region": name, "agreement": confidence[name]["agreement"], "dice": dice(found[name], mask)}
        for name, mask in reference.items()
        if mask.any()
    ]


def main(weights: str, sentence: str, cases: str = "40") -> None:
    """Measure, calibrate, write."""
    network, card = load_network(weights)
    target = SHIPPED / f"{DEFAULT_WEIGHTS}.safetensors"
    card = WeightsCard.parse(
        {
            **card.model_dump(), "name": DEFAULT_WEIGHTS, "licence": "Apache-2.0", "training_data": sentence, "multiple": 8,
            "source": "radiogen, recipe domain-randomised", "calibration": None, "measured": {},
        }
    )  # fmt: skip
    save_weights(target, network, card, half=True)
    method = NetworkMethod(SegmentSettings(weights=(str(target),), uncertainty="flips", passes=PASSES))
    rows = pd.DataFrame([row for index in range(int(cases)) for row in score(method, *made_up(index))])
    calibration = fit_calibration(rows, measure="flips", passes=PASSES, shape="isotonic")
    measured: dict[str, Any] = {"made_up_patients_not_trained_on": _means(rows)}
    if REAL.is_dir():
        table = pd.DataFrame([row for case, reference in real() for row in score(method, case, reference)])
        calibration = validate_calibration(calibration, table)
        full = table["case"].isin(table.loc[table["region"] == "tc", "case"])
        measured["real_skull_stripped_gliomas_flips_averaged"] = _means(table[full])
        measured["real_lower_grade_gliomas_skull_on_flips_averaged"] = _means(table[~full])
        print(table.to_string())
    card = card.model_copy(update={"calibration": calibration, "measured": measured})
    print(save_weights(target, network, card, half=True).model_dump_json(indent=1))


def _means(rows: pd.DataFrame) -> dict[str, Any]:
    return {
        "cases": int(rows["case"].nunique()),
        "dice": {name: round(float(part["dice"].mean()), 4) for name, part in rows.groupby("region", sort=False)},
    }


if __name__ == "__main__":
    main(*sys.argv[1:])
