"""Predictions of several markers to one integrated diagnosis per case."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from radiogen.errors import CohortError, InputError
from radiogen.evaluate.predictions import read_any_table
from radiogen.fusion.diagnosis import diagnose
from radiogen.pipeline.inputs import match_labels, read_labels
from radiogen.resources import sha256_file
from radiogen.run.atomic import write_csv
from radiogen.run.provenance import RESEARCH_USE, Provenance

TARGETS = ("idh", "codeletion", "grade")
"""What the integrated diagnosis is made of; without the last two it stays open."""


def run_diagnose(
    predictions: Sequence[Path],
    out: Path,
    *,
    clinical: Path | None = None,
    codeletion_given_idh: bool = False,
    rule_out: float = 0.05,
) -> pd.DataFrame:
    """Write `diagnosis.csv`: per case the probability of every integrated diagnosis and the tests still needed.

    Args:
        predictions: tables with `case, target, y_prob`, such as `radiogen predict` and `radiogen classify` write; of several rows per case and
            target (repeats) the mean counts.
        out: folder for the output.
        clinical: table with ages.
        codeletion_given_idh: the model of the co-deletion was trained on IDH-mutant tumours only.
        rule_out: a diagnosis below this probability needs no test of its own.

    Returns:
        The content of `diagnosis.csv`: `case`, markers' probabilities, diagnoses' probabilities, `diagnosis`, `probability`, `tests_needed`.

    Raises:
        InputError: a table lacks a column, a target is unknown here, or no case has an IDH probability.
    """
    markers = pd.concat([_read(path) for path in predictions]).groupby(["case", "target"])["y_prob"].mean().unstack()
    markers = markers.reindex(columns=list(TARGETS))
    without = sorted(markers.index[markers["idh"].isna()])
    if len(without) == len(markers):
        raise InputError(
            "No case has a probability of an IDH mutation, which the integrated diagnosis starts from.",
            hint="Add the predictions of a model with target idh.",
        )
    markers = markers.drop(index=without).sort_index()
    age = _ages([str(case) for case in markers.index], clinical)
    idh, codeletion, grade = (markers[name].to_numpy(dtype=float) for name in TARGETS)
    found = diagnose(idh, codeletion, grade, age, codeletion_given_idh=codeletion_given_idh, rule_out=rule_out)
    table = pd.concat([markers.add_prefix("p_").round(6).reset_index(), found], axis=1)
    table.insert(1, "age", age)
    path = Path(out) / "diagnosis.csv"
    write_csv(path, table, index=False)
    seen = {f"predictions {number}": sha256_file(source) for number, source in enumerate(predictions, start=1)}
    seen |= {} if clinical is None else {"clinical": sha256_file(clinical)}
    rule = {"codeletion_given_idh": codeletion_given_idh, "rule_out": rule_out}
    Provenance("diagnose", rule, seen).record([path], warnings=[RESEARCH_USE, *_warnings(without, markers)])
    return table


def _read(path: Path) -> pd.DataFrame:
    table = read_any_table(path)
    missing = [name for name in ("case", "target", "y_prob") if name not in table.columns]
    if missing:
        raise InputError(
            f"{path} has no column {', '.join(missing)}.",
            hint="Give predictions of `radiogen predict` or `radiogen classify`, one table per marker or one for all.",
        )
    table = table.assign(y_prob=pd.to_numeric(table["y_prob"], errors="coerce"))
    return table.loc[table["target"].isin(TARGETS) & table["y_prob"].notna(), ["case", "target", "y_prob"]]


def _ages(cases: list[str], clinical: Path | None) -> np.ndarray:
    if clinical is None:
        return np.full(len(cases), np.nan)
    try:
        rows = match_labels(cases, read_labels(clinical)).reindex(cases)
    except CohortError as error:
        raise InputError(str(error)) from error
    if "age" not in rows.columns:
        raise InputError(f"{clinical} has no age.", hint="Leave --clinical out, or give a table with a column for age.")
    return rows["age"].to_numpy(dtype=float)


def _warnings(without: list[str], markers: pd.DataFrame) -> list[str]:
    told = [f"{name} is unknown for {int(markers[name].isna().sum())} case(s); it is taken as open."
            for name in TARGETS[1:] if markers[name].isna().any()]  # fmt: skip
    if without:
        told.append(
            f"{len(without)} case(s) have no probability of an IDH mutation and are left out: {', '.join(without[:3])}."
        )
    return told
