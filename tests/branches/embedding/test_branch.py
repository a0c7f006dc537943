"""The embedding branch over cohorts: columns, cache, blanks, failures, provenance."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from typer.testing import CliRunner

from radiogen.branches.embedding import branch as branch_module
from radiogen.branches.embedding.branch import EmbeddingBranch
from radiogen.branches.embedding.kinds import Kind
from radiogen.cli.main import app
from radiogen.cohort.table import read_cohort
from radiogen.config.embedding import EmbeddingSettings
from radiogen.config.study import StudySettings
from radiogen.errors import CaseError, ConfigError
from radiogen.segment.networks import build_network
from radiogen.segment.weights import WeightsCard, save_weights
from tests.branches.cases import write_case, write_cohort_csv

ADAPTER = "adapter:tests.branches.embedding.outside_models:means"


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small segmentation network with random numbers."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "small.safetensors"
    arguments = {"features": (4, 6), "blocks": (1,)}
    card = WeightsCard(
        name="small", network="compact", arguments=arguments, sequences=("t1c", "t2f"), multiple=2, licence="CC0-1.0",
        training_data="none: random numbers", needs_brain=False,
    )  # fmt: skip
    save_weights(path, build_network("compact", 2, 3, arguments), card)
    return path


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cohort")
    rows = [
        write_case(folder, "a"),
        write_case(folder, "b", seed=1, without=("t2f",)),
        write_case(folder, "c", seed=2, without=("mask",)),
    ]
    return write_cohort_csv(folder, rows)


def settings(weights: Path, **others: object) -> EmbeddingSettings:
    return EmbeddingSettings.parse({"weights": str(weights), "precision": "float32", **others})


def test_columns_follow_from_the_settings_and_failing_cases_are_quarantined(weights: Path, cohort: Path) -> None:
    branch = EmbeddingBranch(settings(weights), on_failure="skip")
    table = read_cohort(cohort)
    extraction = branch.extract(table)
    names = branch.get_feature_names_out().tolist()
    assert names[:2] == ["embedding_segmentation-encoder_wt_00", "embedding_segmentation-encoder_wt_01"]
    assert extraction.features.columns.tolist() == names
    assert len(names) == 3 * 2 * (4 + 6)
    assert extraction.features.index.tolist() == ["a", "b"]
    assert np.isfinite(extraction.features.to_numpy()).all()
    assert [failure.case for failure in extraction.failures] == ["c"]
    assert "no mask" in extraction.failures[0].cause
    assert extraction.notes == {"b": ["t2f is missing; its channel was left empty."]}
    with pytest.raises(CaseError, match="the first is c"):
        EmbeddingBranch(settings(weights)).transform(table)


def test_a_case_does_not_depend_on_the_others_nor_on_jobs(weights: Path, cohort: Path) -> None:
    table = read_cohort(cohort).loc[["a", "b"]]
    whole = EmbeddingBranch(settings(weights), jobs=2).transform(table)
    alone = EmbeddingBranch(settings(weights)).transform(table.iloc[::-1])
    pd.testing.assert_frame_equal(whole, alone.loc[["a", "b"]], check_exact=True)


def test_known_cases_are_not_asked_again_until_what_they_depend_on_changes(
    weights: Path, cohort: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = read_cohort(cohort).loc[["a", "b"]]
    first = EmbeddingBranch(settings(weights, regions=["wt", "et"]), cache_folder=tmp_path).transform(table)
    assert len(list(tmp_path.glob("*.json"))) == 2
    asked: list[str] = []
    inside = EmbeddingBranch(settings(weights, regions=["wt", "et"]), cache_folder=tmp_path)
    original = type(inside.kind).vectors

    def counted(self: Kind, case: object, labels: object) -> object:
        asked.append(case.case)  # type: ignore[attr-defined]
        return original(self, case, labels)  # type: ignore[arg-type]

    monkeypatch.setattr(type(inside.kind), "vectors", counted)
    pd.testing.assert_frame_equal(inside.transform(table), first, check_exact=True)
    assert asked == []
    next(iter(sorted(tmp_path.glob("*.json")))).write_text("{half of it")
    pd.testing.assert_frame_equal(inside.transform(table), first, check_exact=True)
    assert len(asked) == 1
    EmbeddingBranch(settings(weights, regions=["wt"]), cache_folder=tmp_path).transform(table)
    assert len(asked) == 3


def test_provenance_names_weights_by_hash_and_no_path(weights: Path, cohort: Path) -> None:
    branch = EmbeddingBranch(settings(weights))
    facts = branch.provenance_settings()
    assert facts["weights"] == "small"
    assert len(facts["weights_sha256"]) == 64
    assert facts["licence"] == "CC0-1.0"
    assert facts["arithmetic"] == "float32 on cpu"
    assert str(weights.parent) not in json.dumps(facts)
    inputs = branch.provenance_inputs(read_cohort(cohort))
    assert set(inputs) == {"a/t1c", "a/t2f", "a/mask", "b/t1c", "b/mask", "c/t1c", "c/t2f"}


def test_copies_leave_the_network_behind(weights: Path) -> None:
    branch = EmbeddingBranch(settings(weights))
    names = branch.get_feature_names_out().tolist()
    assert len(pickle.dumps(branch)) < 5000
    assert clone(branch).get_feature_names_out().tolist() == names
    assert pickle.loads(pickle.dumps(branch)).get_feature_names_out().tolist() == names


def test_numbers_that_are_not_finite_fail_the_case(
    weights: Path, cohort: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    branch = EmbeddingBranch(settings(weights, regions=["wt"]))
    bad = np.full(20, np.inf, dtype=np.float32)
    monkeypatch.setattr(type(branch.kind), "vectors", lambda self, case, labels: ({"wt": bad}, []))
    extraction = branch.extract(read_cohort(cohort).loc[["a"]])
    assert "not finite for wt" in extraction.failures[0].cause


def test_a_worker_of_a_cluster_gives_the_same_numbers(weights: Path, cohort: Path) -> None:
    row = read_cohort(cohort).loc["a"]
    chosen = settings(weights)
    key = {"a": branch_module._cache_key(row, EmbeddingBranch(chosen).kind)}
    remote = branch_module._remote_case("a", row, settings=chosen, cache_folder=None, keys=key)
    branch_module._kind_of.cache_clear()
    here = EmbeddingBranch(chosen).transform(read_cohort(cohort).loc[["a"]])
    assert list(remote.values.values()) == here.iloc[0].tolist()


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"mode": "early-fusion"}, "does not take mode"),
        ({"network": ADAPTER, "weights": "x"}, "does not take weights"),
        ({"network": "cnn3d", "regions": ["wt"]}, "does not take regions"),
        ({"network": "cnn3d", "shape": [0, 8, 8]}, "above 0"),
        ({"sequences": ["t1c", "t1c"]}, "every name once"),
    ],
)
def test_settings_that_mean_nothing_are_refused(values: dict[str, object], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        EmbeddingSettings.parse(values)


def test_the_branch_is_one_of_a_study() -> None:
    assert StudySettings.parse({"embedding": {"regions": ["wt"]}}).embedding.regions == ("wt",)


def test_the_command_writes_table_sidecar_and_failures(weights: Path, cohort: Path, tmp_path: Path) -> None:
    command = ["features", "embedding", str(cohort), "-o", str(tmp_path), "--weights", str(weights), "--quiet"]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 1, result.output
    assert "1 case(s) failed" in result.output
    features = pd.read_parquet(tmp_path / "features" / "embedding.parquet")
    assert features.shape == (2, 60)
    sidecar = json.loads((tmp_path / "features" / "embedding.json").read_text())
    assert sidecar["settings"]["weights"] == "small"
    assert pd.read_csv(tmp_path / "failed.csv")["case"].tolist() == ["c"]
