"""Tractograms: reading streamlines, and which of them connect which regions."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
from jaxtyping import Float, Float32, Integer, UInt16
from nibabel.streamlines.tractogram_file import DataError, HeaderError, TractogramFile
from scipy.io import loadmat
from scipy.io.matlab import MatReadError
from scipy.ndimage import distance_transform_edt

from radiogen.cohort.nifti import Grid
from radiogen.config.network import TractogramSettings
from radiogen.errors import GeometryError, InputError

ENDINGS = (".trk", ".tck", ".tt.gz")
"""Files that can be read."""

_LEAST_ON_GRID = 0.5
_POINTS_AT_ONCE = 2_000_000
_TINY_STEPS_PER_VOXEL = 32
_BAD_FILE = (OSError, EOFError, zlib.error, ValueError, KeyError, TypeError, DataError, HeaderError, MatReadError)


@dataclass(frozen=True)
class Streamlines:
    """The streamlines of one subject.

    Args:
        points: all points, world, mm (RAS).
        start: where each streamline begins in `points`; one more entry than there are streamlines.
    """

    points: Float32[np.ndarray, "p 3"]
    start: Integer[np.ndarray, " s"]

    def __len__(self) -> int:
        return len(self.start) - 1


@dataclass(frozen=True)
class Density:
    """Where the streamlines of every pair of regions run.

    Args:
        pairs: regions counted from 0, the first smaller than the second, sorted.
        streamlines: per pair, the mean number over subjects.
        subjects: per pair, how many subjects have it.
        start: where each pair's voxels begin; one more entry than pairs.
        voxels: flat voxel indices, sorted within each pair.
        values: share of the pair's streamlines through the voxel, mean over the subjects.
    """

    pairs: Integer[np.ndarray, "e 2"]
    streamlines: Float[np.ndarray, " e"]
    subjects: Integer[np.ndarray, " e"]
    start: Integer[np.ndarray, " s"]
    voxels: Integer[np.ndarray, " v"]
    values: Float[np.ndarray, " v"]


def read_streamlines(path: Path) -> Streamlines:
    """Read a tractogram in MNI152 space.

    Args:
        path: .trk (TrackVis), .tck (MRtrix) or .tt.gz (DSI Studio's tiny track).

    Raises:
        InputError: another ending, damaged, empty, or a tiny track that does not say where it lies in MNI152.

    Source: nibabel's readers for .trk and .tck; DSI Studio, documentation of the tiny track format.
    """
    name = path.name.lower()
    if not name.endswith(ENDINGS):
        raise InputError(f"{path.name} is no tractogram; accepted: {', '.join(ENDINGS)}.", hint="Convert it.")
    if not path.is_file():
        raise InputError(f"The tractogram {path} does not exist.", hint="Correct the path.")
    try:
        streamlines = _read_tiny(path) if name.endswith(".tt.gz") else _read_with_nibabel(path)
    except _BAD_FILE as error:
        raise InputError(
            f"{path.name} is damaged or not what its name says: {' '.join(str(error).split())}.",
            hint="Export or download it again.",
        ) from error
    if not len(streamlines) or not np.isfinite(streamlines.points).all():
        what = "no streamlines" if not len(streamlines) else "points that are no numbers"
        raise InputError(f"{path.name} holds {what}.", hint="Export it again.")
    return streamlines


def _read_with_nibabel(path: Path) -> Streamlines:
    loaded: TractogramFile = nib.streamlines.load(path)
    lines = [np.asarray(line, dtype=np.float32) for line in loaded.streamlines if len(line)]
    return _joined(lines)


def _joined(lines: Sequence[np.ndarray]) -> Streamlines:
    start = np.concatenate([[0], np.cumsum([len(line) for line in lines])]).astype(np.int64)
    points = np.concatenate(lines).astype(np.float32) if lines else np.zeros((0, 3), np.float32)
    return Streamlines(points, start)


def _read_tiny(path: Path) -> Streamlines:
    with gzip.open(path, "rb") as file:
        content = loadmat(file)
    to_world = np.asarray(content["trans_to_mni"], dtype=float).reshape(4, 4)
    lines = tiny_tracks(np.asarray(content["track"], dtype=np.uint8).tobytes())
    joined = _joined(lines)
    return Streamlines((joined.points @ to_world[:3, :3].T + to_world[:3, 3]).astype(np.float32), joined.start)


def tiny_tracks(stream: bytes) -> list[Float32[np.ndarray, "p 3"]]:
    """Return the streamlines of DSI Studio's byte stream, in voxels.

    Per streamline: a 32-bit size (three times the number of points), three 32-bit integers (the first point, in 1/32 voxel), then three signed
    bytes per further point (the step to it, in 1/32 voxel); little-endian.

    Args:
        stream: the matrix `track` of a .tt.gz file.

    Raises:
        ValueError: sizes that do not fit the stream.

    Source: DSI Studio, documentation of the tiny track format; Yeh et al., NeuroImage 2018;178:57 (the atlas that uses it).

    Example:
        >>> stream = np.array([6, 32, 64, 0], "<i4").tobytes() + np.array([32, 0, -16], "i1").tobytes()
        >>> tiny_tracks(stream)[0].tolist()
        [[1.0, 2.0, 0.0], [2.0, 2.0, -0.5]]
    """
    lines = []
    at = 0
    while at < len(stream):
        size = int.from_bytes(stream[at : at + 4], "little")
        if size < 3 or size % 3 or at + 13 + size > len(stream):
            raise ValueError(f"byte {at} of {len(stream)}: a streamline of size {size} does not fit")
        first = np.frombuffer(stream, "<i4", 3, at + 4)
        steps = np.frombuffer(stream, "i1", size - 3, at + 16).reshape(-1, 3)
        points = np.cumsum(np.concatenate([first[None].astype(np.int64), steps.astype(np.int64)]), axis=0)
        lines.append((points / _TINY_STEPS_PER_VOXEL).astype(np.float32))
        at += 13 + size
    return lines


def connect(
    streamlines: Streamlines, nodes: UInt16[np.ndarray, "i j k"], grid: Grid, reach_mm: float
) -> Integer[np.ndarray, "s 2"]:
    """Return the regions that every streamline connects; -1 where an end lies at none.

    Args:
        streamlines: world, mm.
        nodes: label map, node n has label n + 1.
        grid: of the label map.
        reach_mm: an end belongs to the nearest region up to this distance.

    Returns:
        Regions of both ends, the smaller first.
    """
    size_mm = grid.voxel_size_mm
    distance_mm, nearest = distance_transform_edt(nodes == 0, sampling=size_mm, return_indices=True)
    region = np.where(distance_mm <= reach_mm, nodes[tuple(nearest)], 0).astype(np.int64) - 1
    ends = np.stack([streamlines.start[:-1], streamlines.start[1:] - 1], axis=1)
    flat = voxel_numbers(streamlines.points[ends.ravel()], grid)
    found = np.where(flat >= 0, region.ravel()[np.maximum(flat, 0)], -1)
    return np.sort(found.reshape(-1, 2), axis=1)


def voxel_numbers(points: Float32[np.ndarray, "p 3"], grid: Grid) -> Integer[np.ndarray, " p"]:
    """Return the flat (C order) number of the voxel that each point lies in; -1 outside the grid.

    Args:
        points: world, mm.
        grid: any.

    Example:
        >>> voxel_numbers(np.array([[0, 0, 1], [9, 9, 9]], np.float32), Grid((2, 2, 2), np.eye(4))).tolist()
        [1, -1]
    """
    to_voxel = np.linalg.inv(grid.canonical_affine)
    voxels = np.rint(points @ to_voxel[:3, :3].T + to_voxel[:3, 3]).astype(np.int64)
    shape = np.array(grid.canonical_shape)
    inside = ((voxels >= 0) & (voxels < shape)).all(axis=1)
    flat = (voxels[:, 0] * shape[1] + voxels[:, 1]) * shape[2] + voxels[:, 2]
    return np.asarray(np.where(inside, flat, -1))


def subject_density(
    streamlines: Streamlines, nodes: UInt16[np.ndarray, "i j k"], grid: Grid, settings: TractogramSettings
) -> Density:
    """Return where one subject's streamlines of every connected pair run.

    Args:
        streamlines: of the subject, world of the template, mm.
        nodes: label map, node n has label n + 1.
        grid: of the label map.
        settings: `reach_mm`, `least_streamlines`.

    Raises:
        GeometryError: most points lie outside the grid.
    """
    on_grid = float((voxel_numbers(streamlines.points, grid) >= 0).mean())
    if on_grid < _LEAST_ON_GRID:
        raise GeometryError(
            f"{on_grid:.0%} of the tractogram's points lie on the template's grid ({grid.describe()}).",
            hint="Give a tractogram in MNI152 space.",
        )
    n_voxels, n_nodes = int(nodes.size), int(nodes.max())
    ends = connect(streamlines, nodes, grid, settings.reach_mm)
    code = np.where((ends[:, 0] >= 0) & (ends[:, 0] != ends[:, 1]), ends[:, 0] * n_nodes + ends[:, 1], -1)
    codes, count = np.unique(code[code >= 0], return_counts=True)
    codes, count = codes[count >= settings.least_streamlines], count[count >= settings.least_streamlines]
    row = np.searchsorted(codes, code)
    row = np.where(np.isin(code, codes), row, -1)
    keys, visits = _visits(streamlines, row, grid, n_voxels)
    start = np.searchsorted(keys, np.arange(len(codes) + 1) * n_voxels)
    per_pair = np.repeat(count, np.diff(start))
    pairs = np.stack(np.divmod(codes, max(n_nodes, 1)), axis=1)
    return Density(pairs, count.astype(float), np.ones_like(count), start, keys % n_voxels, visits / per_pair)


def _visits(
    streamlines: Streamlines, row: Integer[np.ndarray, " n"], grid: Grid, n_voxels: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return pair * voxels + voxel and how many streamlines go through it; every streamline counts once per voxel."""
    wanted = np.flatnonzero(row >= 0)
    keys, counts = np.zeros(0, np.int64), np.zeros(0, np.int64)
    length = np.diff(streamlines.start)[wanted]
    for part in np.split(wanted, np.flatnonzero(np.diff(np.cumsum(length) // _POINTS_AT_ONCE)) + 1):
        points, line = densify(streamlines, part, min(grid.voxel_size_mm) / 2)
        flat = voxel_numbers(points, grid)
        # One streamline in one voxel counts once, however many of its points lie there.
        once = np.unique(line[flat >= 0] * n_voxels + flat[flat >= 0])
        here, n = np.unique(row[part][once // n_voxels] * n_voxels + once % n_voxels, return_counts=True)
        keys, inverse = np.unique(np.concatenate([keys, here]), return_inverse=True)
        counts = np.bincount(inverse, weights=np.concatenate([counts, n]), minlength=len(keys)).astype(np.int64)
    return keys, counts


def densify(
    streamlines: Streamlines, chosen: Integer[np.ndarray, " n"], step_mm: float
) -> tuple[Float32[np.ndarray, "p 3"], Integer[np.ndarray, " p"]]:
    """Return points along streamlines, no two neighbours further apart than a step.

    Args:
        streamlines: all of them.
        chosen: which ones.
        step_mm: the longest step, mm.

    Returns:
        Points, and for each its place in `chosen`.

    Example:
        >>> line = Streamlines(np.array([[0, 0, 0], [2, 0, 0]], np.float32), np.array([0, 2]))
        >>> densify(line, np.array([0]), 1.0)[0][:, 0].tolist()
        [0.0, 1.0, 2.0]
    """
    length = (streamlines.start[1:] - streamlines.start[:-1])[chosen]
    line = np.repeat(np.arange(len(chosen)), length)
    offset = np.arange(len(line)) - np.repeat(np.cumsum(length) - length, length)
    points = streamlines.points[np.repeat(streamlines.start[:-1][chosen], length) + offset]
    following = np.concatenate([points[1:], points[-1:]])
    same = np.append(line[1:] == line[:-1], False)
    step = np.where(same[:, None], following - points, 0)
    pieces = np.maximum(1, np.ceil(np.linalg.norm(step, axis=1) / step_mm - 1e-6)).astype(np.int64)
    within = np.arange(pieces.sum()) - np.repeat(np.cumsum(pieces) - pieces, pieces)
    share = (within / np.repeat(pieces, pieces))[:, None]
    return (np.repeat(points, pieces, axis=0) + share * np.repeat(step, pieces, axis=0)).astype(np.float32), np.repeat(
        line, pieces
    )


def mean_density(subjects: Sequence[Density], n_nodes: int, n_voxels: int, subject_share: float) -> Density:
    """Return the mean of several subjects' densities for the pairs that enough of them have.

    A subject without a pair counts as zero density. The order of the subjects does not matter but for rounding.

    Args:
        subjects: one density each.
        n_nodes: regions.
        n_voxels: voxels of the grid.
        subject_share: share of subjects that need to have a pair.
    """
    codes = [one.pairs[:, 0] * n_nodes + one.pairs[:, 1] for one in subjects]
    all_codes, held_by = np.unique(np.concatenate(codes), return_counts=True)
    enough = held_by >= subject_share * len(subjects) - 1e-9
    kept, held_by = all_codes[enough], held_by[enough]
    streamlines = np.zeros(len(kept))
    keys, values = [], []
    for one, code in zip(subjects, codes, strict=True):
        row = np.where(np.isin(code, kept), np.searchsorted(kept, code), -1)
        streamlines[row[row >= 0]] += one.streamlines[row >= 0]
        row_of_voxel = np.repeat(row, np.diff(one.start))
        keys.append(row_of_voxel[row_of_voxel >= 0] * n_voxels + one.voxels[row_of_voxel >= 0])
        values.append(one.values[row_of_voxel >= 0])
    joined, inverse = np.unique(np.concatenate(keys), return_inverse=True)
    total = np.bincount(inverse, weights=np.concatenate(values), minlength=len(joined))
    start = np.searchsorted(joined, np.arange(len(kept) + 1) * n_voxels)
    pairs = np.stack(np.divmod(kept, max(n_nodes, 1)), axis=1)
    n = len(subjects)
    return Density(pairs, streamlines / n, held_by, start, joined % n_voxels, total / n)


def densest_voxels(
    voxels: Integer[np.ndarray, " v"], values: Float[np.ndarray, " v"], share: float
) -> Integer[np.ndarray, " n"]:
    """Return the densest voxels of one connection; voxels as dense as the last one that fits belong to it.

    Args:
        voxels: flat indices.
        values: their density.
        share: of the connection's voxels.

    Example:
        >>> densest_voxels(np.array([3, 5, 8, 9]), np.array([0.1, 0.9, 0.5, 0.5]), 0.5).tolist()
        [5, 8, 9]
    """
    n = max(1, int(np.ceil(share * len(values) - 1e-9)))
    limit = np.partition(values, len(values) - n)[len(values) - n]
    return np.sort(voxels[values >= limit * (1 - 1e-9)])


def read_subjects(
    paths: Sequence[Path],
    nodes: UInt16[np.ndarray, "i j k"],
    grid: Grid,
    settings: TractogramSettings,
    advance: Callable[[int], None] = lambda done: None,
) -> Density:
    """Return the mean density of several tractograms, one per subject.

    Args:
        paths: one file per subject.
        nodes: label map, node n has label n + 1.
        grid: of the label map.
        settings: of the assignment.
        advance: told how many files were done.

    Raises:
        InputError: a file cannot be read, or no streamline connects two regions in enough subjects.
        GeometryError: a tractogram does not lie on the grid.

    Source: density per pair, mean over subjects, connections in 9 of 10 subjects: methods of the IDH brain-network paper (README, recipe).
    """
    subjects = []
    for path in paths:
        try:
            subjects.append(subject_density(read_streamlines(path), nodes, grid, settings))
        except GeometryError as error:
            raise GeometryError(f"{path.name}: {error.message}", hint=error.hint) from error
        advance(1)
    density = mean_density(subjects, int(nodes.max()), int(nodes.size), settings.subject_share)
    if not len(density.pairs):
        raise InputError(
            f"No two regions are connected in {settings.subject_share:.0%} of {len(paths)} tractogram(s).",
            hint="Give tractograms with more streamlines, or lower subject_share.",
        )
    return density
