"""Finding a lesion in a z-map without training: where it is, how far it reaches, what inside it enhances."""

from __future__ import annotations

from dataclasses import dataclass

import cc3d
import numpy as np
from scipy.ndimage import (
    binary_fill_holes,
    binary_opening,
    center_of_mass,
    distance_transform_edt,
    label,
    maximum_filter,
)

from radiogen.preprocess.intensity import smooth_inside
from radiogen.types import Mask, Volume

_LEAST_LEVEL = 0.25
_LEAST_GAP = 1.1
_LEAST_SEPARABILITY = 0.55


@dataclass(frozen=True)
class LesionRules:
    """How a bright lesion is told from normal tissue; lengths in mm, levels in spreads of normal tissue.

    Args:
        blob_mm: scale at which a lesion must stand out.
        ceiling: brighter than this counts no more.
        symmetry: how much of the other hemisphere's brightness is taken off when looking for the lesion.
        symmetry_mm: how far apart the same structure may lie in the two hemispheres.
        rim_mm: a lesion's centre is not nearer to the brain's surface than this.
        near_mm: neighbourhood of its centre that sets the lesion's level.
        fraction: the lesion ends where the level has fallen to this share of its own.
        least: and nowhere below this.
        close_mm: gaps narrower than twice this are closed.
        leak: growing stops before the lesion multiplies by this as the threshold falls one step,
        leak_from_ml: once it is this large.
        second: a further focus is kept if its centre stands out at least this share as much as that of the first.
        second_size: and it has at least this share of its volume, and no more than all of it.
    """

    blob_mm: float = 8.0
    ceiling: float = 8.0
    symmetry: float = 0.8
    symmetry_mm: float = 6.0
    rim_mm: float = 6.0
    near_mm: float = 16.0
    fraction: float = 0.42
    least: float = 1.2
    close_mm: float = 4.5
    leak: float = 3.0
    leak_from_ml: float = 5.0
    second: float = 0.6
    second_size: float = 0.1


def find_lesion(z: Volume, brain: Mask, voxel_mm: float, rules: LesionRules) -> Mask:
    """Return the brightest large region of a z-map, empty where nothing stands out.

    Steps: find the point that stands out most at the scale of a lesion and against the other hemisphere; grow from it down to a share of the level
    around it; keep further foci like it; close gaps and fill holes, because cysts and necrosis are dark.

    Args:
        z: distance from normal tissue, zero outside the brain; axes R, A, S.
        brain: the brain.
        voxel_mm: isotropic voxel edge, mm.
        rules: see there.

    Source: FLAIR threshold with removal of small components, Meissen et al. 2021, arXiv:2109.06023; the share-of-level boundary,
        the symmetry and the filling are radiogen's own.
    """
    prominence = _prominence(z, brain, voxel_mm, rules)
    seed = np.unravel_index(int(prominence.argmax()), z.shape)
    if prominence[seed] <= 0:
        return np.zeros_like(brain)
    axes = np.ogrid[tuple(slice(n) for n in z.shape)]
    distance = np.asarray(sum((axis - s) ** 2 for axis, s in zip(axes, seed, strict=True)))
    lesion, threshold = _grow(z, brain, seed, distance <= (rules.near_mm / voxel_mm) ** 2, rules, voxel_mm)
    candidates, n = label(binary_opening((z > threshold) & brain))
    sizes = np.bincount(candidates.ravel(), minlength=n + 1)
    peaks = np.zeros(n + 1)
    np.maximum.at(peaks, candidates.ravel(), prominence.ravel())
    kept = (
        (sizes >= rules.second_size * lesion.sum())
        & (sizes <= lesion.sum())
        & (peaks >= rules.second * prominence[seed])
    )
    kept[0] = False
    lesion = (dilate(lesion | kept[candidates], voxel_mm, voxel_mm) & (z > threshold)) | lesion | kept[candidates]
    return fill(close(lesion, voxel_mm, rules.close_mm)) & brain


def _prominence(z: Volume, brain: Mask, voxel_mm: float, rules: LesionRules) -> Volume:
    """Return how much each place stands out at the scale of a lesion; zero where no lesion's centre can be."""
    blob = smooth_inside(np.clip(z, 0, rules.ceiling), brain, rules.blob_mm / voxel_mm)
    middle = center_of_mass(brain)[0]
    other_side = np.rint(2 * middle - np.arange(brain.shape[0])).astype(int)
    inside = (other_side >= 0) & (other_side < brain.shape[0])
    mirrored = np.where(inside[:, None, None], blob[np.clip(other_side, 0, brain.shape[0] - 1)], 0)
    mirrored = maximum_filter(mirrored, size=2 * round(rules.symmetry_mm / voxel_mm) + 1)
    # A wide opening takes away what sticks out of a brain: optic nerves, remains of the eye sockets.
    body = dilate(erode(brain, voxel_mm, 8.0), voxel_mm, 8.0) & erode(brain, voxel_mm, rules.rim_mm)
    return np.where(body, blob - rules.symmetry * mirrored, 0).astype(np.float32)


def _grow(
    z: Volume, brain: Mask, seed: tuple[np.intp, ...], near: Mask, rules: LesionRules, voxel_mm: float
) -> tuple[Mask, float]:
    """Return the component at the seed and the threshold that agrees with the level it has near the seed."""
    threshold = max(0.6 * max(float(z[seed]), 3.0), rules.least)
    lesion, used = np.zeros_like(brain), threshold
    for _ in range(12):
        grown = _component((z > threshold) & brain, seed)
        if not grown.any():
            threshold *= 0.9
            continue
        # A lesion that multiplies as the threshold falls a little has run over into normal tissue.
        if lesion.sum() * voxel_mm**3 / 1000 >= rules.leak_from_ml and grown.sum() > rules.leak * lesion.sum():
            break
        lesion, used = grown, threshold
        centre = lesion & near
        level = float(np.percentile(z[centre if centre.sum() > 20 else lesion], 60))
        new = max(rules.fraction * level, rules.least)
        if abs(new - threshold) < 0.02:
            break
        threshold = (threshold + new) / 2
    return lesion, used


def _component(mask: Mask, seed: tuple[np.intp, ...]) -> Mask:
    """Return the component of the opened mask that is nearest to the seed, empty where there is none."""
    labelled, n = label(binary_opening(mask))
    if n == 0:
        return np.zeros_like(mask)
    at_seed = labelled[seed]
    if at_seed == 0:
        nearest = distance_transform_edt(labelled == 0, return_distances=False, return_indices=True)
        at_seed = labelled[tuple(axis[seed] for axis in nearest)]
    return np.asarray(labelled == at_seed)


def find_enhancement(
    z: Volume, lesion: Mask, reach: Mask, voxel_size_mm: tuple[float, float, float], *, least_ml: float
) -> Mask:
    """Return what enhances in and around a lesion, empty where nothing does.

    The lesion's voxels are split in two at the level that separates them best; the upper class enhances if it lies above normal tissue, clearly apart
    from the lower, and the split explains most of the lesion's variance.

    Args:
        z: enhancement in spreads of normal tissue, on the file's voxels.
        lesion: the whole tumour, which sets the level.
        reach: where enhancement belongs to the tumour.
        voxel_size_mm: voxel size, mm.
        least_ml: less than this volume in all is taken as none.

    Source: Otsu 1979, A threshold selection method from gray-level histograms, doi:10.1109/TSMC.1979.4310076 (the separability is his eta).
    """
    threshold, gap, separability = two_classes(z[lesion])
    if threshold < _LEAST_LEVEL or gap < _LEAST_GAP or separability < _LEAST_SEPARABILITY:
        return np.zeros_like(lesion)
    voxel_ml = float(np.prod(voxel_size_mm)) / 1000
    labelled, _ = label(reach & (z > threshold))
    sizes = np.bincount(labelled.ravel()) * voxel_ml
    sizes[0] = 0
    kept = sizes >= max(0.05, 0.03 * sizes.max(initial=0))
    enhancing = np.asarray(kept[labelled])
    return enhancing if enhancing.sum() * voxel_ml >= least_ml else np.zeros_like(lesion)


def two_classes(values: np.ndarray) -> tuple[float, float, float]:
    """Return the threshold that splits values best, the distance of the classes' means, and the share of variance it explains.

    Source: Otsu 1979, doi:10.1109/TSMC.1979.4310076.

    Example:
        >>> values = np.concatenate([np.zeros(500), np.full(100, 4.0)]) + np.linspace(-0.5, 0.5, 600)
        >>> threshold, gap, separability = two_classes(values)
        >>> bool(0.0 < threshold < 4.0), gap > 3.5, separability > 0.9
        (True, True, True)
    """
    low, high = np.percentile(values, [0.5, 99.5])
    if high <= low:
        return float(high), 0.0, 0.0
    clipped = np.clip(values, low, high).astype(float)
    counts, edges = np.histogram(clipped, 128)
    share = counts / counts.sum()
    below = np.cumsum(share)[:-1]
    moment = np.cumsum(share * (edges[1:] + edges[:-1]) / 2)
    both = np.maximum(below * (1 - below), 1e-12)
    between = (moment[-1] * below - moment[:-1]) ** 2 / both
    cut = int(between.argmax())
    gap = (moment[-1] - moment[cut]) / max(1 - below[cut], 1e-12) - moment[cut] / max(below[cut], 1e-12)
    return float(edges[cut + 1]), float(gap), float(min(1.0, between[cut] / clipped.var()))


def bounding_box(mask: Mask, margin: int = 0) -> tuple[slice, slice, slice]:
    """Return the smallest box around a mask that is not empty, widened by a margin as far as the volume goes.

    Args:
        mask: canonical mask.
        margin: voxels added on every side.
    """
    sides = []
    for axis in range(3):
        at = np.flatnonzero(mask.any(axis=tuple(other for other in range(3) if other != axis)))
        sides.append(slice(max(0, int(at[0]) - margin), min(mask.shape[axis], int(at[-1]) + margin + 1)))
    return sides[0], sides[1], sides[2]


def without_small(mask: Mask, smallest_voxels: float) -> Mask:
    """Return a mask without its connected components (26-neighbourhood) below a size, voxels."""
    components = cc3d.connected_components(mask, connectivity=26)
    large = np.bincount(components.ravel()) >= smallest_voxels
    large[0] = False
    return np.asarray(large[components])


def erode(mask: Mask, voxel_mm: float | tuple[float, ...], radius_mm: float) -> Mask:
    """Return the voxels deeper in the mask than a radius; what lies outside the volume does not count as outside the mask."""
    return (
        np.asarray(distance_transform_edt(mask, sampling=_sampling(voxel_mm)) > radius_mm) if not mask.all() else mask
    )


def dilate(mask: Mask, voxel_mm: float | tuple[float, ...], radius_mm: float) -> Mask:
    """Return the voxels no farther from the mask than a radius."""
    return np.asarray(distance_transform_edt(~mask, sampling=_sampling(voxel_mm)) <= radius_mm) if mask.any() else mask


def close(mask: Mask, voxel_mm: float | tuple[float, ...], radius_mm: float) -> Mask:
    """Return the mask with gaps narrower than twice the radius filled."""
    return erode(dilate(mask, voxel_mm, radius_mm), voxel_mm, radius_mm) | mask


def fill(mask: Mask) -> Mask:
    """Return the mask with everything filled that it encloses in space or in any plane."""
    filled = binary_fill_holes(mask)
    for axis in range(3):
        for index in np.flatnonzero(mask.any(axis=tuple(other for other in range(3) if other != axis))):
            plane = (slice(None),) * axis + (index,)
            filled[plane] |= binary_fill_holes(mask[plane])
    return np.asarray(filled)


def _sampling(voxel_mm: float | tuple[float, ...]) -> tuple[float, ...]:
    return voxel_mm if isinstance(voxel_mm, tuple) else (voxel_mm,) * 3
