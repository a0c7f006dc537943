"""Random healthy brains: the MNI152 tissue maps, turned, scaled, warped and shrunk by mass effect."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Float32
from scipy.ndimage import distance_transform_edt, gaussian_filter, zoom
from torch.nn import functional

from radiogen.cohort.phantom_anatomy import load_template
from radiogen.segment.randomised.fields import Draws, Field

FIELD_OF_VIEW_MM = (160.0, 192.0, 160.0)
"""Size of the imaged box along R, A, S, mm."""

CENTRE_MM = (0.0, -17.0, 5.0)
"""Middle of the box, MNI millimetres."""

_FAR_MM = 60.0


@dataclass(frozen=True)
class Brain:
    """One patient's healthy tissues on the patient's grid; the four fractions sum to 1 inside the brain.

    Args:
        inside: share of each voxel that is brain, 0 to 1.
        grey, deep_grey, white, fluid: tissue fractions.
        depth_mm: distance from the brain's surface, mm.
        ventricle_mm: distance from the ventricles, mm.
        midline_mm: distance from the midsagittal plane, mm, signed.
    """

    inside: Field
    grey: Field
    deep_grey: Field
    white: Field
    fluid: Field
    depth_mm: Field
    ventricle_mm: Field
    midline_mm: Field


@dataclass(frozen=True)
class _Maps:
    """Template maps ready for sampling: brain, grey, white, depth, distance from the ventricles; and the way to them."""

    volume: Float32[torch.Tensor, "1 c i j k"]
    scale: Float32[np.ndarray, " three"]
    offset: Float32[np.ndarray, " three"]


@lru_cache(maxsize=1)
def _maps() -> _Maps:
    template = load_template()
    fluid = np.clip(template.brain - template.grey - template.white, 0, 1)
    ventricles = (fluid > 0.6) & (template.depth_mm > 26)
    coarse = distance_transform_edt(~ventricles[::2, ::2, ::2]).astype(np.float32) * 2
    distance = zoom(coarse, np.array(fluid.shape) / coarse.shape, order=1)
    tissue = [gaussian_filter(part, 0.6) for part in (template.brain, template.grey, template.white)]
    parts = [*tissue, template.depth_mm, np.minimum(distance, _FAR_MM)]
    volume = torch.from_numpy(np.stack(parts).astype(np.float32))[None]
    sizes = np.array(fluid.shape, dtype=np.float32)
    # grid_sample wants -1 at the first and 1 at the last voxel (align_corners).
    scale = 2 * np.diag(template.to_voxel)[:3] / (sizes - 1)
    offset = 2 * template.to_voxel[:3, 3] / (sizes - 1) - 1
    return _Maps(volume, scale.astype(np.float32), offset.astype(np.float32))


def world_mm(shape: tuple[int, int, int], spacing_mm: float) -> Float32[torch.Tensor, "3 i j k"]:
    """Return the position of every voxel of a patient's grid, mm."""
    axes = [
        (torch.arange(n, dtype=torch.float32) - (n - 1) / 2) * spacing_mm + middle
        for n, middle in zip(shape, CENTRE_MM, strict=True)
    ]
    return torch.stack(torch.meshgrid(*axes, indexing="ij"))


class Head:
    """The way from a patient's grid into the template, before and after a tumour pushed.

    Args:
        draws: the patient's random numbers.
    """

    def __init__(self, draws: Draws) -> None:
        self.draws = draws
        self.world_mm = world_mm(draws.shape, draws.spacing_mm)
        self._sampled: torch.Tensor | None = None
        centre = torch.tensor(CENTRE_MM).reshape(3, 1)
        matrix = torch.tensor(_random_matrix(draws), dtype=torch.float32)
        turned = matrix @ (self.world_mm.reshape(3, -1) - centre) + centre
        self.template_mm = turned.reshape(3, *draws.shape)
        variation = draws.between(0.6, 1.5)
        for scale_mm, amplitude_mm in ((50.0, 3.5), (22.0, 2.0), (10.0, 0.9)):
            for axis in range(3):
                self.template_mm[axis] += variation * amplitude_mm * draws.field(scale_mm)

    def push(self, away_mm: torch.Tensor, distance_mm: Field, radius_mm: float, amplitude_mm: float) -> None:
        """Add mass effect: tissue around a centre is pushed outwards.

        Args:
            away_mm: (3, i, j, k), position relative to the centre, mm.
            distance_mm: distance from the centre, mm.
            radius_mm: where the push is strongest, mm.
            amplitude_mm: how far tissue moves there, mm.
        """
        ratio = distance_mm / radius_mm
        # r exp(-r^2 / 2) peaks at r = 1; sampling nearer to the centre shows tissue farther out.
        self._sampled = None
        self.template_mm -= away_mm * (amplitude_mm / radius_mm * torch.exp(0.5 - 0.5 * ratio**2))

    def sample(self, step: int = 1) -> Float32[torch.Tensor, "c i j k"]:
        """Return brain, grey, white, depth and ventricle distance on the grid, or on every `step`-th voxel of it."""
        if step == 1 and self._sampled is not None:
            return self._sampled
        maps = _maps()
        points = self.template_mm[:, ::step, ::step, ::step]
        axes = [points[axis] * float(maps.scale[axis]) + float(maps.offset[axis]) for axis in (2, 1, 0)]
        grid = torch.stack(axes, dim=-1)[None]
        values = functional.grid_sample(maps.volume, grid, mode="bilinear", padding_mode="zeros", align_corners=True)[0]
        if step == 1:
            self._sampled = values
        return values

    def brain(self) -> Brain:
        """Return the patient's tissues, with sulci and ventricles of a random width."""
        draws = self.draws
        inside, grey, white, depth, ventricle = self.sample()
        fluid = (inside - grey - white).clamp(0, 1)
        wider = torch.exp(draws.between(-0.4, 0.9) + 0.4 * draws.field(24.0) + 0.25 * draws.field(8.0))
        fluid = fluid * wider
        total = (grey + white + fluid).clamp(min=1e-4)
        grey, white, fluid = grey / total, white / total, fluid / total
        deep = torch.sigmoid((depth - 30) / 3)
        return Brain(inside, grey * (1 - deep), grey * deep, white, fluid, depth, ventricle, self.template_mm[0])


def _random_matrix(draws: Draws) -> np.ndarray:
    turn = np.eye(3)
    for axis, most in enumerate((0.22, 0.10, 0.12)):
        angle = draws.between(-most, most)
        c, s = np.cos(angle), np.sin(angle)
        i, j = (axis + 1) % 3, (axis + 2) % 3
        step = np.eye(3)
        step[i, i], step[i, j], step[j, i], step[j, j] = c, -s, s, c
        turn = step @ turn
    size = draws.between(0.9, 1.08) * np.array([draws.between(0.95, 1.05) for _ in range(3)])
    mirror = -1.0 if draws.chance(0.5) else 1.0
    return turn @ np.diag(1 / size) @ np.diag([mirror, 1.0, 1.0])
