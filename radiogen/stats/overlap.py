"""Overlap of two binary volumes: Dice, HD95, NSD and the BraTS lesion-wise scores, with one written policy for empty masks.

Both empty: Dice 1, NSD 1, HD95 0 mm. One of them empty: Dice 0, NSD 0, HD95 `WORST_HD95_MM`.
"""

from __future__ import annotations

from dataclasses import dataclass

import cc3d
import numpy as np
from jaxtyping import Float
from scipy.ndimage import binary_dilation, binary_erosion, distance_transform_edt, generate_binary_structure

from radiogen.stats.surfels import INSIDE, cell_codes, surface_areas_mm2
from radiogen.types import Mask

WORST_HD95_MM = 374.0
"""HD95 where one mask is empty: about the diagonal of the BraTS grid, 240 x 240 x 155 mm.

Source: BraTS 2023 evaluation code (rachitsaluja/BraTS-2023-Metrics, `get_lesion_wise_results`).
"""

VoxelSize = tuple[float, float, float]


def dice(a: Mask, b: Mask) -> float:
    """Return twice the intersection over the sum of the sizes; 1 where both are empty.

    Source: Dice 1945, Ecology 26:297.

    Example:
        >>> a = np.zeros((4, 1, 1), bool); a[:2] = True
        >>> dice(a, np.roll(a, 1, axis=0))
        0.5
    """
    total = int(np.count_nonzero(a)) + int(np.count_nonzero(b))
    return 2.0 * int(np.count_nonzero(a & b)) / total if total else 1.0


def hd95_mm(a: Mask, b: Mask, voxel_size_mm: VoxelSize) -> float:
    """Return the 95th percentile of the distances from one surface to the other, mm: of the two directions the larger.

    Surface points are the corners of voxels between inside and outside; each weighs as much as the area of the surface around it.

    Args:
        a: one mask.
        b: the other, on the same voxels.
        voxel_size_mm: voxel size along the three axes, mm.

    Source: Huttenlocher et al. 1993, IEEE TPAMI 15:850; points, weights and percentile as in the evaluation code of BraTS 2023
        (`compute_robust_hausdorff` of surface-distance, Nikolov et al. 2021, J Med Internet Res 23:e26151).

    Example:
        >>> a = np.zeros((9, 3, 3), bool); a[2:4, 1, 1] = True
        >>> b = np.roll(a, 3, axis=0)
        >>> hd95_mm(a, b, (2.0, 1.0, 1.0))
        6.0
    """
    if not a.any() or not b.any():
        return 0.0 if not a.any() and not b.any() else WORST_HD95_MM
    box = _box(a | b)
    areas = surface_areas_mm2(voxel_size_mm)
    codes = cell_codes(a[box]), cell_codes(b[box])
    surfaces = [(code > 0) & (code < INSIDE) for code in codes]
    directed = []
    for one, other in ((0, 1), (1, 0)):
        distance_mm = distance_transform_edt(~surfaces[other], sampling=voxel_size_mm)[surfaces[one]]
        directed.append(_weighted_percentile(distance_mm, areas[codes[one][surfaces[one]]], 0.95))
    return max(directed)


def _weighted_percentile(values: Float[np.ndarray, " n"], weights: Float[np.ndarray, " n"], share: float) -> float:
    """Return the smallest value that at least this share of the weight does not exceed."""
    order = np.argsort(values)
    reached = np.cumsum(weights[order]) / weights.sum()
    # The tolerance keeps a tie from being decided by the order of summation, which a mirrored copy changes.
    return float(values[order][min(int(np.searchsorted(reached, share - 1e-9)), len(values) - 1)])


def normalised_surface_dice(a: Mask, b: Mask, voxel_size_mm: VoxelSize, *, tolerance_mm: float = 1.0) -> float:
    """Return the share of both surfaces' voxels that lie within a tolerance of the other surface.

    Args:
        a: one mask.
        b: the other, on the same voxels.
        voxel_size_mm: voxel size along the three axes, mm.
        tolerance_mm: distance that counts as agreement, mm.

    Source: Nikolov et al. 2021, J Med Internet Res 23:e26151, on surface voxels instead of surface elements.
    """
    if not a.any() or not b.any():
        return 1.0 if not a.any() and not b.any() else 0.0
    distances = np.concatenate(surface_distances_mm(a, b, voxel_size_mm))
    return float((distances <= tolerance_mm).mean())


def surface_distances_mm(
    a: Mask, b: Mask, voxel_size_mm: VoxelSize
) -> tuple[Float[np.ndarray, " p"], Float[np.ndarray, " q"]]:
    """Return the distance of every surface voxel of `a` to the surface of `b`, and of `b` to `a`, mm.

    Surface voxels are those with a face neighbour outside the mask; the border of the volume counts as outside.
    """
    box = _box(a | b)
    inside_a, inside_b = np.pad(a[box], 1), np.pad(b[box], 1)
    surface_a = inside_a & ~binary_erosion(inside_a)
    surface_b = inside_b & ~binary_erosion(inside_b)
    to_b = distance_transform_edt(~surface_b, sampling=voxel_size_mm)[surface_a]
    to_a = distance_transform_edt(~surface_a, sampling=voxel_size_mm)[surface_b]
    return to_b, to_a


def _box(mask: Mask) -> tuple[slice, ...]:
    found = [np.flatnonzero(mask.any(axis=tuple(other for other in range(3) if other != axis))) for axis in range(3)]
    return tuple(slice(int(side[0]), int(side[-1]) + 1) for side in found)


@dataclass(frozen=True)
class LesionWise:
    """Lesion-wise scores of one region.

    Args:
        dice: mean Dice over reference lesions and false positives.
        hd95_mm: mean HD95 over the same.
        n_reference: reference lesions of at least the smallest size.
        n_false_negative: of those, how many no predicted lesion touches.
        n_false_positive: predicted lesions that touch no reference lesion, however small.
    """

    dice: float
    hd95_mm: float
    n_reference: int
    n_false_negative: int
    n_false_positive: int


def lesion_wise(
    prediction: Mask,
    reference: Mask,
    voxel_size_mm: VoxelSize,
    *,
    dilations: int = 3,
    smallest_mm3: float = 50.0,
) -> LesionWise:
    """Return the BraTS 2023 lesion-wise Dice and HD95 of one region.

    The reference is dilated (3 times with the 18-neighbourhood for glioma) and its connected components (26-neighbourhood) are the lesions, so
    that fragments close together count as one. A predicted component belongs to every lesion whose dilated voxels it touches; a lesion is scored
    against all the predicted components that belong to it. Lesions below 50 mm3 are not scored, and predictions that touch them are not false
    positives. Each lesion without prediction, and each predicted component that touches no lesion, adds a Dice of 0 and an HD95 of 374 mm.

    Args:
        prediction: predicted region.
        reference: reference region, on the same voxels.
        voxel_size_mm: voxel size along the three axes, mm.
        dilations: how often the reference is dilated.
        smallest_mm3: reference lesions of this volume or less are not scored, mm3.

    Source: BraTS 2023 lesion-wise evaluation (Saluja et al., rachitsaluja/BraTS-2023-Metrics); Moawad et al. 2023, arXiv 2306.00838.
    """
    grown = (
        binary_dilation(reference, generate_binary_structure(3, 2), iterations=dilations)
        if reference.any()
        else reference
    )
    lesions = cc3d.connected_components(grown, connectivity=26)
    predicted = cc3d.connected_components(prediction, connectivity=26)
    voxel_mm3 = float(np.prod(voxel_size_mm))
    scores: list[tuple[float, float]] = []
    matched: set[int] = set()
    n_reference = n_missed = 0
    for lesion in range(1, int(lesions.max(initial=0)) + 1):
        region = lesions == lesion
        own = region & reference
        touching = set(np.unique(predicted[region]).tolist()) - {0}
        matched |= touching
        if int(own.sum()) * voxel_mm3 <= smallest_mm3:
            continue
        n_reference += 1
        if not touching:
            n_missed += 1
            scores.append((0.0, WORST_HD95_MM))
            continue
        theirs = np.isin(predicted, sorted(touching))
        scores.append((dice(theirs, own), hd95_mm(theirs, own, voxel_size_mm)))
    n_false = int(predicted.max(initial=0)) - len(matched)
    scores += [(0.0, WORST_HD95_MM)] * n_false
    means = np.mean(scores, axis=0) if scores else (1.0, 0.0)
    return LesionWise(float(means[0]), float(means[1]), n_reference, n_missed, n_false)
