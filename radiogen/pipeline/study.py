"""`radiogen run`: every stage in order over one study folder, and the report of all of it."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from radiogen.cohort.table import TARGET_COLUMNS, write_cohort
from radiogen.config.base import StageSettings
from radiogen.config.study import StudySettings
from radiogen.errors import CaseError, CohortError, InputError
from radiogen.fusion.join import check_target
from radiogen.pipeline.case_pages import run_case_pages
from radiogen.pipeline.classify import run_classify
from radiogen.pipeline.features import run_features
from radiogen.pipeline.inputs import card_settings, settings_of_branch
from radiogen.pipeline.preprocess import run_preprocess
from radiogen.pipeline.raw_cases import raw_cases_of_table
from radiogen.pipeline.segment import run_segment
from radiogen.pipeline.survival import run_survival
from radiogen.pipeline.survival_model import RISK_GROUP, run_survival_model
from radiogen.report.reporting import write_reporting
from radiogen.report.study import write_study_report
from radiogen.run.atomic import make_folder
from radiogen.run.quarantine import Failure

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class StudyOutcome:
    """What a study ended with.

    Args:
        report: the page to open.
        verdicts: target -> its metrics.
        survival: group column -> survival results.
        failures: quarantined cases.
        skipped: stage or target -> why it was left out.
    """

    report: Path
    verdicts: dict[str, dict[str, Any]]
    survival: dict[str, dict[str, Any]]
    failures: list[Failure]
    skipped: dict[str, str] = field(default_factory=dict)


def run_study(
    cohort: pd.DataFrame,
    study: Path,
    settings: StudySettings,
    *,
    jobs: int = 1,
    dask: str | None = None,
    progress: bool = False,
    synthetic: bool = False,
) -> StudyOutcome:
    """Run preprocessing where it is asked for, masks, features, classification, survival and the report over a cohort.

    What is already there and still true is skipped, so a run that was stopped at any moment continues, and ends with the same bytes.

    Args:
        cohort: as `read_cohort` returns it.
        study: output folder.
        settings: settings of every stage.
        jobs: cases worked on at the same time.
        dask: scheduler address of a Dask cluster to use instead.
        progress: show progress bars.
        synthetic: the patients are made up; every page says so.

    Raises:
        InputError: no case is left after segmentation, or a target that was asked for cannot be classified.
    """
    study = Path(study)
    _check(cohort, settings)
    make_folder(study)
    failures: list[Failure] = []
    if settings.preprocess:
        log.info("preprocess: %d cases", len(cohort))
        raw = raw_cases_of_table(cohort)
        made = run_preprocess(raw, study, settings.preprocessing, jobs=jobs, dask=dask, progress=progress)
        cohort, failures = made.cohort, made.failures
    log.info("segment: %d cases", len(cohort))
    segmented = run_segment(cohort, study, settings.segment, jobs=jobs, dask=dask, progress=progress)
    failures += segmented.failures
    if segmented.cohort.empty:
        raise CaseError("No case is left after segmentation.", hint=f"Reasons and fixes: {study / 'failed.csv'}")
    masked = segmented.cohort
    write_cohort(masked, study / "cohort.csv")

    tables: dict[str, pd.DataFrame] = {}
    for branch in settings.branches:
        log.info("features: %s", branch)
        stage_settings = _branch_settings(settings, branch)
        tables[branch], failed = run_features(
            branch, masked, study, stage_settings, jobs=jobs, dask=dask, progress=progress
        )
        failures += failed

    verdicts, skipped = _classify(tables, masked, study, settings, jobs=jobs, progress=progress, synthetic=synthetic)
    survival, no_survival = _survival(masked, study, settings, synthetic=synthetic)
    risk, no_risk = _risk(tables, masked, study, settings, jobs=jobs, progress=progress, synthetic=synthetic)
    survival, skipped = survival | risk, skipped | no_survival | no_risk
    if settings.case_pages:
        log.info("report: pages of %d cases", len(masked))
        _, unshown = run_case_pages(study, jobs=jobs, dask=dask, progress=progress, synthetic=synthetic)
        failures += unshown
    report = study / "report.html"
    write_study_report(report, study, skipped=skipped, synthetic=synthetic)
    write_reporting(study, skipped=skipped)
    return StudyOutcome(report, verdicts, survival, failures, skipped)


def _check(cohort: pd.DataFrame, settings: StudySettings) -> None:
    """Find out what cannot work before hours of work are spent."""
    for target in settings.targets or ():
        check_target(target)
    for branch in settings.branches:
        _branch_settings(settings, branch)
    unknown = [column for column in settings.survival_groups or () if column not in cohort.columns]
    if unknown:
        raise CohortError(f"The cohort has no column {', '.join(unknown)} to compare survival by.")


def _classify(
    tables: dict[str, pd.DataFrame],
    cohort: pd.DataFrame,
    study: Path,
    settings: StudySettings,
    *,
    jobs: int,
    progress: bool,
    synthetic: bool,
) -> tuple[dict[str, dict[str, Any]], dict[str, str]]:
    verdicts: dict[str, dict[str, Any]] = {}
    skipped: dict[str, str] = {}
    for target in settings.targets or TARGET_COLUMNS:
        reason = "" if settings.targets else _too_few(cohort, target, settings.min_per_class)
        if reason:
            log.info("classify %s: left out, %s", target, reason)
            skipped[f"classify {target}"] = reason
            continue
        log.info("classify: %s", target)
        verdicts[target] = run_classify(
            tables, cohort, target, study / "classify" / target, settings.classify, evaluate=settings.evaluate,
            feature_settings=_made_with(tables, settings), jobs=jobs, progress=progress, synthetic=synthetic,
        )  # fmt: skip
    return verdicts, skipped


def _made_with(tables: Iterable[str], settings: StudySettings) -> dict[str, Any]:
    return {name: card_settings(_branch_settings(settings, name)) for name in tables}


def _branch_settings(settings: StudySettings, branch: str) -> StageSettings:
    known: dict[str, StageSettings] = {
        "clinical": settings.clinical,
        "embedding": settings.embedding,
        "location": settings.location,
        "network": settings.network,
        "radiomics": settings.radiomics,
    }
    if branch in known:
        return known[branch]
    return settings_of_branch(branch, settings.other_branches.get(branch, {}))


def _too_few(cohort: pd.DataFrame, target: str, least: int) -> str:
    values = cohort[TARGET_COLUMNS[target]].dropna()
    positive = int((values >= 4).sum() if target == "grade" else (values == 1).sum())
    smaller = min(positive, len(values) - positive)
    return "" if smaller >= least else f"{len(values)} known labels, {smaller} in the smaller class; {least} are needed"


def _survival(
    cohort: pd.DataFrame, study: Path, settings: StudySettings, *, synthetic: bool
) -> tuple[dict[str, dict[str, Any]], dict[str, str]]:
    results: dict[str, dict[str, Any]] = {}
    skipped: dict[str, str] = {}
    for column in settings.survival_groups or ("idh", "mgmt"):
        known = cohort[["os_days", "os_event", column]].dropna()
        if settings.survival_groups is None and (known[column].nunique() < 2 or known["os_event"].sum() < 5):
            skipped[f"survival by {column}"] = (
                f"{len(known)} cases with known survival and {column}, {int(known['os_event'].sum())} events"
            )
            continue
        log.info("survival: by %s", column)
        group_settings = settings.survival.model_copy(update={"group_by": column})
        try:
            results[column] = run_survival(cohort, study / "survival" / column, group_settings, synthetic=synthetic)
        except InputError as error:
            if settings.survival_groups is not None:
                raise
            skipped[f"survival by {column}"] = str(error).replace("\n", " ")
    return results, skipped


def _risk(
    tables: dict[str, pd.DataFrame],
    cohort: pd.DataFrame,
    study: Path,
    settings: StudySettings,
    *,
    jobs: int,
    progress: bool,
    synthetic: bool,
) -> tuple[dict[str, dict[str, Any]], dict[str, str]]:
    """Learn the risk of death from the images' features, where enough patients died."""
    images = {name: table for name, table in tables.items() if name != "clinical"}
    deaths = int(cohort.loc[cohort["os_days"].notna(), "os_event"].sum())
    least = settings.survival.risk.least_deaths
    if not images or deaths < least:
        why = f"{deaths} deaths; {least} are needed" if images else "no branch of the study looks at images"
        return {}, {f"survival by {RISK_GROUP}": why}
    log.info("survival: risk of death from %s", ", ".join(images))
    try:
        found = run_survival_model(
            cohort, images, study / "survival" / "risk", settings.survival, feature_settings=_made_with(images, settings),
            jobs=jobs, progress=progress, synthetic=synthetic,
        )  # fmt: skip
    except InputError as error:
        return {}, {f"survival by {RISK_GROUP}": str(error).replace("\n", " ")}
    return {RISK_GROUP: found}, {}
