"""Group connectomes: one square matrix of strengths from a file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Float, Integer
from scipy.io import loadmat
from scipy.io.matlab import MatReadError

from radiogen.errors import InputError

ENDINGS = (".csv", ".tsv", ".txt", ".npy", ".mat")
"""Files that can be read."""


def read_connectome(path: Path, rows: Integer[np.ndarray, " n"], atlas_size: int) -> Float[np.ndarray, "n n"]:
    """Read the strength of every connection between the regions of a network.

    Args:
        path: one square matrix; symmetric, or one triangle with zeros in the other.
        rows: the matrix's row of every region, counted from 0, where the matrix covers the whole atlas.
        atlas_size: regions of the whole atlas.

    Returns:
        Symmetric, diagonal 0.

    Raises:
        InputError: not readable, not square, of another size than the atlas or the network, not symmetric, negative or not finite.
    """
    if path.suffix.lower() not in ENDINGS:
        raise InputError(f"{path.name} is no connectome; accepted: {', '.join(ENDINGS)}.", hint="Convert it.")
    try:
        matrix = np.asarray(_read(path), dtype=float)
    except (OSError, EOFError, ValueError, TypeError, KeyError, MatReadError, NotImplementedError) as error:
        raise InputError(
            f"{path.name} cannot be read as a matrix: {' '.join(str(error).split())}.", hint="Give one square matrix."
        ) from error
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or len(matrix) not in (atlas_size, len(rows)):
        raise InputError(
            f"{path.name} holds a matrix of {' x '.join(map(str, matrix.shape))}; {atlas_size} x {atlas_size} (the atlas) "
            f"or {len(rows)} x {len(rows)} (the network's regions) is accepted.",
            hint="Give the connectome of this atlas.",
        )
    if not np.isfinite(matrix).all() or matrix.min() < 0:
        raise InputError(f"{path.name} holds negative or missing strengths.", hint="Give strengths of 0 and above.")
    upper, lower = np.triu(matrix, 1), np.tril(matrix, -1).T
    if upper.any() and lower.any() and not np.allclose(upper, lower, rtol=1e-4):
        raise InputError(f"{path.name} is not symmetric.", hint="Average both directions first.")
    one = upper if upper.any() else lower
    if len(one) == atlas_size:
        one = (one + one.T)[np.ix_(rows, rows)]
        return np.asarray(one)
    return np.asarray(one + one.T)


def _read(path: Path) -> np.ndarray:
    kind = path.suffix.lower()
    if kind == ".npy":
        return np.asarray(np.load(path, allow_pickle=False))
    if kind == ".mat":
        content = loadmat(path)
        square = [value for key, value in content.items() if not key.startswith("_") and getattr(value, "ndim", 0) == 2]
        square = [value for value in square if value.shape[0] == value.shape[1] > 1]
        if len(square) != 1:
            raise ValueError(f"it holds {len(square)} square matrices, one is accepted")
        return np.asarray(square[0])
    separator = {".csv": ",", ".tsv": "\t"}.get(kind, r"\s+")
    return pd.read_csv(path, sep=separator, header=None, comment="#").to_numpy(dtype=float)
