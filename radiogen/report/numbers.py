"""The table of every number of one classifier, each with its interval and how to read it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from radiogen.report.words import DASH, SPACE, interval, known, number, p_value, split_words, target_words

_Row = tuple[str, str, str, str]


def numbers_table(metrics: Mapping[str, Any]) -> pd.DataFrame:
    """Return the table, one row per measure: `measure`, `value`, its interval, `how to read it`.

    Args:
        metrics: of `evaluate.audit`.
    """
    rows = [*_who(metrics), *_discrimination(metrics), *_probabilities(metrics)]
    shown = [(name, value, "" if ends == DASH else ends, meaning) for name, value, ends, meaning in rows]
    return pd.DataFrame(shown, columns=["measure", "value", f"95{SPACE}% interval", "how to read it"])


def _who(metrics: Mapping[str, Any]) -> list[_Row]:
    words = target_words(str(metrics.get("target", "")))
    n, positive = metrics.get("n"), metrics.get("n_positive")
    rows: list[_Row] = [
        ("cases", str(n if n is not None else DASH), "", f"{positive} {words.positive}" if positive is not None else "")
    ]
    if known(metrics.get("n_patients")) and metrics["n_patients"] != n:
        rows.append(
            (
                "patients",
                str(metrics["n_patients"]),
                "",
                "some patients have several scans; they stay together in every fold and resample",
            )
        )
    rows.append(("sites", str(metrics.get("n_sites", DASH)), "", ""))
    rows.append(
        (
            "held out",
            str(metrics.get("split", DASH)),
            "",
            split_words(str(metrics.get("split", "unknown")), metrics.get("n_sites")),
        )
    )
    if metrics.get("model"):
        rows.append(("model", str(metrics["model"]), "", ""))
    if known(metrics.get("n_features")):
        used = (
            f"{metrics['n_features_used']} used in at least one fold" if known(metrics.get("n_features_used")) else ""
        )
        rows.append(("features", str(metrics["n_features"]), "", used))
    return rows


def _discrimination(metrics: Mapping[str, Any]) -> list[_Row]:
    least = metrics.get("smallest_detectable_auc")
    can = (
        f"0.5 is chance; with this many cases an AUC below {number(least, 2)} cannot be told from chance"
        if known(least)
        else "0.5 is chance, 1 is perfect"
    )
    share = metrics.get("prevalence", _share(metrics))
    rows: list[_Row] = [("AUC", number(metrics.get("auc")), interval(metrics.get("auc_ci")), can)]
    inside = metrics.get("within_split")
    if inside:
        rows.append(
            (
                "AUC inside test splits",
                number(inside.get("auc")),
                interval(inside.get("auc_ci")),
                "cases of the same split only, scored by the same model; the verdict uses it",
            )
        )
    if metrics.get("auc_ci_delong"):
        rows.append(
            (
                "AUC, DeLong's interval",
                number(metrics.get("auc")),
                interval(metrics["auc_ci_delong"]),
                "the same by formula instead of resampling",
            )
        )
    if known(metrics.get("auc_sd_over_repeats")):
        by_repeat = [value for value in metrics.get("auc_by_repeat") or [] if known(value)]
        spread = (
            f"{min(by_repeat):.3f} to {max(by_repeat):.3f} over {len(by_repeat)} repeats"
            if by_repeat
            else "over repeats"
        )
        rows.append(
            (
                "standard deviation over repeats",
                number(metrics["auc_sd_over_repeats"]),
                "",
                f"{spread} with folds drawn anew",
            )
        )
    rows.append(("permutation p", p_value(metrics.get("permutation_p")), "", "how often shuffled labels do as well"))
    rows.append(
        (
            "average precision (AUPRC)",
            number(metrics.get("auprc")),
            interval(metrics.get("auprc_ci")),
            f"chance is the share of positives, {number(share, 2)}",
        )
    )
    return rows


def _share(metrics: Mapping[str, Any]) -> float | None:
    n, positive = metrics.get("n"), metrics.get("n_positive")
    return float(positive) / float(n) if known(n) and known(positive) and n else None  # type: ignore[arg-type]


def _probabilities(metrics: Mapping[str, Any]) -> list[_Row]:
    if not known(metrics.get("brier")):
        return [
            ("calibration", DASH, "", "the scores are no probabilities, so calibration and thresholds cannot be judged")
        ]
    share = _share(metrics)
    guess = (
        f"0 is perfect; always saying {number(share, 2)} gives {number(share * (1 - share))}"
        if share is not None
        else "0 is perfect"
    )
    rows: list[_Row] = [
        ("Brier score", number(metrics.get("brier")), interval(metrics.get("brier_ci")), guess),
        (
            "calibration slope",
            number(metrics.get("calibration_slope"), 2),
            interval(metrics.get("calibration_slope_ci"), 2),
            "1 is perfect; below 1 the probabilities are too extreme",
        ),
        (
            "calibration intercept",
            number(metrics.get("calibration_intercept"), 2),
            interval(metrics.get("calibration_intercept_ci"), 2),
            "0 is perfect; fitted together with the slope",
        ),
    ]
    if known(metrics.get("calibration_in_the_large")):
        rows.append(
            (
                "calibration in the large",
                number(metrics["calibration_in_the_large"], 2),
                interval(metrics.get("calibration_in_the_large_ci"), 2),
                "0 is perfect; above 0 the probabilities are too low on average",
            )
        )
    rows.append(
        (
            "expected calibration error",
            number(metrics.get("ece")),
            interval(metrics.get("ece_ci")),
            "mean distance between promised and observed share",
        )
    )
    at = f"at a probability of {number(metrics.get('threshold', 0.5), 2)} and above"
    if metrics.get("threshold_from") == "fold":
        at = f"at thresholds chosen inside the training folds (mean {number(metrics.get('threshold'), 2)})"
    names = ("sensitivity", "specificity", "positive_predictive_value", "negative_predictive_value", "balanced_accuracy",
             "matthews_correlation")  # fmt: skip
    shares = [name for name in names if known(metrics.get(name))]
    return rows + [
        (name.replace("_", " "), number(metrics[name]), interval(metrics.get(f"{name}_ci")), at) for name in shares
    ]
