"""`radiogen habitats` as a user meets it: fit, resume, apply, refuse."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import adjusted_rand_score
from typer.testing import CliRunner

from radiogen.branches.habitats import clustering, fit
from radiogen.cli.main import app
from tests.branches.habitats.planted import CORNERS
from tests.conftest import save_nifti

SETTINGS = """
autoencoder: {epochs: 12, most_voxels: 2000, batch_size: 256}
sample_voxels: 2000
stability_splits: 2
n_references: 3
bo_init: 2
bo_steps: 0
quantile: [0.05, 0.05]
clusters: [3, 3]
n_refits: 1
"""
SIDE, CUBE = 18, slice(4, 14)


def run(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["habitats", *map(str, arguments)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.output


def write_case(folder: Path, name: str, rng: np.random.Generator, k: int = 3) -> dict[str, object]:
    """Write a head of noise with a cubic tumour of k parts, its mask and where the parts are; deaths come sooner where the last part is large."""
    widths = rng.dirichlet(np.full(k, 6.0))
    part = np.searchsorted(np.cumsum(widths)[:-1], np.arange(10) / 10, side="right")
    truth = np.zeros((SIDE,) * 3, dtype=np.uint8)
    truth[CUBE, CUBE, CUBE] = 1 + part[:, None, None]
    paths = {}
    for column, sequence in enumerate(("t1n", "t1c", "t2f")):
        image = np.zeros((SIDE,) * 3, dtype=np.float32)
        image[1:-1, 1:-1, 1:-1] = rng.normal(100, 10, (SIDE - 2,) * 3)
        inside = truth > 0
        image[inside] = 100 + 10 * (CORNERS[truth[inside] - 1, column] + rng.normal(0, 0.5, int(inside.sum())))
        paths[sequence] = str(save_nifti(folder / name / f"{sequence}.nii.gz", image))
    paths["mask"] = str(save_nifti(folder / name / "mask.nii.gz", (truth > 0).astype(np.uint8)))
    save_nifti(folder / name / "truth.nii.gz", truth)
    days = float(2000 * np.exp(-4 * (part == k - 1).mean()))
    site = ("west", "east")[int(name[4:]) % 2]
    return {
        "case": name,
        "patient": name,
        "site": site,
        **paths,
        "mask_labels": "whole-tumour",
        "os_days": days,
        "os_event": 1,
    }


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("habitats")
    rng = np.random.default_rng(0)
    pd.DataFrame([write_case(folder, f"case{number}", rng) for number in range(12)]).to_csv(
        folder / "cohort.csv", index=False
    )
    (folder / "settings.yaml").write_text(SETTINGS)
    code, output = run("fit", folder / "cohort.csv", "-c", folder / "settings.yaml", "-o", folder / "out")
    assert code == 0, output
    assert "3 habitats from 8 training patients" in output
    return folder, folder / "out"


def test_maps_show_the_planted_parts_on_the_files_own_grid(fitted: tuple[Path, Path]) -> None:
    folder, out = fitted
    truth, found = (nib.load(path) for path in (folder / "case3/truth.nii.gz", out / "maps/case3.nii.gz"))
    np.testing.assert_array_equal(truth.affine, found.affine)
    inside = np.asarray(truth.dataobj) > 0
    assert adjusted_rand_score(np.asarray(truth.dataobj)[inside], np.asarray(found.dataobj)[inside]) > 0.9
    assert not np.asarray(found.dataobj)[~inside].any()


def test_the_held_out_p_stands_beside_the_optimised_one(fitted: tuple[Path, Path]) -> None:
    result = json.loads((fitted[1] / "habitats.json").read_text())
    assert result["held_out"]["n_patients"] == 4
    assert 0 <= result["held_out"]["p"] <= 1
    assert "held-out" in (fitted[1] / "report.html").read_text()
    table = pd.read_csv(fitted[1] / "habitats.csv", index_col="case")
    assert len(table) == 12
    assert all(name.startswith("habitat_") for name in table.columns)


def test_what_changes_without_a_site_and_with_another_seed_is_said(fitted: tuple[Path, Path]) -> None:
    result = json.loads((fitted[1] / "habitats.json").read_text())
    assert [(each["kind"], each["name"]) for each in result["refits"]] == [
        ("site", "east"),
        ("site", "west"),
        ("seed", "1"),
    ]
    assert result["across"]["site"]["adjusted_rand_min"] > 0.9
    assert all(len(each["dice"]) == 3 for each in result["refits"])
    page = (fitted[1] / "report.html").read_text()
    assert "without site east" in page
    assert "Learned without one of 2 sites, at most " in page


KILLED = """
import os, signal, sys
from radiogen.pipeline import habitats
store = habitats._store
def killed(path, fingerprint, settings, done):
    store(path, fingerprint, settings, done)
    if len(done) == 2:
        os.kill(os.getpid(), signal.SIGKILL)
habitats._store = killed
from radiogen.cli.main import app
app(sys.argv[1:])
"""


def test_a_killed_search_goes_on_where_it_was(
    fitted: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    more = ("--encoder", "none", "--quantile", "0:0.1", "--alpha", "1", "--bo-steps", "1")
    # Beside the other one: its paths are relative to itself.
    pd.read_csv(fitted[0] / "cohort.csv", dtype=str)[:5].to_csv(fitted[0] / "five.csv", index=False)
    arguments = ["fit", fitted[0] / "five.csv", "-c", fitted[0] / "settings.yaml", *more, "-q", "-o", tmp_path]
    ended = subprocess.run([sys.executable, "-c", KILLED, "habitats", *map(str, arguments)], check=False)
    assert ended.returncode == -signal.SIGKILL
    stored = pd.read_csv(tmp_path / "optimisation.csv")
    assert len(stored) == 2
    assert not (tmp_path / "habitats.json").exists()
    asked: list[tuple[float, int]] = []
    evaluate = fit._evaluate
    monkeypatch.setattr(
        fit,
        "_evaluate",
        lambda data, settings, model, k: asked.append((model.gamma, k)) or evaluate(data, settings, model, k),
    )
    assert run(*arguments)[0] == 0
    done = pd.read_csv(tmp_path / "optimisation.csv")
    pd.testing.assert_frame_equal(done[:2], stored)
    assert asked == list(zip(done["gamma"][2:], done["k"][2:], strict=True))


def test_a_stopped_run_goes_on_without_asking_again_and_gives_the_same_bytes(
    fitted: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, out = fitted
    for name in ("optimisation.csv", "optimisation.state.json"):
        shutil.copy(out / name, tmp_path / name)
    monkeypatch.setattr(fit, "_evaluate", lambda *_: pytest.fail("it was evaluated before"))
    arguments = ("fit", folder / "cohort.csv", "-c", folder / "settings.yaml", "-o", tmp_path, "-q")
    assert run(*arguments)[0] == 0
    for name in (
        "optimisation.csv",
        "habitats.csv",
        "habitats.json",
        "model/model.safetensors",
        "pictures/case3.png",
    ):
        assert (tmp_path / name).read_bytes() == (out / name).read_bytes(), name
    before = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    assert run(*arguments)[0] == 0
    assert before == {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}


def test_a_frozen_model_divides_new_cases_and_a_broken_one_is_left_out(
    fitted: tuple[Path, Path], tmp_path: Path
) -> None:
    folder, out = fitted
    new = pd.read_csv(folder / "cohort.csv", dtype=str).iloc[[3, 4, 5]]
    new.loc[4, "mask"] = None
    new.loc[5, "t1n"] = None
    new.to_csv(tmp_path / "new.csv", index=False)
    code, output = run("apply", out / "model", tmp_path / "new.csv", "-o", tmp_path / "out")
    assert code == 1
    assert "1 case(s) divided" in output
    ours, theirs = (
        pd.read_csv(path / "habitats.csv", index_col="case").loc["case3"] for path in (tmp_path / "out", out)
    )
    pd.testing.assert_series_equal(ours, theirs)
    failed = pd.read_csv(tmp_path / "out/failed.csv").set_index("case")["cause"]
    assert failed.index.tolist() == ["case4", "case5"]
    assert "has no t1n; the model needs t1n, t1c, t2f" in failed["case5"]
    for name in ("maps/case3.nii.gz", "pictures/case3.png"):
        assert (tmp_path / "out" / name).read_bytes() == (out / name).read_bytes()
    page = (tmp_path / "out/report.html").read_text()
    assert "it learned nothing here" in page
    assert "case4: " in page
    assert str(tmp_path) not in page


def test_a_refusal_leaves_no_older_model_beside_it(
    fitted: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, out = fitted
    shutil.copytree(out, tmp_path / "out")
    monkeypatch.setattr(clustering, "SHALLOW_VALLEY", -1.0)
    more = ("--encoder", "none", "--alpha", "1", "-o", tmp_path / "out")
    code, output = run("fit", folder / "cohort.csv", "-c", folder / "settings.yaml", *more)
    assert code == 0
    assert "No habitats are reported: of 3 habitats two are no two" in output
    assert not (tmp_path / "out/model/model.json").exists()
    assert not list((tmp_path / "out/maps").iterdir())
    assert "none is reported and no model is written" in (tmp_path / "out/report.html").read_text()


def test_bad_ranges_and_strange_models_are_refused_in_one_line(fitted: tuple[Path, Path], tmp_path: Path) -> None:
    code, output = run("fit", fitted[0] / "cohort.csv", "--clusters", "three", "-o", tmp_path)
    assert code == 2
    assert "--clusters is 'three'; LOW:HIGH is accepted" in output
    code, output = run("apply", tmp_path, fitted[0] / "cohort.csv", "-o", tmp_path)
    assert code == 2
    assert "holds no habitat model" in output


def test_columns_that_were_learned_from_the_same_patients_are_no_features(fitted: tuple[Path, Path]) -> None:
    folder, out = fitted
    arguments = ["classify", folder / "cohort.csv", "-t", "idh", "--branches", "habitats", "-f", out / "habitats.csv"]
    result = CliRunner().invoke(app, [*map(str, arguments), "-o", str(out)])
    assert result.exit_code == 2
    assert "its columns know the test rows" in result.output
