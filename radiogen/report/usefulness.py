"""Sections on what a model is good for: who is reclassified, which calls are made, what the next hospital may expect, what chance reaches."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from radiogen.report.forests import sites_figure
from radiogen.report.more_figures import chance_figure
from radiogen.report.page import Figure, Section, Table
from radiogen.report.words import DASH, interval, known, label, number, p_value, target_words


def chance_sections(metrics: Mapping[str, Any]) -> list[Section]:
    """Return the section on chance: permutations, and the pooled AUC beside that inside splits.

    Args:
        metrics: of `evaluate.audit`.
    """
    figure = chance_figure(metrics)
    inside = metrics.get("within_split")
    text = []
    if metrics.get("verdict_auc") == "within-split" and inside:
        text.append(
            f"Every test split has its own model, so the verdict compares cases of the same split only: AUC {number(inside.get('auc'))} "
            f"({interval(inside.get('auc_ci'))}) over {inside.get('n_pairs', DASH)} pairs. Over all cases it is {number(metrics.get('auc'))} "
            f"({interval(metrics.get('auc_ci'))}); without any signal that one falls below 0.5 wherever splits differ in their share of positives."
        )
    optimism = metrics.get("random_split") or {}
    if known(optimism.get("auc")):
        text.append(
            f"With patients split at random instead of whole sites held out the AUC would be {number(optimism.get('auc'))} "
            f"({interval(optimism.get('auc_ci'))}): optimistic by {number(optimism.get('optimism'), signed=True)}. "
            "It is shown for comparison with papers that split so, and counts for nothing here."
        )
    if figure is None and not text:
        return []
    refitted = bool(metrics.get("permutation_refit_aucs"))
    how = (
        "the whole pipeline was refitted on shuffled labels each time"
        if refitted
        else "labels shuffled, predictions kept; widened where the table comes from cross-validation, "
        "because tested outcomes trained the models of other folds"
    )
    p = metrics.get("permutation_refit_p") if refitted else metrics.get("permutation_p")
    shown = [] if figure is None else [Figure(figure, f"What chance reaches: {how}. Permutation p {p_value(p)}.")]
    return [Section("Is it more than chance?", text, figures=shown)]


def site_sections(metrics: Mapping[str, Any]) -> list[Section]:
    """Return the section on sites: forest, mean and what to expect at one more site; none with fewer than two usable sites.

    Args:
        metrics: of `evaluate.audit`.
    """
    figure, pooled = sites_figure(metrics), metrics.get("sites_pooled")
    if figure is None or not pooled:
        return []
    left = pooled.get("n_left_out") or 0
    small = f" {left} site(s) with too few cases of a class are left out." if left else ""
    few = " With so few sites the prediction interval is wide, and rightly so." if pooled["n_sites"] < 5 else ""
    ahead = interval(pooled.get("prediction_interval"))
    text = (
        f"Mean of the sites {number(pooled.get('auc'))} ({interval(pooled.get('auc_ci'))}); "
        f"between sites \u03c4\u00b2 {number(pooled.get('tau2'), 2)} (logit scale), I\u00b2 {_percent(pooled.get('i2'))}. "
        f"At one more site of this kind an AUC from {ahead} is expected.{few}{small}"
    )
    caption = "AUC of every site with its 95 % interval; below, the random-effects mean (Hartung-Knapp) and the 95 % prediction interval."
    return [Section("From site to site", [text], figures=[Figure(figure, caption)])]


def reclassification_sections(metrics: Mapping[str, Any]) -> list[Section]:
    """Return the section on reclassification against the hardest baseline.

    Args:
        metrics: of `evaluate.audit`.
    """
    found = metrics.get("reclassification")
    if not found:
        return []
    words, counts = target_words(str(metrics.get("target", ""))), found.get("table") or {}
    limits = ", ".join(number(limit, 2) for limit in found.get("categories") or [])
    moved = pd.DataFrame(
        [
            {
                "cases": name,
                "moved up": counts[key]["up"],
                "moved down": counts[key]["down"],
                "unchanged": counts[key]["same"],
            }
            for key, name in (("positive", words.positive), ("negative", words.negative))
            if key in counts
        ]
    )
    rows = [
        (
            "net reclassification at the threshold",
            "nri",
            "above 0: more cases move to the right side than to the wrong one",
        ),
        ("of it, positives", "nri_of_positives", ""),
        ("of it, negatives", "nri_of_negatives", ""),
        (
            "net reclassification, any change",
            "nri_continuous",
            "favours noisy models that are badly calibrated; never read it alone",
        ),
        ("integrated discrimination improvement", "idi", "by how much the classes' mean probabilities moved apart"),
    ]
    table = pd.DataFrame(
        [
            {"measure": name, "value": number(found.get(key), signed=True), "95 % interval": interval(found.get(f"{key}_ci"), signed=True),
             "p": p_value(found.get(f"{key}_p")), "how to read it": meaning}
            for name, key, meaning in rows
        ]
    )  # fmt: skip
    title = f"Who is reclassified, compared with {label(str(found.get('baseline', '')))}"
    return [
        Section(
            title,
            [
                f"The model against its hardest baseline, both as probabilities, at {limits}, in {found.get('n', DASH)} cases."
            ],
            tables=[
                Table(moved, "Cases that the model moves to another side than the baseline."),
                Table(table, "The same in numbers."),
            ],
        )
    ]


def call_sections(metrics: Mapping[str, Any]) -> list[Section]:
    """Return the section on calls: conformal sets with their coverage, and cases unlike the training cases.

    Args:
        metrics: of `evaluate.audit`.
    """
    sets, strange = metrics.get("conformal"), metrics.get("out_of_distribution")
    text, tables = [], []
    if sets:
        names = {
            "coverage": "sets that hold the truth", "coverage_positive": "the same, positives", "coverage_negative": "the same, negatives",
            "no_call": "no call made", "accuracy_of_calls": "calls that are right",
        }  # fmt: skip
        rows = [
            {"measure": name, "share": number(sets.get(key)), "95 % interval": interval(sets.get(f"{key}_ci"))}
            for key, name in names.items()
        ]
        tables.append(
            Table(pd.DataFrame(rows), f"Conformal sets of {sets.get('n', DASH)} cases; 'both' and 'none' are no call.")
        )
    if strange:
        text.append(
            f"{strange.get('n_flagged', DASH)} case(s) were flagged as unlike the training cases; without them the AUC is "
            f"{number(strange.get('auc_inside'))} (n={strange.get('n_inside', DASH)})."
        )
    return [Section("Calls, and cases that should not be called", text, tables=tables)] if text or tables else []


def _percent(share: Any) -> str:
    return f"{100 * share:.0f} %" if known(share) else DASH
