"""`radiogen doctor`: whether this installation can do its work, and how to mend what is missing."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Annotated

import typer

from radiogen.cli.common import reports_errors


@dataclass(frozen=True)
class Check:
    """One thing looked at.

    Args:
        name: what was looked at.
        ok: whether it is as needed.
        needed: whether the main job fails without it.
        found: what was found.
        fix: what to do when it is not ok.
    """

    name: str
    ok: bool
    needed: bool
    found: str
    fix: str = ""


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command("doctor", epilog="Example: radiogen doctor")(reports_errors(doctor))


def doctor(as_json: Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")] = False) -> None:
    """Check packages, templates, cache folder, memory, disk and device; exit 1 when the main job cannot run."""
    checks = run_checks()
    if as_json:
        typer.echo(json.dumps([asdict(check) for check in checks], indent=2))
    else:
        for check in checks:
            mark = "ok  " if check.ok else "MISSING" if check.needed else "note"
            typer.echo(
                f"{mark:8}{check.name}: {check.found}" + (f" -> {check.fix}" if not check.ok and check.fix else "")
            )
    if any(check.needed and not check.ok for check in checks):
        raise typer.Exit(1)


def run_checks() -> list[Check]:
    """Return every check, made on this machine."""
    packages = [_check_package(name, needed=True) for name in _NEEDED]
    return [
        _check_python(),
        *packages,
        _check_versions(),
        *(_check_extra(extra, gives) for extra, gives in _EXTRAS.items()),
        _check_templates(),
        _check_weights(),
        _check_browser(),
        _check_cache(),
        _check_memory(),
        _check_disk(),
        _check_device(),
    ]


_NEEDED = (
    "numpy", "pandas", "pyarrow", "sklearn", "xgboost", "skops", "torch", "monai", "safetensors", "nibabel", "SimpleITK", "radiomics",
    "cc3d", "nilearn", "lifelines", "matplotlib",
)  # fmt: skip
_EXTRAS = {
    "app": "radiogen app",
    "atlas": "named lobes, AAL regions for brain networks",
    "dask": "--dask",
    "hd-bet": "brain extraction by HD-BET",
    "network": "graph networks",
    "nnunet": "networks of nnU-Net v2 results folders",
    "notebooks": "the notebooks",
}
"""Extra -> what it is for. That of the tests is not a user's concern."""


def _check_python() -> Check:
    import platform
    import sys

    return Check(
        "Python", sys.version_info >= (3, 11), True, platform.python_version(), "Install Python 3.11 or newer."
    )


def _check_package(name: str, *, needed: bool) -> Check:
    from importlib import import_module

    try:
        module = import_module(name)
    # A broken binary wheel raises whatever it likes at import (OSError, RuntimeError, AttributeError); all of them mean the same here.
    except Exception as error:
        found = f"{type(error).__name__}: {error}".splitlines()[0]
        return Check(name, False, needed, found, "pip install --force-reinstall radiogen")
    return Check(name, True, needed, str(getattr(module, "__version__", "installed")))


def _check_versions() -> Check:
    missing = unmet_requirements()
    if missing:
        return Check("versions", False, False, "; ".join(missing), "pip install --upgrade radiogen")
    return Check("versions", True, False, "every package as radiogen asks for it")


def _check_extra(extra: str, gives: str) -> Check:
    from importlib import metadata

    missing = unmet_requirements(extra)
    if extra not in (metadata.metadata("radiogen").get_all("Provides-Extra") or ()):
        missing = ["this installation is older than the extra"]
    found = f"not installed, needed for {gives}: {'; '.join(missing)}" if missing else f"installed: {gives}"
    return Check(f"extra {extra}", not missing, False, found, f"pip install 'radiogen[{extra}]'")


def unmet_requirements(extra: str = "") -> list[str]:
    """Return what radiogen, or one of its extras, asks for and this environment does not have, with what it has instead.

    Args:
        extra: name of the extra; empty: what is always needed.

    Example:
        >>> unmet_requirements()
        []
    """
    from importlib import metadata

    from packaging.requirements import Requirement

    unmet = []
    for requirement in map(Requirement, metadata.requires("radiogen") or ()):
        marker = requirement.marker
        of_extra = marker is not None and not marker.evaluate({"extra": ""})
        if of_extra != bool(extra) or (marker is not None and of_extra and not marker.evaluate({"extra": extra})):
            continue
        if requirement.name == "radiogen":
            unmet += [line for other in sorted(requirement.extras) for line in unmet_requirements(other)]
            continue
        try:
            version = metadata.version(requirement.name)
        except metadata.PackageNotFoundError:
            unmet.append(f"{requirement.name}{requirement.specifier} is not installed")
            continue
        if not requirement.specifier.contains(version, prereleases=True):
            unmet.append(f"{requirement.name}{requirement.specifier}, found {version}")
    return unmet


def _check_templates() -> Check:
    try:
        from nilearn.datasets import load_mni152_template

        shape = load_mni152_template(resolution=2).shape
    except (ImportError, OSError, ValueError) as error:
        return Check("MNI152 template", False, True, str(error), "pip install --force-reinstall nilearn")
    return Check("MNI152 template", True, True, f"{shape[0]}x{shape[1]}x{shape[2]} at 2 mm, carried by nilearn")


def _check_weights() -> Check:
    from radiogen.errors import RadiogenError
    from radiogen.segment.weights import find_weights, installed_weights, verify_weights

    try:
        names = installed_weights()
        for name in names:
            verify_weights(find_weights(name))
    except RadiogenError as error:
        return Check(
            "weights", False, False, str(error).splitlines()[0], "radiogen weights list; fetch or import again"
        )
    if not names:
        return Check("weights", False, False, "none", "pip install --force-reinstall radiogen")
    return Check("weights", True, False, f"{', '.join(names)}; more: radiogen weights list")


def _check_browser() -> Check:
    from radiogen.errors import InputError
    from radiogen.report.pdf import find_browser

    try:
        return Check("browser for PDF", True, False, find_browser().name)
    except InputError as error:
        return Check("browser for PDF", False, False, "none: Chromium, Chrome or Edge", error.hint)


def _check_cache() -> Check:
    from radiogen.errors import OutputError
    from radiogen.resources import cache_folder
    from radiogen.run.atomic import write_text

    probe = cache_folder() / "doctor.txt"
    try:
        write_text(probe, "written by radiogen doctor\n")
        probe.unlink()
    except OutputError as error:
        return Check(
            "cache folder", False, True, error.message, "Set RADIOGEN_CACHE to a folder that you may write to."
        )
    return Check("cache folder", True, True, str(cache_folder()))


def _check_memory() -> Check:
    import os

    try:
        total_gb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    except (AttributeError, ValueError, OSError):
        return Check("memory", True, False, "unknown on this system")
    return Check("memory", total_gb >= 6, False, f"{total_gb:.1f} GB", "6 GB or more are advised; use --jobs 1.")


def _check_disk() -> Check:
    import shutil
    from pathlib import Path

    free_gb = shutil.disk_usage(Path.cwd()).free / 1e9
    return Check(
        "free disk here", free_gb >= 5, False, f"{free_gb:.1f} GB", "Free some space, or write to another disk with -o."
    )


def _check_device() -> Check:
    import torch

    if torch.cuda.is_available():
        return Check("device", True, False, f"cuda: {torch.cuda.get_device_name()}")
    if torch.backends.mps.is_available():
        return Check("device", True, False, "mps")
    return Check("device", True, False, f"cpu, {torch.get_num_threads()} threads")
