"""How far predictions move when the mask or the image is perturbed: the part of a classifier's variance that is segmentation and noise."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import logit

from radiogen.errors import InputError
from radiogen.fusion.base import FusedModel
from radiogen.fusion.context import RowContext
from radiogen.fusion.join import FusionTable

COLUMNS = ["case", "perturbation", "y_prob"]
_EPSILON = 1e-6


def read_perturbed(path: Path) -> pd.DataFrame:
    """Read the table that `radiogen stability` writes.

    Args:
        path: Parquet with the index (case, perturbation).

    Raises:
        InputError: it is missing, unreadable, or has no unperturbed rows.
    """
    try:
        table = pd.read_parquet(path)
    except (OSError, ValueError) as error:
        raise InputError(
            f"The table of perturbed features {path} cannot be read: {str(error).splitlines()[0]}",
            hint="Make it with radiogen stability.",
        ) from error
    if table.index.nlevels != 2 or "none" not in set(table.index.get_level_values(1)):
        raise InputError(
            f"{path} has no index (case, perturbation) with unperturbed rows 'none'.",
            hint="Make it with radiogen stability.",
        )
    return table.set_axis(
        pd.MultiIndex.from_arrays([table.index.get_level_values(level).astype(str) for level in (0, 1)])
    )


def with_perturbed(table: FusionTable, perturbed: pd.DataFrame) -> FusionTable:
    """Return a fusion table whose context knows what was measured under perturbations.

    Args:
        table: features with labels.
        perturbed: as `read_perturbed` returns it.

    Raises:
        InputError: it has no case, or no column, of the table.
    """
    cases = sorted(set(perturbed.index.get_level_values(0)) & {str(case) for case in table.features.index})
    columns = [name for name in table.features.columns if name in perturbed.columns]
    if not cases or not columns or table.context is None:
        raise InputError(
            f"The table of perturbed features shares {len(cases)} case(s) and {len(columns)} column(s) with the features.",
            hint="Make both from the same cohort, with the same settings.",
        )
    own = perturbed.loc[perturbed.index.get_level_values(0).isin(cases), columns].astype(float)
    note = f"{len(cases)} of {len(table.features)} cases and {len(columns)} of {table.features.shape[1]} columns were measured under perturbations."
    return replace(table, context=replace(table.context, perturbed=own), notes=[*table.notes, note])


def perturbed_predictions(model: FusedModel, rows: pd.DataFrame, context: RowContext | None) -> pd.DataFrame:
    """Return what a model says of its test cases under every perturbation; columns that were not measured so keep their value.

    Args:
        model: fitted without these cases.
        rows: their features, index `case`.
        context: of these rows.

    Returns:
        Columns `case, perturbation, y_prob`.
    """
    if context is None or context.perturbed is None or context.perturbed.empty:
        return pd.DataFrame(columns=COLUMNS)
    index, measured = context.perturbed.index, context.perturbed.columns
    at = rows.index.astype(str).get_indexer(index.get_level_values(0))
    moved = rows.iloc[at].copy()
    moved[measured] = context.perturbed.to_numpy()
    probability = model.predict_proba(moved, context.take(at))[:, 1]
    return pd.DataFrame(
        {
            "case": index.get_level_values(0),
            "perturbation": index.get_level_values(1),
            "y_prob": np.round(probability, 8),
        }
    )


def variance_shares(perturbed: pd.DataFrame) -> dict[str, Any]:
    """Return per family of perturbations how much of the log-odds' variance lies within cases.

    Args:
        perturbed: `case, perturbation, y_prob, repeat`, with the unperturbed rows `none`; a family is the name before the first `-`.

    Returns:
        Family -> `share_within` (variance within cases as a share of within plus between), `sd_log_odds_within`, `sd_log_odds_between`, `n_cases`,
        `n_perturbations`, `share_of_calls_that_flip` (across 0.5, against the unperturbed call). A family with fewer than three cases is left out.

    Source: one-way random effects variance components by analysis of variance (Searle, Casella, McCulloch, Variance Components, 1992, section 3.6).

    Example:
        >>> rows = [("a", "none", 0.9), ("a", "mask-1", 0.9), ("b", "none", 0.2), ("b", "mask-1", 0.2), ("c", "none", 0.4), ("c", "mask-1", 0.4)]
        >>> table = pd.DataFrame(rows, columns=["case", "perturbation", "y_prob"]).assign(repeat=0)
        >>> variance_shares(table)["mask"]["share_within"]
        0.0
    """
    found: dict[str, Any] = {}
    family = perturbed["perturbation"].str.split("-").str[0]
    base = perturbed[family == "none"].set_index(["case", "repeat"])["y_prob"]
    for name in sorted(set(family) - {"none"}):
        rows = perturbed[family.isin([name, "none"])]
        shares = [_shares(one) for _, one in rows.groupby("repeat") if one["case"].nunique() >= 3]
        if not shares:
            continue
        own = perturbed[family == name]
        before = base.reindex(pd.MultiIndex.from_frame(own[["case", "repeat"]])).to_numpy()
        flips = float(np.mean((own["y_prob"].to_numpy() >= 0.5) != (before >= 0.5)))
        within, between = (float(np.mean([share[at] for share in shares])) for at in (0, 1))
        total = within + between
        found[name] = {
            "share_within": round(within / total, 6) if total > 0 else None,
            "sd_log_odds_within": round(within**0.5, 6),
            "sd_log_odds_between": round(between**0.5, 6),
            "n_cases": int(own["case"].nunique()),
            "n_perturbations": int(own["perturbation"].nunique()),
            "share_of_calls_that_flip": round(flips, 6),
        }
    return found


def _shares(rows: pd.DataFrame) -> tuple[float, float]:
    odds = pd.Series(logit(rows["y_prob"].clip(_EPSILON, 1 - _EPSILON).to_numpy()), index=rows["case"].to_numpy())
    groups = odds.groupby(level=0)
    sizes, means = groups.size(), groups.mean()
    n, total = len(sizes), float(sizes.sum())
    within = float(((odds - means.loc[odds.index].to_numpy()) ** 2).sum() / max(total - n, 1))
    mean_square = float((sizes * (means - odds.mean()) ** 2).sum() / (n - 1))
    size = (total - float((sizes**2).sum()) / total) / (n - 1)  # for groups of unequal size
    return within, max(0.0, (mean_square - within) / size)
