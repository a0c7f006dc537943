from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from radiogen.branches.embedding.explain import (
    METHODS,
    attributions,
    grad_cam,
    on_case,
    rank_correlation,
    sanity_checks,
    shown_of,
)
from radiogen.branches.embedding.image_network import build_image_network
from radiogen.branches.embedding.model import ImageClassifier
from radiogen.cohort.case import read_case, read_case_mask
from radiogen.errors import ConfigError
from tests.branches.embedding.planted import planted_cohort, tiny_model


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    return planted_cohort(tmp_path_factory.mktemp("planted"), 40)


@pytest.fixture(scope="module")
def trained(cohort: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> dict[str, ImageClassifier]:
    cache = tmp_path_factory.mktemp("cache")
    y = cohort["mgmt"].to_numpy(dtype=np.int64)
    wrong = np.tile([0, 0, 1, 1], len(y) // 4)
    return {
        name: ImageClassifier(tiny_model(arguments={"widths": [8]}), cache_folder=cache).fit(cohort, labels)
        for name, labels in {"true": y, "shuffled": wrong}.items()
    }


def case_of(cohort: pd.DataFrame, classifier: ImageClassifier, number: int) -> tuple[Any, np.ndarray]:
    images = read_case(cohort.iloc[number])
    labels = read_case_mask(cohort.iloc[number], images.grid)
    return shown_of(images, labels, ("t2f",), classifier.spec_, classifier.settings), labels


@pytest.mark.parametrize("method", METHODS)
def test_a_map_points_at_the_planted_ring(
    method: str, cohort: pd.DataFrame, trained: dict[str, ImageClassifier]
) -> None:
    shares = []
    for number in (1, 3, 5, 7):
        shown, labels = case_of(cohort, trained["true"], number)
        found = on_case(METHODS[method](trained["true"].members_[0].network, shown.volumes), shown)
        assert found.shape == (20, 20, 20)
        middle = np.array(np.nonzero(labels)).mean(axis=1)
        distance = np.sqrt(((np.indices(found.shape) - middle[:, None, None, None]) ** 2).sum(axis=0))
        near = distance < 6
        shares.append(found[near].mean() / found[~near].mean())
    assert min(shares) > 1.5  # per voxel, the ring's neighbourhood matters more than the rest


def test_shares_add_up_to_the_logit(cohort: pd.DataFrame, trained: dict[str, ImageClassifier]) -> None:
    network = trained["true"].members_[0].network
    shown, _ = case_of(cohort, trained["true"], 1)
    shares, gap = attributions(network, shown.volumes, steps=200)
    with torch.no_grad():
        difference = network(shown.volumes[None]) - network(torch.zeros_like(shown.volumes)[None])
    assert float(shares.sum()) == pytest.approx(float(difference), rel=0.02)
    assert gap < 0.02


def test_a_linear_network_is_explained_exactly() -> None:
    """Mean of one map that is the image itself: both methods are known by hand."""
    network = build_image_network(tiny_model(arguments={"widths": [1]}), ("t2f",), 0)
    network.backbone.layers = torch.nn.Identity()
    (weight, _) = network.head.parameters()
    weight.data[:] = 2.0
    volumes = torch.rand(1, 4, 4, 4)
    np.testing.assert_allclose(attributions(network, volumes)[0], 2 * volumes.numpy() / 64, rtol=1e-5)
    np.testing.assert_allclose(grad_cam(network, volumes), 2 * volumes[0].numpy() / 64, rtol=1e-5)
    weight.data[:] = -2.0
    assert not grad_cam(network, volumes).any()  # nothing speaks for the positive class


def test_a_map_lies_where_the_network_looked(cohort: pd.DataFrame, trained: dict[str, ImageClassifier]) -> None:
    classifier = trained["true"]
    images = read_case(cohort.iloc[0])
    for margin in ((0, 0, 0), (2, 3, 1)):
        settings = tiny_model(
            augmentation={"crop_margin": margin}, input={**classifier.settings.input, "intensity": "raw"}
        )
        spec = ImageClassifier(settings).spec_
        shown = shown_of(images, None, ("t2f",), spec, settings)
        back = on_case(shown.volumes[0].numpy(), shown)
        inside = back != 0
        assert inside.sum() > 2000
        whole = np.all(np.mod(shown.affine_to_case[:3, 3], 1) == 0)  # on the case's own voxels nothing is interpolated
        error = np.abs(back - images.images["t2f"])[inside]
        assert float(np.median(error)) < (1e-4 if whole else 20)


def test_sanity_numbers_fall_when_the_network_forgets(
    cohort: pd.DataFrame, trained: dict[str, ImageClassifier]
) -> None:
    network, shuffled = trained["true"].members_[0].network, trained["shuffled"].members_[0].network
    shown, _ = case_of(cohort, trained["true"], 1)
    found = sanity_checks(network, shown.volumes, METHODS["integrated-gradients"], seed=0, shuffled=shuffled)
    assert set(found.as_dict()) == {"head_forgotten", "all_forgotten", "labels_shuffled"}
    assert all(value is not None and -1 <= value < 0.95 for value in found.as_dict().values())
    again = sanity_checks(network, shown.volumes, METHODS["integrated-gradients"], seed=0, shuffled=network)
    assert again.labels_shuffled == 1.0  # the same network gives the same map
    assert again.all_forgotten == found.all_forgotten
    assert "shuffled labels" in found.words()


def test_a_map_that_shows_the_image_only_is_found_out(
    cohort: pd.DataFrame, trained: dict[str, ImageClassifier]
) -> None:
    """An 'explanation' that ignores the network correlates perfectly with itself whatever is forgotten."""
    shown, _ = case_of(cohort, trained["true"], 1)
    network = trained["true"].members_[0].network
    found = sanity_checks(network, shown.volumes, lambda _, volumes: volumes[0].abs().numpy(), seed=0)
    assert (found.head_forgotten, found.all_forgotten, found.labels_shuffled) == (1.0, 1.0, None)


def test_grad_cam_refuses_a_network_whose_vector_is_no_mean_of_maps() -> None:
    settings = tiny_model(network="slice-cnn", arguments={}, input={"shape": [64, 64, 1]})
    with pytest.raises(ConfigError, match="mean of their last maps"):
        grad_cam(build_image_network(settings, ("t2f",), 0), torch.rand(1, 64, 64, 1) * 255)


def test_constant_maps_have_no_order() -> None:
    assert rank_correlation(np.ones(4), np.arange(4.0)) == 0.0
    assert rank_correlation(np.arange(5.0), -np.arange(5.0)) == -1.0
