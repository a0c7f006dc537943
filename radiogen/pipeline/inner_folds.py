"""Scores of training rows by networks that did not see them, whatever the networks look at."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import numpy as np
import pandas as pd
from jaxtyping import Float

from radiogen.cohort.splits import Rows, grouped_folds, patients_of_smaller_class
from radiogen.types import Labels01


@runtime_checkable
class Scorer(Protocol):
    """Trainings of one kind of network on rows of a cohort, as far as their scores go."""

    @property
    def cases(self) -> pd.Index:
        """Return the case id of every row."""

    @property
    def y(self) -> Labels01:
        """Return the 0/1 label of every row."""

    @property
    def patient(self) -> np.ndarray:
        """Return the patient of every row."""

    def probability(self, name: str, train: Rows, test: Rows, seed: int) -> Float[np.ndarray, " test"]:
        """Return the probability of every test row by networks that saw the training rows only.

        Args:
            name: of what is kept.
            train: rows to learn from.
            test: rows to score.
            seed: of the training.
        """


def inner_probability(scorer: Scorer, name: str, rows: Rows, folds: int, seed: int) -> Float[np.ndarray, " rows"]:
    """Return for every row the probability by networks that were trained on the other inner folds of the same rows.

    Args:
        scorer: trains and scores.
        name: start of the names of what is kept.
        rows: a training side.
        folds: inner folds; fewer where a class has fewer patients. Patients stay together.
        seed: of the folds and the trainings.

    Raises:
        RadiogenError: a training failed.
    """
    y, patient = scorer.y[rows], scorer.patient[rows]
    found = np.full(len(rows), np.nan)
    drawn = grouped_folds(patient, y, n_inner_folds(patient, y, folds), seed)
    for number, test in enumerate(drawn):
        train = np.setdiff1d(np.arange(len(rows)), test)
        found[test] = scorer.probability(f"{name}-inner{number}", rows[train], rows[test], seed)
    return found


def n_inner_folds(patient: np.ndarray, y: Labels01, folds: int) -> int:
    """Return how many inner folds a training side is cut into.

    Example:
        >>> n_inner_folds(np.array(["a", "b", "c", "d"]), np.array([0, 0, 1, 1]), 5)
        2
    """
    return max(2, min(folds, patients_of_smaller_class(patient, y)))
