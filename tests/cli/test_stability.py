from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from typer.testing import CliRunner, Result

from radiogen.cli.main import app
from tests.branches.cases import QUICK, labels, write_case, write_cohort_csv


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    path = tmp_path / "settings.yaml"
    path.write_text(yaml.safe_dump({**QUICK, "sequences": ["t1c"], "perturbations": ["mask-dilate-1", "noise-1"]}))
    return path


def run(folder: Path, *arguments: object) -> Result:
    command = ["stability", folder / "cohort.csv", "-o", folder / "study", "--quiet", *arguments]
    return CliRunner().invoke(app, [str(argument) for argument in command])


def test_one_case_has_variation_but_no_verdict_on_stability(tmp_path: Path, settings: Path) -> None:
    write_cohort_csv(tmp_path, [write_case(tmp_path, "a")])
    result = run(tmp_path, "--config", settings)
    assert result.exit_code == 0
    assert "mask: agreement between cases cannot be said from so few" in result.output
    table = pd.read_csv(tmp_path / "study/features/radiomics_stability.csv")
    assert set(table["category"]) == {"undetermined"}
    assert (table.loc[table["column"] == "wt_original_shape_MeshVolume", "cv"] >= 0).all()


def test_where_every_case_fails_the_reasons_are_said_and_nothing_is_drawn(tmp_path: Path, settings: Path) -> None:
    write_cohort_csv(tmp_path, [write_case(tmp_path, "a", without=("mask",))])
    result = run(tmp_path, "--config", settings)
    assert result.exit_code == 1
    assert "1 case(s) failed" in result.output
    assert "no mask" in (tmp_path / "study/failed.csv").read_text()
    assert not (tmp_path / "study/features").exists()


def test_a_region_that_no_case_has_is_said_at_once(tmp_path: Path) -> None:
    settings = tmp_path / "settings.yaml"
    settings.write_text(yaml.safe_dump({**QUICK, "regions": ["et"], "perturbations": ["noise-1"]}))
    write_cohort_csv(tmp_path, [write_case(tmp_path, "a", mask=np.where(labels() > 0, 2, 0).astype(np.uint8))])
    result = run(tmp_path, "--config", settings)
    assert result.exit_code == 2
    assert "No feature could be measured" in result.output
