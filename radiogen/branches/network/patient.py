"""One patient on a network template: what the sequences show in every region, and what the tumour fills of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32, Integer
from scipy.ndimage import map_coordinates

from radiogen.branches.network.base import NetworkTemplate, PatientGraph
from radiogen.branches.network.disconnection import TUMOUR_REGIONS, share_inside
from radiogen.branches.network.region_statistics import BASIC, FIRST_ORDER, region_statistics
from radiogen.cohort.case import CaseImages
from radiogen.cohort.masks import region_masks
from radiogen.cohort.nifti import Grid
from radiogen.config.network import NetworkSettings
from radiogen.preprocess.deform import Deformation
from radiogen.preprocess.intensity import background_value
from radiogen.preprocess.template import load_template
from radiogen.types import ED, SEQUENCES, Affine, LabelVolume, Volume

VOXELS_PER_REGION = 2500
"""Voxels that `roi_vectors` gives of every region and sequence, as in the IDH brain-network paper."""

STATISTICS = {"basic": BASIC, "first-order": FIRST_ORDER}
"""Setting `region_values` -> statistics of every region and sequence."""

_QUARTERS = np.stack(np.meshgrid(*[[-0.25, 0.25]] * 3, indexing="ij")).reshape(3, 8)
"""Places inside a voxel where the mask is looked at, in voxels."""


@dataclass(frozen=True)
class Regions:
    """Voxels of the nodes or the connections of a template.

    Args:
        voxels: flat voxel indices, one region after another.
        start: where each region begins, and the end.
    """

    voxels: Integer[np.ndarray, " v"]
    start: Integer[np.ndarray, " s"]

    def __len__(self) -> int:
        return len(self.start) - 1


def node_regions(template: NetworkTemplate) -> Regions:
    """Return the voxels of every node."""
    flat = template.nodes.reshape(-1)
    inside = np.flatnonzero(flat)
    order = np.argsort(flat[inside], kind="stable")
    sizes = np.bincount(flat[inside], minlength=template.n_nodes + 1)[1:]
    return Regions(inside[order], np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64))


def edge_regions(template: NetworkTemplate) -> Regions:
    """Return the voxels of every connection."""
    return Regions(template.roi_voxels, template.roi_start)


@dataclass(frozen=True)
class Sampled:
    """A case on the voxels of a template.

    Args:
        intensities: sequence -> z-scores on the template's voxels (flat), 0 outside the head; only those the case has.
        occupied: tumour region -> share of every voxel inside it.
    """

    intensities: Mapping[str, Float32[np.ndarray, " m"]]
    occupied: Mapping[str, Float32[np.ndarray, " m"]]


def sample_case(
    images: CaseImages,
    labels: LabelVolume,
    matrix: Affine,
    template: NetworkTemplate,
    deformation: Deformation | None = None,
) -> Sampled:
    """Bring a case to the voxels of a template, by an affine transform, or by a deformation that starts from it.

    Intensities are interpolated linearly and scaled to mean 0 and standard deviation 1 over the network's voxels outside the tumour, so that a
    tumour does not change its own scale. Masks are looked at in eight places per voxel.

    Args:
        images: sequences of the case.
        labels: mask in radiogen's labels, on the same voxels.
        matrix: world of the case -> world of the template, mm.
        template: the network's template.
        deformation: from the template to the case; None: tumours that push the brain aside are not undone.
    """
    voxels = np.union1d(np.flatnonzero(template.nodes.reshape(-1)), template.roi_voxels)
    size = template.nodes.size
    places = _places(voxels, template.grid, images.grid, matrix, deformation)
    occupied = {name: np.zeros(size, dtype=np.float32) for name in TUMOUR_REGIONS}
    for name, share in shares_of_voxels(labels, images.grid, matrix, voxels, template.grid, deformation).items():
        occupied[name][voxels] = share
    healthy = occupied["wt"][voxels] == 0
    intensities = {}
    for name, image in images.images.items():
        intensities[name] = np.zeros(size, dtype=np.float32)
        intensities[name][voxels] = _scaled(image, places, healthy)
    return Sampled(intensities, occupied)


def shares_of_voxels(
    labels: LabelVolume,
    grid: Grid,
    matrix: Affine,
    voxels: Integer[np.ndarray, " v"],
    template: Grid,
    deformation: Deformation | None = None,
) -> dict[str, Float32[np.ndarray, " v"]]:
    """Return how much of each voxel of a template lies in every tumour region, looked at in eight places per voxel.

    Args:
        labels: mask in radiogen's labels.
        grid: of the mask.
        matrix: world of the mask -> world of the template, mm.
        voxels: flat indices on the template's grid.
        template: that grid.
        deformation: from the template to the case; None: affine.
    """
    places = _places(voxels, template, grid, matrix, deformation)
    occupied = {name: np.zeros(len(voxels), dtype=np.float32) for name in TUMOUR_REGIONS}
    for offset in (_voxel_matrix(template, grid, matrix)[:3, :3] @ _QUARTERS).T:
        found = _nearest(labels, places + offset[:, None])
        for name, inside in {**region_masks(found.reshape(-1, 1, 1)), "ed": found == ED}.items():
            occupied[name] += inside.reshape(-1).astype(np.float32) / 8
    return occupied


def patient_graph(
    images: CaseImages,
    labels: LabelVolume,
    template: NetworkTemplate,
    settings: NetworkSettings,
    matrix: Affine,
    deformation: Deformation | None = None,
) -> PatientGraph:
    """Return a patient's graph: statistics of the sequences, and what the tumour fills, of every node and connection.

    Features are `<sequence>_<statistic>` (0 for a sequence that the case lacks), `destroyed_<region>` and, of connections, `weight`.

    Args:
        images: sequences of the case; none is needed.
        labels: mask in radiogen's labels, on the same voxels.
        template: the network's template.
        settings: `cut_by` says which region destroys, `region_values` which statistics.
        matrix: world of the case -> world of the template, mm, as `place_case` finds it.
        deformation: from the template to the case; None: affine.
    """
    sampled = sample_case(images, labels, matrix, template, deformation)
    statistics = STATISTICS[settings.region_values]
    columns = feature_columns(statistics)
    nodes, node_destroyed = _features(sampled, node_regions(template), statistics)
    edges, edge_destroyed = _features(sampled, edge_regions(template), statistics)
    weights = template.weights.astype(np.float32)[:, None]
    return PatientGraph(
        case=images.case,
        node_values=nodes,
        edge_values=np.concatenate([edges, weights], axis=1),
        node_columns=columns,
        edge_columns=(*columns, "weight"),
        destroyed_nodes=node_destroyed[settings.cut_by],
        destroyed_edges=edge_destroyed[settings.cut_by],
        case_to_template_mm=matrix,
    )


def feature_columns(statistics: tuple[str, ...] = BASIC) -> tuple[str, ...]:
    """Return the names of the features that nodes and connections share.

    Args:
        statistics: of every sequence.

    Example:
        >>> feature_columns()[:2], feature_columns()[-1]
        (('t1n_mean', 't1n_sd'), 'destroyed_ed')
    """
    told = [f"{name}_{statistic}" for name in SEQUENCES for statistic in statistics]
    return (*told, *(f"destroyed_{region}" for region in TUMOUR_REGIONS))


def roi_vectors(sampled: Sampled, regions: Regions) -> Float32[np.ndarray, "r 10000"]:
    """Return 2500 voxels of the four sequences of every region, the input of the paper's auto-encoders.

    Larger regions are sampled evenly, in the order of their voxels; smaller ones are followed by zeros; a sequence that the case lacks is zeros. How
    the paper samples is not said there.

    Args:
        sampled: the case.
        regions: nodes or connections.

    Returns:
        One row per region: 2500 of t1n, 2500 of t1c, of t2w, of t2f; 40 kB each.

    Source: the IDH brain-network paper (2500 voxels x 4 sequences, zero-padded).
    """
    rows = np.zeros((len(regions), len(SEQUENCES), VOXELS_PER_REGION), dtype=np.float32)
    for region, (first, last) in enumerate(zip(regions.start[:-1], regions.start[1:], strict=True)):
        chosen = regions.voxels[first:last][even_sample(int(last - first))]
        for position, name in enumerate(SEQUENCES):
            if name in sampled.intensities:
                rows[region, position, : len(chosen)] = sampled.intensities[name][chosen]
    return rows.reshape(len(regions), -1)


def even_sample(n: int) -> Integer[np.ndarray, " k"]:
    """Return which of n voxels `roi_vectors` takes: all, or 2500 at even distances.

    Example:
        >>> even_sample(3).tolist(), even_sample(5000)[:3].tolist()
        ([0, 1, 2], [0, 2, 4])
    """
    return np.arange(n) if n <= VOXELS_PER_REGION else np.arange(VOXELS_PER_REGION) * n // VOXELS_PER_REGION


def share_outside_brain(labels: LabelVolume, grid: Grid, matrix: Affine) -> float:
    """Return the share of a tumour that lies outside the brain of MNI152; 0 where there is no tumour.

    Args:
        labels: mask in radiogen's labels.
        grid: where it lies.
        matrix: world of the grid -> world of MNI152, mm.
    """
    inside = np.flatnonzero(region_masks(labels)["wt"])
    if not len(inside):
        return 0.0
    template = load_template()
    places = _places(inside, grid, template.image.grid, np.linalg.inv(matrix))
    return float(np.mean(_nearest(template.brain.astype(np.uint8), places) == 0))


def _features(
    sampled: Sampled, regions: Regions, statistics: tuple[str, ...]
) -> tuple[Float32[np.ndarray, "r f"], dict[str, Float32[np.ndarray, " r"]]]:
    destroyed = {name: share_inside(sampled.occupied[name], regions.voxels, regions.start) for name in TUMOUR_REGIONS}
    columns: list[np.ndarray] = []
    for name in SEQUENCES:
        if name in sampled.intensities:
            columns += region_statistics(sampled.intensities[name][regions.voxels], regions.start, statistics)
        else:
            columns += [np.zeros(len(regions))] * len(statistics)
    columns += destroyed.values()
    return np.stack(columns, axis=1).astype(np.float32), destroyed


def _scaled(image: Volume, places: Float[np.ndarray, "3 v"], healthy: np.ndarray) -> Float32[np.ndarray, " v"]:
    background = background_value(image)
    values = map_coordinates(image, places, order=1, mode="constant", cval=background, output=np.float32)
    head = values != np.float32(background)
    measured = values[head & healthy].astype(np.float64)
    deviation = float(measured.std()) if len(measured) else 0.0
    if deviation == 0:
        return np.zeros(len(values), dtype=np.float32)
    return np.where(head, (values - measured.mean()) / deviation, 0).astype(np.float32)


def _voxel_matrix(template: Grid, case: Grid, matrix: Affine) -> Affine:
    """Return voxels of the template -> voxels of the case."""
    return np.linalg.inv(matrix @ case.canonical_affine) @ template.canonical_affine


def _places(
    voxels: Integer[np.ndarray, " v"],
    template: Grid,
    case: Grid,
    matrix: Affine,
    deformation: Deformation | None = None,
) -> Float[np.ndarray, "3 v"]:
    index = np.stack(np.unravel_index(voxels, template.canonical_shape)).astype(float)
    if deformation is not None:
        # Displacements are mm along the world's axes; in voxels of the template's grid they are added to the indices.
        affine = template.canonical_affine
        world = affine[:3, :3] @ index + affine[:3, 3:]
        index = index + np.linalg.inv(affine[:3, :3]) @ deformation.at(world)
    to_case = _voxel_matrix(template, case, matrix)
    return np.asarray(to_case[:3, :3] @ index + to_case[:3, 3:])


def _nearest(labels: LabelVolume, places: Float[np.ndarray, "3 v"]) -> np.ndarray:
    nearest = np.rint(places).astype(np.int64)
    shape = np.array(labels.shape)[:, None]
    inside = ((nearest >= 0) & (nearest < shape)).all(axis=0)
    found = np.zeros(places.shape[1], dtype=np.uint8)
    found[inside] = labels[tuple(nearest[:, inside])]
    return found
