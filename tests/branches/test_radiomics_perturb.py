from __future__ import annotations

from functools import cache
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter

from radiogen.branches.radiomics.perturb import Perturber, family, noise_level
from radiogen.branches.radiomics.perturb_masks import supervoxels
from radiogen.cohort.case import CaseImages
from radiogen.cohort.masks import region_masks
from radiogen.cohort.nifti import Grid
from radiogen.config.stability import DEFAULT_PERTURBATIONS, StabilitySettings
from radiogen.errors import ConfigError
from tests.branches.cases import AFFINE, SHAPE, image, labels


@cache
def perturber() -> Perturber:
    images = {"t1c": image(1), "t2f": image(2)}
    return Perturber(CaseImages("007", images, Grid(SHAPE, AFFINE)), labels())


def volumes(found: np.ndarray) -> dict[str, int]:
    return {name: int(mask.sum()) for name, mask in region_masks(found).items()}


def test_the_unperturbed_case_is_the_case() -> None:
    case, mask = perturber()("none")
    assert case is perturber().case
    assert mask is perturber().labels


@pytest.mark.parametrize("name", DEFAULT_PERTURBATIONS)
def test_every_default_changes_something_and_is_the_same_again(name: str) -> None:
    case, mask = perturber()(name)
    changed = not np.array_equal(mask, labels()) or any(
        not np.array_equal(case.images[other], perturber().case.images[other]) for other in case.images
    )
    assert changed
    # A new one, without what the first has cached, and after another perturbation.
    other = Perturber(perturber().case, labels())
    other("noise-1")
    again, same = other(name)
    assert np.array_equal(mask, same)
    assert all(np.array_equal(case.images[other], again.images[other]) for other in case.images)
    regions = region_masks(mask)
    assert not (regions["et"] & ~regions["tc"]).any()
    assert not (regions["tc"] & ~regions["wt"]).any()


def test_draws_differ_by_number_seed_and_case() -> None:
    base = perturber()("noise-1")[0].images["t1c"]
    renamed = CaseImages("008", perturber().case.images, perturber().case.grid)
    others = [perturber()("noise-2"), Perturber(perturber().case, labels(), seed=1)("noise-1")]
    others.append(Perturber(renamed, labels())("noise-1"))
    assert not any(np.array_equal(base, case.images["t1c"]) for case, _ in others)


@settings(max_examples=10, deadline=None)
@given(st.lists(st.sampled_from([0.5, 1, 1.5, 2, 3]), min_size=2, max_size=2, unique=True))
def test_erosion_and_dilation_are_monotone(distances: list[float]) -> None:
    near, far = sorted(distances)
    for region in ("wt", "tc", "et"):
        masks = [
            region_masks(perturber()(name)[1])[region]
            for name in (f"mask-erode-{far}", f"mask-erode-{near}", "none", f"mask-dilate-{near}", f"mask-dilate-{far}")
        ]
        assert all(not (inner & ~outer).any() for inner, outer in pairwise(masks))


def test_dilation_reaches_as_far_as_it_says_and_stays_in_the_head() -> None:
    one = np.zeros((9, 9, 9), dtype=np.uint8)
    one[4, 4, 4] = 3
    ones = np.ones((9, 9, 9), dtype=np.float32)
    ones[5] = 0
    case = CaseImages("007", {"t1c": ones}, Grid((9, 9, 9), np.diag([1.0, 1.0, 2.0, 1.0])))
    grown = Perturber(case, one)("mask-dilate-1")[1]
    assert {tuple(index) for index in np.argwhere(grown)} == {(4, 4, 4), (3, 4, 4), (4, 3, 4), (4, 5, 4)}
    assert np.array_equal(Perturber(case, one)("mask-erode-1")[1], np.zeros_like(one))


def test_nothing_grows_into_the_resection_cavity() -> None:
    mask = labels()
    mask[:13][mask[:13] > 0] = 4
    for name in ("mask-dilate-2", "mask-volume-1.3", "contour-1"):
        changed = Perturber(perturber().case, mask)(name)[1]
        assert np.array_equal(changed == 4, mask == 4)


@pytest.mark.parametrize("times", [0.5, 0.85, 1.15, 1.4])
def test_volume_changes_by_the_factor(times: float) -> None:
    before, after = volumes(labels()), volumes(perturber()(f"mask-volume-{times}")[1])
    assert after["wt"] == round(times * before["wt"])
    assert after["tc"] == pytest.approx(times * before["tc"], rel=0.02)


def test_a_translation_by_whole_voxels_is_a_roll() -> None:
    case, mask = perturber()("translate-2-0--1")
    for name, original in perturber().case.images.items():
        moved = np.roll(original, (2, 0, -1), axis=(0, 1, 2))
        assert np.array_equal(case.images[name][2:, :, :-1], moved[2:, :, :-1])
        assert not case.images[name][:2].any()
    assert np.array_equal(mask, np.roll(labels(), (2, 0, -1), axis=(0, 1, 2)))


def test_half_a_voxel_of_a_smooth_image_is_its_known_value() -> None:
    i, j, k = np.indices(SHAPE).astype(float)

    def wave(x: np.ndarray) -> np.ndarray:
        return (200 + 50 * np.sin(x / 4) + 20 * np.cos(j / 5) + k).astype(np.float32)

    case = CaseImages("007", {"t1c": wave(i)}, Grid(SHAPE, AFFINE))
    moved = Perturber(case, labels())("translate-0.5-0-0")[0].images["t1c"]
    inner = (slice(4, -4),) * 3
    assert moved[inner] == pytest.approx(wave(i - 0.5)[inner], rel=2e-4)


@pytest.mark.parametrize("name", ["translate-0.5-0-0", "translate-0.5--0.5-0.5", "translate-0.25-0-0", "rotate-3"])
def test_a_motion_keeps_the_volume(name: str) -> None:
    before, after = volumes(labels()), volumes(perturber()(name)[1])
    for region, volume in before.items():
        assert after[region] == pytest.approx(volume, rel=0.04)


def test_a_rotation_turns_in_millimetres_about_the_tumour() -> None:
    # A tumour on a grid of 1 x 2 x 3 mm; what lies 8 mm to the right of its centre must lie 8 mm in front of it.
    shape = (41, 21, 5)
    mask = np.zeros(shape, dtype=np.uint8)
    mask[19:22, 9:12, 1:4] = 2
    spot = np.ones(shape, dtype=np.float32)
    spot[28, 10, 2] = 1000
    case = CaseImages("007", {"t1c": spot}, Grid(shape, np.diag([1.0, 2.0, 3.0, 1.0])))
    moved, turned = Perturber(case, mask)("rotate-90")
    assert np.unravel_index(moved.images["t1c"].argmax(), shape) == (20, 14, 2)
    assert int((turned > 0).sum()) == pytest.approx(int((mask > 0).sum()), rel=0.4)
    back = Perturber(case, mask)("rotate-0")
    assert np.array_equal(back[1], mask)
    assert np.array_equal(back[0].images["t1c"], spot)


def test_the_background_of_a_moved_image_stays_zero() -> None:
    for name in ("translate-0.5-0-0", "rotate-3", "noise-1"):
        case, _ = perturber()(name)
        assert all((moved[0] == 0).all() for moved in case.images.values())


@pytest.mark.parametrize("sigma", [2.0, 20.0])
def test_the_noise_level_is_found_under_anatomy_and_background(sigma: float) -> None:
    rng = np.random.default_rng(3)
    anatomy = gaussian_filter(rng.normal(size=(64, 64, 32)), 4) * 3000 + 500
    noisy = (anatomy + rng.normal(0, sigma, anatomy.shape)).astype(np.float32)
    noisy[:, :12] = 0
    assert noise_level(noisy) == pytest.approx(sigma, rel=0.1)
    assert noise_level(np.full((8, 8, 8), 7.3, dtype=np.float32)) == 0.0


def test_noise_is_added_as_strong_as_the_image_has_it() -> None:
    noisy = np.random.default_rng(0).normal(500, 10, (48, 48, 24)).astype(np.float32)
    mask = np.zeros(noisy.shape, dtype=np.uint8)
    mask[20:30, 20:30, 8:16] = 3
    case = CaseImages("007", {"t1c": noisy}, Grid(noisy.shape, np.eye(4)))
    added = Perturber(case, mask)("noise-1")[0].images["t1c"] - noisy
    assert added.std() == pytest.approx(10, rel=0.05)
    assert abs(float(added.mean())) < 0.2


def test_contours_follow_the_supervoxels() -> None:
    blocks = supervoxels(perturber().case, labels())
    tumour = region_masks(labels())["wt"]
    drawn = [region_masks(perturber()(f"contour-{n}")[1])["wt"] for n in (1, 2, 3)]
    share = {n: tumour[blocks == n].mean() for n in range(1, int(blocks.max()) + 1)}
    head = np.logical_or.reduce([image != 0 for image in perturber().case.images.values()])
    for mask in drawn:
        for n, covered in share.items():
            inside = mask[(blocks == n) & head]
            assert inside.size == 0 or inside.all() or not inside.any()
            if covered >= 0.95:
                assert inside.all()
            if covered == 0:
                assert not inside.any()
    assert not np.array_equal(drawn[0], drawn[1])


def test_a_sample_is_taken_as_it_is() -> None:
    sample = np.where(labels() == 3, 3, 0).astype(np.uint8)
    case, mask = Perturber(perturber().case, labels(), samples={"sample-3": sample})("sample-3")
    assert mask is sample
    assert case is perturber().case


def test_names() -> None:
    assert [family(name) for name in ("none", "mask-erode-1", "sample-3")] == ["none", "mask", "sample"]
    with pytest.raises(ConfigError, match="not known"):
        perturber()("stretch-1")
    for bad in ("stretch-1", "rotate", "translate-1-2", "mask-volume-0", "noise-1.5"):
        with pytest.raises(ConfigError):
            StabilitySettings.parse({"perturbations": [bad]})
    with pytest.raises(ConfigError, match="twice"):
        StabilitySettings.parse({"perturbations": ["noise-1", "noise-1"]})
