"""What a training was started with: kept in the output folder, so that it is gone on with, or refused, but never mixed up."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from radiogen.config.train import TrainSettings
from radiogen.errors import ConfigError, InputError
from radiogen.run.atomic import write_json
from radiogen.run.provenance import content_hash

SETTINGS = "settings.json"
_FREE = ("workers", "device")
"""Settings that may change between two starts: they say where the work is done, not what."""


def training_record(settings: TrainSettings, cases: Mapping[str, str], start_sha256: str = "") -> dict[str, Any]:
    """Return what decides the outcome of a training, as it is kept.

    Args:
        settings: all of them.
        cases: case -> fingerprint of its files and of how they were prepared.
        start_sha256: of the weights it starts from.
    """
    return {
        "settings": settings.model_dump(mode="json"),
        "n_cases": len(cases),
        "cases_sha256": content_hash(dict(cases)),
        "start_from_sha256": start_sha256,
    }


def check_record(out: Path, record: Mapping[str, Any]) -> None:
    """Write the record to `out/settings.json`, or compare it with the one that stands there.

    Args:
        out: output folder of the training.
        record: as `training_record` returns it.

    Raises:
        ConfigError: the folder belongs to a training with other settings or data; every difference is listed.
        InputError: the file cannot be read.
    """
    path = Path(out) / SETTINGS
    if not path.is_file():
        write_json(path, record)
        return
    try:
        there = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{path} is not JSON: {error}", hint="Choose another output folder.") from error
    before, now = _flat(there), _flat(json.loads(json.dumps(record)))
    changed = [name for name in sorted({*before, *now}) if before.get(name) != now.get(name)]
    changed = [name for name in changed if name not in {f"settings.{free}" for free in _FREE}]
    if changed:
        raise ConfigError(
            f"{out} holds a training with other settings or data:",
            problems=[f"{name}: {before.get(name)!r} there, {now.get(name)!r} now" for name in changed],
            hint="Choose another output folder, or start with the same command to go on.",
        )


def _flat(values: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(values, dict) or not values:
        return {prefix.rstrip("."): values}
    return {name: value for key, item in values.items() for name, value in _flat(item, f"{prefix}{key}.").items()}
