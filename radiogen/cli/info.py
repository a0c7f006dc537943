"""`radiogen info`: what is installed and what can be chosen."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from radiogen.cli.common import reports_errors


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command("info", epilog="Example: radiogen info --json")(reports_errors(info))


def info(as_json: Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")] = False) -> None:
    """Say what this installation is and which parts can be chosen by name."""
    facts = gather()
    if as_json:
        typer.echo(json.dumps(facts, indent=2))
        return
    for key, value in facts.items():
        typer.echo(
            f"{key}: {', '.join(value) if isinstance(value, list) else value}"
            if not isinstance(value, dict)
            else f"{key}:"
        )
        if isinstance(value, dict):
            for name, item in value.items():
                typer.echo(f"  {name}: {', '.join(item) if isinstance(item, list) else item}")


def gather() -> dict[str, Any]:
    """Return version, Python, platform, cores, cache folder, package versions and every registry's names, without importing torch."""
    import os
    import platform

    from radiogen import __version__
    from radiogen.pipeline.catalogue import registries
    from radiogen.resources import cache_folder
    from radiogen.run.provenance import package_versions

    return {
        "radiogen": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpu_cores": os.cpu_count(),
        "cache_folder": str(cache_folder()),
        "packages": package_versions(),
        "choices": {registry.kind: registry.names() for registry in registries()},
    }
