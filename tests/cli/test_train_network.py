"""`radiogen train network`: a cohort gives a model on supervoxels, its graphs and its held-out Dice."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import typer
from typer.testing import CliRunner

from radiogen.branches.network.supervoxel_files import read_supervoxel_graph
from radiogen.branches.network.supervoxel_model import load_supervoxel_model, segment_by_supervoxels
from radiogen.branches.network.supervoxels import painted_dice
from radiogen.cli.train import register
from radiogen.cohort.case import read_case, read_case_mask
from radiogen.cohort.table import read_cohort, write_cohort
from radiogen.stats.overlap import dice
from tests.segment.training_data import phantom_cohort

QUICK = (
    *("--set", "graph.n_segments=3000", "--set", "network.layers=2", "--set", "network.width=16"),
    *("--set", "network.learning_rate=0.01", "--epochs", "20", "--quiet"),
)


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return phantom_cohort(tmp_path_factory.mktemp("cohort"), 4)


@pytest.fixture(scope="module")
def trained(cohort: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    out = tmp_path_factory.mktemp("trained")
    code, output = run(cohort, "-o", out, *QUICK, "--fold", 1, "--folds", 4)
    assert code == 0, output
    return out, output


def run(*arguments: object) -> tuple[int, str]:
    app = typer.Typer()
    register(app)
    result = CliRunner().invoke(app, ["train", "network", *map(str, arguments)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.output


def test_help_has_an_example() -> None:
    code, output = run("--help")
    assert code == 0
    assert "radiogen train network cohort.csv" in " ".join(output.split())


def test_a_model_its_graphs_and_its_held_out_dice(cohort: Path, trained: tuple[Path, str]) -> None:
    out, output = trained
    assert "learned from 3 case(s)" in output
    assert "Dice on 1 held-out case(s): wt " in output
    scores = pd.read_csv(out / "held_out.csv", index_col="case")
    case = str(scores.index[0])
    model = load_supervoxel_model(out)
    table = read_cohort(cohort)
    images = read_case(table.loc[case])
    mask = read_case_mask(table.loc[case], images.grid)
    found = segment_by_supervoxels(model, images)
    assert dice((found > 0), mask > 0) == pytest.approx(scores.loc[case, "wt"], abs=1e-6)
    assert 0 < scores.loc[case, "wt"] <= scores.loc[case, "wt_reachable"] + 0.05
    graph = read_supervoxel_graph(out / "supervoxel-graphs" / f"{case}.safetensors")
    assert painted_dice(graph, graph.labels)["wt"] == pytest.approx(scores.loc[case, "wt_reachable"])
    assert json.loads((out / "metrics.json").read_text())["held_out_dice"]["wt"] == pytest.approx(scores["wt"].mean())
    # What is standardised is that of the three training cases alone.
    others = [
        read_supervoxel_graph(out / "supervoxel-graphs" / f"{name}.safetensors") for name in table.index.drop(case)
    ]
    np.testing.assert_allclose(model.mean_, np.concatenate([each.node_values for each in others]).mean(0), rtol=1e-5)


def test_again_it_builds_no_graph_anew_and_ends_with_the_same_bytes(cohort: Path, trained: tuple[Path, str]) -> None:
    out, _ = trained
    names = ("supervoxel-network.safetensors", "supervoxel-model.json", "metrics.json", "held_out.csv")
    before = {name: (out / name).read_bytes() for name in names}
    written = {path: path.stat().st_mtime_ns for path in (out / "supervoxel-graphs").iterdir()}
    assert run(cohort, "-o", out, *QUICK, "--fold", 1, "--folds", 4)[0] == 0
    assert {path: path.stat().st_mtime_ns for path in (out / "supervoxel-graphs").iterdir()} == written
    assert {name: (out / name).read_bytes() for name in names} == before


def test_a_case_that_cannot_be_read_is_quarantined(cohort: Path, tmp_path: Path) -> None:
    table = read_cohort(cohort)
    broken, blind = table.index[0], table.index[1]
    (tmp_path / "broken.nii.gz").write_bytes(b"no")
    table.loc[broken, "t2f"] = str(tmp_path / "broken.nii.gz")
    table.loc[blind, "mask"] = None
    write_cohort(table, tmp_path / "cohort.csv")
    code, output = run(tmp_path / "cohort.csv", "-o", tmp_path / "out", *QUICK[:-3], "--epochs", 1, "--quiet")
    assert code == 1
    assert "learned from 2 case(s)" in output
    failed = pd.read_csv(tmp_path / "out" / "failed.csv")
    assert failed["case"].tolist() == [broken]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--recipe", "supervoxel-graphsag"), "Did you mean 'supervoxel-graphsage'"),
        (("--set", "graph.segments=3"), "unknown key"),
        (("--fold", "7"), "0 to 4 is accepted"),
    ],
)
def test_bad_settings_are_named(cohort: Path, tmp_path: Path, options: tuple[str, str], message: str) -> None:
    code, output = run(cohort, "-o", tmp_path / "out", *options, "--quiet")
    assert code == 2
    assert message in " ".join(output.split())


def test_a_cohort_without_masks_is_refused(cohort: Path, tmp_path: Path) -> None:
    table = read_cohort(cohort)
    table["mask"] = None
    write_cohort(table, tmp_path / "cohort.csv")
    code, output = run(tmp_path / "cohort.csv", "-o", tmp_path / "out", "--quiet")
    assert code == 2
    assert "No case has a mask to learn from" in output
