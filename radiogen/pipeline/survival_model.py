"""From features and follow-up to cross-validated risks, what they are worth, and the survival report of their risk groups."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from radiogen.cohort.identifiers import matching_cases
from radiogen.config.survival import SurvivalSettings
from radiogen.config.survival_model import SurvivalModelSettings
from radiogen.errors import InputError
from radiogen.evaluate.survival import survival_analysis
from radiogen.evaluate.survival_input import FollowUp, read_follow_up
from radiogen.evaluate.survival_models import covariate_columns
from radiogen.evaluate.survival_risk import judge_risks, usable_horizons
from radiogen.fusion.survival_bundle import FILES, GROUPS, fit_risk_bundle, save_risk_model
from radiogen.fusion.survival_nested import IMAGE, cross_validate_risk, survival_table
from radiogen.pipeline.classify import table_hash
from radiogen.report.reporting import write_reporting
from radiogen.report.style import save_png, svg
from radiogen.report.survival import survival_figures, write_survival_report
from radiogen.report.survival_model import risk_model_figures, risk_model_sections
from radiogen.run.atomic import write_csv, write_json, write_text
from radiogen.run.provenance import Provenance

log = logging.getLogger(__name__)

RISK_GROUP = "risk_group"
"""Column of the groups that the model makes."""


def run_survival_model(
    table: pd.DataFrame,
    features: Mapping[str, pd.DataFrame],
    out: Path,
    settings: SurvivalSettings,
    *,
    feature_settings: Mapping[str, Any] | None = None,
    jobs: int = 1,
    progress: bool = False,
    synthetic: bool = False,
) -> dict[str, Any]:
    """Write `risk_predictions.csv`, `survival.json`, `km_table.csv`, `at_risk.csv`, figures (PNG and SVG), `report.html` and `model/`.

    The model in `model/` is fitted on all patients with the recipe that was tested; `radiogen predict` applies it.

    Args:
        table: a cohort table, or any table that `read_survival_table` returns.
        features: branch name -> table indexed by case.
        out: folder for the outputs.
        settings: how follow-up is read; landmarks, covariates of the Cox models; `risk`: model, splits, horizons.
        feature_settings: branch -> settings with which its features were made; kept in the model's card.
        jobs: folds worked on at the same time; the result does not depend on it.
        progress: show a progress bar.
        synthetic: the patients are made up; numbers and page say so.

    Returns:
        The content of `survival.json`: that of `evaluate.survival` for the two risk groups, and `risk_model`.

    Raises:
        CohortError: the follow-up cannot be used.
        InputError: features and follow-up share no case, no horizon can be judged, or there are too few deaths for the folds.
    """
    out, model = Path(out), settings.risk
    follow_up = read_follow_up(table, settings)
    if follow_up.entry is not None:
        raise InputError(
            f"{follow_up.facts['n_late']} patient(s) enter late ('{follow_up.facts['entry_column']}'); risk models and their scores do not take"
            " late entries.",
            hint="Leave these patients or the column out; --group-by honours late entries.",
        )
    clinical = covariate_columns(follow_up.table, model.clinical)
    named = with_follow_up_ids(features, list(map(str, follow_up.table.index)))
    joined = survival_table(named, clinical, follow_up.days, follow_up.died, follow_up.table)
    horizons, notes = usable_horizons(joined.days, joined.died, model)
    if not len(horizons):
        raise InputError("No horizon can be judged.", problems=notes, hint="Choose earlier ones (horizons_months).")
    made_with = {"synthetic": synthetic, "features": dict(feature_settings or {})}
    chosen = {**settings.model_dump(mode="json"), **made_with}
    inputs = {"features": table_hash(joined.features), "follow_up": table_hash(follow_up.table.astype(str))}
    provenance = Provenance("survival-model", chosen, inputs)
    main = out / "survival.json"
    figure_paths = [out / f"{stem}.{kind}" for stem in ("kaplan_meier", "risk_model") for kind in ("png", "svg")]
    outputs = [
        main,
        *(out / name for name in ("risk_predictions.csv", "km_table.csv", "at_risk.csv", "report.html")),
        *figure_paths,
        *(out / "model" / name for name in FILES),
    ]
    if provenance.is_current(outputs):
        log.info("survival model: unchanged, kept")
        write_reporting(out)
        return dict(json.loads(main.read_text(encoding="utf-8")))
    risks, scheme = cross_validate_risk(joined, model, horizons, jobs=jobs, progress=progress)
    judged = judge_risks(risks, joined.clinical, horizons, model)
    judged |= {
        "kind": model.model,
        "split": scheme,
        "n_features": joined.features.shape[1],
        "notes": [*notes, *joined.notes],
    }
    grouped = _with_groups(follow_up, risks)
    result = survival_analysis(grouped, _grouped(settings))
    metrics = {**result.metrics, "synthetic": synthetic, "risk_model": judged, "input": follow_up.facts}
    told = len(read_follow_up(grouped, _grouped(settings)).notes)  # of the table that was made for the groups
    metrics["notes"] = [_group_note(model, scheme), *follow_up.notes, *result.metrics["notes"][told:]]
    metrics["summary"] = f"{judged['sentence']} {metrics['summary']}"
    result.metrics.update(metrics)
    write_csv(out / "risk_predictions.csv", risks, index=False)
    write_json(main, metrics)
    write_csv(out / "km_table.csv", result.km_table, index=False)
    write_csv(out / "at_risk.csv", result.at_risk, index=False)
    figures = {"kaplan_meier": survival_figures(result)["kaplan_meier"], "risk_model": risk_model_figures(judged)}
    for stem, figure in figures.items():
        save_png(figure, out / f"{stem}.png")
        write_text(out / f"{stem}.svg", svg(figure))
    foot = {"settings": chosen, "inputs": inputs}
    write_survival_report(
        out / "report.html", result, first=risk_model_sections(judged), provenance=foot, synthetic=synthetic
    )
    salt = provenance.fingerprint
    bundle = fit_risk_bundle(
        joined, model, horizons, judged, salt=salt, feature_settings=feature_settings, synthetic=synthetic
    )
    save_risk_model(out / "model", bundle)
    provenance.record(outputs)
    write_reporting(out)
    return metrics


def with_follow_up_ids(features: Mapping[str, pd.DataFrame], cases: Sequence[str]) -> dict[str, pd.DataFrame]:
    """Return feature tables under the case ids of the follow-up table: by the same id, the same scan, or else the same patient.

    Args:
        features: branch name -> table indexed by case, in any known spelling.
        cases: ids of the follow-up table.

    Returns:
        The same tables; rows that match no case are left out, and of several rows of one case the first by id is kept.

    Example:
        >>> table = pd.DataFrame({"x": [1.0]}, index=["UCSF-PDGM-0004_nifti"])
        >>> with_follow_up_ids({"radiomics": table}, ["UCSF-PDGM-004"])["radiomics"].index.tolist()
        ['UCSF-PDGM-004']
    """
    known, named = set(cases), {}
    for branch, table in features.items():
        ids = [str(case) for case in table.index]
        own = [case if case in known else match for case, match in zip(ids, matching_cases(ids, cases), strict=True)]
        renamed = table.set_axis(pd.Index(own, dtype=object, name="case")).assign(**{" id": ids})
        renamed = renamed[renamed.index.notna()].sort_values(" id", kind="stable").drop(columns=" id")
        named[branch] = renamed[~renamed.index.duplicated()]
    return named


def _with_groups(follow_up: FollowUp, risks: pd.DataFrame) -> pd.DataFrame:
    """Return the follow-up table with the risk group by the image model: high where most repeats said so."""
    image = risks[risks["model"] == IMAGE]
    high = image.groupby("case")["high"].mean() >= 0.5
    table = follow_up.table.loc[follow_up.table.index.isin(high.index)]
    group = high.loc[table.index].astype(int).map(dict(enumerate(GROUPS)))
    return table.drop(columns=["days", "died"]).assign(
        os_days=table["days"], os_event=table["died"].astype(float), **{RISK_GROUP: group}
    )


def _grouped(settings: SurvivalSettings) -> SurvivalSettings:
    read = {"group_by": RISK_GROUP, "cut": None, "where": (), "time_column": "os_days", "event_column": "os_event",
            "time_unit": "days", "died_value": None}  # fmt: skip
    return settings.model_copy(update=read)


def _group_note(model: SurvivalModelSettings, scheme: str) -> str:
    how = {"median": "the median", "best": "the cut that separates best"}[model.cut]
    held = "whole sites" if scheme == "site-held-out" else "patients"
    return (
        f"Groups: out-of-fold risk of the model {model.model}, {held} held out; the cut is {how} of the training side's inner"
        " out-of-fold risks, so no patient took part in setting the cut that grouped it."
    )
