"""One paragraph of results for a paper or a review, with every number that a reader asks for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from radiogen.evaluate.verdict import hardest_baseline, judged_auc, judged_baselines
from radiogen.report.page import STATUS_WORDS
from radiogen.report.words import SPACE, bounds, interval, known, label, number, p_value, split_words, target_words

_ALONE = {"all clinical": "all clinical facts together", "all together": "all facts with scanner and site"}


def results_paragraph(metrics: Mapping[str, Any]) -> str:
    """Return the paragraph; what the metrics do not hold is left out.

    Args:
        metrics: of `evaluate.audit`.

    Example:
        >>> results_paragraph({"target": "idh", "n": 50, "n_positive": 20, "auc": 0.8, "auc_ci": [0.7, 0.9]}).replace(SPACE, " ")
        'In 50 cases (20 IDH-mutated) the model reached an AUC of 0.800 (95 % CI 0.700 to 0.900).'
    """
    parts = [
        _discrimination(metrics),
        _baseline(metrics),
        _sites(metrics),
        _strata(metrics),
        _probabilities(metrics),
        _calls(metrics),
    ]
    verdict = str(metrics.get("verdict") or "")
    if verdict:
        reason = str(metrics.get("verdict_reason") or "").rstrip(".")
        parts.append(
            f"Verdict by a rule fixed beforehand: {STATUS_WORDS.get(verdict, verdict).lower()}{f' ({reason})' if reason else ''}."
        )
    return " ".join(part for part in parts if part)


def _with_ci(value: Any, ends: Any, digits: int = 3, *, signed: bool = False) -> str:
    words = number(value, digits, signed=signed)
    return words if bounds(ends) is None else f"{words} (95{SPACE}%{SPACE}CI {interval(ends, digits, signed=signed)})"


def _discrimination(metrics: Mapping[str, Any]) -> str:
    if not known(metrics.get("auc")):
        return ""
    positive = target_words(str(metrics.get("target", ""))).positive
    who = f"In {metrics.get('n', '?')} cases ({metrics.get('n_positive', '?')} {positive}) the model reached an AUC of "
    text = who + _with_ci(metrics["auc"], metrics.get("auc_ci"))
    if metrics.get("verdict_auc") == "within-split":
        area, ends = judged_auc(metrics)
        text += f" over all cases and of {_with_ci(area, ends)} between cases of the same test split"
        text += ", on which verdict and comparisons rest"
    refitted = known(metrics.get("permutation_refit_p"))
    p = metrics.get("permutation_refit_p") if refitted else metrics.get("permutation_p")
    text += f"; permutation p {p_value(p)}{' with the whole pipeline refitted' if refitted else ''}" if known(p) else ""
    split = metrics.get("split")
    return f"{text}. Held out: {split_words(str(split), metrics.get('n_sites'))}." if split else f"{text}."


def _baseline(metrics: Mapping[str, Any]) -> str:
    row = hardest_baseline([row for row in judged_baselines(metrics) if known(row.get("delta"))])
    if row is None:
        return ""
    name = _ALONE.get(str(row["name"]), f"{label(str(row['name']))} alone")
    lead = _with_ci(row.get("delta"), row.get("delta_ci"), signed=True)
    p = row.get("within_p") if metrics.get("verdict_auc") == "within-split" else row.get("delong_p")
    tested = f", p {p_value(p)}" if known(p) else ""
    reached = _with_ci(row.get("auc"), row.get("auc_ci"))
    return f"The hardest trivial baseline, {name}, reached {reached}; the model's lead over it was {lead}{tested}."


def _sites(metrics: Mapping[str, Any]) -> str:
    pooled = metrics.get("sites_pooled")
    if not pooled:
        return ""
    ahead = interval(pooled.get("prediction_interval"))
    share = f"{100 * pooled['i2']:.0f}{SPACE}%" if known(pooled.get("i2")) else "unknown"
    mean = _with_ci(pooled.get("auc"), pooled.get("auc_ci"))
    return (
        f"Pooled over {pooled['n_sites']} sites (random effects) the AUC was {mean}, I\u00b2 {share}; "
        f"at one more site an AUC of {ahead} is expected."
    )


def _strata(metrics: Mapping[str, Any]) -> str:
    rows = [
        row for row in metrics.get("strata") or [] if row.get("stratum") in {"grade", "idh"} and known(row.get("auc"))
    ]
    words = [
        f"{label(str(row['stratum']))} {row['value']} {_with_ci(row['auc'], row.get('auc_ci'))}" for row in rows[:5]
    ]
    return f"Inside strata: {'; '.join(words)}." if words else ""


def _probabilities(metrics: Mapping[str, Any]) -> str:
    if not known(metrics.get("brier")):
        return ""
    return (
        f"Brier score {_with_ci(metrics['brier'], metrics.get('brier_ci'))}; calibration slope "
        f"{_with_ci(metrics.get('calibration_slope'), metrics.get('calibration_slope_ci'), 2)}, intercept "
        f"{_with_ci(metrics.get('calibration_intercept'), metrics.get('calibration_intercept_ci'), 2)}."
    )


def _calls(metrics: Mapping[str, Any]) -> str:
    if not known(metrics.get("sensitivity")):
        return ""
    where = (
        "at thresholds chosen inside the training folds"
        if metrics.get("threshold_from") == "fold"
        else (f"at a probability of {number(metrics.get('threshold', 0.5), 2)}")
    )
    return (
        f"Sensitivity {_with_ci(metrics['sensitivity'], metrics.get('sensitivity_ci'), 2)} and specificity "
        f"{_with_ci(metrics.get('specificity'), metrics.get('specificity_ci'), 2)} {where}."
    )
