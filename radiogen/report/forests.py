"""Forest plots of the race against baselines and of the strata."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from radiogen.evaluate.verdict import judged_auc, judged_baselines
from radiogen.report.style import BLUE, INK, QUIET, VERMILLION, drawing, new_figure, quiet_axes
from radiogen.report.words import bounds, interval, known, label, number

MOST_ROWS = 40
_WIDTH_IN, _ROW_IN = 5.2, 0.36


@dataclass(frozen=True)
class ForestRow:
    """One line of a forest plot.

    Args:
        name: at its left end.
        value: the estimate, or None.
        ci: its interval, or None.
        words: at its right end.
        colour: of marker and line.
        filled: a filled marker, or a hollow one.
    """

    name: str
    value: float | None
    ci: tuple[float, float] | None
    words: str
    colour: str = BLUE
    filled: bool = True


def race_figures(metrics: Mapping[str, Any]) -> list[Figure]:
    """Draw the AUC of the model and of every baseline, and in a second figure the model's lead over each, all over the pairs the verdict uses.

    Args:
        metrics: of `evaluate.audit`.

    Returns:
        Two figures, or none where there is no baseline.
    """
    baselines = judged_baselines(metrics)
    if not baselines:
        return []
    area, ends = judged_auc(metrics)
    model = ForestRow(
        f"model  (n={metrics.get('n', '?')})", _value(area), bounds(ends), _words({"auc": area, "auc_ci": ends})
    )
    others = [
        ForestRow(
            _named(row), _value(row.get("auc")), bounds(row.get("auc_ci")), _words(row), QUIET, row.get("counts", True)
        )
        for row in baselines
    ]
    leads = [_lead(row) for row in baselines]
    return [
        forest_figure([model, *others], "AUC (0.5 is chance)", zero=0.5, limits=_auc_limits([model, *others])),
        forest_figure(leads, "Model's AUC minus the baseline's, same cases", zero=0.0),
    ]


def strata_figure(metrics: Mapping[str, Any]) -> Figure | None:
    """Draw the AUC inside every stratum, beside the AUC over all; None where there is no stratum.

    Args:
        metrics: of `evaluate.audit`; of more than 40 strata the largest are drawn.
    """
    strata = list(metrics.get("strata") or [])
    if not strata:
        return None
    if len(strata) > MOST_ROWS:
        largest = sorted(range(len(strata)), key=lambda place: -strata[place].get("n", 0))[:MOST_ROWS]
        strata = [strata[place] for place in sorted(largest)]
    overall = ForestRow(
        f"all  (n={metrics.get('n', '?')})", _value(metrics.get("auc")), bounds(metrics.get("auc_ci")), _words(metrics)
    )
    rows = [
        ForestRow(
            _stratum_name(row),
            _value(row.get("auc")),
            bounds(row.get("auc_ci")),
            _words(row) if known(row.get("auc")) else "too few",
            VERMILLION,
        )
        for row in strata
    ]
    return forest_figure(
        [overall, *rows],
        "AUC inside the stratum (0.5 is chance)",
        zero=0.5,
        limits=_auc_limits(rows),
        mark=overall.value,
    )


def sites_figure(metrics: Mapping[str, Any]) -> Figure | None:
    """Draw the AUC of every site, their random-effects mean, and where the AUC of one more site is expected; None without a pooled AUC.

    Args:
        metrics: of `evaluate.audit`; of more than 40 sites the largest are drawn.
    """
    pooled = metrics.get("sites_pooled")
    sites = [row for row in metrics.get("strata") or [] if row.get("stratum") == "site" and known(row.get("auc"))]
    if not pooled or len(sites) < 2:
        return None
    rows = [
        ForestRow(_stratum_name(row), _value(row.get("auc")), bounds(row.get("auc_ci")), _words(row))
        for row in sorted(sites, key=lambda row: -row.get("n", 0))[:MOST_ROWS]
    ]
    ahead = bounds(pooled.get("prediction_interval"))
    rows += [
        ForestRow(
            f"mean of {pooled['n_sites']} sites",
            _value(pooled.get("auc")),
            bounds(pooled.get("auc_ci")),
            _words(pooled),
            VERMILLION,
        ),
        ForestRow("one more site", None, ahead, f"({interval(ahead, 2)})", VERMILLION),
    ]
    return forest_figure(
        rows, "AUC at the site (0.5 is chance)", zero=0.5, limits=_auc_limits(rows), mark=_value(pooled.get("auc"))
    )


def forest_figure(
    rows: Sequence[ForestRow],
    meaning: str,
    *,
    zero: float,
    limits: tuple[float, float] | None = None,
    mark: float | None = None,
) -> Figure:
    """Draw estimates with intervals, one line each, the numbers at the right.

    Args:
        rows: from top to bottom.
        meaning: what the axis is.
        zero: where a full line says "no difference" or "chance".
        limits: ends of the axis; by default from the intervals.
        mark: where a second, dotted line stands, or None.
    """
    with drawing():
        figure = new_figure(_WIDTH_IN, 0.85 + _ROW_IN * len(rows))
        axes = figure.add_subplot()
        axes.axvline(zero, color=INK, linewidth=1.0)
        if mark is not None:
            axes.axvline(mark, color=BLUE, linewidth=1.0, linestyle=(0, (2, 3)))
        for place, row in enumerate(rows):
            _draw_row(axes, row, place)
        axes.set_yticks(range(len(rows)), [row.name for row in rows])
        for tick in axes.get_yticklabels():
            tick.set_parse_math(False)
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.set_xlim(*(limits or _limits(rows, zero)))
        axes.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
        axes.set_xlabel(meaning)
        quiet_axes(axes, grid="x")
        axes.spines["left"].set_visible(False)
        axes.tick_params(axis="y", length=0)
    return figure


def _draw_row(axes: Axes, row: ForestRow, place: int) -> None:
    if row.ci is not None:
        axes.plot(row.ci, [place, place], color=row.colour, linewidth=1.6, solid_capstyle="butt")
    if row.value is not None:
        fill = row.colour if row.filled else "white"
        axes.plot(
            [row.value],
            [place],
            "o",
            color=row.colour,
            markerfacecolor=fill,
            markersize=6,
            markeredgewidth=1.3,
            clip_on=False,
        )
    colour = INK if row.value is not None or row.ci is not None else QUIET
    axes.text(
        1.03,
        place,
        row.words,
        transform=axes.get_yaxis_transform(),
        fontsize=9,
        color=colour,
        va="center",
        parse_math=False,
    )


def _lead(row: Mapping[str, Any]) -> ForestRow:
    ends = bounds(row.get("delta_ci"))
    counted = ends if row.get("counts", True) else None
    ahead, behind = counted is not None and counted[0] > 0, counted is not None and counted[1] < 0
    colour = BLUE if ahead else VERMILLION if behind else QUIET
    words = f"{number(row.get('delta'), 2, signed=True)} ({interval(ends, 2, signed=True)})"
    return ForestRow(f"over {label(str(row['name']))}", _value(row.get("delta")), ends, words, colour, ahead or behind)


def _named(row: Mapping[str, Any]) -> str:
    name = label(str(row["name"]))
    return f"{name}  (n={row['n']})" if "n" in row else name


def _stratum_name(row: Mapping[str, Any]) -> str:
    value = str(row.get("value", ""))
    name = f"{label(str(row.get('stratum', '')))} {value if len(value) <= 18 else value[:17] + chr(0x2026)}"
    positive = f", {row['n_positive']}+" if "n_positive" in row else ""
    return f"{name}  (n={row.get('n', '?')}{positive})"


def _words(row: Mapping[str, Any]) -> str:
    return f"{number(row.get('auc'), 2)} ({interval(row.get('auc_ci'), 2)})"


def _value(value: Any) -> float | None:
    return float(value) if known(value) else None


def _auc_limits(rows: Sequence[ForestRow]) -> tuple[float, float]:
    lowest = min([0.45, *(row.ci[0] for row in rows if row.ci), *(row.value for row in rows if row.value is not None)])
    return max(0.0, lowest - 0.02), 1.005


def _limits(rows: Sequence[ForestRow], zero: float) -> tuple[float, float]:
    ends = [
        zero,
        *(end for row in rows if row.ci for end in row.ci),
        *(row.value for row in rows if row.value is not None),
    ]
    margin = max(0.02, 0.06 * (max(ends) - min(ends)))
    return min(ends) - margin, max(ends) + margin
