"""Survival figures and page: what stands on them, and that the same result gives the same bytes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from radiogen.config.survival import SurvivalSettings
from radiogen.evaluate.survival import SurvivalResult, survival_analysis
from radiogen.report.style import png, svg
from radiogen.report.survival import forest_figure, kaplan_meier_figure, survival_figures, write_survival_report
from tests.evaluate.test_survival import patients


@pytest.fixture(scope="module")
def result() -> SurvivalResult:
    return survival_analysis(patients(150), SurvivalSettings(group_by="grade", n_bootstrap=100))


def words(figure: object) -> list[str]:
    return [text.get_text() for axes in figure.axes for text in axes.texts]  # type: ignore[attr-defined]


def test_curves_share_their_axis_with_the_counts(result: SurvivalResult) -> None:
    figure = kaplan_meier_figure(result)
    curves, counts = figure.axes
    assert curves.get_xlim() == counts.get_xlim()
    assert curves.get_position().x0 == counts.get_position().x0
    assert curves.get_position().x1 == counts.get_position().x1
    assert list(curves.get_xticks()) == sorted(result.at_risk["start_months"].unique())
    shown = words(figure)
    for row in result.at_risk.itertuples():
        assert f"{row.at_risk} ({row.events})" in shown
    assert any(text.startswith("Log-rank p") for text in shown)


def test_counts_do_not_run_into_one_another(result: SurvivalResult) -> None:
    figure = kaplan_meier_figure(result)
    svg(figure)  # lays the text out
    renderer = figure.canvas.get_renderer() if hasattr(figure.canvas, "get_renderer") else None
    boxes = [text.get_window_extent(renderer) for text in figure.axes[1].texts]
    overlaps = [(a, b) for number, a in enumerate(boxes) for b in boxes[number + 1 :] if a.overlaps(b)]
    assert overlaps == []


def test_one_group_has_no_test_and_no_second_curve() -> None:
    alone = survival_analysis(patients(60), SurvivalSettings(covariates=(), from_months=2))
    figure = kaplan_meier_figure(alone)
    assert figure.axes[0].get_xlabel() == "Months since the landmark at 2 months"
    assert not any("Log-rank" in text for text in words(figure))
    assert forest_figure(alone.metrics) is None
    assert list(survival_figures(alone)) == ["kaplan_meier"]


def test_forest_says_what_cannot_be_estimated() -> None:
    table = patients(80)
    table.loc[table["idh"] == 1, "os_event"] = 0.0
    figure = forest_figure(survival_analysis(table, SurvivalSettings(group_by="idh", covariates=("age",))).metrics)
    assert figure is not None
    assert "not estimable" in words(figure)


def test_figures_have_the_same_bytes_twice(result: SurvivalResult) -> None:
    first, again = survival_figures(result), survival_figures(result)
    assert {name: svg(figure) for name, figure in first.items()} == {
        name: svg(figure) for name, figure in again.items()
    }
    assert png(first["kaplan_meier"]) == png(again["kaplan_meier"])


def test_page_is_self_contained_and_says_everything(result: SurvivalResult, tmp_path: Path) -> None:
    write_survival_report(tmp_path / "report.html", result, synthetic=True)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "SYNTHETIC DATA" in page
    assert "Research use only" in page
    assert page.count("<svg") == 2
    assert not re.search(r'(?:src|href)="https?:', page)
    text = re.sub(r"<[^>]+>", "", page)
    for group in result.metrics["groups"]:
        assert group["name"] in text
    for heading in ("Survival curves", "What must be known to read this", "Cox models", "At risk"):
        assert heading in text
    write_survival_report(tmp_path / "again.html", result, synthetic=True)
    assert (tmp_path / "again.html").read_bytes() == (tmp_path / "report.html").read_bytes()
