"""A trained network as a segmentation method: normalise, crop, infer, threshold, put back."""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce
from itertools import product

import numpy as np
import torch
from jaxtyping import Float, Float32
from monai.inferers import sliding_window_inference
from torch.nn import functional

from radiogen.cohort.case import CaseImages
from radiogen.config.segment import SegmentSettings
from radiogen.errors import CaseError, ConfigError
from radiogen.preprocess.intensity import foreground, zscore
from radiogen.segment.lesion import bounding_box, without_small
from radiogen.segment.method import MethodResult
from radiogen.segment.weights import load_network
from radiogen.types import ED, ET, NCR, LabelVolume, Mask

Channels = Float32[torch.Tensor, "c a b d"]
"""Sequences on the network's own grid."""


class NetworkMethod:
    """Segment with the network of a weights file.

    Args:
        settings: `weights` names the file; device, precision, window and mirror averaging are its own.

    Raises:
        ConfigError: no weights are given, or the device is not there.
        InputError: the weights cannot be used.
    """

    def __init__(self, settings: SegmentSettings) -> None:
        if settings.weights is None:
            raise ConfigError("The method 'network' needs weights.", hint="Give them with --weights FILE.safetensors.")
        self.settings = settings
        self.network, self.card = load_network(settings.weights)
        self.device = choose_device(settings.device)
        self.dtype = choose_precision(settings.precision, self.device)
        # Blocked convolutions of the CPU and tensor cores both want the channels last.
        self.network = self.network.to(self.device).to(memory_format=torch.channels_last_3d)

    @property
    def description(self) -> dict[str, str]:
        """Return name, device, precision and hash of what is used."""
        return {
            "method": f"network:{self.card.name}",
            "device": str(self.device),
            "precision": str(self.dtype).removeprefix("torch."),
            "weights_sha256": self.card.sha256,
        }

    def __call__(self, case: CaseImages) -> MethodResult:
        """Return the labels of one case.

        Raises:
            CaseError: the case has none of the sequences that the network knows.
        """
        used = [name for name in self.card.sequences if name in case.images]
        if not used:
            raise CaseError(
                f"The case has none of the sequences of these weights ({', '.join(self.card.sequences)}).",
                hint="Use other weights or another method.",
            )
        foregrounds = {name: foreground(case.images[name]) for name in used}
        box = bounding_box(np.logical_or.reduce(list(foregrounds.values())))
        channels = self._input(case, foregrounds, box)
        probability = self._infer(channels, tuple(int(side.stop - side.start) for side in box))
        labels = np.zeros(case.images[used[0]].shape, dtype=np.uint8)
        labels[box] = regions_to_labels(dict(zip(self.card.outputs, probability, strict=True)), self.card.thresholds)
        voxel_ml = float(np.prod(case.grid.voxel_size_mm)) / 1000
        labels[~without_small(labels > 0, self.settings.smallest_ml / voxel_ml)] = 0
        notes = [f"{name} is missing; its channel was left empty." for name in self.card.sequences if name not in used]
        return MethodResult(labels, used, notes)

    def _input(self, case: CaseImages, foregrounds: Mapping[str, Mask], box: tuple[slice, ...]) -> Channels:
        """Return the z-scored crop at the network's spacing; missing sequences are zero, like the background."""
        size_mm = case.grid.voxel_size_mm
        shape = [
            max(1, round((side.stop - side.start) * mm / self.card.spacing_mm))
            for side, mm in zip(box, size_mm, strict=True)
        ]
        stack = torch.zeros((len(self.card.sequences), *shape))
        for channel, name in enumerate(self.card.sequences):
            if name in foregrounds:
                crop = torch.from_numpy(zscore(case.images[name], foregrounds[name])[box])
                stack[channel] = _resize(crop[None], shape)[0]
        return stack

    def _infer(self, channels: Channels, shape: tuple[int, ...]) -> Float[np.ndarray, "r i j k"]:
        flips = list(product((False, True), repeat=3)) if self.settings.tta else [(False, False, False)]
        total = reduce(torch.add, (self._mirrored(channels, flip) for flip in flips))
        return _resize(total / len(flips), list(shape)).numpy()

    def _mirrored(self, channels: Channels, flip: tuple[bool, ...]) -> torch.Tensor:
        """Return the probabilities of a mirror image, mirrored back."""
        axes = [axis + 1 for axis, mirrored in enumerate(flip) if mirrored]
        return self._forward(channels.flip(axes)).flip(axes) if axes else self._forward(channels)

    @torch.inference_mode()
    def _forward(self, channels: Channels) -> torch.Tensor:
        size = list(channels.shape[1:])
        padded = [-(-side // self.card.multiple) * self.card.multiple for side in size]
        pads = [
            amount for side, whole in zip(reversed(size), reversed(padded), strict=True) for amount in (0, whole - side)
        ]
        batch = functional.pad(channels, pads)[None].to(self.device, memory_format=torch.channels_last_3d)
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.dtype == torch.bfloat16):
            window = self._window(padded)
            if window is None:
                logits = self.network(batch)
            else:
                logits = sliding_window_inference(
                    batch, window, 1, self.network, overlap=self.settings.window_overlap, mode="gaussian"
                )
        return torch.sigmoid(logits[0].float().cpu())[:, : size[0], : size[1], : size[2]]

    def _window(self, shape: list[int]) -> tuple[int, int, int] | None:
        if self.card.window is not None:
            return self.card.window
        if self.settings.window == "sliding":
            return self.settings.window_size
        if self.settings.window == "auto" and int(np.prod(shape)) > self.settings.window_voxels:
            return self.settings.window_size
        return None


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
    """Return labels from region probabilities: enhancing wins over core, core over whole tumour.

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
    for region, label in (("wt", ED), ("tc", NCR), ("et", ET)):
        if region in probability:
            labels[probability[region] > thresholds.get(region, 0.5)] = label
    return labels


def _resize(channels: torch.Tensor, shape: list[int]) -> torch.Tensor:
    if list(channels.shape[1:]) == shape:
        return channels
    return functional.interpolate(channels[None], size=shape, mode="trilinear", align_corners=False)[0]
