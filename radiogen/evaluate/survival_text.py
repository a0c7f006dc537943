"""Survival results in words."""

from __future__ import annotations

from typing import Any

from radiogen.evaluate.survival_input import DAYS_PER


def p_text(p: float | None) -> str:
    """Return a p value as people write it.

    Example:
        >>> p_text(0.00001), p_text(0.0421), p_text(0.31), p_text(None)
        ('p < 0.001', 'p = 0.042', 'p = 0.31', 'p not estimable')
    """
    if p is None:
        return "p not estimable"
    if p < 0.001:
        return "p < 0.001"
    return f"p = {p:.3f}" if p < 0.1 else f"p = {p:.2f}"


def months_text(days: float | None) -> str:
    """Return days as months with one decimal; None is 'not reached'.

    Example:
        >>> months_text(365.25), months_text(None)
        ('12.0', 'not reached')
    """
    return "not reached" if days is None else f"{round(days / DAYS_PER['months'], 1) + 0.0:.1f}"  # no minus zero


def ratio_text(row: dict[str, Any]) -> str:
    """Return a hazard ratio with its interval.

    Example:
        >>> ratio_text({"hazard_ratio": 0.5, "ci": [0.3, 0.8]}), ratio_text({"hazard_ratio": None, "ci": [None, None]})
        ('0.50 [0.30, 0.80]', 'not estimable')
    """
    if row["hazard_ratio"] is None:
        return "not estimable"
    low, high = row["ci"]
    return f"{row['hazard_ratio']:.2f} [{low:.2f}, {high:.2f}]"


def median_text(group: dict[str, Any]) -> str:
    """Return a group's median survival in months with its interval.

    Example:
        >>> median_text({"median_days": 487.0, "median_ci": [396.0, None]})
        '16.0 months [13.0, not reached]'
    """
    low, high = group["median_ci"]
    middle = months_text(group["median_days"])
    interval = f"[{months_text(low)}, {months_text(high)}]"
    return f"{middle} {interval}" if group["median_days"] is None else f"{middle} months {interval}"


def summary_text(metrics: dict[str, Any]) -> str:
    """Return the result as one paragraph.

    Args:
        metrics: of `survival_analysis`.
    """
    follow_up = metrics["median_follow_up_days"]
    known = "median follow-up not reached" if follow_up is None else f"median follow-up {months_text(follow_up)} months"
    sentences = [f"{metrics['n']} patients, {metrics['n_events']} deaths, {known} (reverse Kaplan-Meier)."]
    medians = [
        f"{group['name']} {median_text(group)} ({group['n_events']} of {group['n']} died)"
        for group in metrics["groups"]
    ]
    start = metrics["input"].get("from_months")
    counted = "" if start is None else f", counted from the landmark at {start:g} months"
    sentences.append(f"Median survival [95 % interval]{counted}: {'; '.join(medians)}.")
    if metrics["log_rank"] is not None:
        test = metrics["log_rank"]
        sentences.append(
            f"Log-rank {p_text(test['p'])} (chi-square {test['statistic']:.2f}, {test['degrees_of_freedom']} df)."
        )
    sentences += _cox_sentences(metrics)
    few = [note for note in metrics["notes"] if note.startswith("Fewer than") and "deaths in" in note]
    return " ".join([*sentences, *few])


def model_text(cox: dict[str, Any]) -> str:
    """Return in brackets what is special about the Cox models: strata and robust errors; nothing where nothing is.

    Example:
        >>> model_text({"strata": {"by": "site", "n": 3}, "robust": None}), model_text({"strata": None, "robust": None})
        (' (stratified by site)', '')
    """
    parts = [f"stratified by {cox['strata']['by']}"] if cox["strata"] else []
    parts += [f"robust errors by {cox['robust']['by']}"] if cox["robust"] else []
    return f" ({', '.join(parts)})" if parts else ""


def claim_text(together: dict[str, Any]) -> str:
    """Return whether the first covariate adds to the others, by the likelihood ratio and by the order of patients that were held out.

    Args:
        together: the multivariable model of `survival_analysis`; its first covariate was tested.

    Example:
        >>> claim_text({"first_covariate_adds_p": 0.01, "c_index_change": 0.002, "c_index_change_ci": [-0.01, 0.014]})
        'adds to those covariates (p = 0.010), but is not shown to order patients better: change in C +0.002 [-0.010, +0.014], cross-validated'
    """
    p, change, (low, high) = (
        together[key] for key in ("first_covariate_adds_p", "c_index_change", "c_index_change_ci")
    )
    added = "adds to those covariates" if p < 0.05 else "adds nothing to those covariates that could be shown"
    if change is None:
        return f"{added} ({p_text(p)})"
    if low > 0:
        order = "and orders patients better" if p < 0.05 else "but orders patients better"
    else:
        order = f"{'but' if p < 0.05 else 'and'} is not shown to order patients better"
    return f"{added} ({p_text(p)}), {order}: change in C {change:+.3f} [{low:+.3f}, {high:+.3f}], cross-validated"


def _cox_sentences(metrics: dict[str, Any]) -> list[str]:
    title = metrics["group_title"]
    alone = [row for row in metrics["cox"]["univariable"] if row["covariate"] == title]
    sentences = []
    if alone:
        ratios = "; ".join(f"{row['term']} {ratio_text(row)}" for row in alone)
        sentences.append(f"Hazard ratio{model_text(metrics['cox'])}: {ratios}.")
    together = metrics["cox"]["multivariable"]
    if together is None:
        return sentences
    adjusted = [row for row in together["rows"] if row["covariate"] == title]
    others = list(dict.fromkeys(row["covariate"] for row in together["rows"] if row["covariate"] != title))
    if adjusted and others:
        ratios = "; ".join(f"{row['term']} {ratio_text(row)}" for row in adjusted)
        added = together["first_covariate_adds_p"]
        finding = "" if added is None else f"; {title} {claim_text(together)}"
        sentences.append(f"Adjusted for {', '.join(others)} (n = {together['n']}): {ratios}{finding}.")
    if together["c_index"] is not None:
        low, high = together["c_index_ci"]
        sentences.append(f"Cross-validated C index of that model {together['c_index']:.3f} [{low:.3f}, {high:.3f}].")
    return sentences
