"""Numbers of one region: its place in the template; and of one mask: what the tumour is made of."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import generate_binary_structure, label

from radiogen.branches.location.anatomy import Points, template_maps, values_at
from radiogen.branches.location.atlas import LobeMap
from radiogen.cohort.masks import region_masks
from radiogen.cohort.nifti import Grid
from radiogen.types import ED, NCR, Affine, LabelVolume, Mask

PLACE = (
    "centroid_x_mm", "centroid_y_mm", "centroid_z_mm", "left_fraction", "right_fraction", "laterality_index", "crosses_midline",
    "midline_distance_mm", "ventricle_distance_mm", "surface_distance_mm", "grey_matter_fraction", "white_matter_fraction", "ventricle_fraction",
)  # fmt: skip
"""What is said about the place of every region."""

RATIOS = (("tc", "wt"), ("et", "wt"), ("ncr", "tc"), ("et", "tc"), ("ed", "wt"))
"""Which volume is divided by which."""

COMPOSITION = (
    *(f"{part}_{whole}_volume_ratio" for part, whole in RATIOS),
    "wt_lesion_count",
    "wt_largest_lesion_fraction",
    "wt_multifocal",
    "et_focus_count",
)
"""What is said about the whole mask."""

_STEP_MM = 1.0


def tumour_regions(labels: LabelVolume) -> dict[str, Mask]:
    """Return the voxels of `wt tc et ncr ed` of a mask in radiogen's labels.

    Source: BraTS 2023 regions and labels.
    """
    return {**region_masks(labels), "ncr": labels == NCR, "ed": labels == ED}


def region_points(mask: Mask, grid: Grid, matrix: Affine) -> Points:
    """Return points that fill a region evenly, in the template's world.

    Voxels longer than 1.5 mm are divided, so that thick slices fill what they cover.

    Args:
        mask: the region, canonical.
        grid: where it lies.
        matrix: world of the grid -> world of the template, mm.

    Example:
        >>> region_points(np.ones((1, 1, 1), bool), Grid((1, 1, 1), np.diag([1.0, 1.0, 4.0, 1.0])), np.eye(4))[2].tolist()
        [-1.5, -0.5, 0.5, 1.5]
    """
    counts = [max(1, round(size / _STEP_MM)) for size in grid.voxel_size_mm]
    steps = [(np.arange(count) + 0.5) / count - 0.5 for count in counts]
    offsets = np.stack(np.meshgrid(*steps, indexing="ij")).reshape(3, 1, -1)
    voxels = (np.argwhere(mask).T[:, :, None] + offsets).reshape(3, -1)
    to_world = matrix @ grid.canonical_affine
    return np.asarray(to_world[:3, :3] @ voxels + to_world[:3, 3:], dtype=float)


def place(points_mm: Points, crossing_share: float, lobes: LobeMap | None) -> dict[str, float]:
    """Return where a region lies, `PLACE` and the fraction in every lobe.

    Sides are the patient's. A distance is that of the region's nearest point; 0 where the region reaches the midline (has points on both sides),
    the ventricles or the brain's outer surface. Tissues are the template's at that place, not the patient's. The laterality index is left minus
    right: 1 is all left, -1 all right.

    Args:
        points_mm: the region in the template, at least one point.
        crossing_share: share of the smaller side from which on a region crosses the midline.
        lobes: the atlas; None: no lobes.

    Source: Seghier, Magn Reson Imaging 2008;26:594 (laterality index).
    """
    maps = template_maps()
    x = points_mm[0]
    left = float(np.mean(np.where(np.abs(x) < 1e-6, 0.5, x < 0)))
    both_sides = x.min() <= 0 <= x.max()
    found = {
        **{f"centroid_{axis}_mm": float(value) for axis, value in zip("xyz", points_mm.mean(axis=1), strict=True)},
        "left_fraction": left,
        "right_fraction": 1 - left,
        "laterality_index": 2 * left - 1,
        "crosses_midline": float(min(left, 1 - left) >= crossing_share),
        "midline_distance_mm": 0.0 if both_sides else float(np.abs(x).min()),
        "ventricle_distance_mm": float(values_at(maps.ventricle_mm, maps.grid, points_mm, beyond="nearest").min()),
        "surface_distance_mm": float(values_at(maps.surface_mm, maps.grid, points_mm).min()),
        "grey_matter_fraction": float(values_at(maps.grey, maps.grid, points_mm).mean()),
        "white_matter_fraction": float(values_at(maps.white, maps.grid, points_mm).mean()),
        "ventricle_fraction": float(values_at(maps.ventricles, maps.grid, points_mm).mean()),
    }
    return found if lobes is None else {**found, **lobes.fractions(points_mm)}


def outside_brain(points_mm: Points) -> float:
    """Return the share of points that lie outside the template's brain, 0 to 1."""
    maps = template_maps()
    return float(np.mean(values_at(maps.surface_mm, maps.grid, points_mm) <= 0))


def composition(labels: LabelVolume, grid: Grid, least_ml: float, *, whole_only: bool) -> dict[str, float]:
    """Return what the tumour is made of, `COMPOSITION`, on the patient's own voxels.

    Lesions are parts of the whole tumour that touch not even by a corner, foci the same of the enhancing tumour; what is smaller than `least_ml`
    does not count. A ratio to nothing is blank; so is all but the lesions of the whole tumour where the mask does not tell its parts.

    Args:
        labels: mask in radiogen's labels.
        grid: where it lies.
        least_ml: smallest lesion or focus, ml.
        whole_only: the mask shows the whole tumour only.

    Source: 26-connected components, as in the BraTS 2023 lesion-wise evaluation.

    Example:
        >>> labels = np.zeros((5, 1, 1), dtype=np.uint8)
        >>> labels[0], labels[3:] = 2, 3
        >>> found = composition(labels, Grid((5, 1, 1), np.diag([10.0, 10.0, 10.0, 1.0])), 0.1, whole_only=False)
        >>> found["wt_lesion_count"], round(found["et_wt_volume_ratio"], 3), round(found["wt_largest_lesion_fraction"], 3)
        (2.0, 0.667, 0.667)
    """
    masks = tumour_regions(labels)
    sizes = {name: int(mask.sum()) for name, mask in masks.items()}
    found = {
        f"{part}_{whole}_volume_ratio": np.nan if whole_only or not sizes[whole] else sizes[part] / sizes[whole]
        for part, whole in RATIOS
    }
    lesions_ml = _parts_ml(masks["wt"], grid, least_ml)
    wt_ml = sizes["wt"] * float(np.prod(grid.voxel_size_mm)) / 1000
    found["wt_lesion_count"] = float(len(lesions_ml))
    found["wt_largest_lesion_fraction"] = max(lesions_ml) / wt_ml if lesions_ml else np.nan
    found["wt_multifocal"] = float(len(lesions_ml) > 1)
    found["et_focus_count"] = np.nan if whole_only else float(len(_parts_ml(masks["et"], grid, least_ml)))
    return found


def _parts_ml(mask: Mask, grid: Grid, least_ml: float) -> list[float]:
    parts, _ = label(mask, structure=generate_binary_structure(3, 3))
    sizes_ml = np.bincount(parts.ravel())[1:] * float(np.prod(grid.voxel_size_mm)) / 1000
    return [float(size) for size in sizes_ml if size >= least_ml]
