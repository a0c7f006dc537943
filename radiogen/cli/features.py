"""`radiogen features`: one branch's table."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from radiogen.cli.common import (
    Config,
    Dask,
    Jobs,
    Output,
    Quiet,
    Verbose,
    fail_if_incomplete,
    prepare_torch,
    reports_errors,
    start_logging,
)
from radiogen.errors import InputError

Cohort = Annotated[Path, typer.Argument(help="The cohort table (made by `radiogen cohort` or `radiogen segment`).")]
CohortOrPairs = Annotated[
    Path | None,
    typer.Argument(help="The cohort table, or a table of pairs (CSV with the columns Image,Mask)."),
]
Images = Annotated[
    Path | None, typer.Option("--images", help="An image, or a folder of images; with --masks, instead of a cohort.")
]
Masks = Annotated[Path | None, typer.Option("--masks", help="Its mask, or a folder of masks with the same file names.")]
Pairs = Annotated[
    Path | None,
    typer.Option("--pairs", help="CSV with the columns Image,Mask (and Label, ID), as PyRadiomics' batch mode reads."),
]
Label = Annotated[
    int | None, typer.Option("--label", min=1, help="Value of the masks that marks the region; only for pairs.")
]
Params = Annotated[
    Path | None, typer.Option("--params", help="PyRadiomics parameter YAML, used unchanged instead of our settings.")
]
Atlas = Annotated[
    str | None, typer.Option("--atlas", help="Atlas of the lobes: aal (extra 'atlas'), or a label map in MNI152 space.")
]
AtlasNames = Annotated[
    Path | None,
    typer.Option("--atlas-names", help="CSV or TSV of the label map: columns label, name and, if wanted, lobe."),
]

Template = Annotated[
    Path | None,
    typer.Option("--template", help="A file of `radiogen network template`; by default one is built and kept."),
]
Pages = Annotated[
    bool, typer.Option("--pages/--no-pages", help="A page and a map of what is disconnected beside every graph.")
]
Tracts = Annotated[
    Path | None, typer.Option("--tracts", help="Atlas of named tracts in MNI152: NIfTI, one volume per tract.")
]
TractNames = Annotated[
    Path | None, typer.Option("--tract-names", help="Text file with the tracts' names, one per line.")
]
CutBy = Annotated[str | None, typer.Option("--cut-by", help="Region that disconnects: wt, tc, et (wt).")]
Network = Annotated[
    str | None,
    typer.Option("--network", help="segmentation-encoder, a network of `radiogen info`, or adapter:module:function."),
]
Weights = Annotated[
    str | None, typer.Option("--weights", help="Installed weights or a file; without them most networks are random.")
]
Mode = Annotated[
    str | None, typer.Option("--mode", help="per-sequence: a vector each; early-fusion: sequences as channels.")
]
Sequences = Annotated[
    list[str] | None, typer.Option("--sequence", help="Sequence to embed, once for each; by default all four.")
]
Device = Annotated[str | None, typer.Option("--device", help="auto, cpu, cuda, cuda:1, ...")]
Precision = Annotated[str | None, typer.Option("--precision", help="auto, float32, bfloat16.")]
RandomSeed = Annotated[int | None, typer.Option("--seed", help="Of random weights.")]


def register(app: typer.Typer) -> None:
    """Add the commands to the program."""
    group = typer.Typer(
        help="Measure features: one row per case, one table per branch.",
        epilog="Example: radiogen features radiomics cohort.csv -o study --jobs 2",
        no_args_is_help=True,
    )
    group.command(
        "radiomics",
        epilog="Examples: radiogen features radiomics cohort.csv -o study --jobs 2 | "
        "radiogen features radiomics --images t1.nii.gz --masks tumour.nii.gz -o out",
    )(reports_errors(radiomics))
    group.command("clinical", epilog="Example: radiogen features clinical cohort.csv -o study")(
        reports_errors(clinical)
    )
    group.command("location", epilog="Example: radiogen features location cohort.csv -o study --atlas aal")(
        reports_errors(location)
    )
    group.command("embedding", epilog="Example: radiogen features embedding cohort.csv -o study --network NAME")(
        reports_errors(embedding)
    )
    group.command("network", epilog="Example: radiogen features network cohort.csv -o study --jobs 2")(
        reports_errors(network)
    )
    app.add_typer(group, name="features")


def radiomics(
    output: Output,
    cohort: CohortOrPairs = None,
    images: Images = None,
    masks: Masks = None,
    pairs: Pairs = None,
    label: Label = None,
    params: Params = None,
    config: Config = None,
    jobs: Jobs = 1,
    dask: Dask = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """PyRadiomics features of a cohort's sequences (t1n t1c t2w t2f) and tumour regions (wt tc et), or of any image and mask.

    Writes features/radiomics.parquet and .csv, a dictionary of the columns, and failed.csv where cases failed. Image and mask pairs come from
    --images and --masks or from a CSV; their columns have PyRadiomics' own names, and pairs.csv has the CSV's columns beside the features.
    """
    sources = [cohort is not None, pairs is not None, images is not None or masks is not None]
    if sum(sources) != 1 or (images is None) != (masks is None):
        raise InputError("Give one of: a cohort table, --pairs CSV, or --images with --masks.")
    from radiogen.pipeline.radiomics_pairs import is_pairs_table

    table = pairs or (cohort if cohort is not None and is_pairs_table(cohort) else None)
    if table is not None or images is not None:
        _pairs(table, images, masks, output, config, {"params": params}, label, jobs, dask, quiet, verbose)
        return
    if label is not None or cohort is None:
        raise InputError("--label is for image and mask pairs; a cohort's regions come from its mask's labels.")
    _features("radiomics", cohort, output, config, {"params": params}, jobs, dask, quiet, verbose)


def _pairs(
    table: Path | None,
    images: Path | None,
    masks: Path | None,
    output: Path,
    config: Path | None,
    overrides: dict[str, Any],
    label: int | None,
    jobs: int,
    dask: str | None,
    quiet: bool,
    verbose: bool,
) -> None:
    progress = start_logging(quiet, verbose, output)
    from radiogen.config.features import RadiomicsSettings
    from radiogen.pipeline.radiomics_pairs import find_pairs, read_pairs, run_pairs

    settings = RadiomicsSettings.read(config, **overrides)
    if table is not None:
        pairs = read_pairs(table)
    elif images is not None and masks is not None:
        pairs = find_pairs(images, masks)
    features, failures = run_pairs(pairs, output, settings, label=label, jobs=jobs, dask=dask, progress=progress)
    typer.echo(f"{len(features)} pairs, {features.shape[1]} columns: {output / 'features' / 'radiomics'}.csv")
    fail_if_incomplete(len(failures), output / "failed.csv")


def clinical(
    cohort: Cohort,
    output: Output,
    config: Config = None,
    jobs: Jobs = 1,
    dask: Dask = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Age, sex and tumour volumes: what an image model has to beat.

    Writes features/clinical.parquet and .csv, and failed.csv where cases failed.
    """
    _features("clinical", cohort, output, config, {}, jobs, dask, quiet, verbose)


def location(
    cohort: Cohort,
    output: Output,
    atlas: Atlas = None,
    atlas_names: AtlasNames = None,
    config: Config = None,
    jobs: Jobs = 1,
    dask: Dask = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Where the tumour lies in the brain (MNI152), what it is made of, and how many lesions there are.

    Writes features/location.parquet and .csv, and failed.csv where cases failed. Cases on the grid of MNI152 or of BraTS are not registered.
    """
    overrides = {"atlas": atlas, "atlas_names": atlas_names}
    _features("location", cohort, output, config, overrides, jobs, dask, quiet, verbose)


def network(
    cohort: Cohort,
    output: Output,
    template: Template = None,
    cut_by: CutBy = None,
    tracts: Tracts = None,
    tract_names: TractNames = None,
    pages: Pages = True,
    config: Config = None,
    jobs: Jobs = 1,
    dask: Dask = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """What the tumour disconnects in a template of the brain's network: regions, connections, and the network's measures without them.

    Writes features/network.parquet and .csv; per case into graphs/ a graph, a table of connections, a page and a map of the disconnected tracts;
    and failed.csv where cases failed. The network is the template's: no diffusion image is needed or looked at.
    """
    progress = start_logging(quiet, verbose, output)
    from radiogen.cohort.table import read_cohort
    from radiogen.config.network import NetworkSettings
    from radiogen.pipeline.features import run_features
    from radiogen.pipeline.network_pages import STAGE, run_network_pages
    from radiogen.run.quarantine import write_failures

    graphs = output / "graphs"
    settings = NetworkSettings.read(
        config, template=template, cut_by=cut_by, tracts=tracts, tract_names=tract_names, graphs=graphs
    )
    work: dict[str, Any] = {"jobs": jobs, "dask": dask, "progress": progress}
    table = read_cohort(cohort)
    features, failures = run_features("network", table, output, settings, **work)
    typer.echo(f"{len(features)} cases, {features.shape[1]} columns: {output / 'features' / 'network'}.csv")
    if pages:
        written, undrawn = run_network_pages(table, features, settings, **work)
        write_failures(output / "failed.csv", undrawn, stages=[STAGE])
        typer.echo(f"{len(written)} pages: {graphs}")
        failures = [*failures, *undrawn]
    fail_if_incomplete(len({failure.case for failure in failures}), output / "failed.csv")


def embedding(
    cohort: Cohort,
    output: Output,
    network: Network = None,
    weights: Weights = None,
    mode: Mode = None,
    sequence: Sequences = None,
    seed: RandomSeed = None,
    device: Device = None,
    precision: Precision = None,
    config: Config = None,
    jobs: Jobs = 1,
    dask: Dask = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """What a network sees of a case, as numbers; by default the segmentation network's own encoder in each tumour region.

    Writes features/embedding.parquet and .csv, and failed.csv where cases failed. A network takes all cores for one case at a time.
    """
    prepare_torch()
    overrides = {
        "network": network,
        "weights": weights,
        "mode": mode,
        "sequences": sequence or None,
        "seed": seed,
        "device": device,
        "precision": precision,
    }
    _features("embedding", cohort, output, config, overrides, jobs, dask, quiet, verbose)


def _features(
    branch: str,
    cohort: Path,
    output: Path,
    config: Path | None,
    overrides: dict[str, Any],
    jobs: int,
    dask: str | None,
    quiet: bool,
    verbose: bool,
) -> None:
    progress = start_logging(quiet, verbose, output)
    from radiogen.cohort.table import read_cohort
    from radiogen.config.base import StageSettings
    from radiogen.config.embedding import EmbeddingSettings
    from radiogen.config.features import ClinicalSettings, RadiomicsSettings
    from radiogen.config.location import LocationSettings
    from radiogen.pipeline.features import run_features

    kinds: dict[str, type[StageSettings]] = {
        "clinical": ClinicalSettings,
        "embedding": EmbeddingSettings,
        "location": LocationSettings,
        "radiomics": RadiomicsSettings,
    }
    settings = kinds[branch].read(config, **overrides)
    table = read_cohort(cohort)
    features, failures = run_features(branch, table, output, settings, jobs=jobs, dask=dask, progress=progress)
    typer.echo(f"{len(features)} cases, {features.shape[1]} columns: {output / 'features' / branch}.csv")
    fail_if_incomplete(len(failures), output / "failed.csv")
