"""Features of a habitat map, against PyRadiomics and by hand."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK
from radiomics.glcm import RadiomicsGLCM
from radiomics.glrlm import RadiomicsGLRLM

from radiogen.branches.habitats.features import habitat_features, paper_features


@pytest.fixture(scope="module")
def labels() -> np.ndarray:
    rng = np.random.default_rng(3)
    coarse = rng.integers(1, 4, (4, 5, 3)).repeat(2, 0).repeat(2, 1).repeat(3, 2)
    coarse[rng.random(coarse.shape) < 0.15] = 1
    coarse[0, :4] = 0
    return coarse.astype(np.uint8)


@pytest.mark.parametrize(
    ("kind", "ours", "theirs"),
    [
        (RadiomicsGLCM, "joint_entropy", "JointEntropy"),
        (RadiomicsGLCM, "joint_energy", "JointEnergy"),
        (RadiomicsGLCM, "imc1", "Imc1"),
        (RadiomicsGLRLM, "long_run_emphasis", "LongRunEmphasis"),
        (RadiomicsGLRLM, "short_run_emphasis", "ShortRunEmphasis"),
        (RadiomicsGLRLM, "run_non_uniformity", "GrayLevelNonUniformityNormalized"),
        (RadiomicsGLRLM, "run_variance", "RunVariance"),
        (RadiomicsGLRLM, "run_entropy", "RunEntropy"),
    ],
)
def test_equals_pyradiomics(labels: np.ndarray, kind: type, ours: str, theirs: str) -> None:
    image = SimpleITK.GetImageFromArray(labels.astype(float))
    mask = SimpleITK.GetImageFromArray((labels > 0).astype(np.uint8))
    calculator = kind(image, mask, binWidth=1)
    calculator.disableAllFeatures()
    calculator.enableFeatureByName(theirs)
    expected = calculator.execute()[theirs]
    assert habitat_features(labels, 3)[f"habitat_{ours}"] == pytest.approx(float(np.squeeze(expected)), rel=1e-6)


def test_relative_mutual_information_is_one_in_stripes_and_nothing_in_noise() -> None:
    noise = np.random.default_rng(0).integers(1, 3, (30, 30, 30)).astype(np.uint8)
    assert habitat_features(noise, 2)["habitat_relative_mutual_information"] < 0.01
    stripes = np.broadcast_to(1 + np.arange(30) % 2, (30, 30, 30)).astype(np.uint8)
    assert habitat_features(stripes, 2)["habitat_relative_mutual_information"] > 0.99


def test_fractions_add_up_and_eleven_features_make_the_groups(labels: np.ndarray) -> None:
    found = habitat_features(labels, 4)
    assert sum(found[f"habitat_fraction_{number}"] for number in range(1, 5)) == pytest.approx(1)
    assert found["habitat_fraction_4"] == 0
    names = paper_features(4, (3, 1))
    assert len(names) == 11
    assert set(names) <= set(found)
