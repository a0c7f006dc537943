"""The public data sets that radiogen knows, from data_manifests/, and which of them share patients."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from importlib.resources import files
from itertools import combinations
from pathlib import Path

import yaml

from radiogen.cohort.layouts import LAYOUTS
from radiogen.cohort.masks import SCHEMES
from radiogen.config.dataset import DatasetManifest
from radiogen.errors import ConfigError
from radiogen.registry import did_you_mean

_ENDING = ".yaml"


def dataset_names() -> list[str]:
    """Return the names of the data sets, sorted.

    Example:
        >>> "ucsf-pdgm" in dataset_names()
        True
    """
    return sorted(item.name.removesuffix(_ENDING) for item in _folder().iterdir() if item.name.endswith(_ENDING))


@lru_cache
def load_dataset(name: str) -> DatasetManifest:
    """Return the manifest of a data set.

    Args:
        name: one of `dataset_names`.

    Raises:
        ConfigError: there is no such data set (the message names the nearest), or its file is not accepted.

    Example:
        >>> load_dataset("ucsf-pdgm").mask_labels
        'brats2021'
    """
    known = dataset_names()
    if name not in known:
        raise ConfigError(
            f"'{name}' is not one of the data sets: {', '.join(known)}.",
            hint=did_you_mean(name.lower(), known) or "See them with: radiogen info --datasets",
        )
    try:
        values = yaml.safe_load(_folder().joinpath(name + _ENDING).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"The manifest '{name}' cannot be read: {str(error).splitlines()[0]}") from error
    if not isinstance(values, dict):
        raise ConfigError(f"The manifest '{name}' holds no mapping of names to values.")
    manifest = DatasetManifest.parse(values)
    _check(name, manifest)
    return manifest


def _check(name: str, manifest: DatasetManifest) -> None:
    problems = []
    if manifest.name != name:
        problems.append(f"it calls itself '{manifest.name}'; name the file after the data set")
    if manifest.layout != "auto" and manifest.layout not in LAYOUTS:
        problems.append(f"layout '{manifest.layout}' is none of {', '.join(LAYOUTS)}")
    if manifest.mask_labels is not None and manifest.mask_labels not in SCHEMES:
        problems.append(f"mask_labels '{manifest.mask_labels}' is none of {', '.join(SCHEMES)}")
    if problems:
        raise ConfigError(f"The manifest '{name}' is not accepted:", problems=problems)


def known_overlaps(names: Iterable[str]) -> list[str]:
    """Return one warning per pair of data sets that share patients.

    Args:
        names: of data sets, such as the distinct values of the column `dataset` of a joined cohort.

    Example:
        >>> warnings = known_overlaps(["ucsf-pdgm", "brats-2021"])
        >>> len(warnings), "296 patients" in warnings[0]
        (1, True)
        >>> known_overlaps(["egd", "ucsf-pdgm"])
        []
    """
    lines = []
    for first, second in combinations(sorted(set(names)), 2):
        stated = [
            (owner, overlap)
            for owner, other in ((first, second), (second, first))
            for overlap in load_dataset(owner).overlaps
            if overlap.dataset == other
        ]
        if not stated:
            continue
        counts = [overlap.patients for _, overlap in stated if overlap.patients is not None]
        amount = f"{max(counts)} patients" if counts else "patients"
        crosswalks = [overlap.crosswalk for _, overlap in stated if overlap.crosswalk]
        how = f"To tell which, give --crosswalk: {crosswalks[0]}" if crosswalks else "No public table says which"
        lines.append(
            f"{first} and {second} share {amount} ({stated[0][1].source}). {how}; otherwise one patient stands on both sides of a split."
        )
    return lines


def _folder() -> Path:
    """Return the folder of the manifests: it stands beside the package, in a checkout and where a wheel is installed alike."""
    return Path(str(files("radiogen"))).parent / "data_manifests"
