"""Random changes of a patch: MONAI transforms, and sequences that go missing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from monai.transforms import (
    Compose,
    RandAdjustContrastd,
    RandAffined,
    RandFlipd,
    RandGaussianNoised,
    RandGaussianSmoothd,
    RandScaleIntensityd,
    RandShiftIntensityd,
    RandSimulateLowResolutiond,
)
from monai.utils import convert_to_tensor

_BOTH = ("image", "labels")
_DEGREES_30 = float(np.pi / 6)


class Augmentation:
    """Random changes of an image and its labels that depend on a seed and nothing else.

    Voxels that are 0 (background, absent sequences) stay 0 whatever happens to the intensities.

    Args:
        level: `none`, `flips`, `light` (also gain and offset), `strong` (also rotation, scaling, noise, blur, gamma, low resolution).
        axes: spatial axes of the patch, 2 or 3.

    Source: `light`: MedNeXt entry of BraTS-Africa 2024, arXiv 2411.15872; `strong`: the kinds and probabilities of nnU-Net, Isensee et al. 2021,
        Nat Methods 18:203.

    Example:
        >>> image, labels = torch.ones(1, 4, 4, 4), torch.zeros(4, 4, 4, dtype=torch.uint8)
        >>> Augmentation("light", 3)(image, labels, 7)[0].shape
        torch.Size([1, 4, 4, 4])
    """

    def __init__(self, level: str, axes: int) -> None:
        spatial: list[Callable[..., Any]] = []
        intensity: list[Callable[..., Any]] = []
        if level != "none":
            spatial += [RandFlipd(_BOTH, prob=0.5, spatial_axis=axis) for axis in range(axes)]
        if level == "strong":
            turns = (_DEGREES_30,) * (3 if axes == 3 else 1)
            spatial.append(
                RandAffined(
                    _BOTH, prob=0.3, rotate_range=turns, scale_range=(0.2,) * axes,
                    mode=("bilinear", "nearest"), padding_mode="zeros",
                )
            )  # fmt: skip
            intensity += [
                RandGaussianNoised("image", prob=0.15, std=0.1),
                RandGaussianSmoothd("image", (0.5, 1.0), (0.5, 1.0), (0.5, 1.0), prob=0.2),
                RandAdjustContrastd("image", prob=0.3, gamma=(0.7, 1.5), retain_stats=True),
                RandSimulateLowResolutiond(
                    "image", prob=0.25, zoom_range=(0.5, 1.0), upsample_mode="trilinear" if axes == 3 else "bilinear"
                ),
            ]
        if level in {"light", "strong"}:
            intensity += [
                RandScaleIntensityd("image", factors=0.1, prob=1.0, channel_wise=True),
                RandShiftIntensityd("image", offsets=0.1, prob=1.0, channel_wise=True),
            ]
        self.spatial, self.intensity = Compose(spatial), Compose(intensity)

    def __call__(self, image: torch.Tensor, labels: torch.Tensor, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the changed image and labels.

        Args:
            image: float32, sequence x spatial axes.
            labels: uint8, spatial axes.
            seed: of everything random, below 2^32.
        """
        self.spatial.set_random_state(seed=seed)
        self.intensity.set_random_state(seed=seed)
        item = self.spatial({"image": image, "labels": labels[None].float()})
        inside = item["image"] != 0
        item = self.intensity(item)
        changed = torch.where(_plain(inside), _plain(item["image"]), 0.0)
        return changed.contiguous(), _plain(item["labels"])[0].round().to(torch.uint8).contiguous()


def drop_sequences(image: torch.Tensor, probability: float, rng: np.random.Generator) -> torch.Tensor:
    """Return the image with a random, proper, non-empty subset of its present sequences kept, the rest 0.

    Args:
        image: sequence x spatial axes; absent sequences are 0 everywhere.
        probability: that anything is dropped.
        rng: source of the drawing.

    Example:
        >>> image = drop_sequences(torch.ones(4, 2, 2, 2), 1.0, np.random.default_rng(0))
        >>> 0 < int(image.flatten(1).any(1).sum()) < 4
        True
    """
    present = [channel for channel in range(len(image)) if bool(image[channel].any())]
    if len(present) < 2 or rng.random() >= probability:
        return image
    kept = rng.permutation(present)[: rng.integers(1, len(present))]
    dropped = torch.zeros_like(image)
    dropped[kept] = image[kept]
    return dropped


def _plain(values: torch.Tensor) -> torch.Tensor:
    """Return a tensor without MONAI's metadata."""
    tensor: torch.Tensor = convert_to_tensor(values, track_meta=False)
    return tensor
