"""The main door of the evaluation: a predictions table in, every metric, baseline, stratum and the verdict out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Integer
from threadpoolctl import threadpool_limits

from radiogen.config.evaluate import EvaluateSettings
from radiogen.evaluate.baselines import Baseline, Folds, drawn_folds, race, table_folds, trivial_baselines
from radiogen.evaluate.calls import MEASURES, at_thresholds, conformal_calls, fold_thresholds, out_of_distribution
from radiogen.evaluate.clinical import category_table, clinical_table, known_sites
from radiogen.evaluate.columns import simple
from radiogen.evaluate.predictions import check_predictions, per_case
from radiogen.evaluate.probabilities import NAMES, calibration, precision_interval, secondary_weights
from radiogen.evaluate.reclassified import reclassification
from radiogen.evaluate.sites import pooled_over_sites
from radiogen.evaluate.strata import auc_within, strata_columns
from radiogen.evaluate.verdict import (
    EXTERNAL,
    GROUPED_KFOLD,
    SITE_HELD_OUT,
    UNKNOWN,
    hardest_baseline,
    judge,
    judged_baselines,
)
from radiogen.evaluate.within import (
    POOLED,
    WITHIN,
    SplitRows,
    histogram,
    race_within,
    split_rows,
    widening,
    within_splits,
)
from radiogen.stats.auc import auc, delong_interval, sample_size_statement, smallest_detectable_auc
from radiogen.stats.classification import average_precision
from radiogen.stats.resampling import bootstrap_auc_interval
from radiogen.stats.within import within_permutation_p
from radiogen.types import Labels01, Scores

_LEAST_RESAMPLES, _RESAMPLED_ROWS = 500, 10_000_000

_EXTERNAL_NAMES = {
    "external",
    "test",
    "testing",
    "holdout",
    "heldout",
    "validation",
    "externaltest",
    "externalvalidation",
}


@dataclass(frozen=True)
class Evaluation:
    """What an evaluation found.

    Args:
        metrics: JSON-able, the content of metrics.json.
        scores: one row per case (index `case`): `patient, site, y_true, y_prob`, one column `baseline:<name>` per baseline, then the strata.
    """

    metrics: dict[str, Any]
    scores: pd.DataFrame


def evaluate_predictions(
    predictions: pd.DataFrame, clinical: pd.DataFrame | None = None, settings: EvaluateSettings | None = None
) -> Evaluation:
    """Judge a predictions table.

    Args:
        predictions: one target and one model; any layout that `evaluate.predictions.check_predictions` understands.
        clinical: age, sex, tumour volume (`wt_ml`), grade, IDH, ... by case or patient; facts in the predictions table itself are used too.
        settings: resampling, rules and thresholds.

    Returns:
        Metrics with the verdict, and the scores that they were computed from. Same input and seed, same output.

    Raises:
        CohortError: the table cannot be used; lists every problem at once.

    Example:
        >>> y = np.arange(60) % 2
        >>> table = pd.DataFrame({"case": [f"c{i:02d}" for i in range(60)], "y_true": y, "y_prob": np.linspace(0.2, 0.8, 60)})
        >>> evaluate_predictions(table).metrics["verdict"]
        'no-better-than-chance'
    """
    settings = affordable(settings or EvaluateSettings(), len(predictions))
    # Sums in another order would end in other bytes, and small problems gain nothing from threads.
    with threadpool_limits(1):
        study = _Study.of(check_predictions(predictions), clinical, settings)
        strata = strata_columns(study.cases, study.facts, clinical, study.target, settings)
        metrics = study.raced(settings)
        metrics["strata"] = auc_within(study.cases, strata, study.groups, settings)
        metrics["sites_pooled"] = pooled_over_sites(study.cases, study.groups, settings)
        metrics |= _usefulness(study, settings)
        metrics["reclassification"] = _reclassified(study, metrics, settings)
    metrics |= judge(metrics, settings)
    metrics["notes"] = [*study.notes, *_warnings(metrics)]
    return Evaluation(metrics, _scores(study.cases, study.baselines, strata))


def quick_verdict(
    predictions: pd.DataFrame, clinical: pd.DataFrame | None = None, settings: EvaluateSettings | None = None
) -> dict[str, Any]:
    """Return the metrics that the verdict rests on, and the verdict: that of `evaluate_predictions`, sooner.

    Args:
        predictions: as `evaluate_predictions`.
        clinical: as `evaluate_predictions`.
        settings: resampling and rules.

    Raises:
        CohortError: the table cannot be used; lists every problem at once.
    """
    settings = affordable(settings or EvaluateSettings(), len(predictions))
    with threadpool_limits(1):
        metrics = _Study.of(check_predictions(predictions), clinical, settings).raced(settings)
    return metrics | judge(metrics | {"strata": []}, settings)


def affordable(settings: EvaluateSettings, n_rows: int) -> EvaluateSettings:
    """Return settings with fewer resamples and permutations, at least 500, for tables of more than 5,000 rows, whose intervals are narrow anyway.

    Example:
        >>> affordable(EvaluateSettings(), 25_000).bootstrap_resamples, affordable(EvaluateSettings(), 500).bootstrap_resamples
        (500, 2000)
    """
    most = max(_LEAST_RESAMPLES, _RESAMPLED_ROWS // max(n_rows, 1))
    fewer = {
        "bootstrap_resamples": min(settings.bootstrap_resamples, most),
        "permutations": min(settings.permutations, most),
    }
    return settings.model_copy(update=fewer)


@dataclass(frozen=True)
class _Study:
    """A predictions table with all that is known of its cases.

    Args:
        tidy: as `check_predictions` returns it.
        cases: as `per_case` returns it.
        target: what is predicted.
        facts: clinical facts per case.
        groups: patient number per case.
        split: how cases were held out.
        rows: what is compared inside splits, or None.
        folds: folds of the table; empty where it names none.
        baselines: the competitors.
        notes: what was read into the tables.
    """

    tidy: pd.DataFrame
    cases: pd.DataFrame
    target: str
    facts: pd.DataFrame
    groups: Integer[np.ndarray, " n"]
    split: str
    rows: SplitRows | None
    folds: Folds
    baselines: list[Baseline]
    notes: list[str]

    @classmethod
    def of(cls, tidy: pd.DataFrame, clinical: pd.DataFrame | None, settings: EvaluateSettings) -> _Study:
        cases = per_case(tidy)
        target = str(cases["target"].iloc[0])
        facts, fact_notes = clinical_table(cases, clinical, target)
        split, split_notes = split_scheme(tidy)
        rows, row_notes = split_rows(tidy, cases, split, settings)
        groups = np.unique(cases["patient"].astype(str), return_inverse=True)[1]
        folds = table_folds(tidy, cases)
        baselines = trivial_baselines(cases, facts, target, folds, settings, category_table(cases, clinical))
        notes = [*tidy.attrs["notes"], *fact_notes, *split_notes, *row_notes]
        return cls(tidy, cases, target, facts, groups, split, rows, folds, baselines, notes)

    def raced(self, settings: EvaluateSettings) -> dict[str, Any]:
        """Return discrimination, the race and the test against chance."""
        cases = self.cases
        metrics: dict[str, Any] = {
            "target": self.target,
            "model": ", ".join(sorted(set(cases["model"]) - {""})),
            "n": len(cases),
            "n_patients": int(cases["patient"].nunique()),
            "n_positive": int(cases["y_true"].sum()),
            "n_sites": len(known_sites(cases)),
            "split": self.split,
            "verdict_auc": POOLED if self.rows is None else WITHIN,
            **_discrimination(self, settings),
            **_race(self, settings),
            **_chance(self, settings),
        }
        if self.rows is not None:
            metrics["within_split"]["auc_ci"] = metrics.pop("within_split_ci")
        return metrics


def split_scheme(predictions: pd.DataFrame) -> tuple[str, list[str]]:
    """Return how cases were held out as far as the table tells, and what a reader must know about it.

    Args:
        predictions: as `check_predictions` returns it.

    Returns:
        `site-held-out` when every split holds whole sites and there are two or more; `grouped-kfold` when every patient is in one split per
        repeat; `external` for a single split with such a name; `unknown` otherwise.
    """
    named = predictions[predictions["split"] != ""]
    if len(named) < len(predictions):
        return UNKNOWN, [] if named.empty else ["Some rows have no split; how cases were held out is taken as unknown."]
    if named.groupby("repeat")["split"].nunique().min() < 2:
        names = {simple(name) for name in named["split"]}
        return (EXTERNAL if names <= _EXTERNAL_NAMES else UNKNOWN), []
    shared = named.groupby(["repeat", "patient"])["split"].nunique()
    leaking = sorted({str(key[1]) for key in shared.index[shared > 1]})
    if leaking:
        return UNKNOWN, [
            f"LEAKAGE: {len(leaking)} patient(s) are in several folds of one repeat, so in training and test at once ({', '.join(leaking[:3])})."
        ]
    whole = bool((named.groupby(["repeat", "site"])["split"].nunique() == 1).all())
    return (SITE_HELD_OUT if whole and len(known_sites(predictions)) >= 2 else GROUPED_KFOLD), []


def _discrimination(study: _Study, settings: EvaluateSettings) -> dict[str, Any]:
    cases, tidy, groups = study.cases, study.tidy, study.groups
    y, scores = _arrays(cases)
    interval = bootstrap_auc_interval(
        y,
        scores,
        groups=groups,
        n_resamples=settings.bootstrap_resamples,
        confidence=settings.confidence,
        method=settings.interval,
        rng=_rng(settings, 1),
    )
    by_repeat = [auc(*_arrays(rows)) for _, rows in tidy.groupby("repeat", sort=True)]
    positive, negative = len(np.unique(groups[y == 1])), len(np.unique(groups[y == 0]))
    return {
        "auc": auc(y, scores),
        "auc_ci": list(interval),
        "auc_ci_delong": list(delong_interval(y, scores, groups=groups, confidence=settings.confidence)),
        "auc_by_repeat": by_repeat,
        "auc_sd_over_repeats": float(np.std(by_repeat, ddof=1)) if len(by_repeat) > 1 else None,
        "smallest_detectable_auc": smallest_detectable_auc(positive, negative, alpha=settings.alpha),
        "sample_size": sample_size_statement(positive, negative, alpha=settings.alpha),
        "auprc": average_precision(y, scores),
        "prevalence": float(y.mean()),
    }


def _chance(study: _Study, settings: EvaluateSettings) -> dict[str, Any]:
    """Return the permutation p of the AUC that the verdict uses; `permutation_p_pooled` is that of the pooled one."""
    cases, groups, split, rows = study.cases, study.groups, study.split, study.rows
    y, scores = _arrays(cases)
    pooled, permuted = within_permutation_p(
        y,
        scores,
        np.zeros(len(y), dtype=np.int64),
        groups=groups,
        widening=widening(split, 0 if rows is None else rows.n_splits),
        n_permutations=settings.permutations,
        rng=_rng(settings, 2),
    )
    if rows is None:
        return {
            "permutation_p": pooled,
            "permutation_p_pooled": pooled,
            "permutation_histogram": histogram(permuted),
            "within_split": None,
        }
    inside = within_splits(rows, settings, _rng(settings, 4))
    return {
        "permutation_p": inside["permutation_p"],
        "permutation_p_pooled": pooled,
        "permutation_histogram": inside.pop("permutation_histogram"),
        "within_split": inside,
    }


def _usefulness(study: _Study, settings: EvaluateSettings) -> dict[str, Any]:
    cases, tidy, groups = study.cases, study.tidy, study.groups
    y, scores = _arrays(cases)
    weights = secondary_weights(y, groups, settings, _rng(settings, 5))
    found: dict[str, Any] = {"auprc_ci": precision_interval(y, scores, weights, settings)}
    if tidy.attrs["ranked"]:  # bare ranks are no probabilities: nothing to calibrate, no threshold to judge at
        names = [*NAMES, "threshold", "threshold_from", "balanced_accuracy", "matthews_correlation"]
        return found | dict.fromkeys([*names, *MEASURES, *(f"{name}_ci" for name in MEASURES)])
    found |= calibration(y, scores, weights, settings)
    found |= at_thresholds(y, scores, fold_thresholds(tidy, cases), settings)
    found["conformal"] = conformal_calls(tidy, settings)
    found["out_of_distribution"] = out_of_distribution(tidy, cases)
    return found


def _race(study: _Study, settings: EvaluateSettings) -> dict[str, Any]:
    cases, baselines, groups, rows = study.cases, study.baselines, study.groups, study.rows
    y, scores = _arrays(cases)
    table = race(y, scores, baselines, groups, settings, _rng(settings, 3))
    for row, baseline in zip(table, baselines, strict=True):
        known = y[~np.isnan(baseline.scores)]
        row["counts"] = bool(min(known.sum(), len(known) - known.sum()) >= settings.min_per_class)
    if rows is None:
        return {"baselines": table}
    interval, inside = race_within(rows, baselines, settings, _rng(settings, 6))
    for row, more in zip(table, inside, strict=True):
        row |= more
        row["counts"] = bool(row["counts"] and not more["constant_in_splits"])
    return {"baselines": table, "within_split_ci": interval}


def _reclassified(study: _Study, metrics: dict[str, Any], settings: EvaluateSettings) -> dict[str, Any] | None:
    cases, baselines, folds, groups = study.cases, study.baselines, study.folds, study.groups
    hardest = hardest_baseline(judged_baselines(metrics))
    if study.tidy.attrs["ranked"] or hardest is None:
        return None
    y, scores = _arrays(cases)
    baseline = next(row for row in baselines if row.name == hardest["name"])
    weights = secondary_weights(y, groups, settings, _rng(settings, 5))
    return reclassification(y, scores, baseline, folds or drawn_folds(cases, settings), weights, settings)


def _warnings(metrics: dict[str, Any]) -> list[str]:
    notes = [metrics["sample_size"]]
    if metrics["auc_ci"][1] < 0.5:
        notes.append(
            "The AUC is clearly below 0.5: the score may point the wrong way (probability of the negative class)."
        )
    notes += [
        f"Baseline {row['name']} is known for too few cases (n={row['n']}) to count in the verdict."
        for row in metrics["baselines"]
        if not row["counts"] and not row.get("constant_in_splits")
    ]
    notes += [
        f"Baseline {row['name']} is the same for all cases of a test split, so it cannot be raced against there."
        for row in metrics["baselines"]
        if row.get("constant_in_splits")
    ]
    if metrics["verdict_auc"] == POOLED and metrics["split"] == UNKNOWN:
        notes.append(
            "The table names no test splits; if the scores come from several models, comparing them with each other distorts the AUC."
        )
    if metrics["split"] == GROUPED_KFOLD and metrics["n_sites"] > 1:
        notes.append("Sites were mixed between folds; performance at a new site is usually lower.")
    return notes


def _scores(cases: pd.DataFrame, baselines: list[Baseline], strata: pd.DataFrame) -> pd.DataFrame:
    scores = cases[["patient", "site", "y_true", "y_prob"]].copy()
    for baseline in baselines:
        scores[f"baseline:{baseline.name}"] = baseline.scores
    return pd.concat([scores, strata.drop(columns=[name for name in strata if name in scores])], axis=1)


def _arrays(table: pd.DataFrame) -> tuple[Labels01, Scores]:
    return table["y_true"].to_numpy(dtype=np.int64), table["y_prob"].to_numpy(dtype=np.float64)


def _rng(settings: EvaluateSettings, stream: int) -> np.random.Generator:
    """Return a stream of its own for every use, so that one more baseline does not change the model's interval."""
    return np.random.default_rng([settings.seed, stream])
