"""The embedding branch with networks that see a prepared volume: registered ones and models of one's own."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from typer.testing import CliRunner

from radiogen.branches.embedding.branch import EmbeddingBranch
from radiogen.cli.main import app
from radiogen.cohort.table import read_cohort
from radiogen.config.embedding import EmbeddingSettings
from tests.branches.cases import write_case, write_cohort_csv

ADAPTER = "adapter:tests.branches.embedding.outside_models:means"


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cohort")
    rows = [
        write_case(folder, "a"),
        write_case(folder, "b", seed=1, without=("t2f",)),
        write_case(folder, "c", seed=2, without=("mask",)),
    ]
    return write_cohort_csv(folder, rows)


def test_an_unknown_network_is_one_line(cohort: Path, tmp_path: Path) -> None:
    command = ["features", "embedding", str(cohort), "-o", str(tmp_path), "--network", "efficientnet3d-b00", "--quiet"]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 2
    assert "Did you mean 'efficientnet3d-b0'" in result.output


def test_random_weights_are_said_aloud(cohort: Path, caplog: pytest.LogCaptureFixture) -> None:
    chosen = EmbeddingSettings(
        network="cnn3d", sequences=("t1c", "t2f"), shape=(24, 24, 24), precision="float32", seed=3
    )
    branch = EmbeddingBranch(chosen)
    with caplog.at_level(logging.WARNING):
        extraction = branch.extract(read_cohort(cohort).loc[["a", "b"]])
    assert "random, from the seed 3" in caplog.text
    assert branch.provenance_settings()["weights"] == "none: random numbers from the seed 3"
    assert branch.provenance_settings()["input"]["shape"] == (24, 24, 24)
    t2f = [name for name in extraction.features if "_t2f_" in name]
    assert extraction.features.loc["b", t2f].isna().all()
    assert extraction.features.drop(columns=t2f).notna().all(axis=None)
    assert extraction.notes == {"b": ["t2f is missing; its columns are blank."]}
    other = EmbeddingBranch(chosen.model_copy(update={"seed": 4}))
    assert other.provenance_settings()["weights_sha256"] != branch.provenance_settings()["weights_sha256"]


def test_early_fusion_needs_every_sequence(cohort: Path) -> None:
    chosen = EmbeddingSettings(
        network="cnn3d", mode="early-fusion", sequences=("t2f", "t1c"), shape=(24, 24, 24), precision="float32"
    )
    extraction = EmbeddingBranch(chosen).extract(read_cohort(cohort).loc[["a", "b"]])
    assert all("_fused_" in name for name in extraction.features)
    assert extraction.features.loc["a"].notna().all()
    assert extraction.features.loc["b"].isna().all()
    assert "t2f is missing" in extraction.notes["b"][0]


def test_an_adapter_is_a_network_like_others(cohort: Path) -> None:
    chosen = EmbeddingSettings(network=ADAPTER, sequences=("t1c",), shape=(24, 24, 24), voxel_size_mm=(2.0, 2.0, 2.0))
    branch = EmbeddingBranch(chosen)
    features = branch.transform(read_cohort(cohort).loc[["a", "b"]])
    assert features.columns.tolist() == [f"embedding_means-1-0_t1c_{i}" for i in range(3)]
    assert (features.iloc[:, 2] == 2.0).all()
    assert branch.provenance_settings()["licence"] == "CC0-1.0"
