from __future__ import annotations

import numpy as np
import pytest

from radiogen.cohort.nifti import Image
from radiogen.errors import GeometryError, ImageError
from radiogen.preprocess.bias import correct_bias
from radiogen.preprocess.template import load_template
from tests.preprocess.test_register import coarse


def test_a_known_field_is_flattened() -> None:
    image = coarse(load_template().image, 4.0)
    inside = image.data > 0.1 * image.data.max()
    x, y, z = np.meshgrid(*[np.linspace(-1, 1, n) for n in image.data.shape], indexing="ij", sparse=True)
    known = np.exp(0.25 * x + 0.2 * y * z - 0.2 * z + 0.15 * x * x)
    shaded = Image((image.data * known).astype(np.float32), image.grid)
    own = correct_bias(image, inside)[1]
    corrected, field = correct_bias(shaded, inside)
    error = np.log(field / own / known)[inside]
    assert error.std() < 0.25 * np.log(known * np.ones(inside.shape))[inside].std()
    assert np.log(field[inside]).mean() == pytest.approx(0, abs=1e-3)
    assert corrected.shape == image.data.shape


def test_the_same_bytes_come_twice() -> None:
    image = coarse(load_template().image, 8.0)
    inside = image.data > 0.1 * image.data.max()
    assert correct_bias(image, inside)[0].tobytes() == correct_bias(image, inside)[0].tobytes()


def test_wrong_input_is_refused() -> None:
    image = coarse(load_template().image, 8.0)
    with pytest.raises(GeometryError):
        correct_bias(image, np.ones((2, 2, 2), bool))
    with pytest.raises(ImageError):
        correct_bias(image, np.zeros(image.data.shape, bool))
