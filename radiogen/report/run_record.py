"""What was really run, gathered from an output folder: settings, numbers and versions of every stage that left its sidecar there."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from radiogen.cohort.table import read_cohort
from radiogen.run.atomic import json_text
from radiogen.run.provenance import package_versions, read_sidecar, sidecar_path
from radiogen.run.quarantine import read_failures

CLASSIFY, AUDIT = "classify", "audit"
_METRICS, _SURVIVAL = "metrics.json", "survival.json"
_SIDECARS_OF_METRICS = ("predictions.csv", _METRICS)
"""Files beside which a classifier and an audit keep their sidecar."""


@dataclass(frozen=True)
class StageRun:
    """One stage as it was run.

    Args:
        settings: what the sidecar holds.
        results: numbers of the stage; empty where it only makes files.
        link: sidecar, relative to the folder.
        results_link: file that holds the numbers, relative to the folder.
        versions: packages at the time.
        inputs: role -> SHA-256 of what went in.
    """

    settings: Mapping[str, Any]
    results: Mapping[str, Any] = field(default_factory=dict)
    link: str = ""
    results_link: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)
    inputs: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class RunRecord:
    """Everything that a folder says of how its results were made; what is None or empty was not run here.

    Args:
        folder: the folder.
        cohort: cohort table of a study.
        failures: `failed.csv`, one row per case and stage; None where the folder is no study.
        preprocess: the preprocessing.
        segment: the masks; `results` holds `methods`, how many masks each method made, and `devices`.
        features: branch -> how its table was made; `results` holds `n_columns`.
        models: classifiers and audits.
        survival: survival analyses and survival models.
        synthetic: the patients are made up.
    """

    folder: Path
    cohort: pd.DataFrame | None = None
    failures: pd.DataFrame | None = None
    preprocess: StageRun | None = None
    segment: StageRun | None = None
    features: Mapping[str, StageRun] = field(default_factory=dict)
    models: tuple[StageRun, ...] = ()
    survival: tuple[StageRun, ...] = ()
    synthetic: bool = False

    @property
    def versions(self) -> dict[str, str]:
        """Return package -> version over all stages; where stages differ, all of them."""
        stages = [self.preprocess, self.segment, *self.features.values(), *self.models, *self.survival]
        found: dict[str, list[str]] = {}
        for stage in stages:
            for name, version in (stage.versions if stage else {}).items():
                found.setdefault(name, [])
                found[name] += [version] if version not in found[name] else []
        return {name: " and ".join(versions) for name, versions in found.items()}


def read_record(folder: str | Path, *, skipped: Iterable[str] = ()) -> RunRecord:
    """Return what a folder of `radiogen run`, `classify`, `audit` or `survival` says of itself.

    Args:
        folder: the folder.
        skipped: stages that this run left out, as the study's report names them (`classify idh`, `survival by mgmt`); what an earlier run left
            behind for them is not read.
    """
    folder, left_out = Path(folder), set(skipped)
    models = [
        run
        for path in _files(folder, _METRICS, "classify")
        if (run := _model(folder, path)) and f"classify {run.results.get('target')}" not in left_out
    ]
    survival = [
        run
        for path in _files(folder, _SURVIVAL, "survival")
        if (run := _stage(folder, path, path)) and f"survival by {run.results.get('group_by')}" not in left_out
    ]
    is_study = (folder / "cohort.csv").is_file() and not (folder / _METRICS).is_file()
    return RunRecord(
        folder,
        cohort=read_cohort(folder / "cohort.csv") if is_study else None,
        failures=read_failures(folder / "failed.csv") if is_study else None,
        preprocess=_first(folder, sorted(folder.glob("preprocessed/*/brain.nii.gz"))),
        segment=_masks(folder),
        features=_features(folder),
        models=tuple(models),
        survival=tuple(survival),
        synthetic=any(run.results.get("synthetic") for run in (*models, *survival)),
    )


def unfinished_record(folder: Path, results: Mapping[str, Any], provenance: Mapping[str, Any]) -> RunRecord:
    """Return the record of one classifier, audit or survival analysis whose page is being written; it equals what `read_record` reads afterwards.

    Args:
        folder: where they are written.
        results: its metrics, or the content of `survival.json`.
        provenance: `stage, settings, inputs` of its sidecar to be; a survival analysis names no stage.
    """
    stage = provenance.get("stage")
    main = {CLASSIFY: _SIDECARS_OF_METRICS[0], AUDIT: _METRICS}.get(str(stage), _SURVIVAL)
    settings, inputs = dict(provenance.get("settings") or {}), dict(provenance.get("inputs") or {})
    numbers = _SURVIVAL if main == _SURVIVAL else _METRICS
    run = StageRun(settings, _as_read(results), sidecar_path(folder / main).name, numbers, package_versions(), inputs)
    synthetic = bool(results.get("synthetic") or settings.get("synthetic"))
    if main == _SURVIVAL:
        return RunRecord(folder, survival=(run,), synthetic=synthetic)
    return RunRecord(folder, models=(run,), synthetic=synthetic)


def _as_read(results: Mapping[str, Any]) -> dict[str, Any]:
    """Return numbers as they are read back from their file: plain types, and None for what is not a number."""
    return dict(json.loads(json_text(results)))


def _files(folder: Path, name: str, below: str) -> list[Path]:
    return [
        path
        for path in (folder / name, folder / below / name, *sorted(folder.glob(f"{below}/*/{name}")))
        if path.is_file()
    ]


def _model(folder: Path, path: Path) -> StageRun | None:
    for name in _SIDECARS_OF_METRICS:
        run = _stage(folder, path.with_name(name), path)
        if run is not None:
            return run
    return None


def _stage(folder: Path, output: Path, results: Path | None = None) -> StageRun | None:
    sidecar = read_sidecar(output)
    if not sidecar:
        return None
    numbers = {} if results is None else _read_json(results)
    link = sidecar_path(output).relative_to(folder).as_posix()
    results_link = "" if results is None else results.relative_to(folder).as_posix()
    settings, inputs = sidecar.get("settings") or {}, sidecar.get("inputs") or {}
    return StageRun(settings, numbers, link, results_link, sidecar.get("versions") or {}, inputs)


def _first(folder: Path, outputs: list[Path]) -> StageRun | None:
    return next((run for path in outputs if (run := _stage(folder, path))), None)


def _masks(folder: Path) -> StageRun | None:
    """Return how the masks were made: settings of the first that was not given, and how many came from where."""
    sidecars = [(path, read_sidecar(path)) for path in sorted(folder.glob("masks/*.nii.gz"))]
    sidecars = [(path, values) for path, values in sidecars if values.get("method")]
    if not sidecars:
        return None
    methods = Counter(str(values["method"]) for _, values in sidecars)
    devices = sorted({str(values["device"]) for _, values in sidecars if values.get("weights_sha256")})
    weights = sorted({str(values["weights_sha256"]) for _, values in sidecars if values.get("weights_sha256")})
    path, values = next(((p, v) for p, v in sidecars if v["method"] != "given"), sidecars[0])
    results = {"methods": dict(sorted(methods.items())), "devices": devices, "weights_sha256": weights}
    link = sidecar_path(path).relative_to(folder).as_posix()
    return StageRun(values.get("settings") or {}, results, link, "volumes.csv", values.get("versions") or {})


def _features(folder: Path) -> dict[str, StageRun]:
    found = {}
    for path in sorted(folder.glob("features/*.parquet")):
        sidecar = read_sidecar(path)
        if not str(sidecar.get("stage", "")).startswith("features-"):
            continue
        link, table = sidecar_path(path).relative_to(folder).as_posix(), path.relative_to(folder).as_posix()
        facts = {"n_columns": _n_columns(path), "n_failed": sidecar.get("n_failed"), "weights": sidecar.get("weights")}
        found[path.stem] = StageRun(sidecar.get("settings") or {}, facts, link, table, sidecar.get("versions") or {})
    return found


def _n_columns(path: Path) -> int | None:
    table = path.with_suffix(".csv")
    return len(pd.read_csv(table, nrows=0).columns) - 1 if table.is_file() else None


def _read_json(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return values if isinstance(values, dict) else {}
