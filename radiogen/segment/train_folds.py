"""Folds of a cohort for training segmentation: patients stay together, tumour sizes are spread evenly."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from sklearn.model_selection import GroupKFold, StratifiedGroupKFold

from radiogen.errors import CohortError, InputError

FOLD = "fold"
"""Column of a cohort table that fixes the folds: 0 to n - 1; -1 is never held out."""

_STRATA = 3


def assign_folds(cohort: pd.DataFrame, wt_ml: Mapping[str, float], n_folds: int, *, seed: int) -> pd.Series:
    """Return the fold of every case; the result does not depend on the order of the rows.

    A column `fold` is taken as it is. Otherwise patients are drawn at random, stratified by thirds of the tumour volume where there are enough cases.

    Args:
        cohort: one row per case with `patient`.
        wt_ml: case -> volume of the whole tumour, ml.
        n_folds: folds.
        seed: of the drawing.

    Returns:
        Fold per case, from 0; -1 for cases that are never held out.

    Raises:
        CohortError: the column `fold` holds other values, or parts a patient.
        InputError: there are fewer patients than folds.

    Example:
        >>> table = pd.DataFrame({"patient": ["a", "a", "b"]}, index=["1", "2", "3"])
        >>> folds = assign_folds(table, {"1": 1.0, "2": 2.0, "3": 3.0}, 2, seed=0)
        >>> bool(folds["1"] == folds["2"]), bool(folds["1"] == folds["3"])
        (True, False)
    """
    table = cohort.sort_index()
    patient = pd.Series(
        [str(value) if isinstance(value, str) and value else str(case) for case, value in table["patient"].items()],
        index=table.index,
    )
    has_folds = FOLD in table.columns and bool(table[FOLD].notna().any())
    folds = _given(table[FOLD], patient, n_folds) if has_folds else _drawn(patient, wt_ml, n_folds, seed)
    return folds.reindex(cohort.index)


def _given(column: pd.Series, patient: pd.Series, n_folds: int) -> pd.Series:
    accepted = {str(number) for number in range(-1, n_folds)}
    texts = column.map(lambda value: str(value).strip().removesuffix(".0"))
    problems = [
        f"{case}: fold is '{text}'; -1 to {n_folds - 1} is accepted"
        for case, text in texts.items()
        if text not in accepted
    ]
    parted = texts.groupby(patient).nunique()
    problems += [f"patient {name} is in {count} folds" for name, count in parted.items() if count > 1]
    if problems:
        raise CohortError("The column 'fold' cannot be used:", problems=problems, hint="Correct it, or leave it out.")
    return texts.astype(int)


def _drawn(patient: pd.Series, wt_ml: Mapping[str, float], n_folds: int, seed: int) -> pd.Series:
    n_patients = patient.nunique()
    if n_patients < n_folds:
        raise InputError(
            f"{n_patients} patients cannot make {n_folds} folds.", hint="Set n_folds lower, or fold to all."
        )
    folds = pd.Series(-1, index=patient.index)
    volume = np.array([wt_ml[str(case)] for case in patient.index])
    if len(patient) >= _STRATA * n_folds:
        stratum = np.searchsorted(np.quantile(volume, [1 / 3, 2 / 3]), volume)
        splits = StratifiedGroupKFold(n_folds, shuffle=True, random_state=seed).split(volume, stratum, patient)
    else:
        splits = GroupKFold(n_folds, shuffle=True, random_state=seed).split(volume, groups=patient)
    for number, (_, held_out) in enumerate(splits):
        folds.iloc[held_out] = number
    return folds
