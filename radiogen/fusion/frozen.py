"""Frozen splits: folds that were drawn once, kept in a file and used by everybody who wants to be compared."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from radiogen.cohort.splits import (
    GROUPED_KFOLD,
    LEAST_TRAINING_PATIENTS,
    SITE_HELD_OUT,
    Split,
    patients_of_smaller_class,
    site_names,
)
from radiogen.errors import InputError
from radiogen.fusion.join import FusionTable

_SHOWN = 5


def read_splits(path: Path, table: FusionTable) -> list[Split]:
    """Read folds and check them against the cases: every case is tested once per repeat, and no patient is on both sides.

    Twins that `radiogen preprocess` found have one patient id, so they are kept together too.

    Args:
        path: CSV with the columns `case`, `fold` and, where the folds were drawn several times, `repeat` (such as the `folds.csv` of `radiogen folds`
            or a predictions table with `split`), or nnU-Net v2's `splits_final.json`.
        table: cases with labels; cases of the file that are not among them are passed over.

    Raises:
        InputError: lists every problem at once.
    """
    rows = _read_table(path) if path.suffix.lower() == ".csv" else _read_nnunet(path)
    rows = rows[rows["case"].isin(set(table.features.index.astype(str)))].drop_duplicates()
    problems = _problems(rows, table)
    if problems:
        raise InputError(
            f"The splits {path} cannot be used:", problems=problems, hint="Make folds with `radiogen folds`."
        )
    position = {str(case): at for at, case in enumerate(table.features.index)}
    splits = []
    for repeat, (_, drawn) in enumerate(rows.groupby("repeat", sort=True)):
        for name, fold in drawn.groupby("fold", sort=True):
            test = np.array(sorted(position[case] for case in fold["case"]), dtype=np.int64)
            splits.append(Split(repeat, _name(str(name)), np.setdiff1d(np.arange(len(table.y)), test), test))
    unfit = _unfit(splits, table)
    if unfit:
        raise InputError(f"The splits {path} leave too little to train on:", problems=unfit)
    return splits


def scheme_of(splits: list[Split], site: pd.Series) -> str:
    """Return `site-held-out` where every split tests whole sites and there are two or more, else `grouped-kfold`.

    Args:
        splits: train and test sides.
        site: per row.
    """
    names = site_names(site).to_numpy(dtype=object)
    whole = all(not set(names[split.train]) & set(names[split.test]) for split in splits)
    return SITE_HELD_OUT if whole and len(set(names)) >= 2 else GROUPED_KFOLD


def _name(fold: str) -> str:
    return f"fold{fold}" if fold.isdigit() else fold


def _read_table(path: Path) -> pd.DataFrame:
    try:
        rows = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (OSError, ValueError) as error:
        raise InputError(f"The splits {path} cannot be read: {str(error).splitlines()[0]}") from error
    if "fold" not in rows.columns and "split" in rows.columns:
        rows = rows.rename(columns={"split": "fold"})
    missing = [name for name in ("case", "fold") if name not in rows.columns]
    if missing:
        raise InputError(
            f"The splits {path} have no column {' and no column '.join(missing)}; there are: {', '.join(rows.columns)}.",
            hint="Give a CSV with case and fold (and repeat), such as the folds.csv of `radiogen folds`.",
        )
    rows = rows.assign(repeat=rows["repeat"] if "repeat" in rows.columns else "0")
    return rows[["case", "fold", "repeat"]]


def _read_nnunet(path: Path) -> pd.DataFrame:
    try:
        folds: Any = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(
            f"The splits {path} cannot be read: {str(error).splitlines()[0]}", hint="Accepted: .csv and .json."
        ) from error
    if not isinstance(folds, list) or not all(isinstance(fold, Mapping) and "val" in fold for fold in folds):
        raise InputError(
            f"The splits {path} are not a list of folds with 'train' and 'val', as nnU-Net v2 writes them."
        )
    found = [(str(case), str(number), "0") for number, fold in enumerate(folds) for case in fold["val"]]
    return pd.DataFrame(found, columns=["case", "fold", "repeat"])


def _problems(rows: pd.DataFrame, table: FusionTable) -> list[str]:
    if rows.empty:
        return [f"none of the {len(table.y)} cases with features and a label is in it"]
    cases = table.features.index.astype(str)
    patient_of = dict(zip(cases, table.cohort["patient"].astype(str), strict=True))
    problems = []
    for repeat, drawn in rows.groupby("repeat", sort=True):
        absent = sorted(set(cases) - set(drawn["case"]))
        twice = sorted(set(drawn["case"][drawn["case"].duplicated()]))
        folds_of = drawn.groupby(drawn["case"].map(patient_of))["fold"].nunique()
        straddling = sorted(str(name) for name in folds_of.index[folds_of > 1])
        where = f"repeat {repeat}: "
        if absent:
            problems.append(f"{where}{_listed(absent)} in no fold")
        if twice:
            problems.append(f"{where}{_listed(twice)} in more than one fold")
        if straddling:
            problems.append(f"{where}in training and test at once: patient(s) {_listed(straddling)}")
        if drawn["fold"].nunique() < 2:
            problems.append(f"{where}one fold only")
    return problems


def _unfit(splits: list[Split], table: FusionTable) -> list[str]:
    patient = table.cohort["patient"].to_numpy(dtype=object)
    fewest = [(split, patients_of_smaller_class(patient[split.train], table.y[split.train])) for split in splits]
    return [
        f"repeat {split.repeat}, {split.name}: {number} patient(s) of the smaller class are left; {LEAST_TRAINING_PATIENTS} are needed"
        for split, number in fewest
        if number < LEAST_TRAINING_PATIENTS
    ]


def _listed(names: list[str]) -> str:
    return f"{', '.join(names[:_SHOWN])}{f' and {len(names) - _SHOWN} more' if len(names) > _SHOWN else ''}"
