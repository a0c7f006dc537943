"""The second kind of graph: supervoxels of the brain as nodes, joined where they touch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32, Integer, Shaped
from skimage.segmentation import slic

from radiogen.branches.network.base import PatientGraph
from radiogen.cohort.case import CaseImages
from radiogen.cohort.masks import region_masks
from radiogen.config.supervoxels import SupervoxelSettings
from radiogen.errors import CaseError
from radiogen.types import RC, SEQUENCES, LabelVolume, Mask

SupervoxelMap = Integer[np.ndarray, "i j k"]
"""Number of every voxel's supervoxel, from 1; 0 outside the brain. Supervoxel n is node n - 1."""

NodeLabels = Integer[np.ndarray, " n"]
"""One of radiogen's labels per node; 0: no tumour."""

EDGE_COLUMN = "touching"

_EACH_LABEL: LabelVolume = np.arange(RC, dtype=np.uint8)[:, None, None]


@dataclass(frozen=True)
class SupervoxelGraph:
    """One patient as supervoxels.

    Args:
        case: case id.
        node_values: quantiles of every sequence per supervoxel, as shares of the sequence's bright end; NaN where the case lacks the sequence.
        node_columns: name of each, such as `t2f_q50`; always those of all four sequences.
        edges: pairs of touching supervoxels, counted from 0, the first smaller than the second, sorted, each once.
        centres_mm: middle of every supervoxel in the world of the case, mm.
        volumes_ml: volume of every supervoxel, ml.
        volumes_ml_of_labels: volume of every supervoxel with no tumour, NCR, ED and ET, ml; None: the case has no mask.
    """

    case: str
    node_values: Float32[np.ndarray, "n f"]
    node_columns: tuple[str, ...]
    edges: Integer[np.ndarray, "e 2"]
    centres_mm: Float[np.ndarray, "n 3"]
    volumes_ml: Float[np.ndarray, " n"]
    volumes_ml_of_labels: Float[np.ndarray, "n 4"] | None = None

    @property
    def n_nodes(self) -> int:
        """Return the number of supervoxels."""
        return len(self.node_values)

    @property
    def labels(self) -> NodeLabels | None:
        """Return the commonest label of every supervoxel's voxels, the smaller one of two; None: the case has no mask."""
        return None if self.volumes_ml_of_labels is None else np.argmax(self.volumes_ml_of_labels, axis=1)

    @property
    def tumour_share(self) -> Float[np.ndarray, " n"] | None:
        """Return the share of every supervoxel inside the whole tumour, 0 to 1; None: the case has no mask."""
        return None if self.volumes_ml_of_labels is None else self.volumes_ml_of_labels[:, 1:].sum(1) / self.volumes_ml


def supervoxel_map(case: CaseImages, settings: SupervoxelSettings | None = None) -> SupervoxelMap:
    """Return the brain cut into supervoxels by SLIC over all sequences of the case together.

    Every voxel that is not zero in some sequence belongs to exactly one. Intensities are standardised inside this brain, not over a training set, so
    that nothing is fitted. A supervoxel that reaches out of the brain keeps its part inside.

    Args:
        case: its sequences, brain-extracted.
        settings: number and compactness; None: the paper's.

    Raises:
        CaseError: the images are empty.

    Source: Achanta et al., IEEE TPAMI 2012;34:2274, in scikit-image; on brains the joint graph and image network of BraTS 2021 (k = 15,000, m = 0.5).
    """
    settings = settings or SupervoxelSettings()
    brain = brain_of(case)
    box = _box(brain)
    inside = brain[box]
    channels = np.stack([_standardised(image[box], inside) for image in case.images.values()], axis=-1)
    # scikit-image stretches the image to 0-1 before it weighs place against intensity: undone here, as the paper's weight is for standardised images.
    stretched = float(channels.max() - channels.min()) or 1.0
    # Only its shape counts: in mm, place would weigh more the coarser the voxels are.
    size_mm = np.array(case.grid.voxel_size_mm)
    found = slic(
        channels,
        n_segments=settings.n_segments,
        compactness=settings.compactness / stretched,
        max_num_iter=settings.iterations,
        spacing=tuple(size_mm / np.cbrt(size_mm.prod())),
        start_label=1,
        convert2lab=False,
        channel_axis=-1,
    )
    numbers, renumbered = np.unique(np.where(inside, found, 0), return_inverse=True)
    whole = np.zeros(brain.shape, dtype=np.int32)
    whole[box] = renumbered.reshape(inside.shape) + (1 if numbers[0] > 0 else 0)
    return whole


def supervoxel_graph(
    case: CaseImages,
    supervoxels: SupervoxelMap,
    mask: LabelVolume | None = None,
    settings: SupervoxelSettings | None = None,
) -> SupervoxelGraph:
    """Return the graph of a case's supervoxels: quantiles of the sequences as nodes, edges between those that touch.

    Args:
        case: its sequences.
        supervoxels: of `supervoxel_map`, on the same voxels.
        mask: gives every node its label; a resection cavity counts as no tumour, as the paper knows none.
        settings: which quantiles; None: five, so that there are 20 features.

    Raises:
        CaseError: the map is empty, or is not numbered without gaps.

    Source: the joint graph and image network of BraTS 2021 (20 features, labels by the mode, touching supervoxels joined without weight).
    """
    settings = settings or SupervoxelSettings()
    sizes = np.bincount(supervoxels.ravel())[1:]
    if not len(sizes) or not sizes.all():
        raise CaseError("The supervoxels are not numbered from 1 without gaps.", hint="Make them by supervoxel_map.")
    values = {
        name: _quantiles(case.images[name], supervoxels, sizes, settings)
        if name in case.images
        else np.full((len(sizes), len(settings.quantiles)), np.nan, dtype=np.float32)
        for name in SEQUENCES
    }
    voxel_ml = float(np.prod(case.grid.voxel_size_mm)) / 1000
    return SupervoxelGraph(
        case=case.case,
        node_values=np.concatenate(list(values.values()), axis=1),
        node_columns=tuple(f"{name}_q{round(100 * quantile)}" for name in values for quantile in settings.quantiles),
        edges=touching_pairs(supervoxels),
        centres_mm=_centres_mm(supervoxels, sizes, case),
        volumes_ml=sizes * voxel_ml,
        volumes_ml_of_labels=None if mask is None else label_counts(mask, supervoxels) * voxel_ml,
    )


def touching_pairs(supervoxels: SupervoxelMap) -> Integer[np.ndarray, "e 2"]:
    """Return the pairs of supervoxels that share a voxel face, counted from 0, sorted, each once.

    Args:
        supervoxels: numbers from 1, 0 outside.

    Example:
        >>> touching_pairs(np.array([[[1, 1, 2, 0, 3]]])).tolist()
        [[0, 1]]
    """
    n = int(supervoxels.max()) + 1
    found = []
    for axis in range(3):
        along = np.moveaxis(supervoxels, axis, 0)
        first, second = along[:-1].ravel(), along[1:].ravel()
        differ = (first != second) & (first > 0) & (second > 0)
        first, second = first[differ].astype(np.int64), second[differ].astype(np.int64)
        found.append(np.unique(np.minimum(first, second) * n + np.maximum(first, second)))
    keys = np.unique(np.concatenate(found))
    return np.stack([keys // n - 1, keys % n - 1], axis=1)


def label_counts(mask: LabelVolume, supervoxels: SupervoxelMap) -> Integer[np.ndarray, "n 4"]:
    """Return how many voxels of every supervoxel have no tumour, and each of radiogen's labels 1 to 3.

    Args:
        mask: in radiogen's labels; 4, a resection cavity, is no tumour.
        supervoxels: on the same voxels.

    Example:
        >>> label_counts(np.array([[[0, 2, 4, 3]]], dtype=np.uint8), np.array([[[1, 1, 1, 2]]])).tolist()
        [[2, 0, 1, 0], [0, 0, 0, 1]]
    """
    inside = supervoxels > 0
    place = (supervoxels[inside] - 1).astype(np.int64) * RC + mask[inside] % RC
    return np.bincount(place, minlength=int(supervoxels.max()) * RC).reshape(-1, RC)


def painted(labels: NodeLabels, supervoxels: SupervoxelMap) -> LabelVolume:
    """Return a label map in which every supervoxel has its node's label.

    Args:
        labels: one per node.
        supervoxels: numbers from 1, 0 outside.

    Example:
        >>> painted(np.array([3, 0]), np.array([[[1, 2, 0, 1]]])).tolist()
        [[[3, 0, 0, 3]]]
    """
    return np.concatenate([[0], labels]).astype(np.uint8)[supervoxels]


def painted_dice(graph: SupervoxelGraph, labels: NodeLabels) -> dict[str, float]:
    """Return how well labels of nodes, painted onto the voxels, agree with the mask: exact, without the voxels.

    With the graph's own `labels` this is the most that whole supervoxels labelled by their mode reach.

    Args:
        graph: of a case with a mask.
        labels: one per node.

    Returns:
        `accuracy`, the share of the brain with the right label, and the Dice of `wt`, `tc` and `et`; NaN for a region that neither has.

    Raises:
        CaseError: the case has no mask.

    Source: achievable segmentation accuracy, Liu et al. 2011, CVPR (entropy rate superpixels); the paper chose k and m by it.
    """
    volumes = graph.volumes_ml_of_labels
    if volumes is None:
        raise CaseError(f"Case {graph.case} has no mask to compare with.", hint="Build its graph with one.")
    found = {"accuracy": float(volumes[np.arange(len(labels)), labels].sum() / graph.volumes_ml.sum())}
    in_region = {name: region.ravel() for name, region in region_masks(_EACH_LABEL).items()}
    for name, inside in in_region.items():
        truth, chosen = volumes[:, inside].sum(1), inside[labels]
        both = float(truth.sum() + graph.volumes_ml[chosen].sum())
        found[name] = 2 * float(truth[chosen].sum()) / both if both > 0 else float("nan")
    return found


def as_patient_graph(graph: SupervoxelGraph) -> PatientGraph:
    """Return the graph in the form of the other kind, so that what reads, explains or learns from graphs can take it.

    Every edge carries a 1, as the paper's have no weight. What the tumour fills is NaN where the case has no mask.

    Args:
        graph: of a case.
    """
    n, e = graph.n_nodes, len(graph.edges)
    nodes = np.full(n, np.nan) if graph.tumour_share is None else graph.tumour_share
    filled, whole = (nodes * graph.volumes_ml)[graph.edges].sum(1), graph.volumes_ml[graph.edges].sum(1)
    return PatientGraph(
        case=graph.case,
        node_values=graph.node_values,
        edge_values=np.ones((e, 1), dtype=np.float32),
        node_columns=graph.node_columns,
        edge_columns=(EDGE_COLUMN,),
        destroyed_nodes=nodes.astype(np.float32),
        destroyed_edges=(filled / whole).astype(np.float32),
    )


def brain_of(case: CaseImages) -> Mask:
    """Return the voxels that are not zero in some sequence: the brain of a case that is brain-extracted.

    Raises:
        CaseError: there are none.
    """
    brain: Mask = np.logical_or.reduce([image != 0 for image in case.images.values()])
    if not brain.any():
        raise CaseError("All images are empty.", hint="Check the files of this case.")
    return brain


def _box(inside: Mask) -> tuple[slice, ...]:
    lines = [np.flatnonzero(inside.any(axis=tuple(other for other in range(3) if other != axis))) for axis in range(3)]
    return tuple(slice(int(line[0]), int(line[-1]) + 1) for line in lines)


def _standardised(image: Float32[np.ndarray, "i j k"], inside: Mask) -> Float32[np.ndarray, "i j k"]:
    # Dividing by a percentile first, as the paper does, would change nothing here: mean and deviation are those of this brain.
    values = image[inside]
    spread = float(values.std(dtype=np.float64)) or 1.0
    return ((image - values.mean(dtype=np.float64)) / spread).astype(np.float32)


def _quantiles(
    image: Float32[np.ndarray, "i j k"],
    supervoxels: SupervoxelMap,
    sizes: Shaped[np.ndarray, " n"],
    settings: SupervoxelSettings,
) -> Float32[np.ndarray, "n q"]:
    inside = supervoxels > 0
    numbers, values = supervoxels[inside], image[inside]
    bright = float(np.percentile(values, settings.scale_percentile))
    # One sort for all supervoxels: by supervoxel, then by value; a quantile lies between two ranks of each.
    values = values[np.lexsort((values, numbers))].astype(np.float64)
    start = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    found = []
    for quantile in settings.quantiles:
        rank = quantile * (sizes - 1)
        low = np.floor(rank).astype(np.int64)
        high = np.minimum(low + 1, sizes - 1)
        below, above = values[start + low], values[start + high]
        found.append(below + (rank - low) * (above - below))
    return (np.stack(found, axis=1) / (bright if bright > 0 else 1.0)).astype(np.float32)


def _centres_mm(
    supervoxels: SupervoxelMap, sizes: Shaped[np.ndarray, " n"], case: CaseImages
) -> Float[np.ndarray, "n 3"]:
    inside = supervoxels > 0
    numbers = supervoxels[inside]
    sums = [np.bincount(numbers, weights=index)[1:] for index in np.nonzero(inside)]
    voxels = np.stack(sums, axis=1) / sizes[:, None]
    affine = case.grid.canonical_affine
    return np.asarray(voxels @ affine[:3, :3].T + affine[:3, 3], dtype=np.float64)
