"""Which sequence an image is, from tissue order alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from radiogen.cohort.nifti import Grid, Image, read_image
from radiogen.errors import ImageError
from radiogen.preprocess.look import sequence_likelihoods, tell_contrast, tissue_order
from radiogen.types import SEQUENCES
from tests.preprocess.test_quality import made_up_head


def top(likelihoods: dict[str, float]) -> str:
    return max(likelihoods, key=lambda name: likelihoods[name])


def test_likelihoods_are_a_distribution_and_do_not_depend_on_the_unit() -> None:
    images, brain = made_up_head()
    for image in images.values():
        stripped = np.where(brain, image.data, np.float32(0))
        one = sequence_likelihoods(Image(stripped, image.grid))
        other = sequence_likelihoods(Image((0.01 * stripped).astype(np.float32), image.grid))
        assert set(one) == {*SEQUENCES, "other"}
        assert sum(one.values()) == pytest.approx(1)
        assert one == pytest.approx(other, abs=1e-3)


@pytest.mark.parametrize("name", ["t1n", "t2w", "t2f"])
def test_made_up_tissue_orders_are_told_apart(name: str) -> None:
    images, brain = made_up_head(3)
    stripped = Image(np.where(brain, images[name].data, np.float32(0)), images[name].grid)
    assert top(sequence_likelihoods(stripped))[:2] == name[:2]
    if name != "t1n":
        assert top(sequence_likelihoods(stripped)) == name


@pytest.mark.parametrize("shape", [(256, 256, 3), (20, 20, 20)])
def test_a_localiser_and_a_fragment_are_other(shape: tuple[int, int, int]) -> None:
    data = np.random.default_rng(0).random(shape).astype(np.float32)
    image = Image(data, Grid(shape, np.eye(4)))
    assert sequence_likelihoods(image)["other"] > 0.9
    assert tissue_order(image) is None
    with pytest.raises(ImageError, match="no brain"):
        tell_contrast(image, image)


def test_contrast_is_antisymmetric() -> None:
    images, brain = made_up_head(1)
    native = Image(np.where(brain, images["t1n"].data, np.float32(0)), images["t1n"].grid)
    bright = native.data.copy()
    bright[45:52, 50:60, 50:54] += 150
    enhanced = Image(bright, native.grid)
    forwards, backwards = tell_contrast(native, enhanced), tell_contrast(enhanced, native)
    assert forwards > 0.9
    assert forwards + backwards == pytest.approx(1)
    assert tell_contrast(native, native) == pytest.approx(0.5)


@pytest.mark.real_data
def test_a_skull_stripped_real_case_is_read_right(shared_data: Path) -> None:
    case = "BraTS-GLI-00001-000"
    images = {name: read_image(shared_data / "mri" / case / f"{case}-{name}.nii.gz") for name in SEQUENCES}
    assert {name: top(sequence_likelihoods(image)) for name, image in images.items()} == {
        name: name for name in SEQUENCES
    }
    assert tell_contrast(images["t1n"], images["t1c"]) > 0.9
