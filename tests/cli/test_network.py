"""`radiogen network`: templates are built and compared from the command line."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from radiogen.branches.network.template import load_template_file, save_template
from radiogen.cli.main import app
from tests.branches.network.made_up import AFFINE, CENTRES, SHAPE, made_up_template, permuted, spheres
from tests.conftest import save_nifti


def run(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.output


@pytest.fixture
def template(tmp_path: Path) -> Path:
    save_template(tmp_path / "a.npz", made_up_template())
    return tmp_path / "a.npz"


@pytest.mark.parametrize("command", [("network", "template"), ("network", "compare"), ("features", "network")])
def test_help_has_an_example(command: tuple[str, ...]) -> None:
    code, output = run(*command, "--help")
    assert code == 0
    assert f"Example: radiogen {' '.join(command)}" in " ".join(output.replace("│", " ").split())


def test_a_template_of_an_atlas_of_ones_own(tmp_path: Path) -> None:
    places = {"Front_L": (-30, 30, 10), "Back_L": (-30, -60, 10), "Front_R": (30, 30, 10), "Back_R": (30, -60, 10)}
    atlas = spheres(places)
    save_nifti(tmp_path / "own.nii.gz", atlas.nodes, atlas.grid.affine)
    names = pd.DataFrame({"label": range(1, 5), "name": list(places)})
    names.to_csv(tmp_path / "names.csv", index=False)
    (tmp_path / "settings.yaml").write_text("voxel_mm: 4\ncorridors: {density: 1.0}\n")
    given = ("--nodes", tmp_path / "own.nii.gz", "--names", tmp_path / "names.csv", "-c", tmp_path / "settings.yaml")
    code, output = run("network", "template", *given, "-o", tmp_path / "t.npz", "-q")
    assert code == 0, output
    assert "own-4: 4 regions, 6 connections (100.0% of all pairs)" in output
    built = load_template_file(tmp_path / "t.npz")
    assert built.node_names == tuple(places)
    assert (tmp_path / "t.png").read_bytes().startswith(b"\x89PNG")
    sidecar = (tmp_path / "t.json").read_text()
    assert json.loads(sidecar)["numbers"]["n_edges"] == 6
    assert str(tmp_path) not in sidecar
    code, output = run("network", "template", "-o", tmp_path / "t.txt", "-q")
    assert code == 2
    assert "ending in .npz" in output
    code, output = run("network", "template", "--nodes", tmp_path / "gone.nii.gz", "-o", tmp_path / "u.npz", "-q")
    assert code == 2
    assert "neither a file nor one of" in output


def test_a_template_agrees_with_itself_and_less_with_another(tmp_path: Path, template: Path) -> None:
    code, output = run("network", "compare", template, template, "-o", tmp_path / "same", "-q")
    assert code == 0, output
    assert "all: 7 and 7 connections, 7 shared; Dice 1.000" in output
    matrix = np.zeros((6, 6))
    matrix[0, 1] = matrix[0, 2] = matrix[1, 4] = 3.0
    np.savetxt(tmp_path / "group.csv", matrix, delimiter=",")
    code, output = run("network", "compare", template, tmp_path / "group.csv", "-o", tmp_path / "matrix", "-q")
    assert code == 0, output
    table = pd.read_csv(tmp_path / "matrix" / "agreement.csv", index_col="connections")
    assert table.loc["all", ["n_first", "n_second", "n_shared"]].tolist() == [7, 3, 2]
    assert table.loc["all", "dice"] == pytest.approx(2 * 2 / 10)
    assert table.loc["strongest", ["n_first", "n_second"]].tolist() == [3, 3]
    facts = json.loads((tmp_path / "same" / "agreement.json").read_text())
    assert facts["voxels"]["second_inside_first_mean"] == 1.0
    assert facts["voxels"]["second_inside_first_mean_other_connection"] < 0.5
    assert (tmp_path / "same" / "agreement.png").is_file()


def test_named_tracts_beside_connections(tmp_path: Path, template: Path) -> None:
    volumes = np.zeros((*SHAPE, 2), dtype=np.uint8)
    first, last = CENTRES["Frontal_Sup_L"], CENTRES["Temporal_Mid_L"]
    volumes[first[0], last[1] : first[1] + 1, first[2], 0] = 100  # the connection of both, 8 voxels
    volumes[0, 0, :4, 1] = 80
    volumes[0, 0, 4:, 1] = 10  # too improbable
    nib.save(nib.Nifti1Image(volumes, AFFINE), tmp_path / "tracts.nii.gz")
    (tmp_path / "tracts.txt").write_text("Arcuate_L\nElsewhere\n")
    tracts = ("--tracts", tmp_path / "tracts.nii.gz", "--tract-names", tmp_path / "tracts.txt")
    code, output = run("network", "compare", template, template, "-o", tmp_path / "out", *tracts, "-q")
    assert code == 0, output
    table = pd.read_csv(tmp_path / "out" / "tracts.csv").drop_duplicates("tract").set_index("tract")
    assert table.loc["Arcuate_L", ["covered", "best_dice"]].tolist() == [1.0, 1.0]
    assert table.loc["Arcuate_L", "best_connection"] == "Frontal_Sup_L - Temporal_Mid_L"
    assert table.loc["Elsewhere", ["tract_ml", "covered", "best_dice"]].tolist() == [4 * 0.064, 0.0, 0.0]
    assert table.loc[["Elsewhere"], "best_connection"].isna().all()
    (tmp_path / "tracts.txt").write_text("only one\n")
    code, output = run("network", "compare", template, template, "-o", tmp_path / "out", *tracts, "-q")
    assert code == 2
    assert "1 names" in output


def test_what_cannot_be_compared_is_refused(tmp_path: Path, template: Path) -> None:
    other = tmp_path / "b.npz"
    save_template(other, permuted(made_up_template(), [3, 0, 5, 2, 4, 1]))
    code, output = run("network", "compare", template, other, "-o", tmp_path / "out", "-q")
    assert code == 2
    assert "different regions" in output
    np.savetxt(tmp_path / "small.csv", np.ones((3, 3)), delimiter=",")
    code, output = run("network", "compare", template, tmp_path / "small.csv", "-o", tmp_path / "out", "-q")
    assert code == 2
    assert "3 x 3" in output
    assert not (tmp_path / "out").exists()
