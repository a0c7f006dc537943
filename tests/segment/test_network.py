from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from radiogen.cohort.build import read_cohort_or_folder
from radiogen.cohort.case import CaseImages, read_case
from radiogen.cohort.nifti import Grid
from radiogen.config.postprocess import PostprocessSettings, SmallEnhancement
from radiogen.config.segment import SegmentSettings
from radiogen.errors import CaseError, ConfigError
from radiogen.preprocess.intensity import foreground, zscore
from radiogen.segment.inputs import SKULL_NOTE, prepare_channels
from radiogen.segment.lesion import without_small
from radiogen.segment.network import NetworkMethod, choose_device, choose_precision, regions_to_labels
from radiogen.segment.networks import build_network
from radiogen.segment.quality import Curve, QualityCalibration, Validation
from radiogen.segment.weights import read_card, save_weights
from tests.segment.data import SEQUENCES, TINY, ball, made_up_case, tiny_weights


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
    made.engines[0].network = _Bright()
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
        method.engines[0].settings = method.settings
        assert (method(case).labels != expected).mean() < 1e-3


def test_bfloat16_is_close_to_float32_for_a_real_network(tmp_path: Path) -> None:
    weights = str(tiny_weights(tmp_path))
    case = made_up_case()
    probabilities = []
    for precision in ("float32", "bfloat16"):
        made = NetworkMethod(SegmentSettings(weights=weights, precision=precision))
        seen = prepare_channels(case, made.engines[0].card.sequences, 2.0)
        probabilities.append(made.engines[0](seen.channels, seen.box_shape)["wt"])
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


def head(seed: int = 0) -> CaseImages:
    """A brain with a bright ball in it, inside a skull, inside a scalp as bright as the ball; noise all around; 4 mm voxels."""
    rng = np.random.default_rng(seed)
    shape = (56, 60, 56)
    centre = (28, 30, 28)
    scalp, skull, brain = (ball(shape, centre, radius) for radius in (24, 21, 18))
    base = np.full(shape, 5.0)
    base[scalp], base[skull], base[brain] = 300, 20, 120
    base[ball(shape, (34, 30, 30), 4)] = 300
    images = {name: (base + 3 * rng.random(shape)).astype(np.float32) for name in SEQUENCES}
    return CaseImages("head", images, Grid(shape, np.diag([4.0, 4.0, 4.0, 1.0])))


def test_with_the_skull_on_the_network_sees_the_brain_only(method: NetworkMethod) -> None:
    case = head()
    method.engines[0].card = method.engines[0].card.model_copy(update={"spacing_mm": 4.0})
    result = method(case)
    assert SKULL_NOTE in result.notes
    tumour = ball(case.grid.shape, (34, 30, 30), 4)
    found = result.labels > 0
    assert 2 * (found & tumour).sum() / (found.sum() + tumour.sum()) > 0.9
    seen = prepare_channels(case, SEQUENCES, 4.0)
    inside = np.zeros(case.grid.shape, dtype=bool)
    inside[seen.box] = seen.inside
    assert (inside & ball(case.grid.shape, (28, 30, 28), 18)).sum() > 0.95 * inside.sum() > 0
    assert not seen.channels[0].numpy()[~seen.inside].any()


@pytest.mark.real_data
def test_real_brains_pass_as_they_are_and_real_heads_lose_their_skull(shared_data: Path) -> None:
    cut, whole = [], []
    for folder in ("BraTS-GLI-00000-000", "brats_2013_pat0001_1", "lgg"):
        cohort = read_cohort_or_folder(shared_data / "mri" / folder)
        for _, row in cohort.iloc[:2].iterrows():
            seen = prepare_channels(read_case(row), SEQUENCES, 2.0)
            (whole if folder == "lgg" else cut).append(seen)
            assert float(seen.channels.abs().max()) > 1
    assert not any(SKULL_NOTE in seen.notes for seen in cut)
    assert all(SKULL_NOTE in seen.notes for seen in whole)


def test_a_network_that_knows_heads_sees_the_head() -> None:
    seen = prepare_channels(head(), SEQUENCES, 4.0, needs_brain=False)
    assert SKULL_NOTE not in seen.notes
    assert seen.box_shape > (44, 44, 44)


def test_unit_range_scales_the_inside() -> None:
    seen = prepare_channels(made_up_case(), SEQUENCES, 2.0, normalisation="unit-range").channels
    assert float(seen.min()) == 0.0
    assert float(seen.max()) == 1.0


class _Classes(torch.nn.Module):
    """Logits of background, NCR, ED, ET: oedema where the channel is bright."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        bright = (x[:, 3:4] - 1.5) * 20
        low = torch.full_like(bright, -30.0)
        return torch.cat([-bright, low, bright, low], dim=1)


def test_classes_become_regions(tmp_path: Path) -> None:
    path = tmp_path / "classes.safetensors"
    card = read_card(tiny_weights(tmp_path)).model_copy(
        update={"activation": "softmax", "outputs": ("background", "ncr", "ed", "et")}
    )
    save_weights(path, build_network("segresnet", 4, 4, TINY), card)
    made = NetworkMethod(SegmentSettings(weights=str(path), precision="float32", smallest_ml=0))
    made.engines[0].network = _Classes()
    case = made_up_case()
    labels = made(case).labels
    bright = case.images["t2f"] > 175
    assert set(np.unique(labels).tolist()) == {0, 2}
    assert 2 * ((labels == 2) & bright).sum() / ((labels == 2).sum() + bright.sum()) > 0.98


@pytest.mark.parametrize("plane", ["axial", "coronal", "sagittal"])
def test_a_network_of_slices_gives_what_each_slice_gives(tmp_path: Path, plane: str) -> None:
    path = tmp_path / "plane.safetensors"
    arguments = {**TINY, "spatial_dims": 2}
    card = read_card(tiny_weights(tmp_path)).model_copy(
        update={"arguments": arguments, "dimension": 2, "planes": plane, "multiple": 4}
    )
    torch.manual_seed(1)
    network = build_network("segresnet", 4, 3, arguments)
    save_weights(path, network, card)
    engine = NetworkMethod(SegmentSettings(weights=str(path), precision="float32")).engines[0]
    channels = torch.randn(4, 8, 12, 16)
    found = engine(channels, (8, 12, 16))["tc"]
    axis = {"sagittal": 0, "coronal": 1, "axial": 2}[plane]
    with torch.inference_mode():
        expected = torch.sigmoid(network(channels.select(axis + 1, 5)[None]))[0, 1].numpy()
    np.testing.assert_allclose(np.take(found, 5, axis), expected, atol=1e-5)


def test_an_ensemble_is_the_weighted_mean(tmp_path: Path) -> None:
    paths = []
    for number, weight in enumerate((1.0, 3.0)):
        folder = tmp_path / str(number)
        folder.mkdir()
        first = tiny_weights(folder)
        torch.manual_seed(number)
        card = read_card(first).model_copy(update={"ensemble_weight": weight, "sequences": SEQUENCES[: 4 - number]})
        save_weights(first, build_network("segresnet", 4 - number, 3, TINY), card)
        paths.append(str(first))
    case = made_up_case()
    alone = [
        NetworkMethod(SegmentSettings(weights=path, precision="float32", save_probabilities=True))(case).probabilities[
            "et"
        ]
        for path in paths
    ]
    both = NetworkMethod(SegmentSettings(weights=tuple(paths), precision="float32", save_probabilities=True))
    np.testing.assert_allclose(both(case).probabilities["et"], 0.25 * alone[0] + 0.75 * alone[1], atol=1e-5)
    assert both.description["method"] == "network:tiny+tiny"
    settings = SegmentSettings(weights=tuple(paths), uncertainty="ensemble", precision="float32")
    assert NetworkMethod(settings)(case).confidence["uncertainty"] == {"from": "ensemble", "passes": 2}


def test_votes_join_masks(tmp_path: Path) -> None:
    paths = []
    for number in range(3):
        (tmp_path / str(number)).mkdir()
        paths.append(str(tiny_weights(tmp_path / str(number))))
    made = NetworkMethod(SegmentSettings(weights=tuple(paths), ensemble="majority", precision="float32", smallest_ml=0))
    for engine, network in zip(made.engines, (_Bright(), _Bright(), _Bright(2)), strict=True):
        engine.network = network
    case = made_up_case()
    case.images["t2w"][:] = np.where(case.images["t2w"] > 0, 100 - case.images["t2w"], 0)  # the third sees darkness
    bright = case.images["t2f"] > 175
    for method in ("majority", "staple"):
        made.settings = made.settings.model_copy(update={"ensemble": method})
        found = made(case).labels > 0
        assert 2 * (found & bright).sum() / (found.sum() + bright.sum()) > 0.98
    with pytest.raises(ConfigError, match="not on votes"):
        NetworkMethod(SegmentSettings(weights=tuple(paths), ensemble="staple", uncertainty="flips"))


def test_postprocessing_takes_the_cards_thresholds_unless_it_has_its_own(method: NetworkMethod) -> None:
    engine = method.engines[0]
    engine.card = engine.card.model_copy(update={"thresholds": {"et": 0.99, "tc": 0.4}})
    rules = PostprocessSettings(thresholds={"tc": 0.6}, small_et=SmallEnhancement(least_ml=1e6, becomes="ncr"))
    method.settings = method.settings.model_copy(update={"postprocess": rules})
    assert method.thresholds == {"wt": 0.5, "tc": 0.6, "et": 0.99}
    labels = method(made_up_case()).labels
    assert 3 not in labels
    assert (labels == 1).any()


def test_flips_of_a_network_that_does_not_care_agree_wholly(method: NetworkMethod) -> None:
    method.settings = method.settings.model_copy(update={"uncertainty": "flips", "passes": 4, "uncertainty_map": True})
    result = method(made_up_case())
    assert result.confidence["uncertainty"] == {"from": "flips", "passes": 4}
    assert result.confidence["confidence"]["wt"]["agreement"] == pytest.approx(1.0, abs=1e-6)
    assert result.confidence["quality"] is None
    assert "No validated calibration" in result.confidence["quality_note"]
    assert result.flag_reason == ""
    assert result.entropy is not None
    assert 0 < float(result.entropy.max()) <= 1


def test_disagreement_flags_a_case(tmp_path: Path) -> None:
    settings = SegmentSettings(weights=str(tiny_weights(tmp_path)), uncertainty="flips", precision="float32")
    result = NetworkMethod(settings.model_copy(update={"least_agreement": 1.0}))(made_up_case())
    assert result.confidence["confidence"]["wt"]["agreement"] < 1
    assert "answers agree only" in result.flag_reason


def test_a_calibration_gives_quality_only_for_the_passes_it_was_made_with(method: NetworkMethod) -> None:
    validation = Validation(n=20, spearman=0.7, mean_absolute_error=0.05, error_of_the_mean=0.1, how="cross-validation")
    curve = Curve(agreement=(0.0, 1.0), dice=(0.0, 0.55), validation=validation)
    calibration = QualityCalibration(measure="flips", passes=4, regions={"wt": curve})
    method.engines[0].card = method.engines[0].card.model_copy(update={"calibration": calibration})
    method.settings = method.settings.model_copy(update={"uncertainty": "flips", "passes": 4})
    result = method(made_up_case())
    assert result.confidence["quality"] == {"wt": pytest.approx(0.55, abs=1e-3), "tc": None, "et": None}
    assert result.flag_reason == "expected Dice of the whole tumour only 0.55"
    method.settings = method.settings.model_copy(update={"passes": 2})
    again = method(made_up_case())
    assert again.confidence["quality"] is None
    assert "4 passes" in again.confidence["quality_note"]


def test_dropout_passes_are_the_same_for_the_same_seed_and_change_nothing_global(tmp_path: Path) -> None:
    path = tiny_weights(tmp_path)
    arguments = {**TINY, "dropout_prob": 0.5}
    save_weights(
        path, build_network("segresnet", 4, 3, arguments), read_card(path).model_copy(update={"arguments": arguments})
    )
    settings = SegmentSettings(weights=str(path), uncertainty="mc-dropout", passes=3, save_probabilities=True)
    made, case = NetworkMethod(settings), made_up_case()
    before = torch.get_rng_state()
    first, second = (made(case).probabilities["wt"] for _ in range(2))
    assert torch.equal(torch.get_rng_state(), before)
    assert np.array_equal(first, second)
    other = NetworkMethod(settings.model_copy(update={"seed": 1}))(case).probabilities["wt"]
    assert not np.array_equal(first, other)
    assert not any(module.training for module in made.engines[0].network.modules())


def test_mc_dropout_without_dropout_and_an_ensemble_of_one_are_refused(tmp_path: Path) -> None:
    weights = str(tiny_weights(tmp_path))
    with pytest.raises(ConfigError, match="no dropout"):
        NetworkMethod(SegmentSettings(weights=weights, uncertainty="mc-dropout"))
    with pytest.raises(ConfigError, match="at least two networks"):
        NetworkMethod(SegmentSettings(weights=weights, uncertainty="ensemble"))


def test_a_network_needs_weights() -> None:
    with pytest.raises(ConfigError, match="needs weights"):
        NetworkMethod(SegmentSettings(method="network"))


def test_answers_without_some_sequences_are_averaged_each_set_once(tmp_path: Path) -> None:
    def asked(case: CaseImages, **changes: object) -> dict[str, np.ndarray]:
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        folder.mkdir()
        path = tiny_weights(folder, **changes)
        settings = SegmentSettings(weights=(str(path),), precision="float32", save_probabilities=True)
        return dict(NetworkMethod(settings)(case).probabilities)

    def without(case: CaseImages, *names: str) -> CaseImages:
        return replace(case, images={name: image for name, image in case.images.items() if name not in names})

    case = made_up_case()
    averaged = asked(case, leave_out=(("t1n",), ("t1n", "t2w")))
    single = [asked(without(case, *names)) for names in ((), ("t1n",), ("t1n", "t2w"))]
    for name, probability in averaged.items():
        expected = np.mean([one[name] for one in single], axis=0)
        assert np.allclose(probability, expected, atol=1e-5)
    # Without t1n and t2w nothing is left to leave out: one answer, not three.
    poor = without(case, "t1n", "t2w")
    assert np.allclose(asked(poor, leave_out=(("t1n",), ("t2w",)))["wt"], asked(poor)["wt"], atol=1e-6)
