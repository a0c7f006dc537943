from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file

from radiogen.config.train import DataSettings
from radiogen.segment.train_augment import Augmentation, drop_sequences
from radiogen.segment.train_cases import TrainingCase
from radiogen.segment.train_data import PLANE_AXIS, CasePatches, patch_of
from radiogen.segment.train_targets import labels_of, output_names, regions_of, targets_of

PLAIN = DataSettings(augmentation="none", sequence_dropout=0.0)


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> list[TrainingCase]:
    """Three cases whose voxels hold their own case number and place."""
    folder = tmp_path_factory.mktemp("cases")
    made = []
    for number, shape in enumerate(((20, 18, 16), (17, 22, 15), (12, 24, 30)), start=1):
        labels = np.zeros(shape, np.uint8)
        labels[5:8, 6:10, 4:9] = 3
        image = np.stack([np.full(shape, number), *np.indices(shape) + 1]).astype(np.float16)
        path = folder / f"{number}.safetensors"
        points = np.ascontiguousarray(np.argwhere(labels > 0), dtype=np.int32)
        save_file({"image": image, "labels": labels, "points": points}, path)
        made.append(TrainingCase(f"case-{number}", str(path), shape, 1.0, "x"))
    return made


def patches(
    cases: list[TrainingCase], data: DataSettings, size: tuple[int, int, int] = (8, 8, 8), **changes: int
) -> CasePatches:
    return CasePatches(cases, data, size, **{"seed": 0, "length": 60, **changes})


@pytest.mark.parametrize("level", ["none", "flips", "light", "strong"])
def test_items_depend_on_seed_and_number_only(cases: list[TrainingCase], level: str) -> None:
    data = DataSettings(augmentation=level, sequence_dropout=0.5)
    forwards, backwards = patches(cases, data), patches(cases[::-1], data)
    items = [forwards[index] for index in range(6)]
    for index in reversed(range(6)):
        again = backwards[index]
        assert torch.equal(again["image"], items[index]["image"])
        assert torch.equal(again["target"], items[index]["target"])
    others = [patches(cases, data, seed=1)[index]["image"] for index in range(6)]
    assert any(not torch.equal(other, item["image"]) for other, item in zip(others, items, strict=True))


@pytest.mark.parametrize("level", ["none", "flips", "light", "strong"])
def test_items_are_plain_tensors_of_one_shape(cases: list[TrainingCase], level: str) -> None:
    data = DataSettings(augmentation=level, targets="labels", resection_cavity=True)
    for index in range(6):
        item = patches(cases, data)[index]
        assert type(item["image"]) is torch.Tensor
        assert item["image"].shape == (4, 8, 8, 8)
        assert item["image"].dtype == item["target"].dtype == torch.float32
        assert item["target"].shape == (5, 8, 8, 8)
        assert torch.equal(item["target"].sum(0), torch.ones(8, 8, 8))


def test_every_case_comes_once_before_any_comes_again(cases: list[TrainingCase]) -> None:
    items = patches(cases, PLAIN)
    numbers = [int(items[index]["image"][0].max()) for index in range(60)]
    assert all(sorted(numbers[start : start + 3]) == [1, 2, 3] for start in range(0, 60, 3))
    assert len({tuple(numbers[start : start + 3]) for start in range(0, 60, 3)}) > 2
    with pytest.raises(IndexError):
        items[60]


def test_patches_show_the_place_they_are_cut_from(cases: list[TrainingCase]) -> None:
    item = patches(cases, PLAIN)[0]
    number, *first = (int(value) for value in item["image"][:, 0, 0, 0])
    expected = np.indices((8, 8, 8)) + np.array(first).reshape(3, 1, 1, 1)
    assert np.array_equal(item["image"][1:].numpy(), expected)
    assert number in (1, 2, 3)


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_the_share_of_patches_on_tumour(cases: list[TrainingCase], share: float) -> None:
    data = PLAIN.model_copy(update={"foreground_share": share})
    centred = [patches(cases, data, (5, 5, 5), length=120)[index]["target"][0, 2, 2, 2] > 0 for index in range(120)]
    found = float(np.mean([bool(value) for value in centred]))
    expected = share + (1 - share) * 60 / 6000
    assert abs(found - expected) < 0.13


def test_heads_smaller_than_the_patch_are_padded_at_the_end(cases: list[TrainingCase]) -> None:
    item = patches(cases, PLAIN, (32, 32, 32))[0]
    shape = next(case.shape for case in cases if case.case == f"case-{int(item['image'][0].max())}")
    inside = item["image"][0] > 0
    assert inside[tuple(slice(n) for n in shape)].all()
    assert int(inside.sum()) == int(np.prod(shape))


@pytest.mark.parametrize("plane", ["axial", "coronal", "sagittal"])
def test_a_plane_gives_slices_across_its_axis(cases: list[TrainingCase], plane: str) -> None:
    data = PLAIN.model_copy(update={"planes": plane, "patch_size": (6, 7, 8)})
    size = patch_of(data, (32, 32, 32))
    item = patches(cases, data, size)[0]
    axis = PLANE_AXIS[plane]
    expected = tuple(n for number, n in enumerate((6, 7, 8)) if number != axis)
    assert item["image"].shape == (4, *expected)
    assert len(item["image"][1 + axis].unique()) == 1
    assert patch_of(DataSettings(patch_size=None), (32, 48, 16)) == (32, 48, 16)


@given(seed=st.integers(0, 2**32 - 1), level=st.sampled_from(["flips", "light", "strong"]))
@settings(max_examples=25, deadline=None)
def test_what_is_empty_stays_empty(seed: int, level: str) -> None:
    image = torch.rand(3, 8, 8, 8) + 1
    image[1] = 0
    image[:, :2] = 0
    labels = (image[0] > 1.5).to(torch.uint8) * 3
    changed, moved = Augmentation(level, 3)(image, labels, seed)
    assert not changed[1].any()
    assert set(moved.unique().tolist()) <= {0, 3}
    # Whatever moved the labels moved the image: tumour lies where there is tissue, but for the rim that turning blurs.
    if level != "strong":
        assert (changed[0][moved > 0] != 0).all()


@given(seed=st.integers(0, 10_000), present=st.sets(st.integers(0, 3), min_size=1))
def test_dropping_leaves_at_least_one_and_takes_at_least_one(seed: int, present: set[int]) -> None:
    image = torch.zeros(4, 2, 2, 2)
    image[sorted(present)] = 1
    kept = drop_sequences(image, 1.0, np.random.default_rng(seed))
    left = {channel for channel in range(4) if kept[channel].any()}
    assert left <= present
    assert left
    assert len(left) < len(present) or len(present) == 1
    assert torch.equal(drop_sequences(image, 0.0, np.random.default_rng(seed)), image)


def test_every_proper_subset_is_dropped_sometimes() -> None:
    image = torch.ones(3, 1, 1, 1)
    seen = {
        tuple(drop_sequences(image, 1.0, np.random.default_rng(seed)).flatten().int().tolist()) for seed in range(200)
    }
    assert len(seen) == 6


@pytest.mark.parametrize("targets", ["regions", "labels"])
@pytest.mark.parametrize("cavity", [True, False])
def test_targets_as_logits_give_the_labels_back(targets: str, cavity: bool) -> None:
    data = DataSettings(targets=targets, resection_cavity=cavity)
    labels = torch.randint(0, 5 if cavity and targets == "labels" else 4, (5, 5, 5), dtype=torch.uint8)
    maps = targets_of(labels, data)
    assert maps.shape == (len(output_names(data)), 5, 5, 5)
    assert np.array_equal(labels_of(maps - 0.5, data), labels.numpy())
    assert np.array_equal(regions_of(maps - 0.5, data)["tc"], np.isin(labels.numpy(), (1, 3)))


def test_a_cavity_that_is_not_learned_is_background() -> None:
    maps = targets_of(torch.tensor([4, 4]), DataSettings(targets="labels"))
    assert maps[0].tolist() == [1.0, 1.0]
    assert not targets_of(torch.tensor([4, 4]), DataSettings()).any()
