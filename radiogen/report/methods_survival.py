"""Methods text on survival: curves, comparison, Cox models, and the model of risk on features."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from radiogen.evaluate.survival_text import model_text
from radiogen.report.run_record import RunRecord, StageRun
from radiogen.report.statement import Statement, listed
from radiogen.report.words import count, label, number

_RISK_MODELS: dict[str, tuple[str, tuple[str, ...]]] = {
    "cox-elastic-net": ("Cox regression with an elastic-net penalty", ("cox1972", "simon2011")),
    "boosted-cox": ("gradient-boosted trees on the Cox partial likelihood", ("cox1972", "xgboost")),
    "log-rank-forest": ("a random forest on log-rank scores", ("breiman2001",)),
    "cox-forest": ("bagged trees on the Cox partial likelihood", ("cox1972", "breiman2001")),
}


def survival_statements(record: RunRecord) -> list[Statement]:
    """Return the statements on survival.

    Args:
        record: of a folder.
    """
    found = [_group(run) for run in record.survival]
    for run in record.survival:
        if run.results.get("risk_model"):
            found += _risk_model(run, run.results["risk_model"])
    if record.survival:
        found += _common(record.survival)
    return found


def _group(run: StageRun) -> Statement:
    found = run.results
    by = str(found.get("group_title") or label(str(found.get("group_by") or ""))).replace("_", " ")
    where = listed([str(condition) for condition in run.settings.get("where") or []])
    whom = f"{count(int(found['n']), 'patient')} with {found['n_events']} deaths{f' (only {where})' if where else ''}"
    time = found["input"]
    text = (
        f"Overall survival{f' by {by}' if by else ''} was analysed in {whom}; follow-up was read from the column {time['time_column']}, in "
        f"{time['time_unit']}."
    )
    cut = run.settings.get("cut")
    if cut:
        how = {
            "median": "at its median",
            "best": "where it separates best, with a p value corrected for that search",
        }.get(str(cut), f"at {cut}")
        text += f" The number was cut {how}."
    if time.get("n_late"):
        text += f" Patients came under observation at the time in the column {time['entry_column']} (left truncation)."
    if run.settings.get("from_months"):
        text += f" Time was counted from a landmark at {run.settings['from_months']:g} months."
    return Statement(
        "survival.groups",
        text,
        (f"{run.results_link}#n", f"{run.link}#settings"),
        ("lausen1992",) if cut == "best" else (),
    )


def _common(runs: tuple[StageRun, ...]) -> list[Statement]:
    run = runs[0]
    where = run.results_link
    text = "Survival was estimated by Kaplan and Meier's method with log-log intervals, follow-up by its reverse, with lifelines."
    found = [
        Statement("survival.curves", text, (where,), ("kaplan1958", "brookmeyer1982", "schemper1996", "lifelines"))
    ]
    tested = _with(runs, "log_rank")
    if tested:
        found.append(
            Statement(
                "survival.log-rank",
                "Groups were compared by the log-rank test.",
                (f"{tested.results_link}#log_rank",),
                ("mantel1966",),
            )
        )
    for key, text in (
        ("log_rank_stratified", "Groups were also compared inside strata (stratified log-rank test)."),
        ("log_rank_weighted", "A weighted log-rank test stood beside it."),
    ):
        other = _with(runs, key)
        if other:
            found.append(Statement(f"survival.{key.replace('_', '-')}", text, (f"{other.results_link}#{key}",)))
    means = _with(runs, "restricted_mean")
    if means:
        days = means.results["restricted_mean"].get("horizon_days")
        until = f" up to {number(float(days), 0)} days" if days else ""
        text = f"Restricted mean survival{until} was computed."
        found.append(
            Statement("survival.restricted-mean", text, (f"{means.results_link}#restricted_mean",), ("royston2013",))
        )
    cox = _with(runs, "cox")
    return [*found, *(_cox(cox) if cox else [])]


def _with(runs: tuple[StageRun, ...], key: str) -> StageRun | None:
    return next((run for run in runs if run.results.get(key)), None)


def _cox(run: StageRun) -> list[Statement]:
    cox = run.results["cox"]
    rows = cox.get("univariable") or []
    if not rows:
        return []
    names = list(dict.fromkeys(str(row["covariate"]).replace("_", " ") for row in rows))
    both = "alone and together" if cox.get("multivariable") else "alone"
    text = (
        f"Cox models (Efron's ties{_special(cox)}) took {listed(names)} {both}; proportional hazards were tested on scaled Schoenfeld residuals; "
        f"Harrell's C has bootstrap intervals ({run.settings.get('n_bootstrap')} resamples)."
    )
    source = (f"{run.results_link}#cox", f"{run.link}#settings.n_bootstrap")
    return [Statement("survival.cox", text, source, ("cox1972", "efron1977", "grambsch1994", "harrell1996"))]


def _special(cox: Mapping[str, Any]) -> str:
    return model_text({"strata": cox.get("strata"), "robust": cox.get("robust")}).replace(" (", "; ").rstrip(")")


def _risk_model(run: StageRun, judged: Mapping[str, Any]) -> list[Statement]:
    chosen = run.settings.get("risk") or {}
    words, cites = _RISK_MODELS.get(str(judged.get("kind")), (f"the model {judged.get('kind')}", ()))
    if judged.get("split") == "site-held-out":
        held_out = "whole sites held out"
    else:
        held_out = f"{chosen.get('folds')} folds of patients drawn {chosen.get('repeats')} times"
    months = listed([f"{value:g}" for value in chosen.get("horizons_months", ())])
    text = (
        f"A model of the risk of death was fitted on {judged.get('n_features')} features by {words} and tested by nested cross-validation "
        f"({held_out}); horizons were {months} months."
    )
    found = [
        Statement(
            "survival.risk-model",
            text,
            (f"{run.results_link}#risk_model", f"{run.link}#settings.risk"),
            (*cites, "varma2006"),
        )
    ]
    text = "It was compared with clinical facts alone; risks were judged by C indices and by time-dependent scores weighted for censoring."
    found.append(Statement("survival.risk-scores", text, (f"{run.results_link}#risk_model",), ("uno2011", "graf1999")))
    return found
