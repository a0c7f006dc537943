"""How much of the answers rests on each branch, where a fusion says so per case."""

from __future__ import annotations

from typing import Any

import pandas as pd

_WORDS = ("reliability", "attention")


def branch_shares(predictions: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """Return per column of shares its mean and spread over the cases.

    Args:
        predictions: with columns such as `reliability_radiomics`, which sum to 1 over the branches that a case has.

    Returns:
        Column -> `mean`, `low` and `high` (10th and 90th percentile) over the cases that have the branch, and `n_lacking`, cases without it.

    Example:
        >>> branch_shares(pd.DataFrame({"case": ["a", "b"], "reliability_mri": [0.25, None]}))
        {'reliability_mri': {'mean': 0.25, 'low': 0.25, 'high': 0.25, 'n_lacking': 1}}
    """
    found: dict[str, dict[str, Any]] = {}
    for name in predictions.columns:
        if str(name).split("_")[0] not in _WORDS:
            continue
        known = predictions[name].astype(float).dropna()
        lacking = predictions.loc[predictions[name].isna(), "case"].nunique()
        low, mean, high = (known.quantile(0.1), known.mean(), known.quantile(0.9)) if len(known) else (None,) * 3
        found[str(name)] = {
            "mean": None if mean is None else round(float(mean), 6),
            "low": None if low is None else round(float(low), 6),
            "high": None if high is None else round(float(high), 6),
            "n_lacking": int(lacking),
        }
    return found


def share_notes(predictions: pd.DataFrame) -> list[str]:
    """Return one sentence on how the fusion weighed the branches, or none.

    Args:
        predictions: as for `branch_shares`.

    Example:
        >>> share_notes(pd.DataFrame({"case": ["a"], "attention_mri": [1.0]}))
        ['Share of each branch in the answers, mean (10th to 90th percentile): mri 1.00 (1.00 to 1.00); per case in predictions.csv (attention).']
    """
    shares = {name: share for name, share in branch_shares(predictions).items() if share["mean"] is not None}
    if not shares:
        return []
    word = next(iter(shares)).split("_")[0]
    told = []
    for name, share in shares.items():
        lacking = f", {share['n_lacking']} case(s) lack it" if share["n_lacking"] else ""
        branch = name.partition("_")[2]
        told.append(f"{branch} {share['mean']:.2f} ({share['low']:.2f} to {share['high']:.2f}{lacking})")
    means = "Share of each branch in the answers, mean (10th to 90th percentile)"
    return [f"{means}: {'; '.join(told)}; per case in predictions.csv ({word})."]
