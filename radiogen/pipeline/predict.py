"""A saved model on new cases: probabilities, and everything that speaks against trusting them."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import pandas as pd

from radiogen.cohort.splits import site_names
from radiogen.cohort.table import TARGET_COLUMNS
from radiogen.errors import InputError
from radiogen.fusion.bundle import apply_model, load_model
from radiogen.fusion.join import join_branches, target_labels, usable_columns
from radiogen.fusion.reference import Reference
from radiogen.pipeline.classify import table_hash
from radiogen.resources import sha256_file
from radiogen.run.atomic import write_csv
from radiogen.run.provenance import Provenance
from radiogen.run.quarantine import Failure

log = logging.getLogger(__name__)

IMAGE_MODEL_FILE = "classifier.json"
"""What only the folder of a classifier on images has; said here, where nothing needs torch."""

GRAPH_MODEL_FILE = "graph-classifier.json"
"""What only the folder of a classifier on brain networks has."""


@runtime_checkable
class Bundle(Protocol):
    """A model of any kind, as far as its predictions are written."""

    @property
    def card(self) -> dict[str, Any]:
        """Return the facts of the model's card."""

    @property
    def feature_names(self) -> list[str]:
        """Return what the model needs of a case."""

    @property
    def needs(self) -> str:
        """Return what those are called: features, sequences."""

    @property
    def stand_in(self) -> str:
        """Return what the model takes where one is missing."""


@dataclass(frozen=True)
class PredictedCases:
    """What a classifier that prepares its cases itself said of them.

    Args:
        predictions: as `run_predict` returns them.
        failures: cases that could not be prepared; they are left out.
        bundle: the model.
    """

    predictions: pd.DataFrame
    failures: list[Failure]
    bundle: Bundle


def run_predict(
    model: Path, features: Mapping[str, pd.DataFrame], out: Path, *, cohort: pd.DataFrame | None = None
) -> pd.DataFrame:
    """Apply a model bundle and write `predictions.csv`.

    Args:
        model: folder that `radiogen classify` wrote (`OUT/model`).
        features: branch or table name -> table indexed by case.
        out: folder for the output.
        cohort: patients, sites and, where known, labels of the cases; with labels the output can be judged by `radiogen audit`.

    Returns:
        Columns `case, patient, site, target, y_prob, split, repeat, model, in_training, out_of_distribution, missing_features, beyond_range`,
        of newer models also `threshold, prediction_set, strangeness`, and, where a label is known, `y_true`.

    Raises:
        InputError: the bundle cannot be used, there is no case, or none of the model's features is there.
        OutputError: the folder cannot be written.
    """
    bundle = load_model(model)
    joined = joined_features(bundle.feature_names, bundle.reference, features)
    known = known_of(joined.index, cohort, str(bundle.card["target"]))
    found = apply_model(bundle, joined, known[0], cohort)
    return write_predictions(model, bundle, found, known, out, {"features": table_hash(joined)})


def write_predictions(
    model: Path,
    bundle: Bundle,
    found: pd.DataFrame,
    known: tuple[pd.Series, pd.Series, pd.Series],
    out: Path,
    inputs: Mapping[str, str],
) -> pd.DataFrame:
    """Write `predictions.csv` with its sidecar, and return the table.

    Args:
        model: folder of the model.
        bundle: the model.
        found: what the model says, indexed by case.
        known: patient, site and label per case, as `known_of` returns them.
        out: folder for the output.
        inputs: what was looked at -> SHA-256.

    Raises:
        OutputError: the folder cannot be written.
    """
    patient, site, labels = known
    predictions = pd.DataFrame(
        {
            "case": found.index,
            "patient": patient.to_numpy(),
            "site": site.to_numpy(),
            "target": bundle.card["target"],
            "y_prob": found["y_prob"].to_numpy(),
            "split": "external",
            "repeat": 0,
            "model": bundle.card["model"],
        }
    )
    predictions = pd.concat([predictions, found.drop(columns="y_prob").reset_index(drop=True)], axis=1)
    if labels.notna().any():
        predictions.insert(4, "y_true", labels.astype("Int64").to_numpy())
    path = Path(out) / "predictions.csv"
    provenance = Provenance(
        "predict",
        {"model": bundle.card["model"], "target": bundle.card["target"]},
        {"model": sha256_file(Path(model) / "card.json"), **inputs},
    )
    write_csv(path, predictions, index=False)
    provenance.record([path], warnings=warnings_about(predictions, bundle))
    return predictions


def warnings_about(predictions: pd.DataFrame, bundle: Bundle) -> list[str]:
    """Return what a reader of the predictions must know, one sentence each.

    Args:
        predictions: as `run_predict` returns them.
        bundle: the model that made them.
    """
    n, total = len(predictions), len(bundle.feature_names)
    told = []
    if predictions["in_training"].any():
        told.append(
            f"{_share(predictions['in_training'], n)} were in the training of this model; their probabilities prove nothing: "
            f"{_some(predictions, 'in_training')}."
        )
    if predictions["out_of_distribution"].any():
        told.append(
            f"{_share(predictions['out_of_distribution'], n)} are unlike every training case; do not trust their probabilities: "
            f"{_some(predictions, 'out_of_distribution')}."
        )
    if "prediction_set" in predictions.columns:
        open_ = predictions["prediction_set"].isin(["both", "none"])
        if open_.any():
            coverage = bundle.card["decision"]["coverage"]
            told.append(f"{_share(open_, n)} get no call: at a coverage of {coverage:.0%} the model cannot tell.")
    missing = predictions["missing_features"]
    if (missing > 0).any():
        told.append(
            f"{_share(missing > 0, n)} lack {bundle.needs} (up to {int(missing.max())} of {total}); {bundle.stand_in} stand in."
        )
    if bundle.card.get("synthetic"):
        told.append("The model was trained on made-up patients; it says nothing about real ones.")
    return told


def _share(flags: pd.Series, n: int) -> str:
    return f"{int(flags.sum())} of {n} case(s)"


def _some(predictions: pd.DataFrame, column: str) -> str:
    names = predictions.loc[predictions[column], "case"].tolist()
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")


def joined_features(names: list[str], reference: Reference, features: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Return the features of new cases side by side, with the columns that say who has a branch.

    Args:
        names: columns that a model needs.
        reference: what its training cases looked like.
        features: branch or table name -> table indexed by case.

    Raises:
        InputError: there is no case.
    """
    cases = sorted({str(case) for table in features.values() for case in table.index})
    if not cases:
        raise InputError("There is no case with features.", hint="See failed.csv for the reasons.")
    usable = {name: usable_columns(table)[0] for name, table in features.items()}
    joined, _ = join_branches(usable, cases)
    joined = joined.copy()
    branch = reference.ranges["branch"]
    for name in names:
        if name.startswith("has_") and branch.get(name) == name.removeprefix("has_"):
            others = [
                column for column in branch.index[branch == branch[name]] if column in joined.columns and column != name
            ]
            joined[name] = joined[others].notna().any(axis=1).astype(float)
    return joined


def is_graph_model(folder: Path) -> bool:
    """Return whether a model's folder holds a classifier on brain networks."""
    return (Path(folder) / GRAPH_MODEL_FILE).is_file()


def is_image_model(folder: Path) -> bool:
    """Return whether a model's folder holds a classifier on images."""
    return (Path(folder) / IMAGE_MODEL_FILE).is_file()


def known_of(cases: pd.Index, cohort: pd.DataFrame | None, target: str) -> tuple[pd.Series, pd.Series, pd.Series]:
    """Return patient, site and label (NaN where unknown) of cases.

    Args:
        cases: case ids.
        cohort: rows with what is known; None: nothing is.
        target: whose labels; one without a label column, such as survival, is unknown for everybody.
    """
    names = pd.Series(cases, index=cases, dtype=object)
    if cohort is None:
        return names, site_names(pd.Series(None, index=cases, dtype=object)), pd.Series(np.nan, index=cases)
    rows = cohort.reindex(cases)
    patient = rows["patient"].where(rows["patient"].notna(), names) if "patient" in rows.columns else names
    site = site_names(rows["site"] if "site" in rows.columns else pd.Series(None, index=cases, dtype=object))
    has_label = TARGET_COLUMNS.get(target) in rows.columns
    return patient, site, target_labels(rows, target) if has_label else pd.Series(np.nan, index=cases)
