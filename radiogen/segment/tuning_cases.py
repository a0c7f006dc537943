"""Cases made ready for tuning: probabilities and reference cut to the tumour, and scores that are quick to ask again and again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import cc3d
import numpy as np
from scipy.ndimage import binary_dilation, generate_binary_structure

from radiogen.cohort.masks import region_masks
from radiogen.config.postprocess import PostprocessSettings
from radiogen.errors import InputError
from radiogen.segment.lesion import bounding_box
from radiogen.segment.postprocess import postprocess
from radiogen.stats.overlap import dice
from radiogen.types import REGIONS, LabelVolume, Mask

Metric = Literal["dice", "lesion-dice"]

LOWEST_THRESHOLD = 0.05
"""Probabilities up to this are never looked at: no threshold below it is tried."""

_DILATIONS = 3
_SMALLEST_MM3 = 50.0


@dataclass(frozen=True, eq=False)
class LesionReference:
    """The lesions of a reference region, found once, so that many predictions can be scored.

    Args:
        lesion: number of the lesion, grown by the dilations, on every voxel; 0 outside.
        own: the same on the voxels of the reference itself.
        scored: per lesion number, whether it is large enough to be scored.

    Source: BraTS 2023 lesion-wise evaluation; `radiogen.stats.overlap.lesion_wise` with its defaults gives the same Dice.
    """

    lesion: np.ndarray
    own: np.ndarray
    scored: np.ndarray

    @classmethod
    def of(cls, reference: Mask, voxel_mm3: float) -> LesionReference:
        """Return the lesions of a reference region.

        Args:
            reference: the region, with at least three empty voxels around it or the border of the volume.
            voxel_mm3: volume of a voxel, mm3.
        """
        grown = reference
        if reference.any():
            grown = binary_dilation(reference, generate_binary_structure(3, 2), iterations=_DILATIONS)
        lesion = cc3d.connected_components(grown, connectivity=26)
        own = lesion * reference
        sizes = np.bincount(own.ravel(), minlength=int(lesion.max(initial=0)) + 1)
        scored = sizes * voxel_mm3 > _SMALLEST_MM3
        scored[0] = False
        return cls(lesion, own, scored)

    def dice(self, prediction: Mask) -> float:
        """Return the mean Dice over the lesions and the predicted components that touch none."""
        found = cc3d.connected_components(np.ascontiguousarray(prediction), connectivity=26)
        n_found, n_lesions = int(found.max(initial=0)), len(self.scored) - 1
        both = (found > 0) & (self.lesion > 0)
        touches = np.zeros((n_lesions + 1, n_found + 1), dtype=bool)
        touches[self.lesion[both], found[both]] = True
        theirs = touches @ np.bincount(found.ravel(), minlength=n_found + 1)
        own = np.bincount(self.own.ravel(), minlength=n_lesions + 1)
        shared = np.bincount(self.own[prediction], minlength=n_lesions + 1)
        total = theirs + own
        scores = 2.0 * shared[self.scored] / total[self.scored]
        n_false = n_found - int(touches.any(axis=0).sum())
        n = len(scores) + n_false
        return float(scores.sum()) / n if n else 1.0


@dataclass(frozen=True, eq=False)
class TuneCase:
    """One case, cut to where a tumour is or could be.

    Args:
        case: case id.
        probabilities: region -> probability, float32: comparing float16 is far slower.
        reference: region -> reference mask; only regions that both the network and the reference know.
        lesions: region -> its lesions; empty where lesion-wise scores were not asked for.
        voxel_ml: volume of a voxel, ml.
    """

    case: str
    probabilities: Mapping[str, np.ndarray]
    reference: Mapping[str, Mask]
    lesions: Mapping[str, LesionReference]
    voxel_ml: float

    @classmethod
    def of(
        cls,
        case: str,
        probabilities: Mapping[str, np.ndarray],
        reference: LabelVolume,
        voxel_size_mm: tuple[float, float, float],
        *,
        regions: tuple[str, ...] = REGIONS,
        lesion_wise: bool = False,
    ) -> TuneCase:
        """Return a case ready to be scored.

        Args:
            case: case id.
            probabilities: region -> probability, canonical.
            reference: radiogen's labels on the same voxels.
            voxel_size_mm: voxel size, mm.
            regions: regions that the reference can tell.
            lesion_wise: find the reference's lesions.

        Raises:
            InputError: probabilities and reference do not share their shape, or no region is known to both.
        """
        known = {name: np.asarray(probabilities[name]) for name in REGIONS if name in probabilities}
        apart = {name: p.shape for name, p in known.items() if p.shape != reference.shape}
        if apart or not any(name in regions for name in known):
            raise InputError(
                f"Probabilities {dict(apart) if apart else sorted(probabilities)} and reference {reference.shape} do not fit.",
                hint="Both must be on the voxels of the case, for the same regions.",
            )
        wanted = np.any([p > LOWEST_THRESHOLD for p in known.values()], axis=0) | (reference > 0)
        box = bounding_box(wanted, margin=_DILATIONS + 1) if wanted.any() else (slice(0, 1),) * 3
        masks = {name: np.ascontiguousarray(mask[box]) for name, mask in region_masks(reference).items()}
        masks = {name: masks[name] for name in regions if name in known}
        mm3 = float(np.prod(voxel_size_mm))
        return cls(
            case,
            {name: np.ascontiguousarray(p[box], dtype=np.float32) for name, p in known.items()},
            masks,
            {name: LesionReference.of(mask, mm3) for name, mask in masks.items()} if lesion_wise else {},
            mm3 / 1000,
        )

    def scores(self, settings: PostprocessSettings, metric: Metric, cluster: int | None = None) -> dict[str, float]:
        """Return the score of every region for one set of rules.

        Args:
            settings: the rules; no threshold below 0.05.
            metric: which score.
            cluster: the case's cluster.
        """
        found = region_masks(postprocess(self.probabilities, settings, self.voxel_ml, cluster))
        if metric == "lesion-dice":
            return {name: lesions.dice(found[name]) for name, lesions in self.lesions.items()}
        return {name: dice(found[name], mask) for name, mask in self.reference.items()}


def mean_score(scores: list[dict[str, float]]) -> float:
    """Return the mean over regions of the mean over the cases that have the region.

    Example:
        >>> mean_score([{"wt": 1.0, "et": 0.5}, {"wt": 0.5}])
        0.625
    """
    regions = {name for row in scores for name in row}
    return float(np.mean([np.mean([row[name] for row in scores if name in row]) for name in sorted(regions)]))
