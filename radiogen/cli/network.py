"""`radiogen network`: the template that brain networks are built on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from radiogen.cli.common import Config, Output, Quiet, Verbose, reports_errors, start_logging


def register(app: typer.Typer) -> None:
    """Add the command group to the program."""
    group = typer.Typer(help="Brain networks: templates of regions and connections.", no_args_is_help=True)
    group.callback()(_group)
    group.command("template", epilog="Example: radiogen network template --nodes aal -o template.npz")(
        reports_errors(template)
    )
    group.command("compare", epilog="Example: radiogen network compare corridors.npz tracts.npz -o agreement")(
        reports_errors(compare)
    )
    app.add_typer(group, name="network")


def _group() -> None:
    """Brain networks: templates of regions and connections."""


def template(
    output: Output,
    tractogram: Annotated[
        list[Path] | None,
        typer.Option("--tractogram", help="Streamlines in MNI152 (.trk, .tck, .tt.gz), one file per subject."),
    ] = None,
    nodes: Annotated[
        str | None, typer.Option("--nodes", help="Label map in MNI152, or: auto, aal, geometric (auto).")
    ] = None,
    names: Annotated[Path | None, typer.Option("--names", help="CSV or TSV with the columns label, name.")] = None,
    connectome: Annotated[
        Path | None, typer.Option("--connectome", help="Matrix of a group, to choose connections by.")
    ] = None,
    config: Config = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Build a network template: from tractograms, or from the white matter of MNI152 where there are none.

    Writes OUT.npz (regions, connections, the voxels of every connection, provenance), OUT.png (glass brain) and OUT.json.
    """
    progress = start_logging(quiet, verbose)
    from radiogen.config.network import NetworkTemplateSettings
    from radiogen.pipeline.network_template import run_network_template

    settings = NetworkTemplateSettings.read(
        config, tractograms=tractogram or None, nodes=nodes, node_names=names, connectome=connectome
    )
    _, numbers = run_network_template(settings, output, progress=progress)
    typer.echo(
        f"{numbers['name']}: {numbers['n_nodes']} regions, {numbers['n_edges']} connections ({numbers['density']:.1%} of all pairs); "
        f"connections per region {numbers['degree_least']} to {numbers['degree_most']}, mean {numbers['degree_mean']:.1f}"
    )
    low, middle, high = numbers["edge_voxels_5_50_95"]
    typer.echo(
        f"voxels per connection: median {middle:.0f} ({numbers['edge_ml_median']:.2g} ml), 5 % below {low:.0f}, 5 % above {high:.0f}"
    )
    if numbers["isolated_nodes"]:
        typer.echo(f"without any connection: {', '.join(numbers['isolated_nodes'])}")


def compare(
    first: Annotated[Path, typer.Argument(help="A file of `radiogen network template`.")],
    second: Annotated[
        Path, typer.Argument(help="Another, or a group's matrix (.csv, .tsv, .txt, .npy, .mat) on the same regions.")
    ],
    output: Output = Path("agreement"),
    tracts: Annotated[
        Path | None, typer.Option("--tracts", help="Atlas of named tracts in MNI152: NIfTI, one volume per tract.")
    ] = None,
    tract_names: Annotated[
        Path | None, typer.Option("--tract-names", help="Text file with the tracts' names, one per line.")
    ] = None,
    config: Config = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Compare two network templates, or a template and a group's matrix: shared connections and their weights, beside chance.

    Writes OUT/agreement.csv, .png and .json and, with --tracts, OUT/tracts.csv: how every tract lies to the connections.
    """
    start_logging(quiet, verbose)
    from radiogen.config.network import NetworkCompareSettings
    from radiogen.pipeline.network_compare import run_network_compare

    settings = NetworkCompareSettings.read(config, tracts=tracts, tract_names=tract_names)
    found = run_network_compare(first, second, output, settings)
    for name, row in found.iterrows():
        typer.echo(
            f"{name}: {row.n_first:.0f} and {row.n_second:.0f} connections, {row.n_shared:.0f} shared; Dice {row.dice:.3f} "
            f"(by chance {row.null_dice:.3f}); correlation of shared weights {row.weight_correlation:.2f}"
        )
