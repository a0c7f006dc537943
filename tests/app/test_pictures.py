"""Slices: right side, right colour, right proportions; augmentation by its seed."""

from __future__ import annotations

import numpy as np
import pytest
from PIL.ImageColor import getrgb

from radiogen.app.pictures import augmented, overlay
from radiogen.errors import InputError
from radiogen.report.viewer import LABEL_COLOURS
from radiogen.types import ED, ET
from tests.app.data import phantom

SIZE = (4.0, 4.0, 4.0)


def test_the_patients_right_front_is_on_the_left_top_and_coloured() -> None:
    image = np.zeros((10, 10, 4), np.float32)
    image[1:9, 1:9, 1:3] = 1.0
    labels = np.zeros(image.shape, np.uint8)
    labels[8, 8, 2] = ET  # right, front
    picture = overlay(image, labels, "axial", 2, (1.0, 1.0, 1.0), opacity=1.0, window=(0.0, 1.0))
    cell = picture.shape[0] // 10
    assert tuple(picture[cell + cell // 2, cell + cell // 2]) == getrgb(LABEL_COLOURS[ET])
    assert tuple(picture[-2 * cell + cell // 2, -2 * cell + cell // 2]) == (255, 255, 255)
    assert (
        overlay(image, labels, "axial", 2, (1.0, 1.0, 1.0), opacity=0.0)
        == overlay(image, None, "axial", 2, (1.0, 1.0, 1.0))
    ).all()


def test_a_millimetre_is_as_long_across_as_up() -> None:
    image = np.random.default_rng(0).random((20, 30, 5), dtype=np.float32)
    rows, columns, _ = overlay(image, None, "coronal", 3, (1.0, 1.0, 5.0)).shape
    assert rows / columns == pytest.approx(5 * 5.0 / 20.0, rel=0.01)


def test_a_slice_that_is_not_there() -> None:
    with pytest.raises(InputError, match="slices 0 to 4"):
        overlay(np.zeros((2, 3, 5), np.float32), None, "axial", 5, SIZE)


def test_augmentation_depends_on_its_seed_and_moves_the_mask_with_the_image() -> None:
    made = phantom()
    at = int((made.labels > 0).sum(axis=(0, 1)).argmax())

    def seen(level: str, seed: int) -> np.ndarray:
        return augmented(made.images, made.labels, "t2f", at, SIZE, level=level, seed=seed, opacity=1.0)

    assert (seen("strong", 3) == seen("strong", 3)).all()
    flips = {seed: seen("flips", seed) for seed in range(6)}
    assert len({picture.tobytes() for picture in flips.values()}) > 1
    colour = np.array(getrgb(LABEL_COLOURS[ED]))
    area = {int((picture == colour).all(axis=2).sum()) for picture in flips.values()}
    assert len(area) == 1
    assert area != {0}
    assert tuple(seen("light", 0)[0, 0]) == (0, 0, 0)
    with pytest.raises(InputError, match="flips, light, strong"):
        seen("wild", 0)
