"""The voxels of tumours as rows: reading, sampling with a quota per patient, filtering and scaling."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float32, Integer, UInt8

from radiogen.cohort.case import check_one_space, read_each
from radiogen.cohort.masks import read_mask, region_masks
from radiogen.cohort.nifti import Grid, read_image
from radiogen.errors import CohortError, ImageError
from radiogen.preprocess.intensity import background_value, foreground
from radiogen.types import SEQUENCES, LabelVolume, Mask, Volume

Rows = Float32[np.ndarray, "n m"]
"""One voxel per row, one map per column."""

Codes = Float32[np.ndarray, "n z"]
"""One voxel per row, one node of the encoder per column."""

Centres = Float32[np.ndarray, "k z"]
"""One habitat per row: its centre among the codes."""

_EDGE = 0.005
_AIR = 1 / 7
_LEAST_VOXELS = 8


@dataclass(frozen=True)
class CaseVoxels:
    """The tumour of one case.

    Args:
        case: case id.
        values: (n, m) float32, the maps inside the region in the order of `inside`'s voxels; arbitrary units are already comparable.
        inside: which voxels they are, of the box that holds the region.
        corner: the box's first voxel in the canonical volume.
        grid: the file grid that maps are written on.
    """

    case: str
    values: Rows
    inside: Mask
    corner: tuple[int, int, int]
    grid: Grid

    def box_labels(self, habitats: UInt8[np.ndarray, " n"]) -> LabelVolume:
        """Return habitats, from 1, as a label map of the box."""
        labels = np.zeros(self.inside.shape, dtype=np.uint8)
        labels[self.inside] = habitats
        return labels

    def volume_labels(self, habitats: UInt8[np.ndarray, " n"]) -> LabelVolume:
        """Return habitats, from 1, as a label map of the whole canonical volume."""
        labels = np.zeros(self.grid.canonical_shape, dtype=np.uint8)
        box = tuple(slice(at, at + size) for at, size in zip(self.corner, self.inside.shape, strict=True))
        labels[box] = self.box_labels(habitats)
        return labels


def usable_maps(table: pd.DataFrame, maps: Sequence[str]) -> list[str]:
    """Return which of the wanted maps can be used: a sequence that a case lacks is left out for all, any other map must be there.

    Args:
        table: cohort rows.
        maps: column names.

    Raises:
        CohortError: a map is no column or is blank somewhere, or nothing is left.

    Example:
        >>> usable_maps(pd.DataFrame({"t1c": ["a", "b"], "t2w": ["c", None]}), ["t1c", "t2w"])
        ['t1c']
    """
    known = {name: table[name].map(_is_path) if name in table else pd.Series(False, table.index) for name in maps}
    problems = [
        f"map '{name}': {int((~there).sum())} of {len(there)} case(s) have none, such as {there.index[~there][0]}"
        for name, there in known.items()
        if name not in SEQUENCES and not there.all()
    ]
    found = [name for name, there in known.items() if there.all()]
    if problems or not found or table.empty:
        problems = problems or ["no sequence is there for every case"]
        raise CohortError("The maps cannot be used:", problems=problems, hint="Leave such cases or maps out.")
    return found


def read_case_voxels(row: pd.Series, maps: Sequence[str], region: str, folder: Path | None = None) -> CaseVoxels:
    """Read the maps of a case inside its tumour.

    A sequence of arbitrary unit is centred on its own case's normal tissue and divided by that tissue's spread; other maps stay as they are.

    Args:
        row: one cohort row; its name is the case id.
        maps: columns that name files.
        region: `wt`, `tc` or `et`.
        folder: what relative paths of further maps are relative to.

    Raises:
        ImageError: a file cannot be used, or the region is almost empty.
        GeometryError: the files do not share their voxels.
    """
    missing = [name for name in maps if not _is_path(row.get(name))]
    if missing:
        raise ImageError(
            f"The case has no {', '.join(missing)}; the model needs {', '.join(maps)}.",
            hint="Leave the case out, or fit a model to the maps that every case has (--maps).",
        )
    paths = {name: str((folder or Path()) / row[name]) for name in maps}
    images = read_each(paths, read_image)
    if not _is_path(row.get("mask")):
        raise ImageError("The case has no mask.", hint="Run radiogen segment first, or give one in the column 'mask'.")
    scheme = row.get("mask_labels")
    labels, grid = read_mask(row["mask"], scheme if isinstance(scheme, str) and scheme else "auto")
    check_one_space({"mask": grid, **{name: image.grid for name, image in images.items()}}, "mask")
    inside = np.asarray(region_masks(labels)[region])
    if inside.sum() < _LEAST_VOXELS:
        raise ImageError(
            f"The region {region} has {int(inside.sum())} voxel(s); {_LEAST_VOXELS} or more are needed.",
            hint="Leave the case out, or take --region wt.",
        )
    columns = []
    for name, image in images.items():
        values = image.data[inside]
        if name in SEQUENCES:
            centre, spread = normal_tissue(image.data, labels == 0)
            values = (values - np.float32(centre)) / np.float32(spread)
        columns.append(values)
    box = tuple(slice(int(at.min()), int(at.max()) + 1) for at in np.nonzero(inside))
    corner = (box[0].start, box[1].start, box[2].start)
    return CaseVoxels(str(row.name), np.stack(columns, axis=1).astype(np.float32), inside[box].copy(), corner, grid)


def normal_tissue(image: Volume, outside: Mask) -> tuple[float, float]:
    """Return the median of the head outside the tumour, and its spread (interquartile range / 1.349, a standard deviation where it is normal).

    Air of raw scans is not zero but noise, and often most of the volume: where the background is the darkest, voxels below a seventh of the range
    above it are left out. A skull-stripped or z-normalised image, whose background is one value, loses that value only.

    Args:
        image: one sequence.
        outside: voxels that are not tumour.

    Raises:
        ImageError: the head has one value only.
    """
    head = foreground(image)
    background = background_value(image)
    if background <= float(np.quantile(image[head], 0.05)):
        head = head & (image > background + (float(np.quantile(image, 0.995)) - background) * _AIR)
    values = image[head & outside]
    low, centre, high = np.quantile(values, [0.25, 0.5, 0.75]) if values.size else (0.0, 0.0, 0.0)
    if high <= low:
        raise ImageError("The head outside the tumour has one value only.", hint="Look at the image.")
    return float(centre), float((high - low) / 1.349)


def sample_rows(
    cases: Mapping[str, np.ndarray], patient_of: Mapping[str, str], most: int, seed: int
) -> tuple[Rows, Integer[np.ndarray, " n"]]:
    """Draw voxels of a cohort, the same number of every patient where there are enough.

    Args:
        cases: case id -> its voxels, (n, m) float32.
        patient_of: case id -> patient.
        most: voxels in all; every patient's quota is its share of them.
        seed: of the draw.

    Returns:
        The voxels, and the number of each one's patient in the order in which patients first occur.

    Example:
        >>> rows, who = sample_rows({"a": np.ones((9, 1), np.float32), "b": np.ones((2, 1), np.float32)}, {"a": "p", "b": "q"}, 8, seed=0)
        >>> np.bincount(who).tolist()
        [4, 2]
    """
    patients = list(dict.fromkeys(patient_of[case] for case in cases))
    quota = max(1, most // max(len(patients), 1))
    rng = np.random.default_rng(seed)
    rows, who = [], []
    for number, patient in enumerate(patients):
        own = [values for case, values in cases.items() if patient_of[case] == patient]
        every = own[0] if len(own) == 1 else np.concatenate(own)
        chosen = every if len(every) <= quota else every[np.sort(rng.choice(len(every), quota, replace=False))]
        rows.append(chosen)
        who.append(np.full(len(chosen), number, dtype=np.int64))
    return np.concatenate(rows), np.concatenate(who)


def within_quantiles(rows: Rows, gamma: float) -> Bool[np.ndarray, " n"]:
    """Return which voxels the quantile filter keeps: those that lie, in every map, between its gamma/2 and 1 - gamma/2 quantiles.

    The paper names the threshold gamma but not its sides; two sides, each map by itself, treat dark and bright outliers alike. What is filtered is
    left out when the model learns; it still gets a habitat in the maps.

    Args:
        rows: voxels of training patients.
        gamma: from 0 (all are kept) to below 1.

    Example:
        >>> within_quantiles(np.arange(10, dtype=np.float32)[:, None], 0.2).tolist().count(True)
        8
    """
    if gamma <= 0:
        return np.ones(len(rows), dtype=bool)
    low, high = np.quantile(rows, [gamma / 2, 1 - gamma / 2], axis=0)
    return np.asarray(((rows >= low) & (rows <= high)).all(axis=1))


@dataclass(frozen=True)
class Scaling:
    """Brings every map to -1..1, learned from training patients.

    Args:
        low: (m,) value that becomes -1.
        high: (m,) value that becomes 1.
    """

    low: Float32[np.ndarray, " m"]
    high: Float32[np.ndarray, " m"]

    @classmethod
    def learn(cls, rows: Rows) -> Scaling:
        """Return the scaling between the 0.5 and 99.5 % quantiles of every map, which a few wild voxels cannot move.

        Args:
            rows: voxels of training patients.

        Example:
            >>> scaling = Scaling.learn(np.linspace(0, 1, 201, dtype=np.float32)[:, None])
            >>> [abs(round(float(value), 3)) for value in scaling.apply(np.array([[0.5], [9.0]], np.float32))[:, 0]]
            [0.0, 1.0]
        """
        low, high = (np.quantile(rows, share, axis=0).astype(np.float32) for share in (_EDGE, 1 - _EDGE))
        return cls(low, np.where(high > low, high, low + 1).astype(np.float32))

    def apply(self, rows: Rows) -> Rows:
        """Return voxels in -1..1; what lies beyond is cut off at the ends."""
        return np.clip((rows - self.low) * (2 / (self.high - self.low)) - 1, -1, 1).astype(np.float32)


def _is_path(value: object) -> bool:
    return isinstance(value, str) and bool(value)
