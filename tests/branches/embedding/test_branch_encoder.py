from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from radiogen.branches.embedding.encoder import SegmentationEncoder, _mean_and_sd
from radiogen.cohort.build import read_cohort_or_folder
from radiogen.cohort.case import CaseImages, read_case, read_case_mask
from radiogen.errors import ConfigError
from radiogen.segment.networks import build_network
from radiogen.segment.weights import WeightsCard, save_weights
from tests.branches.cases import labels, write_case, write_cohort_csv

SMALL = {"features": (4, 6, 8), "blocks": (1, 1)}


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "small.safetensors"
    card = WeightsCard(
        name="small", network="compact", arguments=SMALL, sequences=("t1c", "t2f"), multiple=4, licence="CC0-1.0",
        training_data="none: random numbers", needs_brain=False,
    )  # fmt: skip
    save_weights(path, build_network("compact", 2, 3, SMALL), card)
    return path


@pytest.fixture(scope="module")
def row(tmp_path_factory: pytest.TempPathFactory) -> pd.Series:
    folder = tmp_path_factory.mktemp("case")
    return read_cohort_or_folder(write_cohort_csv(folder, [write_case(folder, "a")])).iloc[0]


def test_a_weighted_mean_and_spread_are_those_of_numpy() -> None:
    rng = np.random.default_rng(0)
    level, share = rng.normal(size=(3, 4, 5, 6)), rng.random((4, 5, 6)) * (rng.random((4, 5, 6)) > 0.5)
    found = _mean_and_sd(torch.from_numpy(level), torch.from_numpy(share)).numpy()
    means = [np.average(one, weights=share) for one in level]
    sds = [np.sqrt(np.average((one - mean) ** 2, weights=share)) for one, mean in zip(level, means, strict=True)]
    np.testing.assert_allclose(found, [*means, *sds], rtol=1e-5)


def test_the_first_numbers_are_the_means_of_the_stem_inside_the_region(weights: Path, row: pd.Series) -> None:
    encoder = SegmentationEncoder(str(weights), "cpu", "float32")
    case = read_case(row)
    vectors, notes = encoder(case, read_case_mask(row, case.grid), ("wt", "et"))
    assert notes == []
    assert {name: vector.shape for name, vector in vectors.items()} == {"wt": (36,), "et": (36,)}
    # The finest level by hand: the prepared input, one convolution, the mask on 1 mm voxels.
    from radiogen.segment.inputs import prepare_channels

    ready = prepare_channels(case, ("t1c", "t2f"), 1.0, needs_brain=False)
    maps = torch.nn.functional.conv3d(ready.channels[None], encoder._network.stem.weight, padding=1)[0].detach().numpy()
    inside = np.repeat((read_case_mask(row, case.grid) == 3)[ready.box], 2, axis=2)
    np.testing.assert_allclose(vectors["et"][:4], maps[:, inside].mean(axis=1), rtol=1e-3, atol=1e-4)


def test_an_empty_region_is_blank_and_a_missing_sequence_is_said(weights: Path, row: pd.Series) -> None:
    case = read_case(row.drop("t2f"))
    mask = np.where(labels() == 3, 1, labels()).astype(np.uint8)
    vectors, notes = SegmentationEncoder(str(weights), "cpu", "float32")(case, mask)
    assert np.isnan(vectors["et"]).all()
    assert np.isfinite(vectors["tc"]).all()
    assert any("et is empty" in note for note in notes)
    assert any("t2f is missing" in note for note in notes)


def test_a_region_of_one_voxel_finer_than_the_network_is_not_lost(weights: Path, row: pd.Series) -> None:
    case = read_case(row)
    mask = np.zeros(case.grid.canonical_shape, dtype=np.uint8)
    mask[13, 16, 10] = 3
    fine = CaseImages(case.case, case.images, case.grid)
    vectors, _ = SegmentationEncoder(str(weights), "cpu", "float32")(fine, mask)
    assert np.isfinite(vectors["et"]).all()


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.safetensors"
    card = WeightsCard(
        name="other",
        network="segresnet",
        sequences=("t1c",),
        licence="CC0-1.0",
        training_data="none",
        arguments={"init_filters": 8},
    )
    save_weights(path, build_network("segresnet", 1, 3, {"init_filters": 8}), card)
    with pytest.raises(ConfigError, match="made for 'compact'"):
        SegmentationEncoder(str(path))


@pytest.mark.real_data
def test_the_shipped_encoder_tells_regions_of_a_real_case_apart(shared_data: Path) -> None:
    row = read_cohort_or_folder(shared_data / "mri" / "BraTS-GLI-00000-000").iloc[0]
    case = read_case(row)
    vectors, notes = SegmentationEncoder()(case, read_case_mask(row, case.grid), ("wt", "et"))
    assert notes == []
    assert len(vectors["wt"]) == 2 * (16 + 48 + 96 + 128)
    assert float(np.corrcoef(vectors["wt"], vectors["et"])[0, 1]) < 0.999
