"""What a prepared volume looks like in a few numbers: enough to see that a scanner, a sequence or a preparation is another one."""

from __future__ import annotations

import numpy as np

from radiogen.branches.embedding.training_items import CaseVolumes

MEASURES = ("mean", "sd", "low", "median", "high", "roughness", "filled")
"""Of the voxels that are not 0: mean, standard deviation, 5th, 50th and 95th percentile; the mean absolute difference of neighbours along all axes,
as a share of the standard deviation; and the share of such voxels."""


def summary_of(volumes: CaseVolumes, sequences: tuple[str, ...]) -> dict[str, float]:
    """Return the measures of every sequence of a case; NaN for one that is missing.

    Args:
        volumes: prepared volumes, sequences x i x j x k; zeros where one is missing.
        sequences: their names.

    Example:
        >>> found = summary_of(np.ones((1, 2, 2, 2), np.float32), ("t1c",))
        >>> found["t1c_mean"], found["t1c_sd"], found["t1c_filled"]
        (1.0, 0.0, 1.0)
    """
    found: dict[str, float] = {}
    for name, volume in zip(sequences, volumes, strict=True):
        values = _measure(volume.astype(np.float64))
        found |= {f"{name}_{measure}": value for measure, value in zip(MEASURES, values, strict=True)}
    return found


def _measure(volume: np.ndarray) -> list[float]:
    there = volume != 0
    if not there.any():
        return [float("nan")] * len(MEASURES)
    inside = volume[there]
    low, median, high = np.percentile(inside, [5, 50, 95])
    spread = inside.std()
    steps = [np.abs(np.diff(volume, axis=axis)).mean() for axis in range(volume.ndim) if volume.shape[axis] > 1]
    roughness = float(np.mean(steps)) / spread if steps and spread > 0 else 0.0
    return [float(value) for value in (inside.mean(), spread, low, median, high, roughness, there.mean())]
