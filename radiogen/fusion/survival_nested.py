"""Nested cross-validation of survival models: every risk comes from a model that saw neither the patient nor, where sites are held out, the site."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float

from radiogen.cohort.splits import Split, make_splits
from radiogen.config.survival_model import SurvivalModelSettings
from radiogen.errors import InputError, RadiogenError
from radiogen.fusion.join import join_branches, usable_columns
from radiogen.fusion.survival import HazardModel
from radiogen.run.executor import run_cases
from radiogen.stats.survival_scores import marginal_survival

log = logging.getLogger(__name__)

CLINICAL, IMAGE, BOTH, ALIKE = "clinical", "image", "clinical+image", "everybody alike"
"""The models that are compared; the last is the Kaplan-Meier curve of the training side, the same for everybody."""

_DIGITS = 8


@dataclass(frozen=True, eq=False)
class SurvivalTable:
    """Features and follow-up of the same patients, row by row.

    Args:
        features: (n, p) numbers, NaN where missing, index case.
        clinical: (n, k) numbers, NaN where missing; no columns where nothing is known.
        days: (n,) follow-up in days.
        died: (n,) whether it ended with death.
        cohort: `patient`, `site`, index case.
        notes: what was left out.
        branch_of: column of the features -> branch it came from.
    """

    features: pd.DataFrame
    clinical: pd.DataFrame
    days: Float[np.ndarray, " n"]
    died: Bool[np.ndarray, " n"]
    cohort: pd.DataFrame
    notes: list[str] = field(default_factory=list)
    branch_of: Mapping[str, str] = field(default_factory=dict)


def survival_table(
    features: Mapping[str, pd.DataFrame],
    clinical: pd.DataFrame,
    days: Float[np.ndarray, " n"],
    died: Bool[np.ndarray, " n"],
    cohort: pd.DataFrame,
) -> SurvivalTable:
    """Join branch tables with follow-up; patients without any feature are left out and counted.

    Args:
        features: branch name -> table indexed by case.
        clinical: numbers known without the image, one row per patient, index case.
        days: (n,) follow-up, rows as in `clinical`.
        died: (n,) whether it ended with death.
        cohort: rows as in `clinical`; `patient` and `site` where known.

    Raises:
        InputError: no patient has both, or no column can be a feature.
    """
    held = {str(case) for table in features.values() for case in table.index}
    known = np.array([str(case) in held for case in clinical.index])
    if not known.any():
        raise InputError(
            f"No case is in both the features ({', '.join(sorted(held)[:3])}) and the follow-up ({', '.join(map(str, clinical.index[:3]))}).",
            hint="Check that both tables spell the case ids alike.",
        )
    notes, usable = [], {}
    for branch, table in features.items():
        usable[branch], left_out = usable_columns(table)
        notes += [f"{branch}: {note}" for note in left_out]
    joined, branch_of = join_branches(usable, [str(case) for case in clinical.index[known]])
    if not joined.shape[1]:
        raise InputError("No column of the features can be used.", problems=notes)
    if not known.all():
        notes.append(f"{int((~known).sum())} patient(s) with known follow-up have no features and are left out.")
    rows = cohort.loc[known]
    patient = rows["patient"] if "patient" in rows else pd.Series(rows.index, rows.index)
    site = rows["site"] if "site" in rows else pd.Series(None, rows.index, dtype=object)
    who = pd.DataFrame({"patient": patient.where(patient.notna(), rows.index.to_series()).astype(str), "site": site})
    return SurvivalTable(joined, clinical.loc[known], days[known], died[known], who, notes, branch_of)


def cross_validate_risk(
    table: SurvivalTable,
    settings: SurvivalModelSettings,
    horizons_days: Float[np.ndarray, " h"],
    *,
    jobs: int = 1,
    progress: bool = False,
) -> tuple[pd.DataFrame, str]:
    """Fit and test on every split: clinical facts, the image, both, and nothing.

    `clinical+image` gets the clinical columns and one more, the image's risk: of training patients the inner out-of-fold one, so that it is as
    honest as that of the tested patients.

    Args:
        table: features and follow-up.
        settings: model, splits, seed.
        horizons_days: (h,) where survival is predicted.
        jobs: folds worked on at the same time; the result does not depend on it.
        progress: show a progress bar.

    Returns:
        One row per case, model and repeat: `case, patient, site, days, died, model, split, repeat, risk, high` (log hazard ratio against the training
        patients' mean; above the training side's cut), `survival_<days>d` per horizon. And `site-held-out` or `grouped-kfold`.

    Raises:
        InputError: too few deaths or survivors for the folds.
        RadiogenError: a fold failed.

    Source: van Houwelingen et al. 2006, Stat Med 25:3201 (cross-validated risk).
    """
    splits, scheme = make_splits(
        table.cohort, table.died.astype(np.int64), seed=settings.seed, n_splits=settings.folds, repeats=settings.repeats, sites=settings.sites,
    )  # fmt: skip
    log.info("survival model: %s, %d folds, %d columns", scheme, len(splits), table.features.shape[1])
    named = {f"repeat {split.repeat}, {split.name}": split for split in splits}
    fold = _Fold(table, settings, horizons_days)
    results, failures = run_cases(fold, named, stage="survival model", jobs=jobs, progress=progress)
    if failures:
        raise RadiogenError(
            f"Fold '{failures[0].case}' of the survival model failed: {failures[0].cause}", hint=failures[0].fix
        )
    rows = pd.concat([results[name] for name in named], ignore_index=True)
    return rows.sort_values(["model", "repeat", "case"], kind="stable", ignore_index=True), scheme


@dataclass(frozen=True)
class _Fold:
    table: SurvivalTable
    settings: SurvivalModelSettings
    horizons_days: np.ndarray

    def __call__(self, name: str, split: Split) -> pd.DataFrame:
        table, train, test = self.table, split.train, split.test
        image = self._fitted(table.features, split)
        parts = {IMAGE: (image, table.features)}
        if table.clinical.shape[1]:
            risk = np.full(len(table.days), np.nan)
            risk[train] = image.inner_risk_
            risk[test] = image.risk(table.features.iloc[test])
            both = table.clinical.assign(image_risk=risk)
            parts |= {
                CLINICAL: (self._fitted(table.clinical, split), table.clinical),
                BOTH: (self._fitted(both, split), both),
            }
        rows = [self._rows(model, values.iloc[test], split, what) for what, (model, values) in parts.items()]
        curve = marginal_survival(table.days[train], table.died[train], self.horizons_days, len(test))
        return pd.concat([*rows, self._alike(curve, split)], ignore_index=True)

    def _fitted(self, values: pd.DataFrame, split: Split) -> HazardModel:
        table, train = self.table, split.train
        patient = table.cohort["patient"].to_numpy(dtype=object)[train]
        return HazardModel(self.settings).fit(values.iloc[train], table.days[train], table.died[train], patient)

    def _rows(self, model: HazardModel, values: pd.DataFrame, split: Split, what: str) -> pd.DataFrame:
        survival = model.survival(values, self.horizons_days)
        return self._table(what, split, model.risk(values), model.high(values), survival)

    def _alike(self, curve: np.ndarray, split: Split) -> pd.DataFrame:
        return self._table(ALIKE, split, np.zeros(len(split.test)), np.zeros(len(split.test), bool), curve)

    def _table(self, what: str, split: Split, risk: np.ndarray, high: np.ndarray, survival: np.ndarray) -> pd.DataFrame:
        cohort = self.table.cohort.iloc[split.test]
        fixed = pd.DataFrame(
            {
                "case": cohort.index.astype(str), "patient": cohort["patient"].to_numpy(), "site": cohort["site"].to_numpy(),
                "days": self.table.days[split.test], "died": self.table.died[split.test].astype(int),
                "model": what, "split": split.name, "repeat": split.repeat,
                "risk": np.round(risk, _DIGITS), "high": high.astype(int),
            }
        )  # fmt: skip
        columns = [survival_column(horizon) for horizon in self.horizons_days]
        return pd.concat([fixed, pd.DataFrame(np.round(survival, _DIGITS), columns=columns)], axis=1)


def survival_column(horizon_days: float) -> str:
    """Return the name of the column with the probability of living beyond a horizon.

    Example:
        >>> survival_column(365.25)
        'survival_365d'
    """
    return f"survival_{horizon_days:.0f}d"
