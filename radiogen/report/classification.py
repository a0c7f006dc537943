"""The report of one classifier: the verdict first, then everything it rests on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np
import pandas as pd

from radiogen.evaluate.verdict import judged_auc, judged_baselines
from radiogen.report.figures import (
    calibration_caption,
    calibration_figure,
    decision_figure,
    distribution_figure,
    importance_figure,
    roc_figure,
)
from radiogen.report.forests import MOST_ROWS, race_figures, strata_figure
from radiogen.report.more_figures import precision_recall_figure
from radiogen.report.numbers import numbers_table
from radiogen.report.page import Figure, Section, Table, write_page
from radiogen.report.paragraph import results_paragraph
from radiogen.report.reporting import sections_of_run
from radiogen.report.usefulness import call_sections, chance_sections, reclassification_sections, site_sections
from radiogen.report.words import (
    DASH,
    baseline_meaning,
    count,
    interval,
    known,
    label,
    number,
    p_value,
    rule_of,
    target_words,
)

SCORES_FILE = "scores.csv"
"""One row per case of a classifier's folder: what the curves are drawn from."""

_MOST_FEATURES_LISTED = 50
_HELD_OUT = {
    "site-held-out": "Every case was predicted by models that never saw its patient or its site.",
    "grouped-kfold": "Every case was predicted by models that never saw its patient.",
    "external": "The cases are named as a test set of their own.",
    "unknown": "The table does not say whether the model had seen these cases in training; if it had, the numbers are too good.",
}


def write_classification_report(
    path: str | Path,
    metrics: Mapping[str, Any],
    scores: pd.DataFrame,
    *,
    importance: pd.DataFrame | None = None,
    explained: Sequence[Section] = (),
    provenance: Mapping[str, Any] | None = None,
    synthetic: bool = False,
) -> None:
    """Write the report of one classifier as one self-contained HTML page, atomically.

    Args:
        path: the page.
        metrics: of `evaluate.audit.evaluate_predictions`; whatever optional key is missing is shown as unknown or left out.
        scores: one row per case: `y_true, y_prob`, optionally `patient`, and one column `baseline:<name>` per baseline.
        importance: one row per feature: `feature, importance`, optionally `branch, selected_share, coefficient_mean, coefficient_sd`.
        explained: sections on what the model looks at, where it has no features.
        provenance: settings and input hashes for the page's foot; the verdict's rule is printed with its numbers where the settings name them.
        synthetic: the patients are made up.

    Raises:
        OutputError: the page cannot be written.
    """
    words = target_words(str(metrics.get("target", "")))
    sections = [
        *_notes(metrics, urgent=True),
        *key_sections(metrics, scores, importance),
        *_all_features(importance),
        *explained,
        *reclassification_sections(metrics),
        *call_sections(metrics),
        _numbers(metrics),
        *_paragraph(metrics),
        *_notes(metrics, urgent=False),
        _rule(metrics, rule_of(provenance)),
        *sections_of_run(path, metrics, provenance),
    ]
    write_page(
        path,
        words.name,
        sections,
        lead=str(metrics.get("verdict_text") or "No verdict was reached."),
        status=str(metrics.get("verdict") or "undetermined"),
        provenance=provenance,
        synthetic=synthetic or bool(metrics.get("synthetic")),
    )


def key_sections(
    metrics: Mapping[str, Any], scores: pd.DataFrame, importance: pd.DataFrame | None = None
) -> list[Section]:
    """Return what a verdict rests on, in the order in which it is read: ranking, the race, probabilities, strata, sites, chance, features.

    Args:
        metrics: of `evaluate.audit.evaluate_predictions`.
        scores: as for `write_classification_report`.
        importance: the same.
    """
    ranked, *worth = _curves(metrics, scores)
    return [
        ranked,
        _race(metrics),
        *worth,
        _strata(metrics),
        *site_sections(metrics),
        *chance_sections(metrics),
        *_features(importance),
    ]


def _notes(metrics: Mapping[str, Any], *, urgent: bool) -> list[Section]:
    notes = [str(note) for note in metrics.get("notes") or []]
    chosen = [note for note in notes if note.startswith("LEAKAGE") == urgent]
    if not chosen:
        return []
    return [
        Section("A problem that undermines these numbers" if urgent else "What else must be known to read this", chosen)
    ]


def _paragraph(metrics: Mapping[str, Any]) -> list[Section]:
    text = results_paragraph(metrics)
    return [Section("The results in one paragraph, to paste", [text])] if text else []


def _race(metrics: Mapping[str, Any]) -> Section:
    rows = judged_baselines(metrics)
    text = [
        "Does the model know more than facts that need no model? Each baseline below is a trivial competitor, scored on the same cases; "
        "patients are resampled together, so the difference has its own interval. The model is ahead only where that whole interval lies above zero."
    ]
    if metrics.get("verdict_auc") == "within-split":
        text.append("Only cases of the same test split are compared: the model's and the baselines' alike.")
    if not rows:
        return Section(
            "The race against trivial baselines",
            [
                "There was no clinical fact and no site to race against, so nothing here shows that the model is more than a stand-in for them."
            ],
        )
    auc_forest, lead_forest = race_figures(metrics)
    hollow = (
        " Hollow: it does not count in the verdict (known for too few cases, or the same for all cases of a split)."
        if any(not row.get("counts", True) for row in rows)
        else ""
    )
    return Section(
        "The race against trivial baselines",
        text,
        figures=[
            Figure(auc_forest, f"AUC with 95 % intervals.{hollow}", alt=_race_alt(metrics, rows)),
            Figure(
                lead_forest,
                "The model's lead over each baseline with 95 % intervals. Blue: the model is ahead; orange: it is behind; "
                "grey: no difference shown, or the baseline does not count.",
                alt="; ".join(
                    f"lead over {label(str(row['name']))} {number(row.get('delta'))}, {interval(row.get('delta_ci'))}"
                    for row in rows
                ),
            ),
        ],
        tables=[
            Table(
                _race_table(rows),
                "Every baseline, the model on the same cases, and the paired difference, with 95 % intervals.",
            ),
            Table(_meaning_table(rows), "What each baseline is."),
        ],
    )


def _race_alt(metrics: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> str:
    area, ends = judged_auc(metrics)
    parts = [f"model {number(area)}, {interval(ends)}"]
    parts += [f"{label(str(row['name']))} {number(row.get('auc'))}, {interval(row.get('auc_ci'))}" for row in rows]
    return "AUC with interval: " + "; ".join(parts)


def _race_table(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                "baseline": label(str(row["name"])),
                "n": row.get("n"),
                "AUC": number(row.get("auc")),
                "AUC, interval": interval(row.get("auc_ci")),
                "model on the same cases": number(_model_auc(row)),
                "model minus baseline": number(row.get("delta"), signed=True),
                "difference, interval": interval(row.get("delta_ci"), signed=True),
                "p": p_value(row["within_p"] if "within_p" in row else row.get("delong_p")),
            }
            for row in rows
        ]
    )


def _model_auc(row: Mapping[str, Any]) -> float | None:
    if "within_auc" in row and known(row.get("auc")) and known(row.get("delta")):
        return float(row["auc"] + row["delta"])
    return row.get("model_auc")


def _meaning_table(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                "baseline": label(str(row["name"])),
                "what it knows": baseline_meaning(str(row["name"])) or DASH,
                "how it was scored": str(row.get("how") or DASH),
            }
            for row in rows
        ]
    )


def _numbers(metrics: Mapping[str, Any]) -> Section:
    split = str(metrics.get("split", "unknown"))
    return Section("The numbers", tables=[Table(numbers_table(metrics), _HELD_OUT.get(split, _HELD_OUT["unknown"]))])


def _strata(metrics: Mapping[str, Any]) -> Section:
    title = "Inside grade, IDH, site, age and sex"
    rows = list(metrics.get("strata") or [])
    if not rows:
        return Section(
            title,
            [
                "No grade, IDH status, age, sex or second site is known, so the AUC could not be looked at inside strata."
            ],
        )
    text = [
        "A model can reach a high AUC only by telling grades, IDH or hospitals apart. Inside one stratum that help is gone: "
        "what is left there is what the model knows itself."
    ]
    figure = strata_figure(metrics)
    cut = f" The {MOST_ROWS} largest of {len(rows)} strata are drawn." if len(rows) > MOST_ROWS else ""
    table = pd.DataFrame(
        [
            {
                "stratum": label(str(row.get("stratum", ""))),
                "value": str(row.get("value", "")),
                "n": row.get("n"),
                "positive": row.get("n_positive"),
                "AUC": number(row.get("auc")),
                "95 % interval": interval(row.get("auc_ci"))
                if known(row.get("auc"))
                else str(row.get("note") or "too few"),
            }
            for row in rows
        ]
    )
    figures = (
        [
            Figure(
                figure, f"AUC with 95 % intervals inside each stratum; dotted: over all cases; + counts positives.{cut}"
            )
        ]
        if figure
        else []
    )
    return Section(
        title,
        text,
        figures=figures,
        tables=[Table(table, "AUC inside strata; too few: fewer cases of a class than are needed.")],
    )


def _curves(metrics: Mapping[str, Any], scores: pd.DataFrame) -> list[Section]:
    y = scores["y_true"].to_numpy()
    if len(scores) == 0 or len(np.unique(y)) < 2:
        return [Section("Curves", ["All cases belong to one class, so there is no curve to draw."])]
    threshold = f" Dotted: the threshold {number(metrics['threshold'], 2)}." if known(metrics.get("threshold")) else ""
    shown = [
        Figure(
            roc_figure(metrics, scores),
            "ROC curves of the model, with a pointwise 95 % band over resampled patients, "
            "and of the strongest baselines on the cases where they are known.",
            alt=f"ROC curve of the model: AUC {number(metrics.get('auc'))}, 95 % interval {interval(metrics.get('auc_ci'))}",
        ),
        Figure(
            precision_recall_figure(metrics, scores),
            "Precision and recall with a pointwise 95 % band over resampled patients; chance is the share of positives.",
        ),
        Figure(distribution_figure(metrics, scores), f"Scores of each class; the black line is the median.{threshold}"),
    ]
    sections = [Section("How well cases are ranked", figures=shown)]
    if known(metrics.get("brier")):
        sections.append(
            Section(
                "What the probabilities are worth",
                figures=[
                    Figure(
                        calibration_figure(metrics, scores),
                        "Calibration: bins of equally many cases with 95 % Wilson intervals, and, where there are enough cases, a smooth curve "
                        f"with its 95 % band; {calibration_caption(metrics)}",
                    ),
                    Figure(
                        decision_figure(metrics, scores),
                        "Net benefit with a 95 % band over resampled patients: the model is of use where its curve lies above both others.",
                    ),
                ],
            )
        )
    return sections


def _features(importance: pd.DataFrame | None) -> list[Section]:
    if not _is_importance(importance):
        return []
    figure = importance_figure(importance)
    if figure is None:
        return [
            Section(
                "What the model uses", ["No feature was used in any fold: the model predicts the same for everybody."]
            )
        ]
    text = [
        f"{count(int((importance['importance'] > 0).sum()), 'feature was', 'features were')} used in at least one of the outer folds. "
        "A feature that is picked in few folds is not to be trusted as a finding: "
        "correlated features stand in for one another."
    ]
    caption = "Features by their mean share of the models' total weight over the outer folds; at the right, the share of folds that used each."
    if "coefficient_mean" in importance:
        caption += " Blue: more of it speaks for the positive class; orange: against it; grey: not linear."
    return [Section("What the model uses", text, figures=[Figure(figure, caption)])]


def _all_features(importance: pd.DataFrame | None) -> list[Section]:
    if not _is_importance(importance) or not (importance["importance"] > 0).any():
        return []
    columns = {
        "feature": "feature", "branch": "branch", "importance": "share of weight", "selected_share": "share of folds",
        "coefficient_mean": "coefficient, mean", "coefficient_sd": "coefficient, SD over folds", "gain_mean": "gain, mean",
    }  # fmt: skip
    used = importance[importance["importance"] > 0].sort_values(
        ["importance", "feature"], ascending=[False, True], kind="stable"
    )
    shown = used[[name for name in columns if name in used.columns]].head(_MOST_FEATURES_LISTED).rename(columns=columns)
    table = Table(shown.reset_index(drop=True), f"The {len(shown)} weightiest features.")
    return [Section("All features in numbers", tables=[table], folded=True)]


def _is_importance(importance: pd.DataFrame | None) -> TypeGuard[pd.DataFrame]:
    return importance is not None and not importance.empty and {"feature", "importance"} <= set(importance.columns)


def _rule(metrics: Mapping[str, Any], rule: Mapping[str, Any]) -> Section:
    few = f"fewer than {rule['min_per_class']}" if "min_per_class" in rule else "too few"
    useful = f" ({rule['useful_auc']:g})" if "useful_auc" in rule else ""
    alpha = f" (p below {rule['alpha']:g})" if "alpha" in rule else ""
    text = [
        "The rule is the same for every model and was fixed before any result was seen:",
        "0. Where the table names its test splits, only cases of the same split are compared, for the model and for every baseline: scores of "
        "different models are not comparable. For one external test set all cases are compared.",
        f"1. With {few} cases of either class the verdict is 'undetermined'.",
        f"2. The model must beat chance: shuffled labels do as well only rarely{alpha}, and the AUC's interval lies above 0.5. "
        "Where it does not, the verdict is "
        f"'no better than chance' if the interval also excludes a useful AUC{useful}, and 'undetermined' "
        "if it does not: a small study that shows nothing proves nothing.",
        "3. Above chance, the verdict is 'beats the baselines' only where the paired interval of model minus baseline lies above zero "
        "for every baseline known for enough cases and not the same for all cases of a split; otherwise it is 'no better than the baselines'. "
        "With nothing to race against it is 'undetermined'.",
    ]
    if metrics.get("verdict_reason"):
        text.append(f"Here: {metrics['verdict_reason']}.")
    return Section("How the verdict is reached", text, folded=True)
