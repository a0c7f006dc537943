"""What a leak linter says: findings with a severity, a place, a reason and a remedy."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

MOST_NAMED = 8
"""Ids and columns that a finding names; the rest is counted."""


class Severity(StrEnum):
    """How sure the linter is: what cannot be honest, what an honest study seldom has, and what a reader should know."""

    LEAK = "leak"
    SUSPICIOUS = "suspicious"
    NOTE = "note"


_ORDER = {Severity.LEAK: 0, Severity.SUSPICIOUS: 1, Severity.NOTE: 2}


@dataclass(frozen=True, order=True)
class Finding:
    """One thing that a linter found.

    Args:
        severity: `leak`, `suspicious` or `note`.
        check: short name of the check.
        where: file and line, or file and column.
        what: what was found, with numbers and ids.
        why: why it matters.
        fix: what to do.
    """

    severity: Severity
    check: str
    where: str
    what: str
    why: str
    fix: str


ADVICE: dict[str, tuple[str, str]] = {
    "patient-on-both-sides": (
        "A model that has seen a patient's other slice or visit recognises the patient, not the marker.",
        "Split patients, not rows: GroupKFold with the patient id as group, or `radiogen classify`, which always does.",
    ),
    "case-on-both-sides": (
        "A case that is in training and test is remembered, not predicted.",
        "Draw the split again, and check that train and test are disjoint.",
    ),
    "seen-in-training": (
        "These cases were in the training of the model that predicts them: the numbers say how well it remembers.",
        "Leave them out of the evaluation, or use predictions of models that were trained without them.",
    ),
    "identical-rows": (
        "Two rows with the same features are one scan under two names, or a copying error; on both sides of a split one gives the other away.",
        "Find out which id is right; give both the same patient, or drop one.",
    ),
    "nearly-identical-rows": (
        "Rows that differ by rounding alone are most likely one patient scanned or processed twice.",
        "Compare the images; give both rows the same patient, or drop one.",
    ),
    "label-in-features": (
        "A column that holds the answer makes any model look perfect, and is not there for a new patient.",
        "Leave the column out of the features.",
    ),
    "outcome-in-features": (
        "Outcome and pathology are known after the scan; a model that uses them cannot be used when it is needed.",
        "Leave the column out of the features.",
    ),
    "too-good-feature": (
        "One feature seldom tells a molecular marker this well; most often such a column was derived from the label.",
        "Find out how the column was made, and when in the patient's course it becomes known.",
    ),
    "missing-tells-label": (
        "Where values are missing depends on the class, so a model can learn who was measured instead of what was measured.",
        "Find out why; impute without an indicator, or leave the column out, and compare.",
    ),
    "order-tells-label": (
        "Rows or ids are in the order of the label: an unshuffled split is lopsided, and a row number among the features is the label.",
        "Shuffle before splitting, stratify the folds, and keep row numbers and ids out of the features.",
    ),
    "site-tells-label": (
        "The hospital alone gives the class, so anything that betrays the scanner looks like a marker.",
        "Add cases of the other class from each site, evaluate inside sites, and race against the site as a baseline (`radiogen audit`).",
    ),
    "folds-differ-between-models": (
        "Models that were tested in different folds cannot be compared case by case, and the lucky draw may have been kept.",
        "Freeze one split file, and use it for every model.",
    ),
    "in-sample-predictions": (
        "The same probability in every repeat, although folds changed, means that one model predicted everything: training cases among them.",
        "Predict each case with the models of the folds in which it was not in training.",
    ),
    "training-rows": (
        "Predictions of training rows say how well a model remembers; mixed with test rows they lift every metric.",
        "Keep the test rows only.",
    ),
    "too-good-predictions": (
        "A perfect prediction of a molecular marker is most often a leak.",
        "Look for the label, or something made from it, among the features; look for the test cases in training.",
    ),
    "recorded-leak": (
        "The evaluation of this study itself recorded a leak.",
        "Split patients, and evaluate again.",
    ),
    "no-folds": (
        "A probability without its fold cannot be checked for honesty.",
        "Write the fold of every row into a column `split`.",
    ),
    "selection-outside-fold": (
        "Features chosen with the test rows' labels in view fit their noise: pure noise then reaches an AUC above 0.8.",
        "Put the selection into a Pipeline, and give the whole pipeline to the cross-validation.",
    ),
    "scaling-outside-fold": (
        "Statistics of test rows reach the training step; the gain is often small, and the claim that test rows were unseen is not true.",
        "Put the scaler into a Pipeline, fitted on training rows alone.",
    ),
    "imputation-outside-fold": (
        "Filled-in training values are made from test rows.",
        "Put the imputer into a Pipeline, fitted on training rows alone.",
    ),
    "harmonisation-outside-fold": (
        "ComBat fitted on all rows moves training rows by what test rows are; with the label as a covariate it writes the label into the data.",
        "Fit it on the training rows of each fold (`radiogen classify --harmonise combat` does), never with the label as a covariate.",
    ),
    "oversampling-outside-fold": (
        "Copies and mixtures of a case land on both sides of the split: the test set is made of training rows.",
        "Oversample the training rows inside each fold (imblearn's Pipeline), or use class weights.",
    ),
    "reduction-outside-fold": (
        "Components and auto-encoders fitted on all rows know the test rows; supervised ones know their labels.",
        "Fit them on the training rows of each fold, as a step of a Pipeline.",
    ),
    "early-stopping-on-test": (
        "The number of rounds is chosen to suit the test rows, so the test is no test any more.",
        "Stop on a validation part cut out of the training rows.",
    ),
    "fitted-on-test": (
        "A step that is fitted on test rows has seen what it is tested on.",
        "Call fit on training rows, and only transform or predict on test rows.",
    ),
    "model-fitted-on-everything": (
        "A model fitted on all rows is scored on rows that it has seen.",
        "Fit on the training rows of each fold, and score on the others.",
    ),
    "unknown-step-outside-fold": (
        "The linter does not know this step; if it learns from rows, it has seen the test rows.",
        "If it learns anything in fit, put it into a Pipeline inside the fold.",
    ),
    "best-score-reported": (
        "The best score of a search is the largest of many noisy numbers, so it is too high.",
        "Put the search inside an outer cross-validation (nested), and report the outer score.",
    ),
    "rows-split-not-patients": (
        "The file speaks of slices, patches or visits and splits rows: parts of one patient may land on both sides.",
        "Use GroupKFold, StratifiedGroupKFold or GroupShuffleSplit with the patient id.",
    ),
    "no-split-here": (
        "A step that learns from all rows is a leak if its output is split afterwards.",
        "If another file splits this output, move the step into the fold.",
    ),
    "noise-is-predicted": (
        "Labels were drawn at random, independent of the features: an honest pipeline cannot tell them.",
        "Look for a step that sees all rows or the labels of test rows before the split.",
    ),
    "copies-are-predicted": (
        "Each made-up patient had two equal rows with random labels: only rows of one patient on both sides can lift the AUC.",
        "Split by the groups that the pipeline is given.",
    ),
    "no-groups": (
        "Without patient ids a pipeline cannot keep the scans of one patient together.",
        "Let it take `groups`, and split by them.",
    ),
    "test-rows-change-others": (
        "The prediction of one case depends on which other cases are tested with it: a statistic of the test rows is used.",
        "Learn every statistic in fit, from training rows; predict row by row.",
    ),
    "test-labels-change-predictions": (
        "Predictions change when nothing but the labels of the test rows is changed: they reach the model.",
        "Give the training step the training rows' labels only.",
    ),
    "not-reproducible": (
        "What cannot be repeated cannot be checked.",
        "Set every seed.",
    ),
    "remembers-rows": (
        "It predicts a copy of a training row almost surely: with one patient on both sides it would look excellent.",
        "Nothing is wrong by itself; split by patients.",
    ),
}  # fmt: skip
"""Check -> why it matters and what to do."""


def finding(severity: Severity, check: str, where: str, what: str) -> Finding:
    """Return a finding with the advice of its check.

    Args:
        severity: how sure.
        check: a key of `ADVICE`.
        where: file and line, or file and column.
        what: what was found.

    Example:
        >>> finding(Severity.NOTE, "no-folds", "predictions.csv", "No column names the folds.").fix
        'Write the fold of every row into a column `split`.'
    """
    why, fix = ADVICE[check]
    return Finding(severity, check, where, what, why, fix)


def in_order(findings: Iterable[Finding]) -> list[Finding]:
    """Return findings without doubles, the worst first, then by place and check."""
    return sorted(set(findings), key=lambda one: (_ORDER[one.severity], one.where, one.check, one.what))


def named(names: Sequence[object]) -> str:
    """Return names with commas, at most eight of them.

    Example:
        >>> named(["a", "b"]), named(range(10))
        ('a, b', '0, 1, 2, 3, 4, 5, 6, 7 and 2 more')
    """
    shown = ", ".join(str(name) for name in names[:MOST_NAMED])
    return shown + (f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else "")


def as_json(findings: Sequence[Finding], checked: Sequence[str]) -> dict[str, Any]:
    """Return the JSON-able content of lint.json.

    Args:
        findings: in the order of `in_order`.
        checked: what was looked at, in plain words.
    """
    counts = Counter(one.severity for one in findings)
    return {
        "verdict": "leak" if counts[Severity.LEAK] else "no leak found",
        "counts": {severity.value: counts[severity] for severity in Severity},
        "checked": list(checked),
        "findings": [asdict(one) | {"severity": one.severity.value} for one in findings],
    }


def as_text(findings: Sequence[Finding], checked: Sequence[str]) -> str:
    """Return findings as text for people.

    Args:
        findings: in the order of `in_order`.
        checked: what was looked at, in plain words.

    Example:
        >>> print(as_text([], ["predictions.csv: 60 predictions"]))
        checked: predictions.csv: 60 predictions
        No leak found. That is no proof: only what was looked at can be said.
    """
    lines = [f"checked: {one}" for one in checked]
    for one in findings:
        lines += [
            f"{one.severity.value.upper()} {one.where} [{one.check}]",
            f"  {one.what}",
            f"  why: {one.why}",
            f"  fix: {one.fix}",
        ]
    leaks = sum(one.severity == Severity.LEAK for one in findings)
    others = len(findings) - leaks
    if leaks:
        rest = f" and {others} further remark(s)" if others else ""
        lines.append(f"{leaks} leak(s){rest}: numbers from this cannot be trusted until they are mended.")
    else:
        more = f" {others} remark(s) to look at." if others else ""
        lines.append(f"No leak found.{more} That is no proof: only what was looked at can be said.")
    return "\n".join(lines)
