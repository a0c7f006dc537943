"""Sidecars: how an output was made, and whether that is still true.

Resume, cache and provenance are one mechanism: an output is current when its sidecar names the same stage, settings and input hashes, and the
bytes on disk still have the hashes recorded. Wall-clock times are kept in the study's log, not in sidecars, so that a run which was killed and
resumed ends with the same bytes as an undisturbed one.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from radiogen import __version__
from radiogen.resources import sha256_file
from radiogen.run.atomic import write_json

RESEARCH_USE = "Research use only. Not a medical device; not for diagnosis or treatment decisions."

_PACKAGES = (
    "numpy", "scipy", "pandas", "scikit-learn", "xgboost", "torch", "monai", "nibabel", "SimpleITK", "pyradiomics-bhklab", "nilearn", "lifelines",
)  # fmt: skip


@dataclass(frozen=True)
class Provenance:
    """What an output depends on.

    Args:
        stage: name of the stage that makes it.
        settings: JSON-able settings that change the output.
        inputs: role or file name -> SHA-256 of the content.

    Example:
        >>> Provenance("volumes", {"unit": "ml"}, {}).fingerprint == Provenance("volumes", {"unit": "mm3"}, {}).fingerprint
        False
    """

    stage: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    inputs: Mapping[str, str] = field(default_factory=dict)

    @property
    def fingerprint(self) -> str:
        """Return the SHA-256 over stage, settings, input hashes and radiogen's version."""
        return content_hash(
            {"radiogen": __version__, "stage": self.stage, "settings": self.settings, "inputs": self.inputs}
        )

    def is_current(self, outputs: Iterable[str | Path]) -> bool:
        """Return whether all `outputs` stand on disk, unchanged, as made from exactly this.

        Args:
            outputs: the files; the sidecar is that of the first one.
        """
        paths = [Path(path) for path in outputs]
        sidecar = read_sidecar(paths[0])
        if sidecar.get("fingerprint") != self.fingerprint:
            return False
        recorded = sidecar.get("outputs", {})
        return all(path.is_file() and recorded.get(path.name) == sha256_file(path) for path in paths)

    def record(self, outputs: Iterable[str | Path], **facts: Any) -> Path:
        """Write the sidecar of `outputs` beside the first of them and return its path.

        Args:
            outputs: the files, already under their final names.
            facts: further JSON-able facts for readers (volumes, counts, warnings).
        """
        paths = [Path(path) for path in outputs]
        sidecar = sidecar_path(paths[0])
        write_json(
            sidecar,
            {
                **facts,
                "notice": RESEARCH_USE,
                "stage": self.stage,
                "settings": self.settings,
                "inputs": self.inputs,
                "outputs": {path.name: sha256_file(path) for path in paths},
                "versions": package_versions(),
                "fingerprint": self.fingerprint,
            },
        )
        return sidecar


def sidecar_path(output: str | Path) -> Path:
    """Return where the sidecar of an output stands: the same name with `.json`, or `<name>.provenance.json` for an output that is JSON itself.

    Example:
        >>> str(sidecar_path("masks/007.nii.gz")), str(sidecar_path("metrics.json"))
        ('masks/007.json', 'metrics.provenance.json')
    """
    path = Path(output)
    for suffix in (".nii.gz", ".nii"):
        if path.name.endswith(suffix):
            return path.with_name(path.name.removesuffix(suffix) + ".json")
    return path.with_suffix(".provenance.json") if path.suffix == ".json" else path.with_suffix(".json")


def read_sidecar(output: str | Path) -> dict[str, Any]:
    """Return an output's sidecar, or an empty mapping where there is none or it cannot be read."""
    try:
        values = json.loads(sidecar_path(output).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return values if isinstance(values, dict) else {}


def content_hash(values: Any) -> str:
    """Return the SHA-256 of a JSON-able value, independent of key order."""
    return hashlib.sha256(json.dumps(values, sort_keys=True, default=str).encode()).hexdigest()


def hash_inputs(paths: Mapping[str, str | Path | None]) -> dict[str, str]:
    """Return role -> SHA-256 for every path that is given and exists; absent inputs are left out."""
    return {
        role: sha256_file(path) for role, path in sorted(paths.items()) if path is not None and Path(path).is_file()
    }


@cache
def package_versions() -> dict[str, str]:
    """Return the versions of the packages that can change a result; `absent` where one is not installed."""
    versions = {"radiogen": __version__}
    for name in _PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = "absent"
    return versions
