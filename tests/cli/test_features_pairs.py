from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk  # noqa: N813 - the name everyone gives it
from typer.testing import CliRunner

from radiogen.cli.main import app
from tests.branches.cases import image, labels


@pytest.fixture
def files(tmp_path: Path) -> Path:
    for number, name in enumerate("ab"):
        for role, data in (("images", image(number).astype(np.int16)), ("masks", labels())):
            (tmp_path / role).mkdir(exist_ok=True)
            sitk.WriteImage(sitk.GetImageFromArray(data), str(tmp_path / role / f"{name}.nrrd"))
    (tmp_path / "settings.yaml").write_text(
        "image_types: {Original: {}}\nfeature_classes: {shape: [Sphericity], firstorder: [Mean], glcm: [Contrast]}\n"
    )
    return tmp_path


def run(files: Path, *arguments: object, config: bool = True) -> tuple[int, str]:
    settings = ["--config", files / "settings.yaml"] if config else []
    command = ["features", "radiomics", *map(str, [*arguments, *settings]), "-o", str(files / "out"), "--quiet"]
    result = CliRunner().invoke(app, command)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.output


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.name: path.read_bytes() for path in sorted(folder.rglob("*")) if path.suffix != ".log" and path.is_file()
    }


def test_folders_give_a_table_a_dictionary_and_a_sidecar(files: Path) -> None:
    code, output = run(files, "--images", files / "images", "--masks", files / "masks", "--label", 2)
    assert code == 0
    assert "2 pairs, 3 columns" in output
    table = pd.read_parquet(files / "out" / "features" / "radiomics.parquet")
    assert table.index.tolist() == ["a", "b"]
    assert table.columns.tolist() == [
        "original_shape_Sphericity",
        "original_firstorder_Mean",
        "original_glcm_Contrast",
    ]
    assert table.notna().all().all()
    words = pd.read_csv(files / "out" / "features" / "radiomics_dictionary.csv", keep_default_na=False)
    assert words["column"].tolist() == table.columns.tolist()
    assert words["ibsi_code"].tolist() == ["QCFX", "Q4LE", "ACUI"]
    sidecar = json.loads((files / "out" / "features" / "radiomics.json").read_text())
    assert sidecar["settings"]["labels"] == {"a": 2, "b": 2}
    assert sidecar["discretisation"] == {"Original": "32 bins between the region's minimum and maximum"}
    assert sidecar["settings_from"].startswith("radiogen's defaults, with feature_classes, image_types set")
    assert str(files) not in json.dumps(sidecar)


def test_a_batch_table_carries_its_columns_and_its_failures(files: Path) -> None:
    batch = files / "batch.csv"
    batch.write_text(
        "ID,Image,Mask,Label,response\n"
        "x,images/a.nrrd,masks/a.nrrd,1,good\ny,images/a.nrrd,masks/a.nrrd,9,bad\nz,images/b.nrrd,masks/b.nrrd,3,bad\n"
    )
    code, output = run(files, batch)
    assert code == 1
    assert "1 case(s) failed" in output
    failed = pd.read_csv(files / "out" / "failed.csv", dtype=str)
    assert failed[["case", "stage"]].to_numpy().tolist() == [["y", "features-radiomics"]]
    assert "has no label 9; it has 1, 2, 3" in failed.loc[0, "cause"]
    table = pd.read_csv(files / "out" / "pairs.csv").set_index("case")
    assert table["response"].tolist() == ["good", "bad", "bad"]
    assert table["Image"].tolist() == ["images/a.nrrd", "images/a.nrrd", "images/b.nrrd"]
    assert table["original_shape_Sphericity"].isna().tolist() == [False, True, False]
    features = pd.read_csv(files / "out" / "features" / "radiomics.csv").set_index("case")
    assert features.index.tolist() == ["x", "z"]
    assert "response" not in features.columns
    batch.write_text(batch.read_text().replace(",9,", ",2,"))
    assert run(files, "--pairs", batch)[0] == 0
    assert not (files / "out" / "failed.csv").exists()


def test_jobs_and_a_second_run_give_the_same_bytes(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = ("--images", files / "images", "--masks", files / "masks", "--label", 2)
    assert run(files, *arguments)[0] == 0
    before = contents(files / "out")
    with monkeypatch.context() as patch:
        patch.setattr("radiogen.pipeline.radiomics_pairs.run_cases", lambda *_, **__: pytest.fail("computed again"))
        assert run(files, *arguments)[0] == 0
    monkeypatch.setenv("RADIOGEN_CACHE", str(files / "other-cache"))
    (files / "out" / "features" / "radiomics.json").unlink()
    assert run(files, *arguments, "--jobs", 2)[0] == 0
    assert contents(files / "out") == before


def test_a_table_that_already_has_features_can_be_given_again(files: Path) -> None:
    batch = files / "batch.csv"
    batch.write_text("case,Image,Mask,original_firstorder_Mean\nq,images/a.nrrd,masks/a.nrrd,-1\n")
    assert run(files, batch, "--label", 1)[0] == 0
    table = pd.read_csv(files / "out" / "pairs.csv")
    assert table.columns.tolist().count("original_firstorder_Mean") == 1
    assert table.loc[0, "original_firstorder_Mean"] > 0


def test_a_parameter_file_is_taken_unchanged(files: Path) -> None:
    params = files / "Params.yaml"
    params.write_text(
        "imageType: {Original: {}}\nfeatureClass: {glcm: [Contrast]}\nsetting: {binWidth: 25, label: 2}\n"
    )
    pair = ("--images", files / "images" / "a.nrrd", "--masks", files / "masks" / "a.nrrd")
    assert run(files, *pair, "--params", params, config=False)[0] == 0
    words = pd.read_csv(files / "out" / "features" / "radiomics_dictionary.csv", keep_default_na=False)
    assert words.loc[0, "discretisation"] == "bins of width 25"
    assert words.loc[0, "conformity"].startswith("deviates: bins of fixed width")
    sidecar = json.loads((files / "out" / "features" / "radiomics.json").read_text())
    assert sidecar["settings_from"] == "PyRadiomics parameter file"
    assert sidecar["discretisation"] == {"Original": "bins of width 25"}


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("--images", "x"),
        ("--masks", "x"),
        ("cohort.csv", "--pairs", "x"),
        ("--pairs", "x", "--images", "x", "--masks", "x"),
    ],
)
def test_one_source_is_asked_for(files: Path, arguments: tuple[str, ...]) -> None:
    code, output = run(files, *arguments)
    assert code == 2
    assert "Give one of: a cohort table, --pairs CSV, or --images with --masks" in output


def test_a_label_is_refused_for_a_cohort(files: Path) -> None:
    cohort = files / "cohort.csv"
    cohort.write_text("case,t1c,mask\na,images/a.nrrd,masks/a.nrrd\n")
    code, output = run(files, cohort, "--label", 1)
    assert code == 2
    assert "--label is for image and mask pairs" in output
