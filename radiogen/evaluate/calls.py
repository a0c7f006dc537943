"""What a model's calls are worth: at the threshold of the fold, by its conformal sets, and on cases unlike its training cases."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from radiogen.config.evaluate import EvaluateSettings
from radiogen.evaluate.columns import as_text, numbers
from radiogen.stats.auc import auc
from radiogen.stats.classification import at_threshold, wilson_interval
from radiogen.types import Labels01, Scores

MEASURES = ["sensitivity", "specificity", "positive_predictive_value", "negative_predictive_value"]
_SETS = ("positive", "negative", "both", "none")


def fold_thresholds(tidy: pd.DataFrame, cases: pd.DataFrame) -> Scores | None:
    """Return every case's threshold, chosen in the fold that tested it and averaged over repeats; None where the table has none.

    Args:
        tidy: as `check_predictions` returns it, optionally with a column `threshold`.
        cases: as `per_case` returns it.
    """
    if "threshold" not in tidy.columns:
        return None
    values = numbers(tidy["threshold"]).groupby(tidy["case"]).mean().reindex(cases.index)
    return None if values.isna().any() else values.to_numpy(dtype=np.float64)


def at_thresholds(y: Labels01, scores: Scores, own: Scores | None, settings: EvaluateSettings) -> dict[str, Any]:
    """Return sensitivity, specificity, predictive values (with Wilson intervals), balanced accuracy and Matthews' correlation.

    Args:
        y: 0/1 outcome per case.
        scores: probability per case.
        own: every case's threshold, or None for the one of the settings.
        settings: threshold and coverage.
    """
    found = at_threshold(y, scores, settings.threshold if own is None else own)
    counts = {
        "sensitivity": (found.true_positive, int(y.sum())),
        "specificity": (found.true_negative, int(len(y) - y.sum())),
        "positive_predictive_value": (found.true_positive, found.true_positive + found.false_positive),
        "negative_predictive_value": (found.true_negative, found.true_negative + found.false_negative),
    }
    measured: dict[str, Any] = {"threshold": found.threshold, "threshold_from": "settings" if own is None else "fold"}
    for name, (right, n) in counts.items():
        measured[name] = right / n if n else None
        measured[f"{name}_ci"] = list(wilson_interval(right, n, confidence=settings.confidence)) if n else None
    matthews = found.matthews_correlation
    return measured | {
        "balanced_accuracy": found.balanced_accuracy,
        "matthews_correlation": None if np.isnan(matthews) else matthews,
    }


def conformal_calls(tidy: pd.DataFrame, settings: EvaluateSettings) -> dict[str, Any] | None:
    """Return how often the conformal sets hold the truth, how often they make no call, and how often their calls are right.

    Args:
        tidy: with a column `prediction_set` (`positive`, `negative`, `both`, `none`); None is returned where it has none.
        settings: coverage of the intervals.

    Returns:
        `n` cases, `coverage`, `coverage_positive`, `coverage_negative`, `no_call`, `accuracy_of_calls`, each with its Wilson interval (`_ci`). Shares
        are over all repeats; the intervals count each case once.

    Source: Vovk, Gammerman & Shafer 2005, Algorithmic Learning in a Random World (validity); Angelopoulos & Bates 2023, Foundations and Trends
        in Machine Learning 16:494.
    """
    if "prediction_set" not in tidy.columns:
        return None
    text = as_text(tidy["prediction_set"]).str.lower()
    known = text.isin(_SETS).to_numpy()
    if not known.any():
        return None
    rows, said = tidy[known], text[known].to_numpy()
    positive = rows["y_true"].to_numpy() == 1
    right = (said == "both") | (said == np.where(positive, "positive", "negative"))
    called = (said == "positive") | (said == "negative")
    each = len(rows) / rows["case"].nunique()
    measured: dict[str, Any] = {"n": int(rows["case"].nunique())}
    parts = {
        "coverage": right,
        "coverage_positive": right[positive],
        "coverage_negative": right[~positive],
        "no_call": ~called,
        "accuracy_of_calls": right[called],
    }
    for name, hits in parts.items():
        n = round(len(hits) / each)
        measured[name] = float(hits.mean()) if len(hits) else None
        ends = wilson_interval(round(hits.mean() * n), n, confidence=settings.confidence) if n else None
        measured[f"{name}_ci"] = None if ends is None else list(ends)
    return measured


def out_of_distribution(tidy: pd.DataFrame, cases: pd.DataFrame) -> dict[str, Any] | None:
    """Return how many cases were flagged as unlike the training cases, and the AUC without them.

    Args:
        tidy: with a column `out_of_distribution` (0/1); None is returned where it has none. A case counts as flagged where most repeats flag it.
        cases: as `per_case` returns it.
    """
    if "out_of_distribution" not in tidy.columns:
        return None
    share = numbers(tidy["out_of_distribution"]).groupby(tidy["case"]).mean().reindex(cases.index)
    if share.isna().all():
        return None
    inside = ~(share > 0.5).to_numpy()
    y, scores = cases["y_true"].to_numpy(dtype=np.int64), cases["y_prob"].to_numpy(dtype=np.float64)
    area = auc(y[inside], scores[inside])
    return {
        "n_flagged": int((~inside).sum()),
        "n_inside": int(inside.sum()),
        "auc_inside": None if np.isnan(area) else area,
    }
