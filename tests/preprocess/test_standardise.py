"""Intensity methods: what they promise on made-up brains."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from radiogen.cohort.nifti import read_image
from radiogen.errors import ConfigError, ImageError
from radiogen.preprocess.standardise import (
    INTENSITY_METHODS,
    NyulScale,
    fit_nyul,
    match_histogram,
    white_matter_peak,
    white_stripe,
)
from radiogen.types import Mask, Volume

SHAPE = (20, 24, 16)


def made_up(seed: int, white: float = 100.0) -> tuple[Volume, Mask]:
    """Return three tissues: fluid 20, grey 60 % and white 100 % of `white`."""
    rng = np.random.default_rng(seed)
    brain = np.zeros(SHAPE, bool)
    brain[2:-2, 2:-2, 2:-2] = True
    tissue = rng.choice([0.2, 0.6, 1.0], size=SHAPE, p=[0.1, 0.5, 0.4]) * white
    return (tissue + rng.normal(0, 0.04 * white, SHAPE)).astype(np.float32), brain


@pytest.mark.parametrize("name", INTENSITY_METHODS.names())
def test_every_method_is_zero_outside_and_finite_inside(name: str) -> None:
    image, brain = made_up(0)
    result = INTENSITY_METHODS.load(name)(image, brain, sequence="t1n")
    assert result.dtype == np.float32
    assert result.shape == image.shape
    assert not result[~brain].any()
    assert np.isfinite(result).all()
    assert result[brain].std() > 0


@settings(max_examples=15, deadline=None)
@given(scale=st.floats(0.01, 100), shift=st.floats(-500, 500), name=st.sampled_from(["zscore", "clip", "whitestripe"]))
def test_gain_and_offset_of_the_scanner_do_not_matter(scale: float, shift: float, name: str) -> None:
    image, brain = made_up(1)
    method = INTENSITY_METHODS.load(name)
    moved = (image.astype(float) * scale + shift * scale).astype(np.float32)
    assert np.allclose(method(image, brain, sequence="t1n"), method(moved, brain, sequence="t1n"), atol=0.02)


def test_white_stripe_takes_the_brightest_tissue_of_a_t1_and_the_largest_of_others() -> None:
    image, brain = made_up(2)
    assert white_matter_peak(image[brain], "t1n") == pytest.approx(100, abs=4)
    assert white_matter_peak(image[brain], "t2f") == pytest.approx(60, abs=4)
    scaled = white_stripe(image, brain, "t1c")
    assert abs(float(np.median(scaled[brain & (image > 90)]))) < 0.5


def test_nyul_brings_cases_with_other_gains_and_curves_together() -> None:
    cases = [made_up(seed) for seed in range(3)]
    bent = [
        (np.sign(image) * np.abs(image) ** power, brain)
        for (image, brain), power in zip(cases, (0.8, 1.0, 1.3), strict=True)
    ]
    scale = fit_nyul([(image.astype(np.float32), brain) for image, brain in bent])
    medians = [np.median(scale.apply(image.astype(np.float32), brain)[brain]) for image, brain in bent]
    raw = [np.median(image[brain]) for image, brain in bent]
    assert np.ptp(medians) < 0.5 < np.ptp(raw)


def test_nyul_scale_survives_json_and_keeps_order_beyond_the_landmarks() -> None:
    image, brain = made_up(3)
    scale = fit_nyul([(image, brain)])
    again = NyulScale.model_validate_json(scale.model_dump_json())
    assert again == scale
    image[10, 10, 8] = 1000
    result = again.apply(image, brain)
    assert result[10, 10, 8] == result.max() > 105
    inside = image[brain].argsort()
    assert (np.diff(result[brain][inside]) >= -1e-4).all()


def test_nyul_refuses_what_it_cannot_use() -> None:
    image, brain = made_up(4)
    with pytest.raises(ImageError, match="at least one"):
        fit_nyul([])
    with pytest.raises(ImageError, match="coincide"):
        fit_nyul([(np.rint(image / 100).astype(np.float32), brain)])
    with pytest.raises(ConfigError, match="ascend"):
        NyulScale.parse({"percentiles": (1.0, 50.0), "landmarks": (5.0, 5.0), "cases": 1})


def test_histogram_matching_gives_the_reference_distribution_and_keeps_order() -> None:
    (image, brain), (reference, other) = made_up(5), made_up(6, white=7.0)
    result = match_histogram(np.exp(image / 40).astype(np.float32), brain, reference, other)
    quantiles = np.linspace(1, 99, 20)
    assert np.allclose(np.percentile(result[brain], quantiles), np.percentile(reference[other], quantiles), atol=0.02)
    assert (np.diff(result[brain][image[brain].argsort()]) >= 0).all()


@pytest.mark.parametrize("name", ["clip", "whitestripe", "zscore"])
def test_an_empty_brain_is_refused(name: str) -> None:
    image, brain = made_up(7)
    with pytest.raises(ImageError, match="empty"):
        INTENSITY_METHODS.load(name)(image, brain & False)


@pytest.mark.real_data
@pytest.mark.parametrize(("sequence", "low", "high"), [("t1n", 0.5, 0.95), ("t2w", 0.2, 0.7), ("t2f", 0.2, 0.8)])
def test_white_stripe_on_a_real_case_lies_where_white_matter_does(
    shared_data: Path, sequence: str, low: float, high: float
) -> None:
    case = "BraTS-GLI-00001-000"
    image = read_image(shared_data / "mri" / case / f"{case}-{sequence}.nii.gz").data[::2, ::2, ::2]
    values = image[image != 0]
    assert low < float((values < white_matter_peak(values, sequence)).mean()) < high


def test_methods_are_callable_without_a_sequence() -> None:
    image, brain = made_up(8)
    methods: list[Callable[[Volume, Mask], Volume]] = [INTENSITY_METHODS.load(name) for name in INTENSITY_METHODS]
    assert all(method(image, brain).any() for method in methods)
