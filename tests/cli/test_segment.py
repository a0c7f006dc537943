from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from radiogen.cli.main import app
from radiogen.cohort.phantoms import write_phantom_cohort
from radiogen.config.phantoms import PhantomSettings
from tests.segment.data import tiny_weights


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("phantoms")
    return write_phantom_cohort(folder, 2, seed=8, settings=PhantomSettings(spacing_mm=4.0), jobs=1, progress=False)


def run(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["segment", *[str(argument) for argument in arguments]])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.output


def test_a_cohort_gives_masks_pictures_volumes_and_a_new_cohort(phantoms: Path, tmp_path: Path) -> None:
    code, output = run(phantoms, "-o", tmp_path, "--quiet")
    assert code == 0
    assert "phantom-001: whole tumour" in output
    for name in ("masks/phantom-001.nii.gz", "masks/phantom-001.json", "qc/phantom-002.png", "volumes.csv"):
        assert (tmp_path / name).stat().st_size > 0
    table = pd.read_csv(tmp_path / "cohort.csv", dtype=str)
    assert table["mask"].tolist() == ["masks/phantom-001.nii.gz", "masks/phantom-002.nii.gz"]
    assert set(table["mask_labels"]) == {"brats2023"}


def test_a_folder_of_cases_needs_no_table(phantoms: Path, tmp_path: Path) -> None:
    code, _output = run(phantoms.parent / "images", "-o", tmp_path, "--quiet")
    assert code == 0
    assert sorted(path.name for path in (tmp_path / "masks").glob("*.nii.gz")) == [
        "phantom-001.nii.gz",
        "phantom-002.nii.gz",
    ]


def test_a_folder_of_one_case_too(phantoms: Path, tmp_path: Path) -> None:
    code, _ = run(phantoms.parent / "images" / "phantom-002", "-o", tmp_path, "--quiet")
    assert code == 0
    assert [path.name for path in (tmp_path / "masks").glob("*.nii.gz")] == ["phantom-002.nii.gz"]


def test_weights_that_are_not_there_stop_the_run(phantoms: Path, tmp_path: Path) -> None:
    code, output = run(phantoms, "-o", tmp_path, "--weights", tmp_path / "none.safetensors", "--quiet")
    assert code == 2
    assert "not found" in output


def test_a_network_runs_from_the_command_line(phantoms: Path, tmp_path: Path) -> None:
    weights = tiny_weights(tmp_path, thresholds={"wt": 0.0, "tc": 0.0, "et": 0.0})
    code, output = run(phantoms, "-o", tmp_path / "study", "--weights", weights, "--device", "cpu", "--quiet")
    assert code == 0
    assert "(network:tiny)" in output


def test_two_networks_that_disagree_flag_the_case_everywhere(phantoms: Path, tmp_path: Path) -> None:
    low = {"wt": 0.0, "tc": 0.0, "et": 0.0}
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    first, second = (
        tiny_weights(tmp_path / "a", thresholds=low),
        tiny_weights(tmp_path / "b", thresholds=low, sequences=("t1n", "t2w", "t1c", "t2f")),
    )
    (tmp_path / "settings.yaml").write_text("least_agreement: 1.0\nsmallest_ml: 0.0\n")
    card = json.loads((tmp_path / "b" / "tiny.json").read_text())
    (tmp_path / "b" / "tiny.json").write_text(json.dumps({**card, "thresholds": {"wt": 1.0}}))
    code, output = run(
        phantoms, "-o", tmp_path / "study", "--weights", first, "--weights", second, "--uncertainty", "ensemble",
        "--uncertainty-map", "--save-probabilities", "--config", tmp_path / "settings.yaml", "--device", "cpu", "--quiet",
    )  # fmt: skip
    assert code == 0, output
    assert "look at this: answers agree only" in output
    assert "(network:tiny+tiny)" in output
    volumes = pd.read_csv(tmp_path / "study" / "volumes.csv", index_col="case")
    assert volumes["flagged"].all()
    assert pd.read_csv(tmp_path / "study" / "cohort.csv")["flag_reason"].str.contains("agree only").all()
    facts = json.loads((tmp_path / "study" / "masks" / "phantom-001.json").read_text())
    assert facts["uncertainty"] == {"from": "ensemble", "passes": 2}
    assert (tmp_path / "study" / "probabilities" / "phantom-001.safetensors").is_file()
    assert (tmp_path / "study" / "uncertainty" / "phantom-001.nii.gz").is_file()
    title = json.loads((tmp_path / "study" / "qc" / "phantom-001.json").read_text())["settings"]["title"]
    assert title.startswith("phantom-001 - look at this: answers agree only")


def test_postprocessing_is_read_from_a_file(phantoms: Path, tmp_path: Path) -> None:
    weights = tiny_weights(tmp_path)
    (tmp_path / "rules.json").write_text(json.dumps({"thresholds": {"wt": 0.0, "tc": 0.99, "et": 0.99}}))
    code, output = run(
        phantoms, "-o", tmp_path / "study", "--weights", weights, "--postprocess", tmp_path / "rules.json", "--quiet"
    )
    assert code == 0, output
    assert "core 0.0 ml, enhancing 0.0 ml" in output
    (tmp_path / "rules.json").write_text(json.dumps({"threshold": {"wt": 0.0}}))
    code, output = run(
        phantoms, "-o", tmp_path / "study", "--weights", weights, "--postprocess", tmp_path / "rules.json", "--quiet"
    )
    assert code == 2
    assert "did you mean 'thresholds'" in output


def test_an_uncertainty_that_does_not_exist_is_refused(phantoms: Path, tmp_path: Path) -> None:
    code, output = run(phantoms, "-o", tmp_path / "study", "--uncertainty", "dropout", "--quiet")
    assert code == 2
    assert "mc-dropout" in output


def test_a_typo_in_the_settings_is_named(phantoms: Path, tmp_path: Path) -> None:
    (tmp_path / "settings.yaml").write_text("smalest_ml: 1\n")
    code, output = run(phantoms, "-o", tmp_path / "study", "--config", tmp_path / "settings.yaml", "--quiet")
    assert code == 2
    assert "did you mean 'smallest_ml'" in output
