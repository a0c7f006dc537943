from __future__ import annotations

import numpy as np
import pytest

from radiogen.errors import ImageError
from radiogen.preprocess.intensity import background_value, smooth_inside, tissue_peak, z_map


def brain_image(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A noisy ball of intensity 100 with a small bright part, on zero background."""
    i, j, k = np.ogrid[:40, :40, :40]
    brain = (i - 20) ** 2 + (j - 20) ** 2 + (k - 20) ** 2 < 17**2
    lesion = (i - 26) ** 2 + (j - 20) ** 2 + (k - 20) ** 2 < 5**2
    image = rng.normal(100, 30, brain.shape) + 120 * lesion
    return np.where(brain, image, 0).astype(np.float32), brain


def test_the_background_is_what_the_faces_hold_even_when_negative() -> None:
    image, brain = brain_image(np.random.default_rng(0))
    assert background_value(np.where(brain, image, np.float32(-3.5))) == -3.5


def test_a_bright_lesion_hardly_moves_peak_and_spread() -> None:
    rng = np.random.default_rng(1)
    normal = rng.normal(100, 10, 50_000)
    mode, spread = tissue_peak(np.concatenate([normal, rng.normal(200, 20, 8_000)]))
    assert mode == pytest.approx(100, abs=4)
    assert spread == pytest.approx(10, abs=2.5)


@pytest.mark.parametrize("values", [np.ones(10), np.full(1000, 7.0)])
def test_too_few_or_constant_values_are_refused(values: np.ndarray) -> None:
    with pytest.raises(ImageError):
        tissue_peak(values)


def test_z_maps_do_not_depend_on_the_unit() -> None:
    image, brain = brain_image(np.random.default_rng(2))
    z = z_map(image, brain)
    np.testing.assert_allclose(
        z_map(np.where(brain, image * 0.01 - 7, np.float32(-7)).astype(np.float32), brain), z, rtol=1e-3, atol=0.02
    )
    assert z[26, 20, 20] > 10
    assert abs(float(np.median(z[brain]))) < 1
    assert (z[~brain] == 0).all()


def test_smoothing_sees_nothing_outside_the_mask() -> None:
    image, brain = brain_image(np.random.default_rng(3))
    loud = np.where(brain, image, np.float32(1e6))
    np.testing.assert_allclose(smooth_inside(loud, brain, 2.0), smooth_inside(image, brain, 2.0), rtol=1e-5)
