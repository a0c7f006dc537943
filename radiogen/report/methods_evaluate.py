"""Methods text on how predictions were judged: measures, intervals, tests, baselines, strata, and the rule of the verdict."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from radiogen.report.methods_model import is_audit
from radiogen.report.run_record import RunRecord, StageRun
from radiogen.report.statement import Statement, listed
from radiogen.report.words import known, label

_AUDITED_SPLITS = {
    "site-held-out": "The table's test splits are whole sites.",
    "grouped-kfold": "The table's test splits keep all scans of a patient together.",
    "external": "The table names its cases as a test set of their own.",
}


def evaluate_statements(record: RunRecord) -> list[Statement]:
    """Return the statements on evaluation, once for all predictions that were judged by the same settings.

    Args:
        record: of a folder.
    """
    groups: dict[str, list[StageRun]] = {}
    for run in record.models:
        groups.setdefault(json.dumps(_chosen(run), sort_keys=True, default=str), []).append(run)
    return [statement for runs in groups.values() for statement in _judged(runs)]


def _chosen(run: StageRun) -> Mapping[str, Any]:
    if not is_audit(run):
        return dict(run.settings.get("evaluate") or {})
    return {name: value for name, value in run.settings.items() if name not in {"target", "model", "columns"}}


def _judged(runs: list[StageRun]) -> list[Statement]:
    run, chosen = runs[0], _chosen(runs[0])
    at = f"{run.link}#settings" + ("" if is_audit(run) else ".evaluate")
    found = []
    if is_audit(run):
        text = _AUDITED_SPLITS.get(str(run.results.get("split")), "The table does not say how its cases were held out.")
        found.append(Statement("evaluate.audited-splits", text, (f"{run.results_link}#split",)))
    found += [*_measures(run), *_intervals(run, chosen, at), *_tests(run, chosen, at), *_competitors(runs)]
    return [*found, *_rule(run, chosen, at)]


def _measures(run: StageRun) -> list[Statement]:
    metrics, where = run.results, run.results_link
    measures = [
        word
        for word, key in (
            ("the area under the ROC curve (AUC)", "auc"),
            ("the area under the precision-recall curve", "auprc"),
            ("sensitivity", "sensitivity"),
            ("specificity", "specificity"),
            ("predictive values", "positive_predictive_value"),
        )
        if known(metrics.get(key))
    ]
    found = []
    if measures:
        found.append(
            Statement(
                "evaluate.discrimination", f"Discrimination was measured by {listed(measures)}.", (f"{where}#auc",)
            )
        )
    if metrics.get("verdict_auc") == "within-split":
        text = "Because scores of different models are not comparable, the verdict used the AUC over pairs of cases of the same test split."
        found.append(Statement("evaluate.within", text, (f"{where}#within_split",), ("janes2009", "nadeau2003")))
    if known(metrics.get("brier")):
        text = "Probabilities were judged by the Brier score, the expected calibration error and a calibration curve."
        if known(metrics.get("calibration_slope")):
            text = "Probabilities were judged by the Brier score, the calibration slope and intercept, the expected calibration error and a curve."
        found.append(Statement("evaluate.calibration", text, (f"{where}#brier",), ("vancalster2019", "brier1950")))
        text = "Clinical usefulness was judged by decision curves."
        found.append(
            Statement(
                "evaluate.decision",
                text,
                (f"{where.rpartition('/')[0] or '.'}/report.html".removeprefix("./"),),
                ("vickers2006",),
            )
        )
    return found


def _intervals(run: StageRun, chosen: Mapping[str, Any], at: str) -> list[Statement]:
    if "bootstrap_resamples" not in chosen:
        return []
    kind = "expanded percentile" if chosen.get("interval") == "percentile" else "bias-corrected and accelerated"
    cite = "hesterberg2015" if chosen.get("interval") == "percentile" else "efron1987"
    text = (
        f"Intervals are {100 * float(chosen['confidence']):g} % {kind} bootstrap intervals over {chosen['bootstrap_resamples']} resamples of patients"
        " within each class (fewer for more than 5,000 rows); those of proportions are Wilson's."
    )
    return [
        Statement("evaluate.intervals", text, (f"{at}.bootstrap_resamples", f"{at}.interval"), (cite, "wilson1927"))
    ]


def _tests(run: StageRun, chosen: Mapping[str, Any], at: str) -> list[Statement]:
    found = []
    if known(run.results.get("permutation_p")) and "permutations" in chosen:
        text = (
            f"The AUC was compared with chance by {chosen['permutations']} permutations of the outcome over patients."
        )
        found.append(
            Statement(
                "evaluate.permutation",
                text,
                (f"{run.results_link}#permutation_p", f"{at}.permutations"),
                ("phipson2010",),
            )
        )
    return found


def _competitors(runs: list[StageRun]) -> list[Statement]:
    found, first = [], runs[0]
    names = list(dict.fromkeys(str(row["name"]) for run in runs for row in run.results.get("baselines") or []))
    if names:
        text = (
            f"The model was raced against trivial baselines on the same cases: {listed([label(name) for name in names])}. "
            "Differences in AUC have paired bootstrap intervals and DeLong's test, with patients as units."
        )
        source = (f"{first.results_link}#baselines",)
        found.append(Statement("evaluate.baselines", text, source, ("delong1988", "obuchowski1997")))
        clinical = [
            name for name in names if name in {"age", "sex", "age+sex", "volume", "grade", "idh", "all clinical"}
        ]
        if clinical:
            text = f"Competitors without texture were {listed([label(name) for name in clinical])}."
            found.append(Statement("evaluate.clinical-baselines", text, source, said=False))
    strata = list(dict.fromkeys(str(row["stratum"]) for run in runs for row in run.results.get("strata") or []))
    if strata:
        text = f"The AUC was also computed inside the values of {listed([label(name) for name in strata])}."
        found.append(Statement("evaluate.strata", text, (f"{first.results_link}#strata",)))
    pooled = [run for run in runs if run.results.get("sites_pooled")]
    if pooled:
        text = "AUCs of single sites were pooled on the logit scale by random effects, with a prediction interval for one more site."
        found.append(Statement("evaluate.sites", text, (f"{pooled[0].results_link}#sites_pooled",), ("snell2018",)))
    again = [run for run in runs if run.results.get("reclassification")]
    if again:
        text = "Net reclassification against the strongest baseline was computed."
        found.append(
            Statement(
                "evaluate.reclassification", text, (f"{again[0].results_link}#reclassification",), ("pencina2008",)
            )
        )
    return found


def _rule(run: StageRun, chosen: Mapping[str, Any], at: str) -> list[Statement]:
    if not run.results.get("verdict") or "alpha" not in chosen:
        return []
    text = (
        "The verdict followed a rule fixed in the program beforehand: undetermined with fewer than "
        f"{chosen['min_per_class']} cases of a class; above chance only with a permutation p below {chosen['alpha']:g} and an interval above 0.5; "
        "beating the baselines only where the interval of the difference lies above zero for every baseline that counts."
    )
    return [Statement("evaluate.rule", text, (f"{at}.alpha", f"{at}.min_per_class"))]
