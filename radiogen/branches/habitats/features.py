"""What a habitat map says of a patient: fractions, and texture of the map itself."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np
from jaxtyping import Float, Integer, UInt8

from radiogen.types import LabelVolume

_EPS = float(np.spacing(1.0))
DIRECTIONS = tuple((i, j, k) for i, j, k in product((0, 1, -1), repeat=3) if (i, j, k) > (0, 0, 0))
"""The 13 directions of 26 neighbours, one of each opposite pair."""

TEXTURES = (
    "relative_mutual_information", "joint_entropy", "joint_energy", "imc1", "long_run_emphasis", "short_run_emphasis",
    "run_non_uniformity", "run_variance", "run_entropy",
)  # fmt: skip
"""The nine texture features: four of the co-occurrence matrix, five of the run lengths."""


def feature_names(k: int) -> list[str]:
    """Return the columns of a patient: the fraction of each of k habitats and the textures.

    Example:
        >>> feature_names(2)[:3]
        ['habitat_fraction_1', 'habitat_fraction_2', 'habitat_relative_mutual_information']
    """
    return [f"habitat_fraction_{number}" for number in range(1, k + 1)] + [f"habitat_{name}" for name in TEXTURES]


def paper_features(k: int, significant: Sequence[int]) -> list[str]:
    """Return the eleven columns that risk groups are made of: the fractions of two habitats, and the nine textures.

    Args:
        k: habitats.
        significant: the two habitats, from 1.
    """
    return [f"habitat_fraction_{number}" for number in significant] + feature_names(k)[k:]


def habitat_features(labels: LabelVolume, k: int) -> dict[str, float]:
    """Return the features of one habitat map.

    Textures count labels only, so they are the same on thick and thin slices only where voxels have the same size.

    Args:
        labels: 0 outside, 1 to k inside.
        k: habitats.

    Example:
        >>> habitat_features(np.ones((2, 2, 2), np.uint8), 2)["habitat_fraction_1"]
        1.0
    """
    cut = _cropped(labels)
    counts = np.bincount(cut[cut > 0], minlength=k + 1)[1:].astype(float)
    values = [*(counts / max(counts.sum(), 1.0)), *co_occurrence_features(cut, k), *run_features(cut, k)]
    return dict(zip(feature_names(k), map(float, values), strict=True))


def co_occurrence_features(labels: UInt8[np.ndarray, "i j k"], k: int) -> list[float]:
    """Return relative mutual information, joint entropy, joint energy and the first information measure of correlation.

    Each is the mean over the directions in which there are neighbours; probabilities are symmetric.

    Args:
        labels: 0 outside, 1 to k inside.
        k: habitats.

    Source: Haralick et al. 1973, IEEE Trans Syst Man Cybern 3:610, as in PyRadiomics; relative mutual information (over the marginal
        entropy): Nowosad and Stepinski 2019, Landsc Ecol 34:2091.
    """
    padded = np.pad(labels, 1).astype(np.int64)
    flat = padded.ravel()
    voxels = np.flatnonzero(flat)
    found = []
    for step in DIRECTIONS:
        other = flat[voxels + _offset(padded.shape, step)]
        both = other > 0
        pairs = np.bincount((flat[voxels[both]] - 1) * k + other[both] - 1, minlength=k * k).reshape(k, k)
        if pairs.any():
            found.append(_of_matrix((pairs + pairs.T) / (2.0 * pairs.sum())))
    return np.mean(found, axis=0).tolist() if found else [float("nan")] * 4


def _of_matrix(p: Float[np.ndarray, "k k"]) -> list[float]:
    margin = p.sum(1)
    entropy = -float((p * np.log2(p + _EPS)).sum())
    of_margin = -float((margin * np.log2(margin + _EPS)).sum())
    apart = np.outer(margin, margin)
    crossed = -float((p * np.log2(apart + _EPS)).sum())
    mutual = max(2 * of_margin - entropy, 0.0)
    # One habitat alone: nothing to tell, so no correlation.
    relative, imc1 = (mutual / of_margin, (entropy - crossed) / of_margin) if of_margin > 1e-9 else (0.0, 0.0)
    return [relative, entropy, float((p**2).sum()), imc1]


def run_features(labels: UInt8[np.ndarray, "i j k"], k: int) -> list[float]:
    """Return long and short run emphasis, normalised label non-uniformity, run variance and run entropy; each the mean over the 13 directions.

    Args:
        labels: 0 outside, 1 to k inside.
        k: habitats.

    Source: Galloway 1975, Comput Graph Image Process 4:172, as in PyRadiomics; the square that the print of the habitat paper lost is in.
    """
    padded = np.pad(labels, 1).astype(np.int64)
    flat = padded.ravel()
    voxels = np.flatnonzero(flat)
    if not len(voxels):
        return [float("nan")] * 5
    found = [_of_runs(*_runs(flat, voxels, _offset(padded.shape, step)), k) for step in DIRECTIONS]
    return np.mean(found, axis=0).tolist()


def _runs(
    flat: Integer[np.ndarray, " v"], voxels: Integer[np.ndarray, " n"], offset: int
) -> tuple[Integer[np.ndarray, " r"], Integer[np.ndarray, " r"]]:
    """Return label and length of every run; padding keeps lines of the volume apart."""
    ordered = voxels[np.lexsort((voxels, voxels % offset))]
    goes_on = (np.diff(ordered) == offset) & (np.diff(flat[ordered]) == 0)
    starts = np.flatnonzero(np.concatenate([[True], ~goes_on]))
    return flat[ordered[starts]], np.diff(np.append(starts, len(ordered)))


def _of_runs(label: Integer[np.ndarray, " r"], length: Integer[np.ndarray, " r"], k: int) -> list[float]:
    n_runs, j = float(len(label)), length.astype(float)
    per_label = np.bincount(label, minlength=k + 1)[1:].astype(float)
    p = np.unique(label * (length.max() + 1) + length, return_counts=True)[1] / n_runs
    return [
        float((j**2).mean()),
        float((1 / j**2).mean()),
        float((per_label**2).sum() / n_runs**2),
        float(j.var()),
        -float((p * np.log2(p + _EPS)).sum()),
    ]


def _offset(shape: tuple[int, ...], step: tuple[int, int, int]) -> int:
    return step[0] * shape[1] * shape[2] + step[1] * shape[2] + step[2]


def _cropped(labels: LabelVolume) -> LabelVolume:
    if not labels.any():
        return labels[:1, :1, :1]
    box = tuple(slice(int(at.min()), int(at.max()) + 1) for at in np.nonzero(labels))
    return labels[box]
