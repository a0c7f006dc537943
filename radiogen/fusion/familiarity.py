"""Is a case like the training cases? Two distances in the space of the prepared features, with limits from held-out training cases."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Float
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from radiogen.errors import InputError
from radiogen.fusion.prepare import ClippedScaler, MedianImputer, UsableColumns
from radiogen.run.atomic import writing

_MOST_COMPONENTS = 20
_CASES_PER_COMPONENT = 5
_FOLDS = 5
_CLIP_Z = 8.0

Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class Familiarity:
    """Principal components of the training cases, and how far a case may lie from their centre and from their plane.

    No training case is in it: means, spreads, directions and two limits.

    Args:
        names: columns it judges, in order.
        arrays: `medians`, `center`, `spread`, `mean`, `deviation` per column, `directions` (columns x components), `variances` per component.
        limits: largest familiar squared distance within the plane (T2) and mean squared distance from it (Q).
    """

    names: tuple[str, ...]
    arrays: Arrays
    limits: tuple[float, float]

    def strangeness(self, features: pd.DataFrame) -> Float[np.ndarray, " n"]:
        """Return per case the larger of the two distances as a multiple of its limit: above 1 the case is unlike the training cases.

        Args:
            features: one row per case; a column that is absent or NaN counts as typical, because nothing is known against it.
        """
        values = features.reindex(columns=list(self.names)).to_numpy(dtype=float)
        distances = _distances(self.arrays, values)
        return np.max([each / limit for each, limit in zip(distances, self.limits, strict=True)], axis=0)


def fit_familiarity(features: pd.DataFrame, patient: np.ndarray, *, share: float = 0.99, seed: int = 0) -> Familiarity:
    """Describe the training cases, and set the limits so that a case like them is flagged with a chance of 1 - `share` at most.

    The limits are conformal quantiles of distances of cases that were left out when the components were found, in five folds of patients. With too
    few cases for the share the largest of those distances is the limit, which a new case exceeds with a chance of about 2 / (n + 1).

    Args:
        features: one row per training case; NaN where missing.
        patient: patient per row.
        share: of cases like these that are not flagged.
        seed: of the folds.

    Source: Jackson, Mudholkar, Technometrics 1979, 21:341 (T2 and Q of principal components); Laxhammar, Falkman, Ann Math Artif Intell 2015,
    74:67 (conformal limits of a distance).

    Example:
        >>> rng = np.random.default_rng(0)
        >>> train = pd.DataFrame(rng.normal(size=(200, 5))).add_prefix("f")
        >>> familiar = fit_familiarity(train, np.arange(200))
        >>> (familiar.strangeness(pd.DataFrame([[0.0] * 5, [9.0] * 5]).add_prefix("f")) > 1).tolist()
        [False, True]
    """
    values = features.to_numpy(dtype=float)
    kept = UsableColumns().fit(values).kept_
    values = values[:, kept]
    names = tuple(str(name) for name in features.columns[kept])
    held_out = _held_out(values, patient, seed)
    # Each of the two distances takes half of the error.
    rank = math.ceil(round((len(values) + 1) * (1 + share) / 2, 9))
    limits = [float(np.sort(each)[min(rank, len(each)) - 1]) for each in held_out]
    return Familiarity(names, _plane(values), (max(limits[0], 1e-12), max(limits[1], 1e-12)))


def _held_out(values: Float[np.ndarray, "n p"], patient: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    people, number = np.unique(np.asarray(patient).astype(str), return_inverse=True)
    folds = min(_FOLDS, len(people))
    fold = np.random.default_rng(seed).permutation(np.arange(len(people)) % folds)[number]
    inside, beyond = np.zeros(len(values)), np.zeros(len(values))
    for test in range(folds):
        train = values[fold != test] if folds > 1 else values
        inside[fold == test], beyond[fold == test] = _distances(_plane(train), values[fold == test])
    return inside, beyond


def _plane(values: Float[np.ndarray, "n p"]) -> Arrays:
    medians = MedianImputer().fit(_known(values)).medians_
    filled = np.where(np.isnan(values), medians, values)
    scaler = ClippedScaler(_CLIP_Z).fit(filled)
    scaled = scaler.transform(filled)
    # With fewer rows than columns the small square matrix gives the same directions.
    size, directions = np.linalg.eigh(scaled @ scaled.T if len(scaled) < scaled.shape[1] else scaled.T @ scaled)
    count = max(1, min(_MOST_COMPONENTS, len(scaled) // _CASES_PER_COMPONENT, int((size > 1e-9 * size.max()).sum())))
    size, directions = size[::-1][:count], directions[:, ::-1][:, :count]
    if len(scaled) < scaled.shape[1]:
        directions = scaled.T @ directions / np.sqrt(size)
    return {
        "medians": medians,
        "center": scaler.center_,
        "spread": scaler.spread_,
        "mean": scaler.mean_,
        "deviation": scaler.deviation_,
        "directions": np.ascontiguousarray(directions),
        "variances": np.maximum(size / max(len(scaled) - 1, 1), 1e-12),
    }


def _known(values: Float[np.ndarray, "n p"]) -> Float[np.ndarray, "n p"]:
    # A column that a fold's training rows do not know at all has no median.
    return np.where(np.isnan(values).all(axis=0), 0.0, values)


def _distances(arrays: Arrays, values: Float[np.ndarray, "n p"]) -> tuple[np.ndarray, np.ndarray]:
    filled = np.where(np.isnan(values), arrays["medians"], values)
    clipped = np.clip((filled - arrays["center"]) / arrays["spread"], -_CLIP_Z, _CLIP_Z)
    scaled = (clipped - arrays["mean"]) / arrays["deviation"]
    scores = scaled @ arrays["directions"]
    inside = (scores**2 / arrays["variances"]).sum(axis=1)
    beyond = np.maximum((scaled**2).sum(axis=1) - (scores**2).sum(axis=1), 0.0) / scaled.shape[1]
    return inside, beyond


def save_familiarity(path: Path, familiar: Familiarity) -> None:
    """Write it as safetensors; the same content gives the same bytes.

    Args:
        path: file to write.
        familiar: what to write.
    """
    arrays = {name: np.ascontiguousarray(array, dtype=np.float64) for name, array in familiar.arrays.items()}
    arrays["limits"] = np.array(familiar.limits)
    with writing(path) as beside:
        beside.write_bytes(save(arrays))


def load_familiarity(path: Path, names: tuple[str, ...]) -> Familiarity:
    """Read what `save_familiarity` wrote.

    Args:
        path: the file.
        names: columns it judges, in order; the card has them.

    Raises:
        InputError: it cannot be read, or is of other columns.
    """
    try:
        arrays = load_file(path)
    except (OSError, SafetensorError) as error:
        raise InputError(f"{path} cannot be read: {error}", hint="Copy the whole model folder again.") from error
    inside, beyond = (float(limit) for limit in arrays.pop("limits"))
    if len(arrays["medians"]) != len(names):
        raise InputError(f"{path} is of {len(arrays['medians'])} columns, and the card names {len(names)}.")
    return Familiarity(names, arrays, (inside, beyond))
