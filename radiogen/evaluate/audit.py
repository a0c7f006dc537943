"""The main door of the evaluation: a predictions table in, every metric, baseline, stratum and the verdict out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Integer

from radiogen.config.evaluate import EvaluateSettings
from radiogen.evaluate.baselines import Baseline, race, table_folds, trivial_baselines
from radiogen.evaluate.clinical import clinical_table, known_sites
from radiogen.evaluate.columns import simple
from radiogen.evaluate.predictions import check_predictions, per_case
from radiogen.evaluate.strata import auc_within, strata_columns
from radiogen.evaluate.verdict import EXTERNAL, GROUPED_KFOLD, SITE_HELD_OUT, UNKNOWN, decide, verdict_sentence
from radiogen.stats.auc import auc, delong_interval, sample_size_statement, smallest_detectable_auc
from radiogen.stats.calibration import brier_score, calibration_in_the_large, expected_calibration_error, recalibration
from radiogen.stats.classification import at_threshold, average_precision, wilson_interval
from radiogen.stats.resampling import bootstrap_auc_interval, permutation_p
from radiogen.types import Labels01, Scores

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
    settings = settings or EvaluateSettings()
    tidy = check_predictions(predictions)
    cases = per_case(tidy)
    target = str(cases["target"].iloc[0])
    facts, fact_notes = clinical_table(cases, clinical, target)
    strata = strata_columns(cases, facts, clinical, target, settings)
    split, split_notes = split_scheme(tidy)
    groups = np.unique(cases["patient"].astype(str), return_inverse=True)[1]
    baselines = trivial_baselines(cases, facts, target, table_folds(tidy, cases), settings)
    notes = [*tidy.attrs["notes"], *fact_notes, *split_notes]
    metrics: dict[str, Any] = {
        "target": target,
        "model": ", ".join(sorted(set(cases["model"]) - {""})),
        "n": len(cases),
        "n_patients": int(cases["patient"].nunique()),
        "n_positive": int(cases["y_true"].sum()),
        "n_sites": len(known_sites(cases)),
        "split": split,
        **_discrimination(cases, tidy, groups, settings),
        **_calibration(cases, settings, ranked=tidy.attrs["ranked"]),
        **_race(cases, baselines, groups, settings),
        "strata": auc_within(cases, strata, groups, settings),
    }
    metrics |= _judged(metrics, settings)
    metrics["notes"] = notes + _warnings(metrics)
    return Evaluation(metrics, _scores(cases, baselines, strata))


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


def _discrimination(
    cases: pd.DataFrame, tidy: pd.DataFrame, groups: Integer[np.ndarray, " n"], settings: EvaluateSettings
) -> dict[str, Any]:
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
    p = permutation_p(y, scores, groups=groups, n_permutations=settings.permutations, rng=_rng(settings, 2))
    by_repeat = [auc(*_arrays(rows)) for _, rows in tidy.groupby("repeat", sort=True)]
    positive, negative = len(np.unique(groups[y == 1])), len(np.unique(groups[y == 0]))
    return {
        "auc": auc(y, scores),
        "auc_ci": list(interval),
        "auc_ci_delong": list(delong_interval(y, scores, groups=groups, confidence=settings.confidence)),
        "auc_by_repeat": by_repeat,
        "auc_sd_over_repeats": float(np.std(by_repeat, ddof=1)) if len(by_repeat) > 1 else None,
        "permutation_p": p,
        "smallest_detectable_auc": smallest_detectable_auc(positive, negative, alpha=settings.alpha),
        "sample_size": sample_size_statement(positive, negative, alpha=settings.alpha),
        "auprc": average_precision(y, scores),
        "prevalence": float(y.mean()),
    }


def _calibration(cases: pd.DataFrame, settings: EvaluateSettings, *, ranked: bool) -> dict[str, Any]:
    names = ["brier", "calibration_slope", "calibration_intercept", "calibration_in_the_large", "ece", "threshold",
             "sensitivity", "sensitivity_ci", "specificity", "specificity_ci", "balanced_accuracy"]  # fmt: skip
    if ranked:  # bare ranks are no probabilities: nothing to calibrate, no threshold to judge at
        return dict.fromkeys(names)
    y, scores = _arrays(cases)
    slope, intercept = recalibration(y, scores)
    found = at_threshold(y, scores, settings.threshold)
    n_positive = int(y.sum())
    values = [
        brier_score(y, scores),
        slope,
        intercept,
        calibration_in_the_large(y, scores),
        expected_calibration_error(y, scores, bins=settings.calibration_bins),
        settings.threshold,
        found.sensitivity,
        list(wilson_interval(found.true_positive, n_positive, confidence=settings.confidence)),
        found.specificity,
        list(wilson_interval(found.true_negative, len(y) - n_positive, confidence=settings.confidence)),
        found.balanced_accuracy,
    ]
    return dict(zip(names, values, strict=True))


def _race(
    cases: pd.DataFrame, baselines: list[Baseline], groups: Integer[np.ndarray, " n"], settings: EvaluateSettings
) -> dict[str, Any]:
    y, scores = _arrays(cases)
    rows = race(y, scores, baselines, groups, settings, _rng(settings, 3))
    for row, baseline in zip(rows, baselines, strict=True):
        known = y[~np.isnan(baseline.scores)]
        row["counts"] = bool(min(known.sum(), len(known) - known.sum()) >= settings.min_per_class)
    return {"baselines": rows}


def _judged(metrics: dict[str, Any], settings: EvaluateSettings) -> dict[str, Any]:
    n_negative = metrics["n"] - metrics["n_positive"]
    verdict = decide(
        metrics["n_positive"], n_negative, metrics["auc_ci"], metrics["permutation_p"], metrics["baselines"], settings
    )
    return {
        "verdict": verdict.name,
        "verdict_reason": verdict.reason,
        "verdict_text": verdict_sentence(metrics, verdict, settings),
    }


def _warnings(metrics: dict[str, Any]) -> list[str]:
    notes = [metrics["sample_size"]]
    if metrics["auc_ci"][1] < 0.5:
        notes.append(
            "The AUC is clearly below 0.5: the score may point the wrong way (probability of the negative class)."
        )
    notes += [
        f"Baseline {row['name']} is known for too few cases (n={row['n']}) to count in the verdict."
        for row in metrics["baselines"]
        if not row["counts"]
    ]
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
