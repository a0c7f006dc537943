from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from radiogen.report.figures import (
    calibration_figure,
    decision_figure,
    distribution_figure,
    importance_figure,
    patients_of,
    resample_weights,
    resampled_roc,
    roc_figure,
)
from radiogen.report.style import svg
from radiogen.report.words import SPACE
from radiogen.stats.decision import net_benefit
from tests.report.made_up import made_up_importance, made_up_metrics, made_up_scores


def test_unresampled_roc_has_the_known_area() -> None:
    scores = made_up_scores()
    y, probability = scores["y_true"].to_numpy(), scores["y_prob"].to_numpy()
    rates = np.linspace(0, 1, 20001)
    curve = resampled_roc(y, probability, np.ones((1, len(y))), rates)[0]
    assert np.trapezoid(curve, rates) == pytest.approx(roc_auc_score(y, probability), abs=1e-3)
    assert curve[-1] == 1.0
    assert (np.diff(curve) >= 0).all()


def test_roc_of_constant_scores_is_the_diagonal() -> None:
    curve = resampled_roc(np.array([0, 1, 1]), np.full(3, 0.3), np.ones((1, 3)), np.array([0.0, 0.25, 1.0]))
    assert curve[0].tolist() == [0.0, 0.25, 1.0]


def test_resamples_keep_classes_and_patients_together() -> None:
    y = np.array([1, 1, 1, 0, 0, 0, 0, 1, 0])
    patients = np.array([0, 0, 1, 2, 3, 3, 4, 5, 5])
    weights = resample_weights(y, patients, np.random.default_rng(0))
    assert weights.shape == (500, 9)
    assert (weights[:, 0] == weights[:, 1]).all()
    assert (weights[:, 4] == weights[:, 5]).all()
    assert (weights[:, [0, 2]].sum(axis=1) == 2).all()
    assert (weights[:, [3, 4, 6]].sum(axis=1) == 3).all()
    assert (weights[:, 7] == 1).all()  # the only patient of both classes


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000))
def test_net_benefit_by_hand(seed: int) -> None:
    # Vickers & Elkin 2006: true positives / n - false positives / n x t / (1 - t).
    rng = np.random.default_rng(seed)
    y, probability, threshold = rng.integers(0, 2, 30), rng.random(30), rng.uniform(0.05, 0.95)
    acted = probability >= threshold
    expected = (acted & (y == 1)).sum() / 30 - (acted & (y == 0)).sum() / 30 * threshold / (1 - threshold)
    assert net_benefit(y, probability, np.array([threshold]), np.ones((1, 30)))[0, 0] == pytest.approx(expected)


def test_a_useless_model_has_no_net_benefit_beyond_everybody() -> None:
    y = np.array([1, 0, 0, 0])
    everybody = net_benefit(y, np.ones(4), np.array([0.25]), np.ones((1, 4)))
    assert everybody[0, 0] == pytest.approx(0.0)  # at a threshold equal to the prevalence


def test_figures_name_their_axes_and_are_the_same_every_time() -> None:
    metrics, scores = made_up_metrics(), made_up_scores()
    for draw in (roc_figure, calibration_figure, distribution_figure, decision_figure):
        figure = draw(metrics, scores)
        assert figure.axes[-1].get_xlabel()
        assert all(axes.get_ylabel() for axes in figure.axes)
        assert svg(figure) == svg(draw(metrics, scores))


def test_roc_shows_the_baselines_and_leaves_out_those_without_scores() -> None:
    metrics = made_up_metrics()
    metrics["baselines"].append({"name": "grade", "auc": 0.99})
    legend = roc_figure(metrics, made_up_scores()).axes[0].get_legend()
    labels = [text.get_text().replace(SPACE, " ") for text in legend.get_texts()]
    assert labels == ["model: 0.91 (0.83 to 0.97)", "age: 0.79 (0.68 to 0.88)", "sex: 0.51 (0.40 to 0.62)"]


def test_the_band_holds_the_curve() -> None:
    figure = roc_figure(made_up_metrics(), made_up_scores(effect=0.5))
    band = figure.axes[0].collections[0].get_paths()[0].vertices
    assert band[:, 1].min() >= 0
    assert band[:, 1].max() <= 1
    heights = [np.ptp(band[np.isclose(band[:, 0], rate), 1]) for rate in (0.1, 0.2)]
    assert min(heights) > 0.02


def test_scores_of_one_class_only_can_still_be_shown() -> None:
    scores = made_up_scores().query("y_true == 1")
    assert "n = 0" in distribution_figure(made_up_metrics(), scores).axes[1].get_title(loc="left")


def test_table_without_patients_counts_every_row_as_its_own() -> None:
    assert patients_of(made_up_scores().drop(columns="patient")).tolist() == list(range(80))


def test_importance_shows_the_weightiest_and_survives_missing_columns() -> None:
    figure = importance_figure(made_up_importance())
    assert figure is not None
    assert len(figure.axes[0].patches) == 20
    assert figure.axes[0].get_yticklabels()[0].get_text().endswith("_0_$x_$")
    assert svg(figure).count("<path") > 20
    assert importance_figure(made_up_importance()[["feature", "importance"]].head(2)) is not None
    assert importance_figure(pd.DataFrame({"feature": ["a"], "importance": [0.0]})) is None
