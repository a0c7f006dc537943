"""Habitats over a cohort: fitting on training patients, dividing everybody, and everything that is written."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from radiogen.branches.habitats.branch import read_voxels
from radiogen.branches.habitats.compare import N_REPEATS, EncoderOutcome, compare_encoders
from radiogen.branches.habitats.fit import Fitted, fit_habitats
from radiogen.branches.habitats.learn import TrainingData
from radiogen.branches.habitats.model import save_model
from radiogen.branches.habitats.optimise import Evaluation
from radiogen.branches.habitats.voxels import CaseVoxels, usable_maps
from radiogen.cohort.table import PATH_COLUMNS
from radiogen.config.habitats import HabitatSettings
from radiogen.config.survival import SurvivalSettings
from radiogen.errors import CohortError
from radiogen.evaluate.survival_input import read_follow_up
from radiogen.pipeline.habitats_apply import STAGE, divide_cases, files_of, shown_pictures
from radiogen.pipeline.habitats_facts import cluster_table, habitat_facts, with_facts
from radiogen.report.habitats import convergence_figure, write_habitat_report
from radiogen.report.style import save_png
from radiogen.run.atomic import write_csv, write_json
from radiogen.run.executor import run_cases
from radiogen.run.provenance import Provenance, content_hash, hash_inputs, read_sidecar
from radiogen.run.quarantine import Failure, write_failures

log = logging.getLogger(__name__)

_LEAST_PATIENTS = 4
_POINTS = ["gamma", "k", "stability_loss", "p", "loss", "found_by"]


def run_habitats_fit(
    table: pd.DataFrame, out: Path, settings: HabitatSettings, *, folder: Path, jobs: int = 1, progress: bool = False
) -> dict[str, Any]:
    """Fit habitats, and write the model, the optimisation, every case's map and features, and the report.

    Args:
        table: cohort, as `read_cohort` returns it.
        out: folder for `model/`, `maps/`, `habitats.csv`, `optimisation.csv`, `clusters.csv`, `habitats.json`, `report.html`.
        settings: of the method.
        folder: what relative paths of maps beyond the four sequences are relative to.
        jobs: cases read at the same time.
        progress: show progress.

    Returns:
        The content of `habitats.json`.

    Raises:
        CohortError: the maps cannot be used, or too few patients are there.
    """
    out, maps = Path(out), tuple(usable_maps(table, settings.maps))
    provenance = Provenance(STAGE, settings.model_dump(mode="json"), _hashes(table, maps, folder))
    main, stored = out / "habitats.json", out / "optimisation.csv"
    recorded = _recorded(out, main)
    if recorded and provenance.is_current(recorded):
        log.info("habitats: unchanged, kept")
        return dict(json.loads(main.read_text(encoding="utf-8")))
    cases, failures = _read(table, maps, settings.region, folder, jobs, progress)
    patient_of = _patients(table, cases)
    if len(set(patient_of.values())) < _LEAST_PATIENTS:
        raise CohortError(
            f"{len(set(patient_of.values()))} patient(s) can be used; habitats need {_LEAST_PATIENTS} or more.",
            problems=[f"{failure.case}: {failure.cause}" for failure in failures[:10]],
        )
    training, held_out, notes = _parts(table, cases, patient_of, maps, settings)
    fitted = _fitted(training, settings, stored, provenance.fingerprint, progress)
    result = habitat_facts(fitted, training, held_out, settings, notes, _encoders(training, settings, fitted, progress))
    divided = table.loc[list(cases)]
    del cases, training, held_out  # the voxels of everybody; from here on they are read one by one
    clusters = cluster_table(fitted)
    write_csv(out / "clusters.csv", clusters, index=False)
    save_png(convergence_figure(fitted.evaluations), out / "convergence.png")
    written = [main, stored, out / "clusters.csv", out / "convergence.png"]
    pictures: dict[str, bytes] = {}
    if fitted.model is not None:
        written += save_model(out / "model", with_facts(fitted.model, result))
        features, failed = divide_cases(fitted.model, divided, out, folder=folder, jobs=jobs, progress=progress)
        failures += failed
        pictures = shown_pictures(list(features.index), out)
        written += [out / "habitats.csv", *files_of(list(features.index), out)]
    for stale in set(recorded) - set(written) - {out / "report.html"}:
        stale.unlink(missing_ok=True)  # of an earlier run: a refusal must not stand beside its model and maps
    write_failures(out / "failed.csv", failures, stages=[STAGE])
    result["n_failed"] = len(failures)
    write_json(main, result)
    write_habitat_report(
        out / "report.html", result, fitted.evaluations, clusters, pictures,
        provenance={"settings": settings.model_dump(mode="json"), "inputs": dict(provenance.inputs)},
    )  # fmt: skip
    provenance.record([*written, out / "report.html"])
    return result


def _fitted(
    training: TrainingData, settings: HabitatSettings, stored: Path, fingerprint: str, progress: bool
) -> Fitted:
    """Search, from where an earlier run stopped, and store every evaluation."""
    with _bar("search", max(settings.bo_init, 1) + 2 * settings.bo_steps, progress) as advance:

        def tell(done: list[Evaluation]) -> None:
            _store(stored, fingerprint, settings, done)
            advance()

        return fit_habitats(training, settings, _resumed(stored, fingerprint), tell)


def _encoders(
    training: TrainingData, settings: HabitatSettings, fitted: Fitted, progress: bool
) -> list[EncoderOutcome]:
    """Measure every encoder at the chosen point (of the lowest loss, where every number is refused), if that is wanted."""
    if not settings.compare_encoders:
        return []
    with _bar("encoders", 4 * N_REPEATS, progress) as advance:
        return compare_encoders(
            training, settings, fitted.chosen.gamma, fitted.chosen.k, tell=lambda encoder: advance()
        )


@contextmanager
def _bar(name: str, total: int, progress: bool) -> Iterator[Callable[[], None]]:
    """Show a bar on standard error, and yield what moves it one step on."""
    columns = [
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    ]
    with Progress(*columns, console=Console(stderr=True), disable=not progress) as bar:
        task = bar.add_task(name, total=total)
        yield lambda: bar.advance(task)


def _recorded(out: Path, main: Path) -> list[Path]:
    """Return the outputs of an earlier run; a sidecar holds names without folders."""
    folders = [out, out / "model", out / "maps", out / "pictures"]
    return [
        next((folder / name for folder in folders if (folder / name).is_file()), out / name)
        for name in read_sidecar(main).get("outputs", {})
    ]


def _parts(
    table: pd.DataFrame,
    cases: Mapping[str, CaseVoxels],
    patient_of: Mapping[str, str],
    maps: tuple[str, ...],
    settings: HabitatSettings,
) -> tuple[TrainingData, TrainingData | None, list[str]]:
    """Return training patients, held-out patients where survival is known, and what a reader must know."""
    follow_up, notes = _follow_up(table.loc[list(cases)], settings)
    left_out = [name for name in settings.maps if name not in maps]
    notes += [f"Left out, because not every case has it: {', '.join(left_out)}."] if left_out else []
    site_of = _sites(table, cases)
    everybody = TrainingData(cases, patient_of, maps, follow_up, site_of)
    test = _test_patients(follow_up, patient_of, settings)
    if not test:
        return everybody, None, notes
    inside = [case for case in cases if patient_of[case] not in test]
    return everybody.part(inside), everybody.part([case for case in cases if patient_of[case] in test]), notes


def _sites(table: pd.DataFrame, cases: Mapping[str, CaseVoxels]) -> dict[str, str]:
    sites = table["site"] if "site" in table else pd.Series(None, table.index, dtype=object)
    return {case: str(sites[case]) for case in cases if isinstance(sites[case], str) and sites[case]}


def _read(
    table: pd.DataFrame, maps: tuple[str, ...], region: str, folder: Path, jobs: int, progress: bool
) -> tuple[dict[str, CaseVoxels], list[Failure]]:
    rows = {str(case): row for case, row in table.iterrows()}
    work = partial(read_voxels, maps=maps, region=region, folder=folder)
    return run_cases(work, rows, stage=STAGE, jobs=jobs, progress=progress)


def _patients(table: pd.DataFrame, cases: Mapping[str, CaseVoxels]) -> dict[str, str]:
    named = table["patient"] if "patient" in table else pd.Series(None, table.index, dtype=object)
    return {case: str(named[case]) if isinstance(named[case], str) and named[case] else case for case in cases}


def _follow_up(table: pd.DataFrame, settings: HabitatSettings) -> tuple[pd.DataFrame | None, list[str]]:
    if settings.alpha >= 1:
        return None, ["alpha is 1: stability alone counts, survival is not looked at."]
    blank = [name for name in ("os_days", "os_event") if name not in table or table[name].isna().all()]
    if blank:
        return None, [f"Survival is not known ({' and '.join(blank)} blank): alpha is 1, stability alone counts."]
    found = read_follow_up(table, SurvivalSettings())
    if int(found.table["died"].sum()) < settings.min_events:
        return None, [f"Fewer than {settings.min_events} deaths: alpha is 1, stability alone counts."]
    return found.table[["days", "died"]], list(found.notes)


def _test_patients(
    follow_up: pd.DataFrame | None, patient_of: Mapping[str, str], settings: HabitatSettings
) -> set[str]:
    """Return the patients that the optimisation never sees; deaths and censored are drawn alike."""
    if follow_up is None or settings.test_share == 0:
        return set()
    rng = np.random.default_rng([settings.seed, 77])
    drawn: list[str] = []
    for died in (True, False):
        cases = sorted(follow_up.index[follow_up["died"] == died])
        drawn += [cases[place] for place in rng.permutation(len(cases))[: round(settings.test_share * len(cases))]]
    return {patient_of[case] for case in drawn}


def _resumed(path: Path, fingerprint: str) -> list[Evaluation]:
    """Return the evaluations of an earlier run that was made from exactly this; nothing otherwise."""
    try:
        facts = json.loads(path.with_suffix(".state.json").read_text(encoding="utf-8"))
        if facts["fingerprint"] != fingerprint:
            return []
        rows = pd.read_csv(path, float_precision="round_trip")[_POINTS]
    except (OSError, ValueError, KeyError):
        return []
    log.info("habitats: %d evaluation(s) of an earlier run are taken over", len(rows))
    return [
        Evaluation(gamma, int(k), loss, p, joint, str(found_by))
        for gamma, k, loss, p, joint, found_by in rows.to_numpy(dtype=object).tolist()
    ]


def _store(path: Path, fingerprint: str, settings: HabitatSettings, done: list[Evaluation]) -> None:
    table = pd.DataFrame([asdict(each) for each in done])[_POINTS]
    table.insert(0, "evaluation", range(1, len(table) + 1))
    table["best_loss"] = table["loss"].cummin()
    write_csv(path, table, index=False)
    write_json(path.with_suffix(".state.json"), {"fingerprint": fingerprint})
    last = done[-1]
    most = settings.bo_init + 2 * settings.bo_steps
    text = "habitats: evaluation %d of at most %d: gamma %.3f, %d habitats, loss %.4f"
    log.info(text, len(done), most, last.gamma, last.k, last.loss)


def _hashes(table: pd.DataFrame, maps: tuple[str, ...], folder: Path) -> dict[str, str]:
    hashes = {
        f"{case}/{role}": value
        for case, row in table.iterrows()
        for role, value in hash_inputs(
            {name: folder / row[name] if isinstance(row[name], str) else None for name in (*maps, "mask")}
        ).items()
    }
    rest = table.drop(columns=[name for name in PATH_COLUMNS if name in table.columns])
    return {**hashes, "table": content_hash(rest.to_csv(lineterminator="\n"))}
