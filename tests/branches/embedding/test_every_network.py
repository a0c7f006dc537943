"""Every kind of network finds a signal that was planted, and nothing where labels are shuffled.

Here the numbers of the networks are random and stay as they are, and a linear head learns; of each family the lightest. Trained as a whole, the small
ones are in `test_model.py`, and all of them in `tests/benchmarks/test_every_network.py`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from radiogen.branches.embedding.encoder import SegmentationEncoder
from radiogen.branches.embedding.names import EMBEDDING_NETWORKS
from radiogen.cohort.case import read_case, read_case_mask
from radiogen.segment.networks import build_network
from radiogen.segment.weights import WeightsCard, save_weights
from tests.branches.embedding.planted import (
    INPUTS,
    N_HELD_OUT,
    N_LEARN,
    Found,
    by_a_linear_head,
    planted_cohort,
    shuffled_labels,
    vectors_of,
)

# Mean over 20 shuffles. By chance the AUC of 12 and 12 cases has a standard deviation of sqrt(25 / 12) / 12 = 0.12, and the mean of 20 one of 0.027,
# were they independent; the bounds are three and a half of those from 0.5. Had the head seen its held-out cases, it would score there what it does
# by heart.
CHANCE = (0.4, 0.6)

LIGHTEST: dict[str, dict[str, Any]] = {
    "cnn3d": {"widths": [8, 16]},
    "slice-cnn": {},
    "c3d": {"packing": "grey"},
    "efficientnet3d-b0": {},
    "densenet121-3d": {},
    "medicalnet-resnet10": {},
    "medicalnet-resnet18": {},
    "r3d-18": {},
    "mc3-18": {},
    "r2plus1d-18": {},
    "swin3d-t": {},
    "multiscale-efficientnet-b7": {"model": "efficientnet_b0", "slices": 2},
    "slices-resnet18": {},
    "slices-efficientnet-b0": {},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("every")


@pytest.fixture(scope="module")
def cohort(folder: Path) -> pd.DataFrame:
    """Cases with two sequences; the label shows in t2f only."""
    return planted_cohort(folder / "images", N_LEARN + N_HELD_OUT, sequences=("t1c", "t2f"))


def truth(cohort: pd.DataFrame) -> np.ndarray:
    return cohort["mgmt"].to_numpy(dtype=np.int64)


def check(found: Found) -> None:
    assert found.planted > 0.9
    assert CHANCE[0] < found.shuffled < CHANCE[1]
    assert found.by_heart > 0.8


@pytest.mark.parametrize("network", LIGHTEST)
def test_a_head_finds_the_planted_signal_and_nothing_in_shuffled_labels(
    network: str, cohort: pd.DataFrame, folder: Path
) -> None:
    vectors = vectors_of(network, cohort, folder / "cache", arguments=LIGHTEST[network])
    check(by_a_linear_head(vectors, truth(cohort)))


def test_late_fusion_finds_it_in_one_of_two_sequences(cohort: pd.DataFrame, folder: Path) -> None:
    vectors = vectors_of(
        "late-fusion",
        cohort,
        folder / "cache",
        sequences=("t1c", "t2f"),
        arguments={"network": "cnn3d", "arguments": {"widths": [8, 16]}},
    )
    assert vectors.shape[1] == 32
    check(by_a_linear_head(vectors, truth(cohort)))
    # The first half is of t1c, which says nothing: were it to, the planted signal would not be what it is said to be.
    assert 0.2 < by_a_linear_head(vectors[:, :16], truth(cohort), shuffles=1).planted < 0.8


def test_the_segmentation_encoder_finds_it_within_the_tumour(cohort: pd.DataFrame, folder: Path) -> None:
    small = {"features": (4, 6, 8), "blocks": (1, 1)}
    card = WeightsCard(
        name="small", network="compact", arguments=small, sequences=("t1c", "t2f"), multiple=4, licence="CC0-1.0",
        training_data="none: random numbers", needs_brain=False,
    )  # fmt: skip
    torch.manual_seed(0)
    save_weights(folder / "small.safetensors", build_network("compact", 2, 3, small), card)
    encoder = SegmentationEncoder(str(folder / "small.safetensors"), "cpu", "float32")

    def vector(row: pd.Series) -> np.ndarray:
        case = read_case(row)
        return encoder(case, read_case_mask(row, case.grid), ("wt",))[0]["wt"]

    vectors = np.stack([vector(row) for _, row in cohort.iterrows()]).astype(np.float64)
    check(by_a_linear_head(vectors, truth(cohort)))


def test_shuffled_labels_say_nothing_of_the_planted_ones(cohort: pd.DataFrame) -> None:
    y = truth(cohort)
    shuffled = shuffled_labels(y, 3)
    assert not np.array_equal(shuffled, shuffled_labels(y, 4))
    for part in (slice(None, N_LEARN), slice(N_LEARN, None)):
        assert np.corrcoef(y[part], shuffled[part])[0, 1] == pytest.approx(0, abs=1e-12)


def test_every_registered_network_has_an_input_to_be_tried_with() -> None:
    assert set(INPUTS) == set(EMBEDDING_NETWORKS.names())
