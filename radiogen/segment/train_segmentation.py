"""Training a segmentation network on a cohort, or on made-up patients: data, network, loop, weights with their card."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn
from torch.utils.data import Dataset

from radiogen.config.train import TrainSettings
from radiogen.errors import ConfigError, InputError
from radiogen.segment.networks import input_multiple
from radiogen.segment.train_cases import TrainingCase, largest_shape, prepare_cases
from radiogen.segment.train_data import PLANE_AXIS, CasePatches, patch_of
from radiogen.segment.train_folds import assign_folds
from radiogen.segment.train_measure import HeldOutDice, predict_whole, read_training_case
from radiogen.segment.train_record import check_record, training_record
from radiogen.segment.train_start import network_arguments, starting_network, takes_one_size
from radiogen.segment.train_targets import labels_of, output_names
from radiogen.segment.weights import WeightsCard, card_path, find_weights, read_card, save_weights
from radiogen.training.log import LOG
from radiogen.training.loop import FitResult, Plan, fit
from radiogen.training.losses import build_loss
from radiogen.types import LabelVolume, Volume

log = logging.getLogger(__name__)

WEIGHTS = "weights.safetensors"
UNKNOWN_LICENCE = "unknown - set by the trainer"
RANDOMISED = "radiogen.segment.randomised.dataset", "RandomisedPatients"
"""Where the made-up patients of `source: domain-randomised` come from."""

_USUAL_MULTIPLE = 16


@dataclass(frozen=True)
class Snapshot:
    """What a network in training makes of one case.

    Args:
        rows: the log so far.
        case: case id.
        images: sequence -> normalised image on the network's voxels.
        truth: labels of the reference.
        prediction: labels of the network.
        spacing_mm: edge of a voxel, mm.
    """

    rows: list[dict[str, Any]]
    case: str
    images: Mapping[str, Volume]
    truth: LabelVolume
    prediction: LabelVolume
    spacing_mm: float


OnMeasured = Callable[[Snapshot], None]


@dataclass(frozen=True)
class TrainOutcome:
    """A finished training.

    Args:
        weights: the safetensors file.
        card: its card.
        trained_on: cases that were learned from; empty for made-up patients.
        held_out: cases that were measured on.
    """

    weights: Path
    card: WeightsCard
    trained_on: list[str]
    held_out: list[str]


@dataclass(frozen=True)
class Labelling:
    """What the card of the trained weights says beside what training knows.

    Args:
        name: name of the weights.
        licence: licence of the weights.
        source: paper or address.
        ensemble_weight: weight in a weighted mean with other networks.
    """

    name: str
    licence: str = UNKNOWN_LICENCE
    source: str = ""
    ensemble_weight: float = 1.0


def train_segmentation(
    cohort: pd.DataFrame | None,
    out: Path,
    settings: TrainSettings,
    *,
    labelling: Labelling | None = None,
    on_measured: OnMeasured | None = None,
    jobs: int = 1,
    progress: bool = False,
) -> TrainOutcome:
    """Train a network and write its weights, card, log and checkpoint; go on where an earlier start of the same training stopped.

    With `source: domain-randomised` nothing is learned from the cohort: where one is given, all of it is held out to measure on.

    Args:
        cohort: as `read_cohort` returns it, with masks; None with `source: domain-randomised`.
        out: output folder.
        settings: everything about the training.
        labelling: name, licence and source for the card; named after the folder by default.
        on_measured: called with a picture's worth of data whenever the network is measured; picklable where several devices are used.
        jobs: cases prepared at the same time.
        progress: show progress bars.

    Raises:
        ConfigError: settings do not fit together, or the folder belongs to another training.
        InputError: the cohort cannot be used.
        RadiogenError: the loss is no longer a number.
    """
    out = Path(out)
    labelling = labelling or Labelling(out.name)
    cases = _cases(cohort, out, settings, jobs, progress)
    trained_on, held_out = _parts(cohort, cases, settings)
    prints = {name: case.fingerprint for name, case in cases.items()}
    start = settings.network.start_from
    check_record(out, training_record(settings, prints, read_card(find_weights(start)).sha256 if start else ""))
    if (finished := _finished(out)) is not None:
        log.info("%s is finished; nothing is left to do.", out)
        return TrainOutcome(out / WEIGHTS, finished, list(trained_on), list(held_out))
    job = _job(settings, trained_on, held_out)
    result = fit(
        job.plan,
        starting_network(settings, job.network_patch),
        build_loss(
            settings.loss.name,
            softmax=settings.data.targets == "labels",
            arguments=settings.loss.arguments,
            deep_supervision=settings.loss.deep_supervision,
        ),
        job.items,
        out,
        measure=HeldOutDice(list(held_out.values()), settings.data, job.patch) if held_out else None,
        after_measure=_Show(job, settings, on_measured) if on_measured else None,
        progress=progress,
    )
    card = _save(out, result, job, settings, labelling, _sentence(cohort, trained_on, held_out, settings, job))
    return TrainOutcome(out / WEIGHTS, card, list(trained_on), list(held_out))


def _cases(
    cohort: pd.DataFrame | None, out: Path, settings: TrainSettings, jobs: int, progress: bool
) -> dict[str, TrainingCase]:
    made_up = settings.data.source == "domain-randomised"
    if cohort is None:
        if made_up:
            return {}
        raise InputError(
            "A cohort table is needed to train on.", hint="Give one, or set data.source to domain-randomised."
        )
    if made_up and settings.fold != "all":
        raise ConfigError("With made-up patients the whole cohort is held out.", hint="Set fold to all.")
    return prepare_cases(cohort, out / "cache", settings.data, jobs=jobs, progress=progress)


def _parts(
    cohort: pd.DataFrame | None, cases: Mapping[str, TrainingCase], settings: TrainSettings
) -> tuple[dict[str, TrainingCase], dict[str, TrainingCase]]:
    """Return the cases to learn from and those to measure on."""
    if cohort is None or settings.data.source == "domain-randomised":
        return {}, dict(cases)
    if settings.fold == "all":
        return dict(cases), {}
    volumes = {name: case.wt_ml for name, case in cases.items()}
    folds = assign_folds(cohort, volumes, settings.n_folds, seed=settings.seed)
    held_out = {name: case for name, case in cases.items() if folds[name] == settings.fold}
    trained_on = {name: case for name, case in cases.items() if name not in held_out}
    if not held_out or not trained_on:
        raise InputError(
            f"Fold {settings.fold} holds {len(held_out)} of {len(cases)} cases.", hint="Choose another fold."
        )
    return trained_on, held_out


@dataclass(frozen=True)
class _Job:
    plan: Plan
    items: Dataset[dict[str, torch.Tensor]]
    patch: tuple[int, int, int]
    network_patch: tuple[int, ...]
    sample: TrainingCase | None
    multiple: int


def _job(settings: TrainSettings, trained_on: Mapping[str, TrainingCase], held_out: Mapping[str, TrainingCase]) -> _Job:
    everyone = [*trained_on.values(), *held_out.values()]
    multiple = input_multiple(settings.network.name, len(settings.data.sequences), _multiple_arguments(settings))
    multiple = multiple or _USUAL_MULTIPLE
    n_steps = settings.steps_per_epoch or -(-len(trained_on) // settings.batch_size)
    if not n_steps:
        raise ConfigError("Made-up patients have no end.", hint="Set steps_per_epoch.")
    plan = Plan(
        settings.epochs,
        n_steps,
        settings.batch_size,
        settings.optimiser,
        settings.validate_every,
        settings.keep,
        settings.precision,
        settings.device,
        settings.devices,
        settings.workers,
        settings.seed,
    )
    items: Dataset[dict[str, torch.Tensor]]
    if trained_on:
        patch = patch_of(settings.data, largest_shape(everyone, multiple))
        items = CasePatches(list(trained_on.values()), settings.data, patch, seed=settings.seed, length=plan.n_items)
    else:
        module, name = RANDOMISED
        items = getattr(import_module(module), name)(settings.data, settings.seed, plan.n_items)
        _, i, j, k = items[0]["image"].shape
        patch = (i, j, k)
    axis = PLANE_AXIS.get(settings.data.planes)
    network_patch = tuple(size for number, size in enumerate(patch) if number != axis)
    sample = next(iter([*held_out.values(), *trained_on.values()]), None)
    return _Job(plan, items, patch, network_patch, sample, multiple)


def _multiple_arguments(settings: TrainSettings) -> dict[str, Any]:
    """Return the arguments that decide what multiple of voxels a network takes; one that takes a single size is asked without a patch."""
    data = settings.data
    size = data.patch_size or (_USUAL_MULTIPLE,) * 3
    axis = PLANE_AXIS.get(data.planes)
    return network_arguments(settings, tuple(n for number, n in enumerate(size) if number != axis))


@dataclass(frozen=True)
class _Show:
    """Hands a case with truth and prediction to whoever draws it."""

    job: _Job
    settings: TrainSettings
    on_measured: OnMeasured

    def __call__(self, network: nn.Module, rows: list[dict[str, Any]]) -> None:
        data = self.settings.data
        if self.job.sample is not None:
            case = self.job.sample.case
            image, truth = read_training_case(self.job.sample)
        else:
            case, item = "made-up", self.job.items[0]
            image = item["image"]
            # The target is 0 or 1: as logits it says the same.
            truth = labels_of(item["target"] - 0.5, data)
        prediction = labels_of(predict_whole(network, image, self.job.patch, data.planes), data)
        images = {
            name: np.ascontiguousarray(channel.numpy())
            for name, channel in zip(data.sequences, image, strict=True)
            if bool(channel.any())
        }
        self.on_measured(Snapshot(rows, case, images, truth, prediction, data.spacing_mm))


def _finished(out: Path) -> WeightsCard | None:
    """Return the card of finished weights; None where training has to go on."""
    if not (out / WEIGHTS).is_file() or not card_path(out / WEIGHTS).is_file() or not (out / LOG).is_file():
        return None
    try:
        return read_card(out / WEIGHTS)
    except InputError:
        return None  # killed between weights and card: they are written again from the checkpoint


def _save(
    out: Path, result: FitResult, job: _Job, settings: TrainSettings, labelling: Labelling, sentence: str
) -> WeightsCard:
    data = settings.data
    row = result.rows[result.epoch - 1]
    scores = {
        name: round(float(row[name]), 4) for name in (*data.regions, "wt", "tc", "et") if row.get(name) is not None
    }
    measured: dict[str, Any] = {}
    if scores:
        measured["held_out"] = {
            "dice": scores,
            "epoch": result.epoch,
            "on": f"whole volumes on the network's own voxels ({data.spacing_mm:g} mm), threshold 0.5, no postprocessing",
            "unbiased": settings.keep == "last",
        }
    card = WeightsCard(
        name=labelling.name,
        network=settings.network.name,
        arguments=network_arguments(settings, job.network_patch),
        sequences=data.sequences,
        outputs=output_names(data),
        activation="softmax" if data.targets == "labels" else "sigmoid",
        dimension=3 if data.planes == "volume" else 2,
        planes=data.planes,
        spacing_mm=data.spacing_mm,
        multiple=job.multiple,
        window=job.patch if takes_one_size(settings) else None,
        licence=labelling.licence,
        training_data=sentence,
        source=labelling.source,
        ensemble_weight=labelling.ensemble_weight,
        measured=measured,
    )
    network = starting_network(settings, job.network_patch)
    network.load_state_dict(result.state)
    return save_weights(out / WEIGHTS, network, card)


def _sentence(
    cohort: pd.DataFrame | None,
    trained_on: Mapping[str, TrainingCase],
    held_out: Mapping[str, TrainingCase],
    settings: TrainSettings,
    job: _Job,
) -> str:
    """Return what the network was trained on, for the card."""
    if not trained_on or cohort is None:
        measured = f" Measured on {len(held_out)} cases that it did not learn from." if held_out else ""
        return f"Made-up patients drawn as training went, {job.plan.n_items} of them; no real patient.{measured}"
    rows = cohort.loc[list(trained_on)]
    sites = sorted({str(site) for site in rows["site"].dropna()}) if "site" in rows.columns else []
    where = f" from {len(sites)} site(s): {', '.join(sites[:5])}{', ...' if len(sites) > 5 else ''}" if sites else ""
    rest = f"; fold {settings.fold} of {settings.n_folds} ({len(held_out)} cases) was held out" if held_out else ""
    start = f"; started from {Path(settings.network.start_from).name}" if settings.network.start_from else ""
    return f"{len(trained_on)} cases of {rows['patient'].nunique()} patients{where}{rest}{start}."
