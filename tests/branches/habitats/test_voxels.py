"""Intensities of a tumour are counted from its own head's normal tissue, whatever the air looks like."""

from __future__ import annotations

import numpy as np
import pytest

from radiogen.branches.habitats.voxels import normal_tissue


@pytest.mark.parametrize("air", ["nothing", "noise", "z-normalised"])
def test_normal_tissue_is_found_beside_air(air: str) -> None:
    rng = np.random.default_rng(0)
    image = np.zeros((40, 40, 40), np.float32)
    if air == "noise":
        image[:] = rng.rayleigh(3, image.shape).round()
    head = (slice(10, 30),) * 3
    image[head] = rng.normal(0 if air == "z-normalised" else 80, 1 if air == "z-normalised" else 12, (20, 20, 20))
    centre, spread = normal_tissue(image, np.ones(image.shape, dtype=bool))
    expected = (0, 1) if air == "z-normalised" else (80, 12)
    assert centre == pytest.approx(expected[0], abs=0.12 * expected[1])
    assert spread == pytest.approx(expected[1], rel=0.12)
