from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from radiogen.cli.main import app
from radiogen.run.provenance import sidecar_path
from tests.branches.cases import write_case, write_cohort_csv


@pytest.fixture
def cohort_csv(tmp_path: Path) -> Path:
    return write_cohort_csv(
        tmp_path, [write_case(tmp_path, "007"), write_case(tmp_path, "b", seed=1, without=("t2w",))]
    )


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "settings.yaml"
    path.write_text("image_types: {Original: {}}\nfeature_classes: {shape: [Sphericity], firstorder: [Mean]}\n")
    return path


def run(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["features", *map(str, arguments), "--quiet"])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.output


def snapshot(study: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((study / "features").iterdir())}


def test_radiomics_writes_the_table_its_dictionary_and_its_sidecar(
    cohort_csv: Path, config: Path, tmp_path: Path
) -> None:
    study = tmp_path / "study"
    code, output = run("radiomics", cohort_csv, "-o", study, "--config", config)
    assert code == 0, output
    assert "2 cases, 15 columns" in output
    table = pd.read_parquet(study / "features" / "radiomics.parquet")
    assert table.index.tolist() == ["007", "b"]
    assert table.loc["b", "t2w_wt_original_firstorder_Mean":"t2w_et_original_firstorder_Mean"].isna().all()
    text = pd.read_csv(study / "features" / "radiomics.csv", dtype={"case": str}).set_index("case")
    pd.testing.assert_frame_equal(text, table, check_index_type=False)
    dictionary = pd.read_csv(study / "features" / "radiomics_dictionary.csv")
    assert dictionary["column"].tolist() == table.columns.tolist()
    sidecar = json.loads(sidecar_path(study / "features" / "radiomics.parquet").read_text())
    assert sidecar["notes"] == {"b": ["t2w: the case has no such sequence"]}
    assert sidecar["settings"]["normalisation"] == "zscore"
    assert sidecar["discretisation"] == {"Original": "32 bins between the region's minimum and maximum"}
    assert str(tmp_path) not in json.dumps(sidecar)
    assert not (study / "failed.csv").exists()


def test_a_second_run_reads_back_and_changed_settings_do_not(
    cohort_csv: Path, config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = tmp_path / "study"
    run("radiomics", cohort_csv, "-o", study, "--config", config)
    before = snapshot(study)
    with monkeypatch.context() as patch:
        patch.setattr(
            "radiogen.branches.radiomics.branch.case_features", lambda *args, **kwargs: pytest.fail("computed again")
        )
        assert run("radiomics", cohort_csv, "-o", study, "--config", config)[0] == 0
    assert snapshot(study) == before
    config.write_text(config.read_text() + "normalisation: none\n")
    assert run("radiomics", cohort_csv, "-o", study, "--config", config)[0] == 0
    assert snapshot(study) != before


def test_jobs_give_the_same_bytes(
    cohort_csv: Path, config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("radiomics", cohort_csv, "-o", tmp_path / "one", "--config", config)
    monkeypatch.setenv("RADIOGEN_CACHE", str(tmp_path / "other-cache"))
    run("radiomics", cohort_csv, "-o", tmp_path / "two", "--config", config, "--jobs", 2)
    assert snapshot(tmp_path / "one") == snapshot(tmp_path / "two")


def test_a_failing_case_is_listed_and_tried_again(tmp_path: Path, config: Path) -> None:
    rows = [write_case(tmp_path, "a"), write_case(tmp_path, "b", seed=1)]
    mask = (tmp_path / "a" / "mask.nii.gz").read_bytes()
    (tmp_path / "a" / "mask.nii.gz").write_bytes(b"damaged")
    path, study = write_cohort_csv(tmp_path, rows), tmp_path / "study"
    for _ in range(2):
        code, output = run("radiomics", path, "-o", study, "--config", config)
        assert code == 1
        assert "1 case(s) failed" in output
        failed = pd.read_csv(study / "failed.csv", dtype=str)
        assert failed[["case", "stage"]].to_numpy().tolist() == [["a", "features-radiomics"]]
        assert pd.read_parquet(study / "features" / "radiomics.parquet").index.tolist() == ["b"]
    (tmp_path / "a" / "mask.nii.gz").write_bytes(mask)
    assert run("radiomics", path, "-o", study, "--config", config)[0] == 0
    assert not (study / "failed.csv").exists()
    assert pd.read_parquet(study / "features" / "radiomics.parquet").index.tolist() == ["a", "b"]


def test_clinical_writes_its_table(cohort_csv: Path, tmp_path: Path) -> None:
    assert run("clinical", cohort_csv, "-o", tmp_path / "study")[0] == 0
    table = pd.read_csv(tmp_path / "study" / "features" / "clinical.csv", dtype={"case": str}).set_index("case")
    assert table.columns.tolist() == ["age", "sex_male", "wt_ml", "tc_ml", "et_ml"]
    assert table.loc["007", "wt_ml"] > table.loc["007", "tc_ml"] > table.loc["007", "et_ml"] > 0
    assert run("clinical", cohort_csv, "-o", tmp_path / "study")[0] == 0


def test_a_parameter_file_is_taken_and_a_typo_in_it_is_bad_input(cohort_csv: Path, tmp_path: Path) -> None:
    params = tmp_path / "Params.yaml"
    params.write_text("imageType: {Original: {}}\nfeatureClass: {firstorder: [Mean]}\nsetting: {binWidth: 25}\n")
    assert run("radiomics", cohort_csv, "-o", tmp_path / "study", "--params", params)[0] == 0
    params.write_text("imageType: {Original: {}}\nsetting: {binWith: 25}\n")
    code, output = run("radiomics", cohort_csv, "-o", tmp_path / "other", "--params", params)
    assert code == 2
    assert "Did you mean 'binWidth'" in output
    assert not (tmp_path / "other" / "features").exists()


@pytest.mark.parametrize("branch", ["radiomics", "clinical"])
def test_help_has_an_example(branch: str) -> None:
    result = CliRunner().invoke(app, ["features", branch, "--help"])
    assert result.exit_code == 0
    assert f"radiogen features {branch}" in result.output
