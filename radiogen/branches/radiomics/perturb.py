"""One case, a little different: what another contour, another position in the scanner or more noise would have made of it."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import pywt
from jaxtyping import Float, Int
from scipy.ndimage import affine_transform, center_of_mass, spline_filter
from scipy.ndimage import shift as shifted

from radiogen.branches.radiomics.images import Box
from radiogen.branches.radiomics.perturb_masks import (
    assembled,
    changed_volume,
    drawn_contour,
    moved_border,
    supervoxels,
)
from radiogen.cohort.case import CaseImages
from radiogen.cohort.masks import region_masks
from radiogen.errors import ConfigError
from radiogen.types import RC, LabelVolume, Mask, Volume

UNPERTURBED = "none"
"""The case as it is."""

SAMPLE = "sample"
"""Family of the masks that a segmentation drew."""

ALGORITHM = 1
"""Raised when a perturbation is made in another way."""

_MAD_OF_NORMAL = 0.6745
_NUMBER = r"(-?\d+(?:\.\d+)?)"
_KINDS = {
    "mask-erode": 1, "mask-dilate": 1, "mask-volume": 1, "contour": 1, "translate": 3, "rotate": 1, "noise": 1,
}  # fmt: skip


def family(perturbation: str) -> str:
    """Return the family of a perturbation: what stands before its first dash.

    Example:
        >>> family("mask-erode-1")
        'mask'
    """
    return perturbation.partition("-")[0]


@dataclass(frozen=True)
class Perturber:
    """Makes the perturbations of one case; what several of them need is computed once.

    Args:
        case: the sequences.
        labels: mask in radiogen's labels on the same voxels, with at least one voxel of the tumour.
        seed: with the case id and the perturbation's name, the seed of what is drawn; neither order nor other perturbations matter.
        samples: masks that a segmentation drew, `sample-1`, ... -> labels.
    """

    case: CaseImages
    labels: LabelVolume
    seed: int = 0
    samples: Mapping[str, LabelVolume] = field(default_factory=dict)

    def __call__(self, perturbation: str) -> tuple[CaseImages, LabelVolume]:
        """Return images and labels of one perturbation.

        Args:
            perturbation: `none`, a name that `config.stability.StabilitySettings.perturbations` accepts, or one of the samples.

        Raises:
            ConfigError: the name is not known.
        """
        if perturbation == UNPERTURBED:
            return self.case, self.labels
        if perturbation in self.samples:
            return self.case, self.samples[perturbation]
        kind, numbers = _parsed(perturbation)
        rng = np.random.default_rng([self.seed, _number(f"{self.case.case}\n{perturbation}")])
        if kind == "noise":
            return with_noise(self.case, rng), self.labels
        if kind in ("translate", "rotate"):
            matrix, shift = self._motion(kind, numbers)
            return self._moved(matrix, shift)
        masks: dict[str, Callable[[], LabelVolume]] = {
            "mask-erode": lambda: moved_border(self.case, self.labels, -numbers[0]),
            "mask-dilate": lambda: moved_border(self.case, self.labels, numbers[0]),
            "mask-volume": lambda: changed_volume(self.case, self.labels, numbers[0], rng),
            "contour": lambda: drawn_contour(self.case, self.labels, self._supervoxels, rng),
        }
        return self.case, masks[kind]()

    @cached_property
    def _supervoxels(self) -> Int[np.ndarray, "i j k"]:
        return supervoxels(self.case, self.labels)

    @cached_property
    def _splines(self) -> dict[str, Volume]:
        return {name: spline_filter(image, 3, output=np.float32) for name, image in self.case.images.items()}

    def _motion(
        self, kind: str, numbers: tuple[float, ...]
    ) -> tuple[Float[np.ndarray, "3 3"], Float[np.ndarray, " 3"]]:
        if kind == "translate":
            return np.eye(3), np.array(numbers)
        # The angle is one of the patient, so it is turned in millimetres, not in voxels.
        spacing = np.array(self.case.grid.voxel_size_mm)
        angle = math.radians(numbers[0])
        turn = np.eye(3)
        turn[:2, :2] = [[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]]
        matrix = turn * spacing[None, :] / spacing[:, None]
        centre = np.array(center_of_mass(region_masks(self.labels)["wt"]))
        return matrix, centre - matrix @ centre

    def _moved(
        self, matrix: Float[np.ndarray, "3 3"], shift: Float[np.ndarray, " 3"]
    ) -> tuple[CaseImages, LabelVolume]:
        whole = bool(np.array_equal(matrix, np.eye(3)) and np.array_equal(shift, np.rint(shift)))
        images = {}
        for name, image in self.case.images.items():
            source, order = (image, 0) if whole else (self._splines[name], 3)
            shown = moved_mask(image != 0, matrix, shift)
            images[name] = np.where(shown, _resampled(source, matrix, shift, order, shown), 0).astype(np.float32)
        regions = {name: moved_mask(mask, matrix, shift) for name, mask in region_masks(self.labels).items()}
        labels = assembled(regions, moved_mask(self.labels == RC, matrix, shift))
        return CaseImages(self.case.case, images, self.case.grid), labels


def moved_mask(mask: Mask, matrix: Float[np.ndarray, "3 3"], shift: Float[np.ndarray, " 3"]) -> Mask:
    """Return a mask moved by `new index = matrix @ old index + shift`: what linear interpolation makes at least a half.

    Args:
        mask: voxels.
        matrix: in voxels.
        shift: voxels along the three axes.

    Example:
        >>> moved_mask(np.array([[[True]], [[False]]]), np.eye(3), np.array([1.0, 0.0, 0.0])).ravel().tolist()
        [False, True]
    """
    # Of a region moved by half a voxel, the two halves at its ends would both be inside, or neither: a hair less than half decides.
    hair = shift - 1e-4 * np.sign(shift)
    return np.asarray(_resampled(mask.astype(np.float32), matrix, hair, 1, None) >= 0.5)


def _resampled(
    source: Volume, matrix: Float[np.ndarray, "3 3"], shift: Float[np.ndarray, " 3"], order: int, where: Mask | None
) -> Volume:
    """Return moved values; after a rotation only in the box of `where` if one is given, zero outside."""
    if np.array_equal(matrix, np.eye(3)):  # scipy's faster way
        return np.asarray(shifted(source, shift, output=np.float32, order=order, prefilter=False))
    back = np.linalg.inv(matrix)
    out = np.zeros(source.shape, dtype=np.float32)
    box = Box.around(np.ones(source.shape, dtype=bool) if where is None or not where.any() else where)
    out[box.slices] = affine_transform(
        source,
        back,
        offset=back @ (np.array(box.low) - shift),
        output_shape=tuple(high - low for low, high in zip(box.low, box.high, strict=True)),
        output=np.float32,
        order=order,
        prefilter=False,
    )
    return out


def with_noise(case: CaseImages, rng: np.random.Generator) -> CaseImages:
    """Return a case with Gaussian noise added to every voxel that is not zero, as strong as each sequence's own (`noise_level`).

    Args:
        case: the sequences.
        rng: draws the noise.

    Source: Zwanenburg et al., Sci Rep 2019;9:614, noise addition.
    """
    images = {}
    for name, image in case.images.items():
        noise = rng.standard_normal(image.shape, dtype=np.float32) * np.float32(noise_level(image))
        images[name] = np.where(image != 0, image + noise, 0).astype(np.float32)
    return CaseImages(case.case, images, case.grid)


def noise_level(image: Volume) -> float:
    """Return the standard deviation of an image's noise: median absolute value of its finest diagonal wavelet coefficients over 0.6745.

    Coefficients that are zero are left out: they are the background of a skull-stripped image. Noise that was smoothed, as by resampling to finer
    voxels, is underestimated.

    Args:
        image: arbitrary unit.

    Returns:
        In the image's unit; 0 where the image is constant.

    Source: Donoho & Johnstone, Biometrika 1994;81:425, section 4; for noise of this kind: Chang et al., IEEE TIP 2000;9:1532, equation 13.

    Example:
        >>> noisy = np.random.default_rng(0).normal(100.0, 5.0, (32, 32, 32)).astype(np.float32)
        >>> round(noise_level(noisy))
        5
    """
    finest = np.abs(pywt.dwtn(image.astype(np.float64), "coif1", mode="periodization")["ddd"])
    # Rounding makes tiny coefficients of a constant; a mirrored border would halve the noise there, so the image is continued periodically.
    finest = finest[finest > 1e-9 * float(np.abs(image).max(initial=0.0))]
    return float(np.median(finest)) / _MAD_OF_NORMAL if finest.size else 0.0


def _parsed(perturbation: str) -> tuple[str, tuple[float, ...]]:
    for kind, count in _KINDS.items():
        match = re.fullmatch(kind + f"-{_NUMBER}" * count, perturbation)
        if match:
            return kind, tuple(float(number) for number in match.groups())
    raise ConfigError(
        f"The perturbation '{perturbation}' is not known.",
        hint="Accepted are mask-erode-1, mask-dilate-1, mask-volume-0.85, contour-1, translate-0.5-0-0, rotate-3, noise-1 and the like.",
    )


def _number(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
