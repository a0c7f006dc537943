"""A page per case that a saved model was applied to: its slices, and what the model says with everything that speaks against it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from radiogen.cohort.table import present_sequences
from radiogen.pipeline.case_pages import write_pages
from radiogen.pipeline.predict import PredictedCases
from radiogen.report.case_page import CaseFacts, CasePrediction
from radiogen.report.words import count, number
from radiogen.run.quarantine import Failure


def run_predicted_pages(
    cohort: pd.DataFrame, out: Path, found: PredictedCases, *, jobs: int = 1, progress: bool = False
) -> tuple[list[str], list[Failure]]:
    """Write `cases/<case>.html` for every predicted case that has images, and `cases/index.html`.

    Args:
        cohort: rows with images, as `read_cohort` returns it.
        out: folder of the predictions.
        found: what the model said.
        jobs: cases worked on at the same time.
        progress: show a progress bar.

    Returns:
        Cases with a page, and those that failed.

    Raises:
        OutputError: the folder cannot be written.
    """
    seen = {str(case) for case, row in cohort.iterrows() if present_sequences(row)}
    predicted = {str(row["case"]): row for _, row in found.predictions.iterrows() if str(row["case"]) in seen}
    if not predicted:
        return [], []
    told = {case: said_of_case(row, found) for case, row in predicted.items()}
    return write_pages(out, cohort.loc[list(told)], told, of_study=False, jobs=jobs, progress=progress)


def said_of_case(row: pd.Series, found: PredictedCases) -> CaseFacts:
    """Return what a saved model said of a case, and what speaks against it.

    Args:
        row: of its predictions table.
        found: the table and the model.
    """
    trained_on = bool(row["in_training"])
    missing = int(row.get("missing_features", 0))
    notes = []
    if missing:
        needs = found.bundle.needs
        notes.append(
            f"The model lacks {missing} of its {needs} for this case; it takes {found.bundle.stand_in} instead."
        )
    if row.get("out_of_distribution") == 1:
        notes.append("This case is unlike those that the model was trained on.")
    case = str(row["case"])
    if "risk" in row:
        return CaseFacts(case, risk=_risk_words(row, trained_on), notes=notes)
    truth: Any = row.get("y_true")
    probability = float(row["y_prob"])
    said = CasePrediction(
        str(row["target"]), probability, probability, probability,
        (str(row["prediction_set"]),) if isinstance(row.get("prediction_set"), str) else (),
        int(truth) if truth in (0, 1) else None, row.get("out_of_distribution") == 1,
        str(found.bundle.card.get("out_of_fold", {}).get("verdict", "undetermined")), trained_on,
    )  # fmt: skip
    return CaseFacts(case, predictions=(said,), notes=notes)


def _risk_words(row: pd.Series, trained_on: bool) -> list[str]:
    group = f", {row['risk_group']}" if isinstance(row.get("risk_group"), str) else ""
    told = [f"Risk {number(row['risk'], 2)}{group}."]
    for name in (name for name in row.index if str(name).startswith("survival_")):
        days = int(str(name).removeprefix("survival_").removesuffix("d"))
        told.append(f"Chance to be alive after {count(days, 'day')}: {number(100 * float(row[name]), 0)} %.")
    if trained_on:
        told.append("This patient was in the training of the model: its answer proves nothing.")
    return told
