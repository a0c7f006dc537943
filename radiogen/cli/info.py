"""`radiogen info`: what is installed and what can be chosen."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from radiogen.cli.common import reports_errors


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command("info", epilog="Example: radiogen info --json")(reports_errors(info))


def info(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")] = False,
    datasets: Annotated[bool, typer.Option("--datasets", help="List the public data sets instead.")] = False,
    cite: Annotated[
        bool, typer.Option("--cite", help="Say how to cite radiogen instead, in words and as BibTeX.")
    ] = False,
) -> None:
    """Say what this installation is and which parts can be chosen by name."""
    if cite:
        from radiogen.report.citations import how_to_cite

        typer.echo("\n\n".join(how_to_cite()).rstrip())
        return
    facts = gather_datasets() if datasets else gather()
    if datasets and not as_json:
        print_datasets(facts)
        return
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


def gather_datasets() -> dict[str, Any]:
    """Return name -> what the manifest of that public data set says."""
    from radiogen.cohort.datasets import dataset_names, load_dataset

    return {name: load_dataset(name).model_dump(mode="json") for name in dataset_names()}


def print_datasets(facts: dict[str, Any]) -> None:
    """Print one line per public data set: name, patients, scans, access, what is known, licence."""
    for name, values in facts.items():
        patients, scans = (values[key] or "?" for key in ("n_patients", "n_scans"))
        known = " ".join(values["labels"]) or "none"
        typer.echo(
            f"{name}: {patients} patients, {scans} scans; {values['access']}; labels: {known}; {values['licence']}"
        )
    typer.echo("All that is known of one of them: radiogen info --datasets --json")


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
