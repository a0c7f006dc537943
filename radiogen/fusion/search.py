"""Tuning on the inner folds of one training side: all candidates of a classifier, or a Bayesian search over their ranges."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from radiogen.fusion.base import log_loss
from radiogen.fusion.classifiers import Family, Range
from radiogen.types import Labels01

Scores = Float[np.ndarray, " n"]


@dataclass(frozen=True)
class InnerFold:
    """One inner fold, prepared on its own training rows.

    Args:
        test: positions of its held-out rows in the training side.
        before: prepared training rows.
        after: prepared held-out rows.
        y: labels of the training rows.
        patient: patients of the training rows.
    """

    test: np.ndarray
    before: np.ndarray
    after: np.ndarray
    y: np.ndarray
    patient: np.ndarray


def tune(
    family: Family, folds: list[InnerFold], y: Labels01, *, search: str, trials: int, seed: int
) -> tuple[dict[str, Any], Scores]:
    """Return the hyper-parameters with the lowest inner log loss, and the inner out-of-fold probabilities that they gave.

    Args:
        family: classifier with candidates or ranges.
        folds: prepared inner folds; together they hold every row out once.
        y: labels of all rows of the training side.
        search: `grid` or `bayesian`; a classifier without ranges is searched by its candidates.
        trials: with `bayesian`, how many are tried.
        seed: of the classifiers and of the search.

    Returns:
        `parameters` and `inner_log_loss`, and one probability per row.
    """
    ranges: dict[str, Range] = getattr(family, "ranges", {})
    if search == "bayesian" and ranges:
        from radiogen.fusion.bayesian import tried_by_tpe  # Optuna takes long to import, and few need it

        candidates, probability = tried_by_tpe(family, ranges, folds, y, trials, seed)
    else:
        candidates, probability = family.candidates, _grid(family, folds, len(y), seed)
    losses = [log_loss(row, y) for row in probability]
    best = int(np.argmin(np.round(losses, 9)))  # the first of equals: the simplest
    return {"parameters": dict(candidates[best]), "inner_log_loss": losses[best]}, probability[best]


def _grid(family: Family, folds: list[InnerFold], n: int, seed: int) -> Float[np.ndarray, "candidates n"]:
    found = np.full((len(family.candidates), n), np.nan)
    for fold in folds:
        found[:, fold.test] = family.score(fold.before, fold.y, fold.after, seed=seed, patient=fold.patient)
    return found
