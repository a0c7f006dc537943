"""`radiogen weights`: which weights there are, and whether a file is what its card says."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from radiogen.cli.common import reports_errors


def register(app: typer.Typer) -> None:
    """Add the command group to the program."""
    group = typer.Typer(
        help="Network weights: list those in the cache, verify and import a file.", no_args_is_help=True
    )
    group.command("list", epilog="Example: radiogen weights list")(reports_errors(list_weights))
    group.command("verify", epilog="Example: radiogen weights verify segresnet.safetensors")(reports_errors(verify))
    group.command("import", epilog="Example: radiogen weights import segresnet.safetensors")(
        reports_errors(import_weights)
    )
    app.add_typer(group, name="weights")


def list_weights() -> None:
    """List the weights in the cache folder; segmentation works without any."""
    from radiogen.resources import cache_folder
    from radiogen.segment.weights import read_card

    files = sorted((cache_folder() / "weights").glob("*.safetensors"))
    for path in files:
        card = read_card(path)
        typer.echo(f"{card.name}: {card.network}, {'+'.join(card.sequences)}, {card.licence}, {path}")
    if not files:
        typer.echo(
            "No weights in the cache. `radiogen segment` uses its training-free method; give --weights FILE for a network."
        )


def verify(weights: Annotated[Path, typer.Argument(help="A .safetensors file with its card beside it.")]) -> None:
    """Check a file against its card: hash, tensors, licence, training data."""
    from radiogen.segment.weights import verify_weights

    card = verify_weights(weights)
    typer.echo(
        f"{card.name}: sound. {card.network}, {'+'.join(card.sequences)}, licence {card.licence}, sha256 {card.sha256}"
    )


def import_weights(
    weights: Annotated[Path, typer.Argument(help="A .safetensors file with its card beside it.")],
) -> None:
    """Verify a file and copy it, with its card, into the cache folder; works offline."""
    import shutil

    from radiogen.resources import cache_folder
    from radiogen.run.atomic import writing
    from radiogen.segment.weights import card_path, verify_weights

    card = verify_weights(weights)
    target = cache_folder() / "weights" / f"{card.name}.safetensors"
    for source, final in ((weights, target), (card_path(weights), card_path(target))):
        with writing(final) as beside:
            shutil.copyfile(source, beside)
    typer.echo(f"{card.name}: imported to {target}")
