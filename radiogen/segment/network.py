"""Trained networks as a segmentation method: prepare, infer, combine, decide, put back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import asdict
from itertools import product
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8

from radiogen.cohort.case import CaseImages
from radiogen.config.segment import SegmentSettings
from radiogen.errors import ConfigError
from radiogen.segment.engine import Engine, Flip
from radiogen.segment.ensemble import majority_vote, mean_probabilities, staple_labels
from radiogen.segment.inputs import Box, NetworkInput, prepare_channels
from radiogen.segment.lesion import without_small
from radiogen.segment.method import MethodResult
from radiogen.segment.postprocess import postprocess
from radiogen.segment.uncertainty import dropout_on, predictive_entropy, region_confidence
from radiogen.segment.weights import find_weights, load_network
from radiogen.types import ED, ET, NCR, RC, LabelVolume

FLIPS: tuple[Flip, ...] = tuple(product((False, True), (False, True), (False, True)))
"""The eight mirror images, the image itself first."""

Probabilities = dict[str, np.ndarray]
"""Region -> probability on the voxels of the box."""


class NetworkMethod:
    """Segment with the network of a weights file, or with several.

    Args:
        settings: `weights` names the files; how they are combined and asked is its own.

    Raises:
        ConfigError: no weights are given, the device is not there, or what is asked for needs other weights.
        InputError: the weights cannot be used.
    """

    def __init__(self, settings: SegmentSettings) -> None:
        if not settings.weights:
            raise ConfigError("The method 'network' needs weights.", hint="Give them with --weights FILE.safetensors.")
        if settings.uncertainty == "ensemble" and len(settings.weights) < 2:
            raise ConfigError(
                "The uncertainty 'ensemble' needs at least two networks.",
                hint="Give --weights twice, or --uncertainty flips.",
            )
        if settings.uncertainty != "none" and settings.ensemble != "mean":
            raise ConfigError(
                "Uncertainty is measured on the mean of networks, not on votes.", hint="Use ensemble: mean."
            )
        self.settings = settings
        self.device = choose_device(settings.device)
        self.dtype = choose_precision(settings.precision, self.device)
        loaded = [load_network(find_weights(name)) for name in settings.weights]
        self.engines = [Engine(network, card, self.device, self.dtype, settings) for network, card in loaded]
        if settings.uncertainty == "mc-dropout":
            for engine in self.engines:
                with dropout_on(engine.network, 0):  # says at once, not case by case, that there is none
                    pass

    @property
    def description(self) -> dict[str, str]:
        """Return name, device, precision and hash of what is used."""
        cards = [engine.card for engine in self.engines]
        return {
            "method": "network:" + "+".join(card.name for card in cards),
            "device": str(self.device),
            "precision": str(self.dtype).removeprefix("torch."),
            "weights_sha256": "+".join(card.sha256 for card in cards),
        }

    @property
    def thresholds(self) -> dict[str, float]:
        """Return region -> probability above which a voxel belongs to it: of the settings, else the mean over the cards (0.5 where none)."""
        regions = {name for engine in self.engines for name in engine.regions}
        cards = {
            name: float(np.mean([engine.card.thresholds.get(name, 0.5) for engine in self.engines])) for name in regions
        }
        return {**cards, **(self.settings.postprocess.thresholds if self.settings.postprocess else {})}

    def __call__(self, case: CaseImages) -> MethodResult:
        """Return the labels of one case.

        Raises:
            CaseError: the case has none of the sequences that a network knows, or no brain is found.
        """
        inputs = [
            prepare_channels(
                case, engine.card.sequences, engine.card.spacing_mm,
                needs_brain=engine.card.needs_brain, normalisation=engine.card.normalisation,
            )
            for engine in self.engines
        ]  # fmt: skip
        box = _common_box([item.box for item in inputs])
        voxel_ml = float(np.prod(case.grid.voxel_size_mm)) / 1000
        confidence: dict[str, dict[str, float]] = {}
        samples: list[LabelVolume] = []
        if self.settings.ensemble == "mean" or len(self.engines) == 1:
            mean, confidence, samples = self._asked(inputs, box, voxel_ml)
            found = self._decided(mean, voxel_ml)
        else:
            mean, found = self._voted(inputs, box, voxel_ml)
        shape = case.grid.canonical_shape
        labels = self._placed(found, box, shape, voxel_ml)
        used = [name for name in case.images if any(name in item.used for item in inputs)]
        notes = list(dict.fromkeys(note for item in inputs for note in item.notes))
        facts, flag = self._facts(confidence)
        return MethodResult(
            labels, used, notes,
            probabilities={name: _whole(p, box, labels.shape) for name, p in mean.items()} if self.settings.save_probabilities else {},
            entropy=_whole(predictive_entropy(mean), box, labels.shape) if self.settings.uncertainty_map else None,
            samples=[self._placed(sample, box, shape, voxel_ml) for sample in samples],
            confidence=facts,
            flag_reason=flag,
        )  # fmt: skip

    def _decided(self, probabilities: Probabilities, voxel_ml: float) -> LabelVolume:
        if self.settings.postprocess is None:
            return regions_to_labels(probabilities, self.thresholds)
        rules = self.settings.postprocess.model_copy(update={"thresholds": self.thresholds})
        return postprocess(probabilities, rules, voxel_ml)

    def _placed(
        self, found: LabelVolume, box: Box, shape: tuple[int, int, int], voxel_ml: float
    ) -> UInt8[np.ndarray, "x y z"]:
        """Return the labels of a box on the whole case, without components that are too small to be believed."""
        found[~without_small(found > 0, self.settings.smallest_ml / voxel_ml)] = 0
        labels = np.zeros(shape, dtype=np.uint8)
        labels[box] = found
        return labels

    def _voted(self, inputs: list[NetworkInput], box: Box, voxel_ml: float) -> tuple[Probabilities, LabelVolume]:
        """Return the mean of the networks, and the vote of their masks."""
        answers = self._members(inputs, box, FLIPS if self.settings.tta else FLIPS[:1])
        masks = [self._decided(answer, voxel_ml) for answer in answers]
        join = majority_vote if self.settings.ensemble == "majority" else staple_labels
        return self._mean(answers), join(masks)

    def _asked(
        self, inputs: list[NetworkInput], box: Box, voxel_ml: float
    ) -> tuple[Probabilities, dict[str, dict[str, float]], list[LabelVolume]]:
        """Return the mean answer and, where several were asked for, how far they agree on each region, and the labels of each if they are wanted."""
        if self.settings.uncertainty == "none":
            flips = FLIPS if self.settings.tta else FLIPS[:1]
            return self._combined(inputs, box, flips), {}, []
        thresholds = self.thresholds
        mean: Probabilities = {}
        masks: dict[str, list[np.ndarray]] = {}
        weights: list[float] = []
        samples: list[LabelVolume] = []
        for answer, weight in self._answers(inputs, box):
            weights.append(weight)
            if self.settings.save_samples:
                samples.append(self._decided(answer, voxel_ml))
            for name, probability in answer.items():
                mean[name] = mean[name] + weight * probability if name in mean else weight * probability
                masks.setdefault(name, []).append(probability > thresholds[name])
        mean = {name: (total / sum(weights)).astype(np.float32) for name, total in mean.items()}
        confidence = {name: asdict(region_confidence(masks[name], mean[name], thresholds[name])) for name in mean}
        return mean, confidence, samples

    def _answers(self, inputs: list[NetworkInput], box: Box) -> Iterator[tuple[Probabilities, float]]:
        """Yield the answers of a case and their weights."""
        if self.settings.uncertainty == "flips":
            for flip in FLIPS[: self.settings.n_answers]:
                yield self._combined(inputs, box, (flip,)), 1.0
        elif self.settings.uncertainty == "ensemble":
            flips = FLIPS if self.settings.tta else FLIPS[:1]
            for engine, item in zip(self.engines, inputs, strict=True):
                yield _answer(engine, item, box, flips), engine.card.ensemble_weight
        else:
            with ExitStack() as stack:
                for engine in self.engines:
                    stack.enter_context(dropout_on(engine.network, self.settings.seed))
                for _ in range(self.settings.passes):
                    yield self._combined(inputs, box, FLIPS[:1]), 1.0

    def _combined(self, inputs: list[NetworkInput], box: Box, flips: tuple[Flip, ...]) -> Probabilities:
        return self._mean(self._members(inputs, box, flips))

    def _members(self, inputs: list[NetworkInput], box: Box, flips: tuple[Flip, ...]) -> list[Probabilities]:
        return [_answer(engine, item, box, flips) for engine, item in zip(self.engines, inputs, strict=True)]

    def _mean(self, answers: list[Probabilities]) -> Probabilities:
        if len(answers) == 1:
            return answers[0]
        return mean_probabilities(answers, [engine.card.ensemble_weight for engine in self.engines])

    def _facts(self, confidence: dict[str, dict[str, float]]) -> tuple[dict[str, Any], str]:
        """Return what the sidecar says of confidence and quality, and why the case is flagged."""
        kind = self.settings.uncertainty
        if kind == "none":
            return {
                "uncertainty": None,
                "confidence": None,
                "quality": None,
                "quality_note": "No uncertainty was asked for.",
            }, ""
        passes = self.settings.n_answers
        quality, note = self._quality(kind, passes, confidence)
        facts = {
            "uncertainty": {"from": kind, "passes": passes},
            "confidence": confidence,
            "quality": quality,
            "quality_note": note,
        }
        whole = confidence.get("wt")
        expected = (quality or {}).get("wt")
        if expected is not None:
            low = expected < self.settings.least_quality
            return facts, f"expected Dice of the whole tumour only {expected:.2f}" if low else ""
        if whole is not None and whole["agreement"] < self.settings.least_agreement:
            return facts, f"answers agree only {whole['agreement']:.2f} (Dice) on the whole tumour"
        return facts, ""

    def _quality(
        self, kind: str, passes: int, confidence: dict[str, dict[str, float]]
    ) -> tuple[dict[str, float | None] | None, str]:
        calibration = self.engines[0].card.calibration if len(self.engines) == 1 else None
        if calibration is None:
            return None, "No validated calibration comes with these weights: agreement is measured, quality is unknown."
        if calibration.measure != kind or calibration.passes != passes:
            return None, (
                f"The calibration of these weights is for {calibration.measure} with {calibration.passes} passes, not {kind} with {passes}."
            )
        quality = {name: calibration.expected_dice(name, facts["agreement"]) for name, facts in confidence.items()}
        unknown = [name for name, value in quality.items() if value is None]
        note = "Dice expected from the agreement, by the calibration in the weights' card."
        return quality, note + (f" Not calibrated, or not validated: {', '.join(unknown)}." if unknown else "")


def _answer(engine: Engine, item: NetworkInput, box: Box, flips: tuple[Flip, ...]) -> Probabilities:
    """Return the probabilities of one network on a box that holds its own; nothing is there outside its own."""
    found = engine(item.channels, item.box_shape, flips)
    if not item.inside.all():
        for probability in found.values():
            probability[~item.inside] = 0
    if item.box == box:
        return found
    place = tuple(slice(own.start - all_.start, own.stop - all_.start) for own, all_ in zip(item.box, box, strict=True))
    shape = tuple(side.stop - side.start for side in box)
    placed = {name: np.zeros(shape, dtype=np.float32) for name in found}
    for name, probability in found.items():
        placed[name][place] = probability
    return placed


def _common_box(boxes: list[Box]) -> Box:
    i, j, k = (slice(min(s.start for s in sides), max(s.stop for s in sides)) for sides in zip(*boxes, strict=True))
    return i, j, k


def _whole(values: np.ndarray, box: Box, shape: tuple[int, ...]) -> np.ndarray:
    whole = np.zeros(shape, dtype=np.float32)
    whole[box] = values
    return whole


def choose_device(name: str) -> torch.device:
    """Return the torch device of a name; `auto` takes cuda, then mps, then the CPU.

    Raises:
        ConfigError: the device is not known or not there.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    # torch raises AssertionError for a build without the device's support.
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ConfigError(
            f"The device '{name}' cannot be used: {str(error).splitlines()[0]}", hint="Use --device auto."
        ) from error
    return device


def choose_precision(name: str, device: torch.device) -> torch.dtype:
    """Return the arithmetic: as named, or bfloat16 where the device computes it in hardware."""
    if name != "auto":
        return torch.bfloat16 if name == "bfloat16" else torch.float32
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float32
    if device.type == "cpu" and _cpu_capabilities().get("avx512_bf16", False):
        return torch.bfloat16
    return torch.float32


def _cpu_capabilities() -> Mapping[str, object]:
    query = getattr(torch.cpu, "get_capabilities", dict)  # torch before 2.10 cannot say; float32 is right everywhere
    capabilities: Mapping[str, object] = query()
    return capabilities


def regions_to_labels(probability: Mapping[str, np.ndarray], thresholds: Mapping[str, float]) -> LabelVolume:
    """Return labels from region probabilities: enhancing wins over core, core over whole tumour, tumour over resection cavity.

    Args:
        probability: region -> probability, canonical; absent regions stay empty.
        thresholds: region -> threshold; 0.5 where absent.

    Example:
        >>> p = {"wt": np.array([[[0.9, 0.9, 0.9, 0.1]]]), "tc": np.array([[[0.1, 0.9, 0.1, 0.1]]]), "et": np.array([[[0.1, 0.1, 0.9, 0.2]]])}
        >>> regions_to_labels(p, {}).tolist()
        [[[2, 1, 3, 0]]]
    """
    shape = next(iter(probability.values())).shape
    labels = np.zeros(shape, dtype=np.uint8)
    for region, label in (("rc", RC), ("wt", ED), ("tc", NCR), ("et", ET)):
        if region in probability:
            labels[probability[region] > thresholds.get(region, 0.5)] = label
    return labels
