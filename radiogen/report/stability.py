"""Pictures and page of stability: which kinds of features survive which kinds of change."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from radiogen.report.page import Figure as PageFigure
from radiogen.report.page import Section, Table, write_page
from radiogen.report.style import INK, PAPER, QUIET, drawing, new_figure

FAMILY_WORDS = {
    "mask": "mask size", "contour": "contour", "translate": "translation", "rotate": "rotation", "noise": "noise",
    "sample": "sampled masks", "all": "all together",
}  # fmt: skip
_FEW_CASES = 15


def stable_shares(table: pd.DataFrame, by: str, stable: float) -> pd.DataFrame:
    """Return the share of features whose lower bound reaches a limit, per group (rows) and family (columns); NaN where no bound is known.

    Args:
        table: with the columns `by`, `family`, `low`.
        by: column to group by, such as `class` or `filter`.
        stable: the limit.

    Example:
        >>> table = pd.DataFrame({"class": ["glcm"] * 2, "family": ["noise"] * 2, "low": [0.9, 0.2]})
        >>> float(stable_shares(table, "class", 0.75).loc["glcm", "noise"])
        0.5
    """
    known = table[table["low"].notna()]
    shares = (known["low"] >= stable).groupby([known[by], known["family"]], sort=False).mean().unstack()
    order = [name for name in dict.fromkeys(table["family"]) if name in FAMILY_WORDS]
    shares = shares.reindex(index=list(dict.fromkeys(table[by])), columns=sorted(order, key=list(FAMILY_WORDS).index))
    return shares.astype(float)


def stability_figure(table: pd.DataFrame, stable: float) -> Figure:
    """Draw the share of stable features by feature class and by filter, each against the families of perturbations.

    Args:
        table: of `branches.radiomics.stability.stability_table`.
        stable: lower bound from which a feature counts as stable.

    Example:
        >>> columns = {"class": ["glcm"], "filter": ["original"], "family": ["noise"], "low": [0.9]}
        >>> len(stability_figure(pd.DataFrame(columns), 0.75).axes)
        2
    """
    parts = {"feature class": stable_shares(table, "class", stable), "filter": stable_shares(table, "filter", stable)}
    rows = sum(len(shares) for shares in parts.values())
    columns = max(len(shares.columns) for shares in parts.values())
    with drawing():
        figure = new_figure(2.4 + 1.05 * columns, 1.7 + 0.36 * rows)
        both = figure.subplots(2, 1, height_ratios=[len(shares) for shares in parts.values()], squeeze=False)
        for axes, (title, shares) in zip(both.ravel(), parts.items(), strict=True):
            _grid(axes, shares, title)
    return figure


def write_stability_page(
    path: Path, table: pd.DataFrame, stable: float, n_cases: int, provenance: Mapping[str, Any]
) -> None:
    """Write the page of a cohort's stability.

    Args:
        path: the page.
        table: of `branches.radiomics.stability.stability_table`.
        stable: lower bound from which a feature counts as stable.
        n_cases: cases in the table.
        provenance: facts for the foot.
    """
    few = n_cases < _FEW_CASES
    counts = _counts(table, stable)
    drawn = [
        PageFigure(
            stability_figure(table, stable),
            f"Share of features whose 95 % interval of ICC(3,1) begins at {stable} or above.",
        )
    ]
    sections = [
        Section(
            "Which features are stable",
            text=[
                "Each case was measured as it is and under every perturbation. ICC(3,1) compares how much cases differ with how one case changes.",
                "This table describes these cases. To select features for a model, compute the ICC inside the fold, from the training cases' rows of "
                "radiomics_perturbed.parquet: a selection by this page has seen the test cases.",
                *(
                    [f"With {n_cases} case(s) the intervals are wide: few features can be called stable."]
                    if few
                    else []
                ),
            ],
            figures=drawn if table["low"].notna().any() else [],
            tables=[Table(counts, "Features by family of perturbations; category by the lower bound (Koo & Li 2016).")],
        )
    ]
    lead = _lead(table, stable, n_cases)
    write_page(path, "Stability of radiomics", sections, lead=lead, provenance=provenance)


def _lead(table: pd.DataFrame, stable: float, n_cases: int) -> str:
    # A bound that is not known is neither stable nor unstable.
    known = table.loc[table["family"] == "all", "low"].dropna()
    if known.empty:
        return f"Which features tell cases apart cannot be said from {n_cases} case(s); the table shows how far one case changes."
    share = float((known >= stable).mean())
    return f"{share:.0%} of {len(known)} features are stable under all perturbations together ({n_cases} cases)."


def _counts(table: pd.DataFrame, stable: float) -> pd.DataFrame:
    rows = []
    for name in sorted(dict.fromkeys(table["family"]), key=lambda word: list(FAMILY_WORDS).index(word)):
        part = table[table["family"] == name]
        words = part["category"].value_counts()
        known, variation = part["low"].dropna(), part["cv"].dropna()
        rows.append(
            {
                "family": FAMILY_WORDS[name],
                "features": len(part),
                **{word: int(words.get(word, 0)) for word in ("excellent", "good", "moderate", "poor", "undetermined")},
                f"lower bound {stable} or above": f"{(known >= stable).mean():.0%}" if len(known) else None,
                "median variation within a case": f"{variation.median():.1%}" if len(variation) else None,
            }
        )
    return pd.DataFrame(rows).set_index("family")


def _grid(axes: Axes, shares: pd.DataFrame, title: str) -> None:
    values = shares.to_numpy()
    axes.imshow(np.ma.masked_invalid(values), cmap="cividis", vmin=0, vmax=1, aspect="auto")
    for (row, column), value in np.ndenumerate(values):
        word = "-" if np.isnan(value) else f"{value:.0%}"
        colour = QUIET if np.isnan(value) else (INK if value > 0.55 else PAPER)
        axes.text(column, row, word, ha="center", va="center", color=colour, fontsize=9)
    axes.set_xticks(range(values.shape[1]), [FAMILY_WORDS[name] for name in shares.columns])
    axes.set_yticks(range(values.shape[0]), list(shares.index))
    axes.tick_params(length=0, labelsize=9)
    axes.set_title(f"Share of stable features by {title}", loc="left", fontsize=10)
    for side in axes.spines.values():
        side.set_visible(False)
