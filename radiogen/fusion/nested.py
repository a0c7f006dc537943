"""Nested cross-validation: every probability comes from a model that saw neither the patient nor, where sites are held out, the site."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from radiogen.cohort.splits import SITE_HELD_OUT, Split, make_splits
from radiogen.config.classify import ClassifySettings
from radiogen.errors import ConfigError, RadiogenError
from radiogen.fusion.base import FusedModel
from radiogen.fusion.context import RowContext
from radiogen.fusion.doubt import Doubt, fit_doubt
from radiogen.fusion.frozen import scheme_of
from radiogen.fusion.inner_scores import as_trained
from radiogen.fusion.join import FusionTable, fusion_table
from radiogen.fusion.names import FUSIONS, NETWORK_FUSIONS
from radiogen.fusion.outside import family_named
from radiogen.fusion.perturbed import perturbed_predictions
from radiogen.fusion.reduce import PREFIX
from radiogen.run.executor import run_cases

log = logging.getLogger(__name__)

PREDICTION_COLUMNS = ["case", "patient", "site", "target", "y_true", "y_prob", "split", "repeat", "model"]
PROBABILITY_DIGITS = 8
"""Probabilities are written with this many decimals; the rest is rounding noise that could differ between machines."""


@dataclass(frozen=True)
class NestedResult:
    """What nested cross-validation found.

    Args:
        predictions: the predictions table, one row per case and repeat, then the strata columns.
        importance: one row per feature, the most important first (see `summarise_importance`).
        choices: one row per split and classifier: tuned parameters and their inner log loss.
        scheme: `site-held-out` or `grouped-kfold`.
        perturbed: `case, perturbation, y_prob, split, repeat` of the test cases measured under perturbations; empty where there are none.
    """

    predictions: pd.DataFrame
    importance: pd.DataFrame
    choices: pd.DataFrame
    scheme: str
    perturbed: pd.DataFrame = field(default_factory=pd.DataFrame)


@dataclass(frozen=True)
class _FoldResult:
    told: pd.DataFrame
    branch_weights: pd.DataFrame
    perturbed: pd.DataFrame
    importance: pd.DataFrame
    choices: list[dict[str, object]]


def nested_predictions(
    features: Mapping[str, pd.DataFrame],
    cohort: pd.DataFrame,
    target: str,
    settings: ClassifySettings,
    *,
    jobs: int = 1,
    progress: bool = False,
) -> pd.DataFrame:
    """Return the predictions table of nested cross-validation.

    Args:
        features: branch name -> table indexed by case.
        cohort: cohort table indexed by case.
        target: `idh`, `mgmt`, `codeletion` or `grade`.
        settings: splits, preparation, classifiers.
        jobs: folds worked on at the same time; the result does not depend on it.
        progress: show a progress bar.

    Raises:
        InputError: no usable case or column, one class only, or fewer cases than folds.
    """
    return cross_validate(fusion_table(features, cohort, target), settings, jobs=jobs, progress=progress).predictions


def cross_validate(
    table: FusionTable,
    settings: ClassifySettings,
    *,
    splits: list[Split] | None = None,
    jobs: int = 1,
    progress: bool = False,
) -> NestedResult:
    """Fit and test on every split; everything is tuned and chosen inside each training side.

    Args:
        table: features with labels.
        settings: splits, preparation, classifiers.
        splits: train and test sides to use instead of drawing them, such as `radiogen.fusion.frozen.read_splits` returns.
        jobs: folds worked on at the same time; the result does not depend on it.
        progress: show a progress bar.

    Raises:
        InputError: one class only, or fewer cases than folds.
        ConfigError: a classifier is unknown.
        RadiogenError: a fold failed.

    Source: Varma, Simon, BMC Bioinformatics 2006, 7:91 (why tuning must be nested).
    """
    FUSIONS.load(settings.fusion)
    for name in settings.classifiers:
        family_named(name, settings.class_weight)
    if splits is None:
        splits, scheme = make_splits(
            table.cohort, table.y, seed=settings.seed, n_splits=settings.folds, repeats=settings.repeats,
            sites=settings.sites, min_site_cases=settings.min_site_cases, max_site_folds=settings.max_site_folds,
        )  # fmt: skip
    else:
        scheme = scheme_of(splits, table.cohort["site"])
    _check_harmonisation(table, settings, scheme)
    log.info("%s: %s, %d folds, %d columns", table.target, scheme, len(splits), table.features.shape[1])
    named = {f"repeat {split.repeat}, {split.name}": split for split in splits}
    fold = _Fold(table, settings)
    results, failures = run_cases(fold, named, stage=f"classify {table.target}", jobs=jobs, progress=progress)
    if failures:
        raise RadiogenError(
            f"Fold '{failures[0].case}' of target {table.target} failed: {failures[0].cause}", hint=failures[0].fix
        )
    ordered = [results[name] for name in named]
    rows = [_rows(table, split, result, settings) for split, result in zip(splits, ordered, strict=True)]
    predictions = pd.concat(rows, ignore_index=True).sort_values(["repeat", "case"], kind="stable", ignore_index=True)
    choices = pd.DataFrame([row for result in ordered for row in result.choices])
    importance = summarise_importance([result.importance for result in ordered], table.branch_of)
    perturbed = pd.concat([result.perturbed for result in ordered], ignore_index=True)
    return NestedResult(predictions, importance, choices, scheme, perturbed)


@dataclass(frozen=True)
class _Fold:
    table: FusionTable
    settings: ClassifySettings

    def __call__(self, name: str, split: Split) -> _FoldResult:
        # One thread per fold: sums in another order would end in other bytes.
        with threadpool_limits(1):
            table = as_trained(self.table, split.train)
            model = fit_split(table, split, self.settings)
            rows = table.features.iloc[split.test]
            context = _context_of(table, split.test)
            doubt = fit_doubts(table, split.train, model, self.settings)
            told = doubt.columns(model.predict_proba(rows, context)[:, 1], rows)
            weights = model.branch_weights(rows, context)
            perturbed = perturbed_predictions(model, rows, context).assign(split=split.name, repeat=split.repeat)
            perturbed["y_prob"] = doubt.decision.calibration.apply(perturbed["y_prob"].to_numpy(dtype=float))
        choices = [_choice(name, key, choice) for key, choice in model.choices_.items()]
        return _FoldResult(told, weights, perturbed, model.importance(), choices)


def _check_harmonisation(table: FusionTable, settings: ClassifySettings, scheme: str) -> None:
    if settings.harmonise == "none":
        return
    sites = sorted(set(table.cohort["site"].astype(str)))
    if len(sites) < 2:
        raise ConfigError(
            f"ComBat needs two or more sites; {', '.join(sites)} is the only one.",
            hint="Name the sites in the cohort's column 'site'.",
        )
    if settings.unseen_site == "refuse" and scheme == SITE_HELD_OUT:
        raise ConfigError(
            "Whole sites are held out, so every tested site is unseen, and unseen_site is set to refuse them.",
            hint="Set unseen_site to identity or reference-batch, or sites to ignore.",
        )


def _choice(split: str, classifier: str, choice: Mapping[str, Any]) -> dict[str, object]:
    return {
        "split": split,
        "classifier": classifier,
        "parameters": " ".join(f"{name}={value:g}" for name, value in choice["parameters"].items()),
        "inner_log_loss": round(choice["inner_log_loss"], PROBABILITY_DIGITS),
    }


def _context_of(table: FusionTable, rows: np.ndarray) -> RowContext | None:
    return None if table.context is None else table.context.take(rows)


def fused_model(settings: ClassifySettings, seed: int, branch_of: Mapping[str, str]) -> FusedModel:
    """Return the unfitted model that the settings ask for.

    Args:
        settings: `fusion` says which, the rest how.
        seed: of everything random.
        branch_of: column -> branch.

    Raises:
        ConfigError: the fusion is unknown.
    """
    kind: type[FusedModel] = FUSIONS.load(settings.fusion)
    return kind.from_settings(settings, seed, branch_of)


def fit_split(table: FusionTable, split: Split, settings: ClassifySettings) -> FusedModel:
    """Return the classifier fitted on a split's training side, of which alone it depends.

    Args:
        table: features with labels.
        split: train and test rows.
        settings: preparation, classifiers, seed.
    """
    table = as_trained(table, split.train)
    seed = int(np.random.SeedSequence([settings.seed, split.repeat]).generate_state(1)[0] % 2**31)
    patient = table.cohort["patient"].to_numpy(dtype=object)[split.train]
    return fused_model(settings, seed, table.branch_of).fit(
        table.features.iloc[split.train], table.y[split.train], patient, _context_of(table, split.train)
    )


def fit_doubts(table: FusionTable, rows: np.ndarray, model: FusedModel, settings: ClassifySettings) -> Doubt:
    """Return what stands beside the probabilities of a fitted model, learned from the rows it was fitted on.

    Args:
        table: features with labels.
        rows: positions of the model's training rows.
        model: fitted on them.
        settings: of decision and familiarity.
    """
    return fit_doubt(
        model,
        lambda: fused_model(settings, settings.seed, table.branch_of),
        table.features.iloc[rows],
        table.y[rows],
        table.cohort["patient"].to_numpy(dtype=object)[rows],
        _context_of(table, rows),
        settings,
    )


def fit_all(table: FusionTable, settings: ClassifySettings) -> FusedModel:
    """Return the classifier fitted on every case, for new patients.

    Args:
        table: features with labels.
        settings: preparation, classifiers, seed.
    """
    with threadpool_limits(1):
        return fused_model(settings, settings.seed, table.branch_of).fit(
            table.features, table.y, table.cohort["patient"].to_numpy(dtype=object), table.context
        )


def model_name(settings: ClassifySettings) -> str:
    """Return what the `model` column says.

    Example:
        >>> model_name(ClassifySettings()), model_name(ClassifySettings(fusion="stacking"))
        ('elastic-net+xgboost', 'stacking of elastic-net+xgboost')
    """
    if settings.fusion in NETWORK_FUSIONS:
        return settings.fusion
    classifiers = "+".join(settings.classifiers) + ("" if settings.combine == "average" else " (best)")
    return classifiers if settings.fusion == "early" else f"{settings.fusion} of {classifiers}"


def _rows(table: FusionTable, split: Split, result: _FoldResult, settings: ClassifySettings) -> pd.DataFrame:
    cohort = table.cohort.iloc[split.test]
    strata = cohort.drop(columns=["patient", "site"])
    fixed = pd.DataFrame(
        {
            "case": cohort.index.astype(object),
            "patient": cohort["patient"].to_numpy(),
            "site": cohort["site"].to_numpy(),
            "target": table.target,
            "y_true": table.y[split.test],
            "y_prob": result.told["y_prob"].round(PROBABILITY_DIGITS).to_numpy(),
            "split": split.name,
            "repeat": split.repeat,
            "model": model_name(settings),
        }
    )[PREDICTION_COLUMNS]
    weights = result.branch_weights.round(PROBABILITY_DIGITS).reset_index(drop=True)
    told = result.told.drop(columns="y_prob").round(PROBABILITY_DIGITS).reset_index(drop=True)
    return pd.concat([fixed, strata.reset_index(drop=True), told, weights], axis=1)


def _branch(name: str, branch_of: Mapping[str, str]) -> str:
    known = branch_of.get(name.removeprefix("missing:"), "")
    return known or next(
        (branch for column, branch in branch_of.items() if name.startswith(PREFIX) and column.startswith(PREFIX)), ""
    )


def summarise_importance(folds: list[pd.DataFrame], branch_of: Mapping[str, str]) -> pd.DataFrame:
    """Return how stable and how large each feature's part was over the outer folds.

    Args:
        folds: one table per fold, as `FusedClassifier.importance` returns it.
        branch_of: column -> branch.

    Returns:
        Columns `feature, branch, importance` (mean share of absolute coefficient and gain), `selected_share` (share of folds in which any
        classifier used it), `coefficient_mean`, `coefficient_sd` (standardised, 0 where left out), `gain_mean`; the largest importance first.
    """
    names = sorted({str(name) for fold in folds for name in fold.index})
    stacked = {
        column: np.array([fold[column].reindex(names, fill_value=0.0).to_numpy(dtype=float) for fold in folds])
        for column in ("selected", "coefficient", "gain")
    }
    parts = []
    for values in (np.abs(stacked["coefficient"]), stacked["gain"]):
        total = values.sum(axis=1, keepdims=True)
        if total.any():
            parts.append(np.divide(values, total, out=np.zeros_like(values), where=total > 0))
    summary = pd.DataFrame(
        {
            "feature": names,
            "branch": [_branch(name, branch_of) for name in names],
            "importance": np.mean(parts, axis=0).mean(axis=0) if parts else 0.0,
            "selected_share": stacked["selected"].mean(axis=0),
            "coefficient_mean": stacked["coefficient"].mean(axis=0),
            "coefficient_sd": stacked["coefficient"].std(axis=0),
            "gain_mean": stacked["gain"].mean(axis=0),
        }
    )
    numbers = summary.columns[2:]
    summary[numbers] = summary[numbers].round(PROBABILITY_DIGITS)
    return summary.sort_values(["importance", "feature"], ascending=[False, True], kind="stable", ignore_index=True)
