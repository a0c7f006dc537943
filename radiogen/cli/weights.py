"""`radiogen weights`: which weights there are, and whether a file is what its card says."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from radiogen.cli.common import reports_errors


def register(app: typer.Typer) -> None:
    """Add the command group to the program."""
    group = typer.Typer(
        help="Network weights: list what is installed and what is published, fetch, verify, import.",
        no_args_is_help=True,
    )
    group.command("list", epilog="Example: radiogen weights list")(reports_errors(list_weights))
    group.command("fetch", epilog="Example: radiogen weights fetch monai-brats")(reports_errors(fetch))
    group.command("verify", epilog="Example: radiogen weights verify segresnet.safetensors")(reports_errors(verify))
    group.command("import", epilog="Example: radiogen weights import model.pt --name monai-brats")(
        reports_errors(import_weights)
    )
    app.add_typer(group, name="weights")


def list_weights() -> None:
    """List installed weights, and published ones that can be fetched by name."""
    from radiogen.segment.external import published_weights
    from radiogen.segment.weights import DEFAULT_WEIGHTS, find_weights, installed_weights, read_card

    installed = installed_weights()
    for name in installed:
        path = find_weights(name)
        card = read_card(path)
        used = " (what `radiogen segment` uses by itself)" if name == DEFAULT_WEIGHTS else ""
        typer.echo(f"{card.name}{used}: {card.network}, {'+'.join(card.sequences)}, {card.licence}, {path}")
    if not installed:
        typer.echo(
            "No weights are installed: `radiogen segment` uses its training-free method; give --weights FILE for a network."
        )
    for name, entry in published_weights().items():
        if name not in installed:
            typer.echo(f"{name}: {entry.title}; not installed: radiogen weights fetch {name}")


def fetch(name: Annotated[str, typer.Argument(help="Name of published weights; see `radiogen weights list`.")]) -> None:
    """Download published weights, check them against their pinned hash, and install them in the cache folder."""
    from radiogen.segment.external import fetch_weights

    typer.echo(f"{name}: installed at {fetch_weights(name)}; use it with --weights {name}")


def verify(weights: Annotated[Path, typer.Argument(help="A .safetensors file with its card beside it.")]) -> None:
    """Check a file against its card: hash, tensors, licence, training data."""
    from radiogen.segment.weights import verify_weights

    card = verify_weights(weights)
    typer.echo(
        f"{card.name}: sound. {card.network}, {'+'.join(card.sequences)}, licence {card.licence}, sha256 {card.sha256}"
    )


def import_weights(
    weights: Annotated[
        Path, typer.Argument(help="A .safetensors file with its card beside it; with --name, the published file.")
    ],
    name: Annotated[
        str | None, typer.Option("--name", help="Published weights that the file is a download of.")
    ] = None,
) -> None:
    """Verify a file and install it in the cache folder; works offline."""
    import shutil

    from radiogen.resources import cache_folder
    from radiogen.run.atomic import writing
    from radiogen.segment.external import import_published
    from radiogen.segment.weights import card_path, verify_weights

    if name is not None:
        typer.echo(f"{name}: imported to {import_published(weights, name)}")
        return
    card = verify_weights(weights)
    target = cache_folder() / "weights" / f"{card.name}.safetensors"
    for source, final in ((weights, target), (card_path(weights), card_path(target))):
        with writing(final) as beside:
            shutil.copyfile(source, beside)
    typer.echo(f"{card.name}: imported to {target}")
