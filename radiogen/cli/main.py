"""The program: one sub-command per stage, each in its own module."""

from __future__ import annotations

from importlib import import_module
from typing import Annotated

import typer

from radiogen import __version__

app = typer.Typer(
    name="radiogen",
    help="Glioma radiogenomics: MRI to masks, features, MGMT/IDH classifiers, survival - and a verdict that cannot fool anyone.",
    epilog="Research use only. Start with: radiogen demo -o demo",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_show_locals=False,
)

_COMMANDS = (
    "demo", "cohort", "preprocess", "segment", "native", "features", "stability", "classify", "audit", "lint", "controls", "predict", "diagnose",
    "explain", "survival", "habitats", "evaluate", "run", "report",
    "train", "folds", "tune", "network", "recipes", "weights", "app", "info", "doctor",
)  # fmt: skip
"""One module of radiogen.cli per command, in the order of the help page. Each has `register(app)` and imports nothing heavy at the top."""


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and leave.")
    ] = False,
) -> None:
    """Glioma radiogenomics: MRI to masks, features, MGMT/IDH classifiers, survival - and a verdict that cannot fool anyone."""


for _name in _COMMANDS:
    import_module(f"radiogen.cli.{_name}").register(app)


def main() -> None:
    """Run the command line."""
    app()
