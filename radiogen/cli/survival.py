"""`radiogen survival`: who lives longer, how sure that is, and whether it was more than age and grade."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from radiogen.cli.common import Config, Jobs, Output, Quiet, Seed, Verbose, reports_errors, start_logging

if TYPE_CHECKING:
    import pandas as pd

    from radiogen.config.survival import SurvivalSettings


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command("survival", epilog="Example: radiogen survival cohort.csv --group-by idh -o survival")(
        reports_errors(survival)
    )


def survival(
    table: Annotated[Path, typer.Argument(help="cohort.csv, or any table with a follow-up and an event column.")],
    output: Output,
    group_by: Annotated[
        str | None,
        typer.Option(
            "--group-by", "-g", help="Column that makes the groups (idh, mgmt, grade, any other), or 'model'."
        ),
    ] = None,
    labels: Annotated[Path | None, typer.Option("--labels", help="Table whose labels are joined by case id.")] = None,
    predictions: Annotated[
        Path | None, typer.Option("--predictions", "-p", help="predictions.csv, for --group-by model.")
    ] = None,
    cut: Annotated[
        str | None,
        typer.Option(
            "--cut", help="Two groups from a number: a value fixed beforehand, 'median', or 'best' (p corrected)."
        ),
    ] = None,
    from_months: Annotated[
        float | None,
        typer.Option("--from-months", help="Landmark: only who is alive by then, counted from then (treatments)."),
    ] = None,
    strata: Annotated[
        str | None, typer.Option("--strata", help="Column, such as site: compare inside its values only, as well.")
    ] = None,
    weighting: Annotated[
        str | None,
        typer.Option("--weighting", help="A weighted log-rank test as well: gehan, tarone-ware, peto, late."),
    ] = None,
    where: Annotated[
        list[str] | None,
        typer.Option("--where", "-w", help="Only rows with COLUMN=VALUE, such as idh=0; can be repeated."),
    ] = None,
    covariates: Annotated[
        str | None,
        typer.Option(
            "--covariates", help="Columns for the Cox models, with commas; else age, sex, grade, idh, mgmt, eor, kps."
        ),
    ] = None,
    cox_strata: Annotated[
        str | None,
        typer.Option("--cox-strata", help="Column, such as site: its values have own baseline hazards in Cox models."),
    ] = None,
    cluster: Annotated[
        str | None,
        typer.Option("--cluster", help="Column, such as patient or site: robust (sandwich) errors of the Cox models."),
    ] = None,
    entry: Annotated[
        str | None,
        typer.Option("--entry", help="Column of when a patient came under observation (left truncation)."),
    ] = None,
    time_column: Annotated[str | None, typer.Option("--time-column", help="Column of the follow-up time.")] = None,
    event_column: Annotated[str | None, typer.Option("--event-column", help="Column of the event.")] = None,
    time_unit: Annotated[
        str | None, typer.Option("--time-unit", help="days, months or years, where the column's name does not say it.")
    ] = None,
    died_value: Annotated[
        str | None,
        typer.Option(
            "--died-value", help="Value of the event column that means died, if not 1: 0 for survived_yes1_no0."
        ),
    ] = None,
    drop_negative: Annotated[
        bool, typer.Option("--drop-negative", help="Leave rows with a negative time out instead of refusing the table.")
    ] = False,
    features: Annotated[
        list[Path] | None,
        typer.Option(
            "--features",
            "-f",
            help="Feature table: learn the risk of death from it, tested out of fold; can be repeated.",
        ),
    ] = None,
    risk_model: Annotated[
        str | None,
        typer.Option(
            "--risk-model", help="With --features: cox-elastic-net (default), boosted-cox, cox-forest, log-rank-forest."
        ),
    ] = None,
    model: Annotated[str | None, typer.Option("--model", help="Which model of the predictions.")] = None,
    target: Annotated[str | None, typer.Option("--target", help="Which target of the predictions.")] = None,
    seed: Seed = 0,
    config: Config = None,
    jobs: Jobs = 1,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Kaplan-Meier, log-rank, restricted mean, Cox models and C index, with everything that must be said beside them."""
    from radiogen.config.survival import SurvivalSettings
    from radiogen.errors import InputError
    from radiogen.evaluate.predictions import read_any_table
    from radiogen.evaluate.survival_table import read_survival_table
    from radiogen.pipeline.survival import run_survival

    progress = start_logging(quiet, verbose)
    settings = SurvivalSettings.read(
        config,
        group_by="model" if group_by is None and predictions is not None else group_by,
        cut=cut,
        from_months=from_months,
        strata=strata,
        weighting=weighting,
        cox_strata=cox_strata,
        cluster=cluster,
        entry_column=entry,
        where=tuple(where) if where else None,
        covariates=None
        if covariates is None
        else tuple(name.strip() for name in covariates.split(",") if name.strip()),
        time_column=time_column,
        event_column=event_column,
        time_unit=time_unit,
        died_value=died_value,
        drop_negative=drop_negative or None,
        model=model,
        target=target,
        seed=seed,
    )
    cohort = read_survival_table(table, labels)
    if features:
        metrics = _from_features(
            cohort, features, output, settings, risk_model, seed=seed, jobs=jobs, progress=progress
        )
    else:
        if risk_model is not None:
            raise InputError("--risk-model learns from features.", hint="Give --features TABLE.")
        scores = None if predictions is None else read_any_table(predictions)
        metrics = run_survival(cohort, output, settings, predictions=scores)
    if quiet:
        return
    typer.echo(metrics["summary"])
    for note in metrics["notes"]:
        typer.echo(f"note: {note}", err=True)
    typer.echo(f"Report: {output / 'report.html'}")


def _from_features(
    cohort: pd.DataFrame,
    features: list[Path],
    output: Path,
    settings: SurvivalSettings,
    risk_model: str | None,
    *,
    seed: int,
    jobs: int,
    progress: bool,
) -> dict[str, Any]:
    """Learn the risk of death from feature tables."""
    from radiogen.errors import InputError
    from radiogen.pipeline.inputs import read_feature_table
    from radiogen.pipeline.survival_model import run_survival_model

    if settings.group_by is not None or settings.cut is not None:
        raise InputError("With --features the groups come from the model.", hint="Leave --group-by and --cut out.")
    asked = {"seed": seed, **({} if risk_model is None else {"model": risk_model})}
    settings = type(settings).parse({**settings.model_dump(), "risk": {**settings.risk.model_dump(), **asked}})
    tables = {path.name.split(".")[0]: read_feature_table(path) for path in features}
    return run_survival_model(cohort, tables, output, settings, jobs=jobs, progress=progress)
