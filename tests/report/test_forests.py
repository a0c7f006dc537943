from __future__ import annotations

from radiogen.report.forests import MOST_ROWS, race_figures, strata_figure
from radiogen.report.style import BLUE, QUIET, VERMILLION
from tests.report.made_up import bare_metrics, made_up_metrics


def names(figure: object) -> list[str]:
    return [tick.get_text() for tick in figure.axes[0].get_yticklabels()]  # type: ignore[attr-defined]


def words(figure: object) -> list[str]:
    return [text.get_text().replace("\u00a0", " ") for text in figure.axes[0].texts]  # type: ignore[attr-defined]


def test_race_shows_the_model_above_every_baseline_with_intervals() -> None:
    auc, lead = race_figures(made_up_metrics())
    assert names(auc) == ["model  (n=80)", "age  (n=72)", "sex  (n=80)"]
    assert words(auc)[0] == "0.91 (0.83 to 0.97)"
    assert names(lead) == ["over age", "over sex"]
    assert words(lead)[0] == "+0.12 (+0.02 to +0.22)"
    drawn = [tuple(line.get_xdata()) for line in lead.axes[0].lines]
    assert (0.022, 0.219) in drawn
    assert [0.0, 0.0] in [list(line) for line in drawn]  # the line of no difference


def test_colour_and_fill_follow_which_side_of_zero_the_whole_interval_lies() -> None:
    rows = [
        {"name": str(place), "auc": 0.6, "delta": sum(ci) / 2, "delta_ci": ci}
        for place, ci in enumerate([[0.1, 0.2], [-0.1, 0.2], [-0.3, -0.1]])
    ]
    _, lead = race_figures(made_up_metrics(baselines=rows))
    markers = [line for line in lead.axes[0].lines if line.get_marker() == "o"]
    assert [line.get_color() for line in markers] == [BLUE, QUIET, VERMILLION]
    assert [line.get_markerfacecolor() for line in markers] == [BLUE, "white", VERMILLION]


def test_no_baseline_no_race_and_no_stratum_no_figure() -> None:
    assert race_figures(bare_metrics()) == []
    assert strata_figure(bare_metrics()) is None
    assert strata_figure(made_up_metrics(strata=[])) is None


def test_a_stratum_with_too_few_cases_says_so_and_has_no_marker() -> None:
    figure = strata_figure(made_up_metrics())
    assert figure is not None
    assert names(figure) == ["all  (n=80)", "grade 2  (n=20, 18+)", "site A<b>  (n=41, 15+)"]
    assert words(figure)[1] == "too few"
    assert len([line for line in figure.axes[0].lines if line.get_marker() == "o"]) == 2


def test_of_very_many_strata_the_largest_are_drawn_in_their_order() -> None:
    strata = [
        {"stratum": "site", "value": str(place), "n": place, "auc": 0.7, "auc_ci": [0.6, 0.8]} for place in range(60)
    ]
    figure = strata_figure(made_up_metrics(strata=strata))
    assert figure is not None
    assert len(names(figure)) == MOST_ROWS + 1
    assert names(figure)[1].startswith("site 20 ")


def test_intervals_that_are_missing_do_not_stop_the_drawing() -> None:
    rows = [{"name": "age", "auc": None, "auc_ci": [None, None], "delta": None, "delta_ci": None}]
    auc, lead = race_figures(made_up_metrics(baselines=rows, auc_ci=None))
    assert words(auc)[1] == "\u2013 (\u2013)"
    assert words(lead)[0] == "\u2013 (\u2013)"
