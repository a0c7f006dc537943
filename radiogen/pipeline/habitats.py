"""Habitats over a cohort: fitting on training patients, applying to all, and everything that is written."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from radiogen.branches.habitats.branch import HabitatBranch, read_voxels
from radiogen.branches.habitats.clustering import fit_centres, matched_mismatch, nearest
from radiogen.branches.habitats.fit import Fitted, TrainingData, fit_habitats, group_p
from radiogen.branches.habitats.model import HabitatModel, save_model
from radiogen.branches.habitats.optimise import Evaluation
from radiogen.branches.habitats.voxels import CaseVoxels, usable_maps
from radiogen.cohort.nifti import read_image
from radiogen.cohort.table import PATH_COLUMNS
from radiogen.config.habitats import HabitatSettings
from radiogen.config.survival import SurvivalSettings
from radiogen.errors import CohortError
from radiogen.evaluate.survival_input import read_follow_up
from radiogen.report.habitats import convergence_figure, habitat_picture, write_habitat_report
from radiogen.report.style import png, save_png
from radiogen.run.atomic import write_csv, write_json, writing
from radiogen.run.executor import run_cases
from radiogen.run.provenance import Provenance, content_hash, hash_inputs, read_sidecar
from radiogen.run.quarantine import Failure, write_failures

log = logging.getLogger(__name__)

_FITTED = (
    "The columns of habitats.csv come from a division that was learned from the training patients, and in part from their survival: a classifier or"
    " survival model that is cross-validated on the same patients with these columns leaks. Use them for patients the habitats were not fitted on"
    " (held out here, or `radiogen habitats apply`)."
)

STAGE = "habitats"
_LEAST_PATIENTS = 4
_MOST_SHOWN = 12
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
    known = _resumed(stored, provenance.fingerprint)
    fitted = fit_habitats(
        training, settings, known, partial(_store, stored, provenance.fingerprint, settings, progress)
    )
    result = _result(fitted, training, held_out, settings, notes)
    write_csv(out / "clusters.csv", cluster_table(fitted), index=False)
    save_png(convergence_figure(fitted.evaluations), out / "convergence.png")
    written = [main, stored, out / "clusters.csv", out / "convergence.png"]
    pictures: dict[str, bytes] = {}
    if fitted.model is not None:
        written += save_model(out / "model", _with_facts(fitted.model, result))
        branch = HabitatBranch(
            settings, out / "model", maps_folder=out / "maps", data_folder=folder, jobs=jobs, progress=progress
        )
        features = branch.extract(table.loc[list(cases)]).features
        write_csv(out / "habitats.csv", _with_groups(features, fitted.model))
        written.append(out / "habitats.csv")
        pictures = _pictures(table, list(cases), cases, fitted.model, out)
        written += [out / "maps" / f"{case}.nii.gz" for case in features.index]
        written += [out / "pictures" / f"{case}.png" for case in cases]
    write_failures(out / "failed.csv", failures, stages=[STAGE])
    result["n_failed"] = len(failures)
    write_json(main, result)
    write_habitat_report(
        out / "report.html", result, fitted.evaluations, cluster_table(fitted), pictures,
        provenance={"settings": settings.model_dump(mode="json"), "inputs": dict(provenance.inputs)},
    )  # fmt: skip
    provenance.record([*written, out / "report.html"])
    return result


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
    test = _test_patients(follow_up, patient_of, settings)
    training = _data(cases, patient_of, maps, follow_up, lambda patient: patient not in test)
    held_out = _data(cases, patient_of, maps, follow_up, lambda patient: patient in test) if test else None
    return training, held_out, notes


def run_habitats_apply(
    model_folder: Path, table: pd.DataFrame, out: Path, *, folder: Path, jobs: int = 1, progress: bool = False
) -> tuple[pd.DataFrame, list[Failure]]:
    """Apply a frozen model to new cases: their maps, `habitats.csv` and pictures.

    Args:
        model_folder: the folder `model` of a fit.
        table: cohort, as `read_cohort` returns it.
        out: folder for the outputs.
        folder: what relative paths of further maps are relative to.
        jobs: cases worked on at the same time.
        progress: show progress.

    Returns:
        The features, and the cases that failed.

    Raises:
        InputError: the model cannot be read.
    """
    out = Path(out)
    branch = HabitatBranch(
        HabitatSettings(),
        Path(model_folder),
        maps_folder=out / "maps",
        data_folder=folder,
        jobs=jobs,
        progress=progress,
    )
    extraction = branch.extract(table)
    features = _with_groups(extraction.features, branch.model)
    write_csv(out / "habitats.csv", features)
    write_failures(out / "failed.csv", extraction.failures, stages=[STAGE])
    counted = {**branch.provenance_settings(), "model": content_hash(branch.settings_that_count())}
    Provenance(STAGE, counted, branch.provenance_inputs(table)).record([out / "habitats.csv"])
    return features, extraction.failures


def cluster_table(fitted: Fitted) -> pd.DataFrame:
    """Return one row per number of habitats: how it did, what structureless data reach, and whether it stands.

    Args:
        fitted: of `fit_habitats`.
    """
    rows = [
        {
            "habitats": check.k, "stability_loss": check.stability_loss,
            "reference_stability_min": min(check.reference_stability),
            "reference_stability_mean": float(np.mean(check.reference_stability)),
            "spread_left": check.dispersion, "reference_spread_min": min(check.reference_dispersion),
            "silhouette": check.silhouette, "calinski_harabasz": check.calinski_harabasz, "gap": check.gap,
            "stands": not check.reasons,
        }
        for check in fitted.checks.values()
    ]  # fmt: skip
    return pd.DataFrame(rows)


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


def _data(
    cases: Mapping[str, CaseVoxels], patient_of: Mapping[str, str], maps: tuple[str, ...], follow_up: pd.DataFrame | None,
    wanted: Any,
) -> TrainingData:  # fmt: skip
    own = {name: case for name, case in cases.items() if wanted(patient_of[name])}
    known = None if follow_up is None else follow_up.loc[[case for case in follow_up.index if case in own]]
    return TrainingData(
        own,
        {name: patient_of[name] for name in own},
        maps,
        known if known is not None and known["died"].any() else None,
    )


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


def _store(path: Path, fingerprint: str, settings: HabitatSettings, progress: bool, done: list[Evaluation]) -> None:
    table = pd.DataFrame([asdict(each) for each in done])[_POINTS]
    table.insert(0, "evaluation", range(1, len(table) + 1))
    table["best_loss"] = table["loss"].cummin()
    write_csv(path, table, index=False)
    write_json(path.with_suffix(".state.json"), {"fingerprint": fingerprint})
    last = done[-1]
    most = settings.bo_init + 2 * settings.bo_steps
    text = "habitats: evaluation %d of at most %d: gamma %.3f, %d habitats, loss %.4f"
    (log.warning if progress else log.info)(text, len(done), most, last.gamma, last.k, last.loss)


def _result(
    fitted: Fitted, training: TrainingData, held_out: TrainingData | None, settings: HabitatSettings, notes: list[str]
) -> dict[str, Any]:
    check = fitted.checks[fitted.chosen.k]
    result: dict[str, Any] = {
        "habitats": None if fitted.model is None else fitted.model.k,
        "gamma": fitted.chosen.gamma, "encoder": settings.encoder, "maps": list(training.maps), "region": settings.region,
        "alpha": settings.alpha if training.follow_up is not None else 1.0,
        "n_training_patients": len(set(training.patient_of.values())), "n_evaluations": len(fitted.evaluations),
        "stability_loss": check.stability_loss, "stability_of_structureless": min(check.reference_stability),
        "silhouette": check.silhouette, "refused": check.reasons if fitted.model is None else [],
        "training_p": fitted.p, "held_out": None, "notes": [*notes, _FITTED],
    }  # fmt: skip
    if held_out is not None and fitted.model is not None:
        result["held_out"] = _held_out(fitted.model, held_out, settings)
    result["summary"] = _summary(result)
    return result


def _held_out(model: HabitatModel, data: TrainingData, settings: HabitatSettings) -> dict[str, Any]:
    """Return what the frozen model does on patients that it never saw."""
    rows, _ = data.sample(settings.sample_voxels, settings.seed)
    codes = model.code(rows)
    mismatch = matched_mismatch(
        nearest(codes, model.centres), nearest(codes, fit_centres(codes, model.k, settings.seed)), model.k
    )
    facts: dict[str, Any] = {"n_patients": len(set(data.patient_of.values())), "stability_loss": mismatch, "p": None}
    if data.follow_up is None or model.groups is None:
        return facts
    table = pd.DataFrame.from_dict(
        {case: model.features(data.cases[case]) for case in data.follow_up.index}, orient="index", columns=model.columns
    )
    high = model.groups.assign(table)
    return {
        **facts, "p": group_p(data.follow_up, high), "n_high": int(high.sum()), "n_low": int((~high).sum()),
        "n_died": int(data.follow_up["died"].sum()),
    }  # fmt: skip


def _summary(result: Mapping[str, Any]) -> str:
    if result["habitats"] is None:
        return f"No habitats are reported: {'; '.join(result['refused'])}."
    text = (
        f"{result['habitats']} habitats from {result['n_training_patients']} training patients; stability loss "
        f"{result['stability_loss']:.3f} (data without habitats: {result['stability_of_structureless']:.3f} or more)."
    )
    held_out = result["held_out"]
    if held_out is None or held_out["p"] is None:
        return text
    return (
        f"{text} Two risk groups: p = {held_out['p']:.3g} on {held_out['n_patients']} held-out patients, which counts; "
        f"p = {result['training_p']:.3g} on the training patients, for which it was optimised."
    )


def _with_facts(model: HabitatModel, result: Mapping[str, Any]) -> HabitatModel:
    kept = ("n_training_patients", "stability_loss", "training_p", "held_out", "alpha")
    facts = {name: result[name] for name in kept}
    return HabitatModel(
        model.maps, model.region, model.gamma, model.scaling, model.encoder, model.centres, model.groups, facts
    )


def _with_groups(features: pd.DataFrame, model: HabitatModel) -> pd.DataFrame:
    if model.groups is None or features.empty:
        return features
    return features.assign(habitat_high_risk=model.groups.assign(features).astype(int))


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


def _pictures(
    table: pd.DataFrame, names: list[str], cases: Mapping[str, CaseVoxels], model: HabitatModel, out: Path
) -> dict[str, bytes]:
    """Write a picture of every case; return those that the report shows."""
    shown: dict[str, bytes] = {}
    for name in names:
        anatomy = read_image(str(table.loc[name, model.maps[-1]])).data
        case = cases[name]
        figure = habitat_picture(
            anatomy, case.volume_labels(model.divide(case.values)), case.grid.voxel_size_mm, model.k, name
        )
        content = png(figure)
        with writing(out / "pictures" / f"{name}.png") as beside:
            beside.write_bytes(content)
        if len(shown) < _MOST_SHOWN:
            shown[name] = content
    return shown
