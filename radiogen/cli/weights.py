"""`radiogen weights`: which weights there are, where to get published ones, and whether a file is what its card says."""

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
        used = " (comes with radiogen; what `--method auto` uses)" if name == DEFAULT_WEIGHTS else ""
        typer.echo(f"{card.name}{used}: {card.network}, {'+'.join(card.sequences)}, {card.licence}, {path}")
    if not installed:
        typer.echo(
            "No weights are installed: `radiogen segment` uses its training-free method; give --weights FILE for a network."
        )
    for name, entry in published_weights().items():
        if name not in installed:
            typer.echo(f"{name}: {entry.title}; not installed: radiogen weights fetch {name}. {entry.trust}")
    _list_backbones()


def _list_backbones() -> None:
    """List weights of embedding networks: installed ones, then published ones."""
    from radiogen.branches.embedding.published import installed_folder, published_backbones, read_card
    from radiogen.branches.embedding.weights import installed_backbones

    installed = installed_backbones()
    for name in installed:
        path = installed_folder() / f"{name}.safetensors"
        card = read_card(path)
        typer.echo(f"{card.name}: for features embedding, {', '.join(card.networks)}, {card.licence}, {path}")
    for name, entry in published_backbones().items():
        if name not in installed:
            typer.echo(
                f"{name}: for features embedding, {entry.title}; not installed: radiogen weights fetch {name}. {entry.trust}"
            )


Sha256 = Annotated[
    str,
    typer.Option("--sha256", help="Of the published file: needed where nobody else states one, checked where given."),
]


def fetch(
    name: Annotated[str, typer.Argument(help="Name of published weights; see `radiogen weights list`.")],
    sha256: Sha256 = "",
) -> None:
    """Download published weights, check them against their pinned hash, and install them in the cache folder."""
    from radiogen.branches.embedding.published import fetch_backbone, published_backbones
    from radiogen.segment.external import fetch_weights

    if name in published_backbones():
        typer.echo(_use_backbone(name, fetch_backbone(name, sha256)))
    else:
        _refuse_sha256(sha256)
        typer.echo(f"{name}: installed at {fetch_weights(name)}; use it with --weights {name}")


def _refuse_sha256(sha256: str) -> None:
    """Raise ConfigError where a hash was given that nothing would look at."""
    from radiogen.errors import ConfigError

    if sha256:
        raise ConfigError(
            "--sha256 is for weights of embedding networks; those of segmentation networks are pinned or carry a card."
        )


def _use_backbone(name: str, path: Path) -> str:
    """Return the line that says where weights of an embedding network are and how to use them."""
    from radiogen.branches.embedding.published import find_published_backbone

    networks = " or ".join(find_published_backbone(name).networks)
    return f"{name}: installed at {path}; use it with radiogen features embedding --network {networks} --weights {name}"


def verify(
    weights: Annotated[str, typer.Argument(help="Name of installed weights, or a .safetensors file with its card.")],
) -> None:
    """Check weights against their card: hash, tensors, licence, training data."""
    from radiogen.branches.embedding.published import published_backbones, verify_backbone
    from radiogen.branches.embedding.weights import installed_backbones
    from radiogen.segment.external import published_weights
    from radiogen.segment.weights import find_weights, verify_weights

    if weights in published_backbones() or weights in installed_backbones():
        backbone = verify_backbone(weights)
        typer.echo(
            f"{backbone.name}: sound. {', '.join(backbone.networks)}, licence {backbone.licence}, sha256 {backbone.sha256}"
        )
        typer.echo(f"Imported from: {backbone.source}; the published file's sha256 is {backbone.published_sha256}.")
        return
    card = verify_weights(find_weights(weights))
    typer.echo(
        f"{card.name}: sound. {card.network}, {'+'.join(card.sequences)}, licence {card.licence}, sha256 {card.sha256}"
    )
    published = published_weights()
    if card.name in published:
        typer.echo(f"Imported from: {card.source}. {published[card.name].trust}")


def import_weights(
    weights: Annotated[
        Path,
        typer.Argument(
            help="A .safetensors file with its card beside it; with --name, the published file or bundle; or a results folder of nnU-Net v2."
        ),
    ],
    name: Annotated[
        str,
        typer.Option("--name", help="Published weights that the file is a download of; name for an nnU-Net folder."),
    ] = "",
    sequences: Annotated[
        str,
        typer.Option("--sequences", help="nnU-Net: sequences in the order of its channels, such as t1n,t1c,t2w,t2f."),
    ] = "",
    outputs: Annotated[
        str,
        typer.Option("--outputs", help="nnU-Net: regions or classes in the order of its outputs, such as wt,tc,et."),
    ] = "",
    orientation: Annotated[
        str, typer.Option("--orientation", help="nnU-Net: how its training images were stored (LPS: as BraTS does).")
    ] = "LPS",
    licence: Annotated[str, typer.Option("--licence", help="nnU-Net: licence of the weights.")] = "",
    training_data: Annotated[str, typer.Option("--training-data", help="nnU-Net: what they were trained on.")] = "",
    sha256: Sha256 = "",
) -> None:
    """Verify a file or folder and install it in the cache folder; works offline."""
    from radiogen.branches.embedding.published import import_backbone, published_backbones
    from radiogen.segment.external import import_published, install_weights
    from radiogen.segment.nnunet_import import NNUNetOptions, import_nnunet, is_nnunet_folder

    if is_nnunet_folder(weights):
        options = NNUNetOptions(
            name=name, sequences=_listed(sequences), outputs=_listed(outputs), orientation=orientation.upper(),
            licence=licence, training_data=training_data,
        )  # fmt: skip
        for path in import_nnunet(weights, options):
            typer.echo(f"{path.stem}: imported to {path}; use it with --weights {path.stem}")
    elif name in published_backbones():
        typer.echo(_use_backbone(name, import_backbone(weights, name, sha256)))
    elif sha256:
        _refuse_sha256(sha256)
    elif name:
        typer.echo(f"{name}: imported to {import_published(weights, name)}; use it with --weights {name}")
    else:
        target = install_weights(weights)
        typer.echo(f"{target.stem}: imported to {target}; use it with --weights {target.stem}")


def _listed(names: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in names.split(",") if name.strip())
