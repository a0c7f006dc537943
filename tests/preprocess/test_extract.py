from __future__ import annotations

from importlib.util import find_spec

import numpy as np
import pytest
from scipy.ndimage import binary_dilation, gaussian_filter

from radiogen.cohort.nifti import Image
from radiogen.errors import ConfigError, GeometryError, ImageError, MissingDependencyError
from radiogen.preprocess.extract import BRAIN_EXTRACTORS, extract_brain_mask
from radiogen.preprocess.template import Template, load_template
from tests.preprocess.test_register import coarse


def head() -> tuple[Image, np.ndarray, Template]:
    """The template's brain at 4 mm in a made-up head: dark skull, bright scalp."""
    template = load_template()
    image = coarse(template.image, 4.0)
    brain = coarse(Image(template.brain.astype(np.float32), template.image.grid), 4.0).data > 0.5
    skull, scalp = binary_dilation(brain, iterations=2), binary_dilation(brain, iterations=4)
    noise = np.random.default_rng(0).normal(0, 0.01, brain.shape)
    data = np.where(brain, image.data, np.where(skull, 0.05, np.where(scalp, 0.9, 0.0))) * image.data.max() + noise
    return Image(gaussian_filter(data, 0.3).astype(np.float32), image.grid), brain, template


def dice(a: np.ndarray, b: np.ndarray) -> float:
    return float(2 * (a & b).sum() / (a.sum() + b.sum()))


def test_the_template_finds_the_brain_of_a_made_up_head() -> None:
    image, brain, template = head()
    found = extract_brain_mask({"t1n": image.data}, image.grid, template, method="template")
    assert dice(found.mask, brain) > 0.93
    assert not found.already_stripped
    assert found.method == "template"


def test_a_stripped_brain_is_left_alone_whatever_the_method() -> None:
    template = load_template()
    image = coarse(template.image, 4.0)
    found = extract_brain_mask({"t1n": image.data}, image.grid, template, method="hd-bet")
    assert found.already_stripped
    assert found.method == "stripped"


def test_a_given_mask_is_used() -> None:
    image, brain, template = head()
    found = extract_brain_mask({"t1n": image.data}, image.grid, template, method="given", given=brain)
    assert np.array_equal(found.mask, brain)
    with pytest.raises(ImageError):
        extract_brain_mask({"t1n": image.data}, image.grid, template, method="given")
    with pytest.raises(GeometryError):
        extract_brain_mask({"t1n": image.data[1:]}, image.grid, template)


def test_what_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    image, _, template = head()
    assert {"template", "surface", "hd-bet", "synthstrip"} <= set(BRAIN_EXTRACTORS)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ConfigError, match="mri_synthstrip"):
        extract_brain_mask({"t1n": image.data}, image.grid, template, method="synthstrip")
    with pytest.raises(ConfigError, match="template"):
        extract_brain_mask({"t1n": image.data}, image.grid, template, method="templat")
    if find_spec("HD_BET") is None:
        with pytest.raises(MissingDependencyError):
            extract_brain_mask({"t1n": image.data}, image.grid, template, method="hd-bet")
