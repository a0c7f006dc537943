"""`radiogen classify`: a fused classifier, tested on patients and sites it never saw, with a verdict."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from radiogen.cli.common import (
    Config,
    Jobs,
    Output,
    Params,
    Quiet,
    Verbose,
    fail_if_incomplete,
    prepare_torch,
    reports_errors,
    start_logging,
)

if TYPE_CHECKING:
    from radiogen.config.classify import ClassifySettings
    from radiogen.pipeline.inputs import Inputs


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command(
        "classify",
        epilog="Example: radiogen classify --target idh --features radiomics.csv --labels labels.csv --fusion stacking -o out",
    )(reports_errors(classify))


def classify(
    output: Output,
    target: Annotated[
        str,
        typer.Option(
            "--target",
            "-t",
            help="idh, mgmt, codeletion or grade (4 against 2 and 3). Several with commas: one network for all, unknown labels masked.",
        ),
    ],
    cohort: Annotated[
        Path | None, typer.Argument(help="cohort.csv with images and masks; with --features: for its labels only.")
    ] = None,
    features: Annotated[
        list[Path] | None, typer.Option("--features", "-f", help="Feature table (CSV or Parquet); can be repeated.")
    ] = None,
    labels: Annotated[
        Path | None, typer.Option("--labels", "-l", help="Label table, whatever its spelling; joined by case id.")
    ] = None,
    branches: Annotated[
        str | None,
        typer.Option(
            "--branches",
            "-b",
            help="With commas: clinical, radiomics, habitats, ..., or names of feature tables. Default: all.",
        ),
    ] = None,
    classifiers: Annotated[
        str | None,
        typer.Option(
            "--classifiers",
            help="With commas: elastic-net, logistic, svm, random-forest, extra-trees, xgboost, or package.module:Class."
            " Default: elastic-net,xgboost.",
        ),
    ] = None,
    fusion: Annotated[
        str | None,
        typer.Option(
            "--fusion",
            help="How branches become one answer: early (default), mean, weighted, stacking, cross-attention, locally-connected, gated-attention.",
        ),
    ] = None,
    missing_branch: Annotated[
        str | None,
        typer.Option(
            "--missing-branch", help="Late fusion and networks, cases without a branch: skip (default), impute."
        ),
    ] = None,
    search: Annotated[
        str | None, typer.Option("--search", help="Tuning on inner folds: grid (default) or bayesian (Optuna).")
    ] = None,
    trials: Annotated[int | None, typer.Option("--trials", help="With --search bayesian. Default: 20.")] = None,
    class_weight: Annotated[
        str | None, typer.Option("--class-weight", help="none (default) or balanced: both classes weigh the same.")
    ] = None,
    folds: Annotated[
        int | None, typer.Option("--folds", help="Folds, where sites cannot be held out. Default: 5.")
    ] = None,
    repeats: Annotated[
        int | None, typer.Option("--repeats", help="How often such folds are drawn. Default: 3.")
    ] = None,
    sites: Annotated[
        str | None,
        typer.Option("--sites", help="hold-out: test on whole sites where possible (default); ignore: do not."),
    ] = None,
    select: Annotated[
        str | None,
        typer.Option(
            "--select",
            help="With commas, one after another: icc, correlation, correlation-clusters, mrmr, stability, ...",
        ),
    ] = None,
    reduce: Annotated[
        str | None,
        typer.Option("--reduce", help="Embedding columns to components inside the fold: none (default), pca, pls."),
    ] = None,
    harmonise: Annotated[
        str | None, typer.Option("--harmonise", help="none (default) or combat, fitted in the fold.")
    ] = None,
    unseen_site: Annotated[
        str | None,
        typer.Option("--unseen-site", help="With combat, a site not in training: refuse, identity, reference-batch."),
    ] = None,
    perturbed: Annotated[
        Path | None,
        typer.Option(
            "--perturbed", help="Table of `radiogen stability`: for --select icc and the segmentation's variance."
        ),
    ] = None,
    calibrate: Annotated[
        str | None,
        typer.Option("--calibrate", help="Probabilities, inside the fold: none (default), sigmoid, isotonic, beta."),
    ] = None,
    threshold: Annotated[
        str | None,
        typer.Option("--threshold", help="Chosen inside the fold: youden (default), sensitivity, specificity, half."),
    ] = None,
    wanted: Annotated[
        float | None, typer.Option("--wanted", help="With --threshold sensitivity or specificity. Default: 0.9.")
    ] = None,
    coverage: Annotated[
        float | None, typer.Option("--coverage", help="Of the conformal sets, per class. Default: 0.9.")
    ] = None,
    random_split: Annotated[
        bool | None,
        typer.Option(
            "--random-split/--no-random-split",
            help="Where sites are held out: also split patients at random, to show how optimistic that is. Default: yes.",
        ),
    ] = None,
    splits: Annotated[
        Path | None,
        typer.Option("--splits", help="Frozen folds: CSV with case and fold (`radiogen folds`), or splits_final.json."),
    ] = None,
    permute: Annotated[
        int | None,
        typer.Option("--permute", min=0, help="Permutations of the labels; all is fitted again. Default: 0."),
    ] = None,
    permutation_method: Annotated[
        str | None,
        typer.Option("--permutation-method", help="exact (default), or fast: tuned parameters stay, p is approximate."),
    ] = None,
    recipe: Annotated[
        str | None,
        typer.Option(
            "--recipe",
            help="Learn from the images themselves, as a recipe says; `radiogen recipes list --kind classification`, or graph-classification for "
            "brain networks. With --branches or --features: beside tables, by out-of-fold scores of the networks.",
        ),
    ] = None,
    weights: Annotated[
        str | None, typer.Option("--weights", help="With --recipe: installed weights by name, or a file.")
    ] = None,
    device: Annotated[
        str | None, typer.Option("--device", help="With --recipe: auto (default), cpu, cuda, cuda:1, mps.")
    ] = None,
    habitats: Annotated[
        int | None, typer.Option("--habitats", min=2, max=12, help="With the branch habitats: how many. Default: 4.")
    ] = None,
    params: Params = None,
    config: Config = None,
    seed: Annotated[int | None, typer.Option("--seed", help="The same seed gives the same bytes. Default: 0.")] = None,
    jobs: Jobs = 1,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Predict a marker: nested cross-validation, verdict against trivial baselines, final model, report."""
    progress = start_logging(quiet, verbose)
    from radiogen.branches.network.recipe_table import is_graph_recipe
    from radiogen.cli.classify_learned import from_graphs, from_images, with_habitats
    from radiogen.config.classify import ClassifySettings
    from radiogen.config.evaluate import EvaluateSettings
    from radiogen.errors import InputError
    from radiogen.fusion.join import check_target
    from radiogen.pipeline.classify import run_classify

    prepare_torch()  # for a --fusion that is a network
    targets = tuple(check_target(name) for name in _names(target) or (target,))
    settings = ClassifySettings.read(
        config, classifiers=_names(classifiers), folds=folds, repeats=repeats, sites=sites, seed=seed,
        selection=select, reduce=reduce, harmonise=harmonise, unseen_site=unseen_site, perturbed=perturbed,
        fusion=fusion, missing_branch=missing_branch, search=search, trials=trials, class_weight=class_weight,
        calibrate=calibrate, threshold=threshold, wanted=wanted, coverage=coverage, random_split=random_split,
        permutations_refit=permute, permutation_method=permutation_method,
    )  # fmt: skip
    if recipe is not None:
        if len(targets) > 1:
            raise InputError("--recipe takes one --target.")
        if cohort is None:
            raise InputError("--recipe learns from images: give a cohort.csv.")
        tables = {"features": features, "branches": _names(branches), "params": params, "splits": splits}
        if is_graph_recipe(recipe):
            if weights:
                raise InputError("A recipe of brain networks takes no --weights.")
            from_graphs(cohort, labels, target, output, settings, recipe, device, tables, jobs=jobs, progress=progress)
            return
        from_images(
            cohort, labels, target, output, settings, recipe, {"weights": weights, "device": device}, tables,
            jobs=jobs, progress=progress,
        )  # fmt: skip
        return
    if habitats is not None or "habitats" in (_names(branches) or ()):
        tables = {"features": features, "branches": _names(branches), "params": params, "splits": splits}
        with_habitats(cohort, labels, targets, output, settings, habitats or 4, tables, jobs=jobs, progress=progress)
        return
    inputs = _inputs(cohort, features, labels, output, _names(branches), params, jobs=jobs, progress=progress)
    if len(targets) > 1:
        _several(inputs, targets, output, settings, splits, jobs=jobs, progress=progress)
        return
    metrics = run_classify(
        inputs.features, inputs.cohort, target, output, settings,
        evaluate=EvaluateSettings(seed=settings.seed), feature_settings=inputs.settings, splits=splits,
        jobs=jobs, progress=progress,
    )  # fmt: skip
    typer.echo(f"{target}: {metrics['verdict']}\n  {metrics['verdict_text']}")
    typer.echo(f"report: {output / 'report.html'}\nmodel:  {output / 'model'}")
    fail_if_incomplete(len({failure.case for failure in inputs.failures}), output / "failed.csv")


def _inputs(
    cohort: Path | None,
    features: list[Path] | None,
    labels: Path | None,
    output: Path,
    branches: tuple[str, ...] | None,
    params: Path | None,
    *,
    jobs: int,
    progress: bool,
) -> Inputs:
    """Return what a table or a cohort has to learn from."""
    from radiogen.errors import InputError
    from radiogen.pipeline.inputs import from_cohort, from_tables, read_labels

    source = labels or (cohort if features else None)
    read = read_labels(source) if source else None
    if features:
        if read is None:
            raise InputError("--features needs labels.", hint="Give --labels TABLE or a cohort.csv.")
        return from_tables(features, read, branches)
    if cohort is None:
        raise InputError("Nothing to learn from.", hint="Give a cohort.csv, or --features TABLE with --labels TABLE.")
    radiomics = {"params": str(params)} if params else {}
    return from_cohort(
        cohort, output, branches, labels=read, settings={"radiomics": radiomics}, jobs=jobs, progress=progress
    )


def _several(
    inputs: Inputs,
    targets: tuple[str, ...],
    output: Path,
    settings: ClassifySettings,
    splits: Path | None,
    *,
    jobs: int,
    progress: bool,
) -> None:
    """Predict several markers with one network."""
    from radiogen.config.evaluate import EvaluateSettings
    from radiogen.errors import InputError
    from radiogen.pipeline.multitask import run_multitask

    if splits is not None or settings.permutations_refit:
        raise InputError("Several targets are split anew and not permuted.", hint="Leave out --splits and --permute.")
    evaluate = EvaluateSettings(seed=settings.seed)
    found = run_multitask(
        inputs.features, inputs.cohort, targets, output, settings, evaluate=evaluate, jobs=jobs, progress=progress
    )
    for name, metrics in found.items():
        typer.echo(
            f"{name}: {metrics['verdict']}\n  {metrics['verdict_text']}\nreport: {output / name / 'report.html'}"
        )
    fail_if_incomplete(len({failure.case for failure in inputs.failures}), output / "failed.csv")


def _names(text: str | None) -> tuple[str, ...] | None:
    return None if text is None else tuple(name.strip() for name in text.split(",") if name.strip())
