from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from radiogen.cohort.case import CaseImages
from radiogen.cohort.nifti import Grid
from radiogen.config.segment import SegmentSettings
from radiogen.errors import CaseError, ConfigError
from radiogen.preprocess.intensity import foreground, zscore
from radiogen.segment.lesion import bounding_box, without_small
from radiogen.segment.network import NetworkMethod, choose_device, choose_precision, regions_to_labels
from tests.segment.data import made_up_case, tiny_weights


class _Bright(torch.nn.Module):
    """Says tumour where the chosen channel is bright: an answer that can be checked."""

    def __init__(self, channel: int = 3) -> None:
        super().__init__()
        self.channel = channel

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (x[:, self.channel : self.channel + 1].expand(-1, 3, -1, -1, -1) - 1.5) * 20


@pytest.fixture
def method(tmp_path: Path) -> NetworkMethod:
    made = NetworkMethod(SegmentSettings(weights=str(tiny_weights(tmp_path)), precision="float32", smallest_ml=0))
    made.network = _Bright()
    return made


def test_labels_lie_where_the_network_says(method: NetworkMethod) -> None:
    case = made_up_case()
    result = method(case)
    bright = case.images["t2f"] > 175
    assert result.labels.shape == bright.shape
    overlap = 2 * ((result.labels > 0) & bright).sum() / ((result.labels > 0).sum() + bright.sum())
    assert overlap > 0.98
    assert result.sequences_used == ["t1n", "t1c", "t2w", "t2f"]


def test_a_missing_sequence_is_said_and_left_empty(method: NetworkMethod) -> None:
    result = method(made_up_case(sequences=("t1c", "t2f")))
    assert result.sequences_used == ["t1c", "t2f"]
    assert result.notes == [
        "t1n is missing; its channel was left empty.",
        "t2w is missing; its channel was left empty.",
    ]
    assert result.labels.any()


def test_a_case_without_any_known_sequence_is_refused(tmp_path: Path) -> None:
    weights = tiny_weights(tmp_path)
    case = made_up_case(sequences=("t2w",))
    from radiogen.segment.networks import build_network
    from radiogen.segment.weights import read_card, save_weights
    from tests.segment.data import TINY

    card = read_card(weights).model_copy(update={"sequences": ("t1c", "t2f")})
    save_weights(weights, build_network("segresnet", 2, 3, TINY), card)
    with pytest.raises(CaseError, match="none of the sequences"):
        NetworkMethod(SegmentSettings(weights=str(weights)))(case)


def test_another_voxel_size_gives_the_same_place(method: NetworkMethod) -> None:
    fine = made_up_case()
    coarse = CaseImages(
        "coarse", {name: np.ascontiguousarray(image[:, :, ::2]) for name, image in fine.images.items()},
        Grid((34, 40, 15), np.diag([2.0, 2.0, 4.0, 1.0])),
    )  # fmt: skip
    labels = method(coarse).labels
    bright = coarse.images["t2f"] > 175
    assert labels.shape == (34, 40, 15)
    assert 2 * ((labels > 0) & bright).sum() / ((labels > 0).sum() + bright.sum()) > 0.85


def test_mirror_averaging_and_sliding_windows_agree_with_one_pass(method: NetworkMethod) -> None:
    case = made_up_case()
    expected = method(case).labels
    for changes in ({"tta": True}, {"window": "sliding", "window_size": (16, 16, 16)}):
        method.settings = SegmentSettings(weights=method.settings.weights, smallest_ml=0, **changes)
        assert (method(case).labels != expected).mean() < 1e-3


def test_bfloat16_is_close_to_float32_for_a_real_network(tmp_path: Path) -> None:
    weights = str(tiny_weights(tmp_path))
    case = made_up_case()
    probabilities = []
    for precision in ("float32", "bfloat16"):
        made = NetworkMethod(SegmentSettings(weights=weights, precision=precision))
        box = bounding_box(foreground(case.images["t2f"]))
        channels = made._input(case, {name: foreground(image) for name, image in case.images.items()}, box)
        probabilities.append(made._infer(channels, tuple(side.stop - side.start for side in box)))
    assert np.abs(probabilities[0] - probabilities[1]).max() < 0.05
    assert probabilities[0].std() > 1e-3


@pytest.mark.parametrize(("background", "scale"), [(0.0, 1.0), (-3.0, 0.01), (20.0, 40.0)])
def test_the_foreground_is_found_whatever_the_unit(background: float, scale: float) -> None:
    case = made_up_case()
    image = case.images["t2f"]
    inside = image > 0
    shifted = np.where(inside, image * scale + background, background).astype(np.float32)
    assert (foreground(shifted) == inside).mean() > 0.999


def test_zscores_ignore_the_background() -> None:
    image = made_up_case().images["t1n"]
    inside = image > 0
    z = zscore(image, inside)
    assert z[inside].mean() == pytest.approx(0, abs=1e-3)
    assert z[inside].std() == pytest.approx(1, abs=1e-3)
    assert not z[~inside].any()


def test_enhancement_wins_over_core_over_whole_tumour() -> None:
    p = {
        "wt": np.full((1, 1, 4), 0.9),
        "tc": np.array([[[0.9, 0.9, 0.1, 0.1]]]),
        "et": np.array([[[0.9, 0.1, 0.6, 0.1]]]),
    }
    assert regions_to_labels(p, {"et": 0.7}).tolist() == [[[3, 1, 2, 2]]]


def test_specks_are_removed() -> None:
    mask = np.zeros((10, 10, 10), dtype=bool)
    mask[1:4, 1:4, 1:4] = True
    mask[8, 8, 8] = True
    assert without_small(mask, 5.0).sum() == 27
    assert np.array_equal(without_small(mask, 0.0), mask)
    assert without_small(mask, 28.0).sum() == 0


def test_devices() -> None:
    assert choose_device("cpu").type == "cpu"
    assert choose_precision("float32", torch.device("cpu")) == torch.float32
    with pytest.raises(ConfigError, match="cannot be used"):
        choose_device("gpu:7")


def test_a_network_needs_weights() -> None:
    with pytest.raises(ConfigError, match="needs weights"):
        NetworkMethod(SegmentSettings(method="network"))
