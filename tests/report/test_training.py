from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from radiogen.report.style import png
from radiogen.report.training import curves_figure, sample_picture


@pytest.fixture
def log() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "epoch": [1, 2, 3], "learning_rate": [0.1, 0.05, 0.01], "loss": [1.0, 0.6, 0.4],
            "wt": [np.nan, 0.5, 0.8], "tc": [np.nan, 0.3, 0.6],
        }
    )  # fmt: skip


def test_curves_show_what_was_measured(log: pd.DataFrame) -> None:
    loss, dice, rate = curves_figure(log, title="mine").axes
    assert loss.lines[0].get_ydata().tolist() == [1.0, 0.6, 0.4]
    assert [line.get_xdata().tolist() for line in dice.lines] == [[2, 3], [2, 3]]
    assert [text.get_text() for text in dice.get_legend().get_texts()] == ["whole tumour", "tumour core"]
    assert rate.lines[0].get_ydata().tolist() == [0.1, 0.05, 0.01]


def test_without_measurements_there_is_no_dice(log: pd.DataFrame) -> None:
    assert len(curves_figure(log.drop(columns=["wt", "tc"])).axes) == 2


def test_the_same_log_gives_the_same_bytes(log: pd.DataFrame) -> None:
    assert png(curves_figure(log)) == png(curves_figure(log))


@pytest.mark.parametrize("found", [True, False])
def test_a_sample_shows_image_reference_and_network(found: bool) -> None:
    image = np.random.default_rng(0).random((20, 24, 18), dtype=np.float32)
    truth = np.zeros(image.shape, np.uint8)
    truth[4:9, 6:12, 5:9] = 2
    truth[5:7, 7:9, 6:8] = 3
    prediction = np.roll(truth, 1, axis=0) if found else np.zeros_like(truth)
    plain, reference, network = sample_picture({"t1c": image, "t2f": image}, truth, prediction, title="case").axes
    assert [axes.get_title() for axes in (plain, reference, network)] == ["t2f", "reference", "network"]
    assert sum(len(lines.get_segments()) for lines in plain.collections) == 0
    assert sum(len(lines.get_segments()) for lines in reference.collections) > 0
    assert (sum(len(lines.get_segments()) for lines in network.collections) > 0) == found
