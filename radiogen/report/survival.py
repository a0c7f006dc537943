"""Survival figures and the survival report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import FixedLocator, NullFormatter, NullLocator

from radiogen.evaluate.survival import SurvivalResult
from radiogen.evaluate.survival_text import claim_text, median_text, model_text, months_text, p_text, ratio_text
from radiogen.report.page import Figure, Section, Table, write_page
from radiogen.report.reporting import sections_of_run
from radiogen.report.style import COLOURS, HAIR, INK, LINE_STYLES, PAPER, QUIET, quiet_axes

_PRINT_DPI = 150
_TINY_RATIO, _HUGE_RATIO = 0.02, 50.0


def kaplan_meier_figure(result: SurvivalResult) -> Canvas:
    """Draw the curves with 95 % bands and censoring ticks, and below them, on the same axis, who is still at risk.

    Args:
        result: of `survival_analysis`.
    """
    names = [group["name"] for group in result.metrics["groups"]]
    table_height = 0.42 + 0.23 * len(names)
    legend_height = 0.21 * len(names)
    height = 4.25 + table_height + legend_height
    figure = Canvas(figsize=(7.6, height), dpi=_PRINT_DPI, facecolor=PAPER)
    left, right = 0.115 + 0.0085 * max(len(name) for name in names), 0.975
    curve_axes = figure.add_axes((left, (table_height + 0.72) / height, right - left, 3.35 / height))
    table_axes = figure.add_axes((left, 0.1 / height, right - left, (table_height - 0.1) / height), sharex=curve_axes)
    for index, name in enumerate(names):
        _draw_curve(curve_axes, result.km_table[result.km_table["group"] == name], index)
    months = sorted(result.at_risk["start_months"].unique())
    longest = float(result.km_table["time_months"].max())
    start = result.metrics["input"].get("from_months")
    since = "time zero" if start is None else f"the landmark at {start:g} months"
    curve_axes.set(
        ylim=(0, 1.03),
        xlim=(0, max(longest * 1.02, 1e-6)),
        ylabel="Probability of overall survival",
        xlabel=f"Months since {since}",
    )
    curve_axes.set_xticks(months)
    curve_axes.axhline(0.5, color=HAIR, linewidth=0.8, zorder=0)
    quiet_axes(curve_axes, grid="y")
    # Above the axes, so that it never covers a curve.
    curve_axes.legend(
        loc="lower left", bbox_to_anchor=(0, 1.0), frameon=False, fontsize=9, labelspacing=0.3, borderaxespad=0.2
    )
    _write_test(curve_axes, result.metrics)
    _draw_counts(table_axes, result.at_risk, names)
    return figure


def _draw_curve(axes: Axes, curve: pd.DataFrame, index: int) -> None:
    colour = COLOURS[index % len(COLOURS)]
    months, survival = curve["time_months"].to_numpy(), curve["survival"].to_numpy()
    died = int(curve["events"].sum())
    n = died + int(curve["censored"].sum())
    label = f"{curve['group'].iloc[0]} (n = {n}, {died} died)"
    lower, upper = (
        curve["lower"].ffill(),
        curve["upper"].ffill(),
    )  # the band reaches up to the last death, where it ends
    axes.fill_between(months, lower, upper, step="post", color=colour, alpha=0.16, linewidth=0)
    axes.step(
        months,
        survival,
        where="post",
        color=colour,
        linestyle=LINE_STYLES[index % len(LINE_STYLES)],
        linewidth=1.7,
        label=label,
    )
    censored = curve["censored"].to_numpy() > 0
    axes.plot(months[censored], survival[censored], "|", color=colour, markersize=6, markeredgewidth=0.9)


def _write_test(axes: Axes, metrics: Mapping[str, Any]) -> None:
    if metrics["log_rank"] is None:
        return
    # Beside the legend: no corner inside the axes stays free for every pair of curves.
    text = f"Log-rank {p_text(metrics['log_rank']['p'])}"
    axes.text(1.0, 1.03, text, transform=axes.transAxes, ha="right", va="bottom", fontsize=9.5, color=INK)


def _draw_counts(axes: Axes, at_risk: pd.DataFrame, names: list[str]) -> None:
    beside: dict[str, Any] = {"transform": axes.get_yaxis_transform(), "va": "center"}
    axes.set_ylim(len(names) - 0.4, -1.0)
    axes.text(-0.05, -0.75, "At risk (deaths from here to the next column)", fontsize=8.5, color=QUIET, **beside)
    for row, name in enumerate(names):
        axes.text(-0.075, row, name, ha="right", fontsize=9, color=COLOURS[row % len(COLOURS)], **beside)
        counts = at_risk[at_risk["group"] == name]
        for month, count, died in zip(counts["start_months"], counts["at_risk"], counts["events"], strict=True):
            axes.text(month, row, f"{count} ({died})", ha="center", va="center", fontsize=8, color=INK)
    axes.axis("off")


def forest_figure(metrics: Mapping[str, Any]) -> Canvas | None:
    """Draw hazard ratios with 95 % intervals, each covariate alone and all together; None where there is no Cox model.

    Args:
        metrics: of `survival_analysis`.
    """
    alone = {row["term"]: row for row in metrics["cox"]["univariable"]}
    together = {row["term"]: row for row in (metrics["cox"]["multivariable"] or {"rows": []})["rows"]}
    terms = list(dict.fromkeys([*alone, *together]))
    if not terms:
        return None
    height, left = 1.25 + 0.46 * len(terms), 0.3 + 0.078 * max(len(term) for term in terms)
    width = left + 2.5 + (3.3 if together else 1.7)
    figure = Canvas(figsize=(width, height), dpi=_PRINT_DPI, facecolor=PAPER)
    axes = figure.add_axes((left / width, 0.72 / height, 2.4 / width, (height - 1.1) / height))
    columns = [
        (alone, "o", "white", -0.14, 1.05, "○ HR alone"),
        (together, "s", COLOURS[0], 0.14, 1.73, "■ HR adjusted"),
    ]
    for rows, marker, fill, shift, x_text, heading in columns:
        if not rows:
            continue
        axes.text(
            x_text, -0.75, f"{heading} [95 % CI]", transform=axes.get_yaxis_transform(), fontsize=8.5, color=QUIET
        )
        for position, term in enumerate(terms):
            if term in rows:
                _draw_ratio(axes, rows[term], position + shift * bool(together), marker, fill)
                axes.text(
                    x_text,
                    position,
                    ratio_text(rows[term]),
                    transform=axes.get_yaxis_transform(),
                    va="center",
                    fontsize=8.5,
                )
    _finish_forest(axes, terms, [*alone.values(), *together.values()])
    return figure


def _draw_ratio(axes: Axes, row: Mapping[str, Any], y: float, marker: str, fill: str) -> None:
    if row["hazard_ratio"] is None:
        return
    low, high = np.clip(row["ci"], _TINY_RATIO / 2, _HUGE_RATIO * 2)
    axes.plot([low, high], [y, y], color=COLOURS[0], linewidth=1.3)
    axes.plot(
        np.clip(row["hazard_ratio"], _TINY_RATIO, _HUGE_RATIO),
        y,
        marker=marker,
        color=COLOURS[0],
        markerfacecolor=fill,
        markersize=5.5,
    )


def _finish_forest(axes: Axes, terms: list[str], rows: list[dict[str, Any]]) -> None:
    bounds = [value for row in rows if row["hazard_ratio"] is not None for value in row["ci"]]
    low = max(_TINY_RATIO, min([0.5, *bounds])) / 1.15
    high = min(_HUGE_RATIO, max([2.0, *bounds])) * 1.15
    axes.set_xscale("log")
    axes.set(xlim=(low, high), ylim=(len(terms) - 0.5, -0.5))
    axes.axvline(1.0, color=QUIET, linewidth=0.9, zorder=0)
    every = [0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50]
    inside = [tick for tick in every if low <= tick <= high]
    ticks = inside if len(inside) <= 6 else [tick for tick in inside if tick in (0.02, 0.1, 0.5, 1, 2, 10, 50)]
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xticklabels([f"{tick:g}" for tick in ticks])
    axes.set_yticks(range(len(terms)), terms)
    axes.set_xlabel("Hazard ratio (above 1: earlier death)", fontsize=9)
    quiet_axes(axes, grid="x")
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0)


def survival_figures(result: SurvivalResult) -> dict[str, Canvas]:
    """Return the figures of a result by file stem: `kaplan_meier`, and `forest` where there is a Cox model."""
    forest = forest_figure(result.metrics)
    return {"kaplan_meier": kaplan_meier_figure(result), **({} if forest is None else {"forest": forest})}


def write_survival_report(
    path: str | Path,
    result: SurvivalResult,
    *,
    first: Sequence[Section] = (),
    provenance: Mapping[str, Any] | None = None,
    synthetic: bool = False,
) -> None:
    """Write the survival report as one self-contained HTML page.

    Args:
        path: the page.
        result: of `survival_analysis`.
        first: sections that stand before the curves.
        provenance: facts for the page's foot.
        synthetic: the patients are made up, and the page says so.
    """
    metrics = result.metrics
    figures, special = survival_figures(result), model_text(metrics["cox"])
    sections = [
        *first,
        Section(
            "Survival curves",
            figures=[
                Figure(
                    figures["kaplan_meier"],
                    "Kaplan-Meier estimate with pointwise 95 % log-log intervals; ticks: censored. Counts stand at the start of each interval.",
                )
            ],
            tables=_group_tables(metrics),
        ),
    ]
    sections.append(Section("What must be known to read this", text=list(metrics["notes"])))
    if "forest" in figures:
        sections.append(
            Section(
                "Cox models",
                text=_cox_text(metrics),
                figures=[
                    Figure(
                        figures["forest"],
                        f"Hazard ratios with 95 % intervals: each covariate alone, and all in one model{special}.",
                    )
                ],
                tables=[
                    Table(
                        _cox_table(metrics),
                        f"Cox models{special}. PH p: test of proportional hazards (small: the ratio changes over time).",
                    )
                ],
            )
        )
    sections.append(
        Section("At risk", tables=[Table(_at_risk_table(result.at_risk), "At risk at the start of each interval.")])
    )
    sections += sections_of_run(path, metrics, provenance)
    title = "Survival" if metrics["group_by"] is None else f"Survival by {metrics['group_title']}"
    write_page(
        path, title, sections, lead=metrics["summary"], status="neutral", provenance=provenance, synthetic=synthetic
    )


def _group_tables(metrics: Mapping[str, Any]) -> list[Table]:
    rows = []
    means = {group["name"]: group for group in metrics["restricted_mean"]["groups"]}
    months = sorted({mark["months"] for group in metrics["groups"] for mark in group["landmarks"]})
    for group in metrics["groups"]:
        marks = {mark["months"]: mark for mark in group["landmarks"]}
        row = {
            "group": group["name"],
            "n": group["n"],
            "died": group["n_events"],
            "median survival [95 % CI]": median_text(group),
        }
        for month in months:
            row[f"alive at {month:g} months"] = _landmark_text(marks[month]) if month in marks else "beyond follow-up"
        if group["name"] in means:
            mean = means[group["name"]]
            row["restricted mean, months"] = f"{months_text(mean['mean_days'])} {_interval(mean['ci'])}"
        rows.append(row)
    horizon = months_text(metrics["restricted_mean"]["horizon_days"])
    tables = [
        Table(
            pd.DataFrame(rows),
            f"Groups. The restricted mean is the mean time lived within {horizon} months, the follow-up all groups share.",
        )
    ]
    differences = metrics["restricted_mean"]["differences"]
    if differences:
        tables.append(Table(_difference_table(differences), f"Difference in mean time lived within {horizon} months."))
    if metrics["pairwise"]:
        pairs = [
            {
                "groups": f"{pair['a']} / {pair['b']}",
                "log-rank": p_text(pair["p"]),
                "adjusted (Holm)": p_text(pair["p_holm"]),
            }
            for pair in metrics["pairwise"]
        ]
        tables.append(Table(pd.DataFrame(pairs), "Pairs of groups."))
    return tables


def _landmark_text(mark: Mapping[str, Any]) -> str:
    low, high = mark["ci"]
    interval = "" if low is None else f" [{100 * low:.0f}, {100 * high:.0f}]"
    return f"{100 * mark['survival']:.0f} %{interval}, {mark['at_risk']} at risk"


def _interval(ci: list[float]) -> str:
    return f"[{months_text(ci[0])}, {months_text(ci[1])}]"


def _difference_table(differences: list[dict[str, Any]]) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                "groups": f"{row['b']} minus {row['a']}",
                "difference, months [95 % CI]": f"{months_text(row['difference_days'])} {_interval(row['ci'])}",
                "p": p_text(row["p"]),
            }
            for row in differences
        ]
    )


def _cox_text(metrics: Mapping[str, Any]) -> list[str]:
    together = metrics["cox"]["multivariable"]
    if together is None:
        return ["There is no multivariable model: one covariate only, or too few deaths (see above)."]
    text = [f"The multivariable model holds {together['n']} patients and {together['n_events']} deaths."]
    if together["first_covariate_adds_p"] is not None:
        text.append(f"Beside the other covariates, {together['first_covariate']} {claim_text(together)}.")
    if together["c_index"] is not None:
        low, high = together["c_index_ci"]
        text.append(
            f"Harrell's C, cross-validated: {together['c_index']:.3f} [{low:.3f}, {high:.3f}]; 0.5 is no better than chance."
        )
    return text


def _cox_table(metrics: Mapping[str, Any]) -> pd.DataFrame:
    together = {row["term"]: row for row in (metrics["cox"]["multivariable"] or {"rows": []})["rows"]}
    alone = {row["term"]: row for row in metrics["cox"]["univariable"]}
    rows = []
    for term in dict.fromkeys([*alone, *together]):
        row: dict[str, Any] = {"term": term}
        for heading, fitted in (("alone", alone.get(term)), ("adjusted", together.get(term))):
            row[f"n (deaths), {heading}"] = "" if fitted is None else f"{fitted['n']} ({fitted['n_events']})"
            row[f"hazard ratio, {heading}"] = "" if fitted is None else ratio_text(fitted)
            row[f"p, {heading}"] = "" if fitted is None else p_text(fitted["p"])
            row[f"PH p, {heading}"] = "" if fitted is None else p_text(fitted["proportional_hazards_p"])
        rows.append(row)
    table = pd.DataFrame(rows)
    return table if together else table[[name for name in table.columns if not name.endswith("adjusted")]]


def _at_risk_table(at_risk: pd.DataFrame) -> pd.DataFrame:
    shown = at_risk.assign(start_months=[f"{month:g}" for month in at_risk["start_months"]])
    columns = ["group", "start_months", "at_risk", "entered", "events", "censored"]
    return shown[[name for name in columns if name in shown]].rename(
        columns={"start_months": "from month", "at_risk": "at risk", "entered": "entered late", "events": "deaths"}
    )
