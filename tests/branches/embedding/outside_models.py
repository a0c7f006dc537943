"""Made-up models of somebody else, as adapters find them."""

from __future__ import annotations

import numpy as np


def means(volume: np.ndarray, voxel_size_mm: tuple[float, float, float]) -> np.ndarray:
    """Mean, spread and the first voxel size; spoils its input, as a careless model may."""
    found = np.array([volume.mean(), volume.std(), voxel_size_mm[0]], dtype=np.float32)
    volume[:] = -1
    return found


means.name = "Means 1.0"
means.licence = "CC0-1.0"
means.dimension = 3
means.version = "1"


def unlicensed(volume: np.ndarray, voxel_size_mm: tuple[float, float, float]) -> np.ndarray:
    """As `means`, but says nothing of itself."""
    return means(volume, voxel_size_mm)


def broken(volume: np.ndarray, voxel_size_mm: tuple[float, float, float]) -> np.ndarray:
    """Fails with a message of two lines."""
    raise RuntimeError("no memory\nfor this")


def wrong(volume: np.ndarray, voxel_size_mm: tuple[float, float, float]) -> np.ndarray:
    """Gives something else than it says."""
    return np.array([[1.0, np.nan]])


for _function in (broken, wrong):
    _function.name, _function.licence, _function.dimension = _function.__name__, "MIT", 2
