"""What the training cases looked like, to say when a new case is not like them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

_LARGEST_Z = 20.0


@dataclass(frozen=True)
class Reference:
    """Ranges and spreads of the training features, and how far training cases themselves stray.

    Args:
        ranges: one row per feature: `branch, mean, median, spread, low, high, missing_share`; spread is 0 for a constant feature.
        most_beyond: largest share of features in which one training case alone lay outside the range of all the others.
        most_distant: largest mean robust |z| of a training case.
    """

    ranges: pd.DataFrame
    most_beyond: float
    most_distant: float


def fit_reference(features: pd.DataFrame, branch_of: dict[str, str]) -> Reference:
    """Describe the training features.

    A new case from the same population exceeds the most extreme of n training cases with probability 1 / (n + 1), however the features are
    distributed, because each training case is judged against the ranges of the others.

    Args:
        features: one row per training case.
        branch_of: column -> branch.

    Source: Vovk, Gammerman, Shafer, Algorithmic Learning in a Random World, 2005 (conformal prediction).
    """
    low, high = features.min(), features.max()
    spread = (features.quantile(0.75) - features.quantile(0.25)) / 1.349
    spread = spread.where(spread > 1e-9 * features.median().abs(), features.std(ddof=0)).fillna(0.0)
    ranges = pd.DataFrame(
        {
            "branch": [branch_of.get(str(name), "") for name in features.columns],
            "mean": features.mean(),
            "median": features.median(),
            "spread": spread,
            "low": low,
            "high": high,
            "missing_share": features.isna().mean(),
        },
        index=features.columns,
    ).rename_axis("feature")
    alone = ((features == low) & ((features == low).sum() == 1)) | (
        (features == high) & ((features == high).sum() == 1)
    )
    varying = high > low
    beyond = alone.loc[:, varying].sum(axis=1) / features.loc[:, varying].notna().sum(axis=1).clip(lower=1)
    unfinished = Reference(ranges, float(beyond.max()), 0.0)
    return Reference(ranges, float(beyond.max()), float(novelty(features, unfinished)["distance"].max()))


def novelty(features: pd.DataFrame, reference: Reference) -> pd.DataFrame:
    """Say how far cases are from the training cases.

    Args:
        features: one row per case; holds every feature of the reference.
        reference: of the training cases.

    Returns:
        Columns `beyond_range` (share of the known features outside the training range), `distance` (mean robust |z|, each at most 20; NaN when
        nothing is known), `out_of_distribution` (either is larger than that of every training case).

    Example:
        >>> train = pd.DataFrame({"age": [30.0, 40.0, 50.0, 60.0], "ml": [10.0, 20.0, 40.0, 30.0]})
        >>> new = pd.DataFrame({"age": [45.0, 900.0], "ml": [25.0, 9000.0]})
        >>> novelty(new, fit_reference(train, {}))["out_of_distribution"].tolist()
        [False, True]
    """
    ranges = reference.ranges[reference.ranges["high"] > reference.ranges["low"]]
    values = features[list(ranges.index)]
    known = values.notna().sum(axis=1)
    outside = ((values < ranges["low"]) | (values > ranges["high"])).sum(axis=1)
    beyond = outside / known.clip(lower=1)
    distance = ((values - ranges["median"]) / ranges["spread"]).abs().clip(upper=_LARGEST_Z).mean(axis=1)
    slack = 1 + 1e-9  # a training case must not exceed itself by rounding
    return pd.DataFrame(
        {
            "beyond_range": np.round(beyond, 6),
            "distance": distance,
            "out_of_distribution": (beyond > reference.most_beyond * slack)
            | (distance > reference.most_distant * slack),
        }
    )
