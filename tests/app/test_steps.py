"""One case from its files to its zip, without a page."""

from __future__ import annotations

import zipfile
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from radiogen.app import steps, work
from radiogen.app.classifier import Prediction, model_folder, predict
from radiogen.app.files import Upload, receive
from radiogen.app.identify import MASK, Item, choose, find_items
from radiogen.app.steps import (
    Finished,
    check_case_id,
    make_case,
    methods,
    prepare,
    share_grid,
    volumes,
    words_of,
)
from radiogen.app.work import Wishes, again, make
from radiogen.cohort.masks import region_volumes_ml
from radiogen.cohort.nifti import read_labels
from radiogen.config.app import AppSettings
from radiogen.config.evaluate import EvaluateSettings
from radiogen.config.preprocess import PreprocessSettings
from radiogen.errors import CaseError, InputError
from radiogen.pipeline.classify import run_classify
from radiogen.stats.overlap import dice
from tests.app.data import nifti_bytes, phantom, uploads
from tests.cohort.dicom_data import FOUR, PHI_MARK, STUDY_DATE, from_grid, write_series
from tests.fusion.data import FAST, made_up


def chosen_of(files: list[Upload], folder: Path, **corrections: str) -> dict[str, Item]:
    items = find_items(receive(files, folder, AppSettings()), folder, AppSettings())
    return choose(items, [corrections.get(Path(item.name).name.split(".")[0], item.role) for item in items])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("case")


@pytest.fixture(scope="module")
def chosen(folder: Path) -> dict[str, Item]:
    return chosen_of([Upload(f"JaneDoe_{one.name}", one.content) for one in uploads()], folder)


@pytest.fixture(scope="module")
def finished(chosen: dict[str, Item], folder: Path) -> tuple[Finished, Path, list[str]]:
    said: list[str] = []
    done, packed = make(chosen, folder / "study", Wishes("case-7", age=50.0, sex="F"), say=said.append)
    return done, packed, said


def test_the_mask_lies_on_the_images_and_finds_the_tumour(finished: tuple[Finished, Path, list[str]]) -> None:
    done, packed, said = finished
    assert not done.prepared.preprocessed
    assert dice(done.labels > 0, phantom().labels > 0) > 0.5
    assert said[-1] == "Writing the report"
    with zipfile.ZipFile(packed) as archive:
        archive.extract("case-7/mask.nii.gz", packed.parent)
    mask = nib.load(packed.parent / "case-7" / "mask.nii.gz")
    assert mask.shape == phantom().grid.shape
    assert np.allclose(mask.affine, phantom().grid.affine)
    stored = phantom().grid.to_canonical(np.asarray(mask.dataobj))
    assert (stored == done.labels).all()


def test_volumes_are_those_of_the_mask(finished: tuple[Finished, Path, list[str]]) -> None:
    done = finished[0]
    table = volumes(done).set_index("region")["volume_ml"]
    expected = region_volumes_ml(done.labels, done.images.grid)
    assert table["whole tumour"] == pytest.approx(expected["wt_ml"], abs=1e-3)
    labels = table[table.index.str.startswith("label")]
    assert labels.sum() == pytest.approx(expected["wt_ml"], abs=1e-3)


def test_the_zip_tells_no_name_no_date_no_path_and_is_always_the_same(
    finished: tuple[Finished, Path, list[str]], chosen: dict[str, Item]
) -> None:
    done, packed, _ = finished
    before = packed.read_bytes()
    with zipfile.ZipFile(packed) as archive:
        names = archive.namelist()
        contents = {name: archive.read(name) for name in names}
        assert all(entry.date_time == (1980, 1, 1, 0, 0, 0) for entry in archive.infolist())
    assert {"report.html", "volumes.csv", "mask.nii.gz", "mask.json", "picture.png"} == {
        name.removeprefix("case-7/") for name in names
    }
    for content in contents.values():
        assert b"JaneDoe" not in content
        assert str(done.study.parent).encode() not in content
    assert b"Research use only" in contents["case-7/report.html"]
    assert again(done, chosen).read_bytes() == before


def test_images_on_two_grids_are_not_taken_as_one(tmp_path: Path) -> None:
    made = phantom()
    image, affine = made.grid.from_canonical(made.images["t1c"]), made.grid.affine
    moved = affine.copy()
    moved[0, 3] += 5.0
    files = [Upload("a_t1c.nii.gz", nifti_bytes(image, affine)), Upload("a_t2f.nii.gz", nifti_bytes(image, moved))]
    pair = chosen_of(files, tmp_path)
    assert not share_grid({name: item.read() for name, item in pair.items()})
    assert share_grid({"t1c": pair["t1c"].read()})


def test_a_given_mask_is_used(tmp_path: Path) -> None:
    grid = phantom().grid
    seg = Upload("seg.nii.gz", nifti_bytes(grid.from_canonical(phantom().labels), grid.affine))
    given = chosen_of([*uploads("t2f"), seg], tmp_path, seg=MASK)
    done, _ = make(given, tmp_path / "study", Wishes())
    assert done.facts["method"] == "given"
    assert (done.labels == phantom().labels).all()
    assert done.images.missing == ["t1n", "t1c", "t2w"]
    assert any("missing" in flag for flag in done.prepared.flags)


def test_nothing_half_made_is_left(chosen: dict[str, Item], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(work, "write_report", full)
    with pytest.raises(OSError, match="No space") as caught:
        make(chosen, tmp_path / "study", Wishes())
    assert not (tmp_path / "study").exists()
    assert "free space" in words_of(caught.value)
    with pytest.raises(InputError, match="'nothing' is not installed"):
        make(chosen, tmp_path / "study", Wishes(method="nothing"))
    assert not (tmp_path / "study").exists()


def test_messages_are_plain() -> None:
    assert words_of(CaseError("No brain.", hint="Look.")) == "No brain. Look."
    unexpected = words_of(ZeroDivisionError("/secret/path"))
    assert "secret" not in unexpected
    assert "ZeroDivisionError" in unexpected
    assert "flair-threshold" in methods()
    assert model_folder(" 'out/model' ") == Path("out/model")
    with pytest.raises(InputError, match="No folder of a model"):
        model_folder(" ")
    for bad in ("", "../x", "Jane Doe", "a" * 41):
        with pytest.raises(InputError, match="cannot be a case id"):
            check_case_id(bad)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("classify")
    features, cohort = made_up(24)
    quick = EvaluateSettings(bootstrap_resamples=100, permutations=99)
    run_classify({"clinical": features["clinical"]}, cohort, "idh", out, FAST, evaluate=quick)
    return out / "model"


def test_a_model_answers_with_its_doubts(
    finished: tuple[Finished, Path, list[str]], chosen: dict[str, Item], model: Path
) -> None:
    done = finished[0]
    answer = predict(done, model)
    assert 0 < float(answer.row["y_prob"]) < 1
    assert answer.interval is None
    assert "all" in answer.call
    assert answer.card_text.startswith("# Model card: IDH mutated")
    with zipfile.ZipFile(again(done, chosen, answer)) as archive:
        page = archive.read("case-7/report.html").decode()
        table = pd.read_csv(archive.open("case-7/predictions.csv"))
    assert "Probability: IDH mutated" in page
    assert "the model gives none" in page
    assert str(model) not in page
    assert table["y_prob"].tolist() == [float(answer.row["y_prob"])]
    with pytest.raises(InputError, match="is not a model of radiogen"):
        predict(done, model.parent)


@pytest.mark.parametrize(
    ("found", "words"),
    [("positive", "Call: IDH mutated"), ("negative", "Call: not IDH"), ("both", "No call"), ("none", "No call")],
)
def test_calls_and_intervals_in_words(found: str, words: str) -> None:
    card = {"positive_means": "IDH mutated", "decision": {"coverage": 0.9}}
    row = pd.Series({"y_prob": 0.5, "y_prob_low": 0.2, "y_prob_high": 0.7, "prediction_set": found})
    answer = Prediction(row, card, "")
    assert words in answer.call
    assert "90%" in answer.call
    assert answer.interval == (0.2, 0.7)


def test_age_and_sex_reach_the_case(chosen: dict[str, Item]) -> None:
    row = make_case("a", chosen, 61.0, "M").row
    assert (row["age"], row["sex"]) == (61.0, "M")
    assert np.isnan(make_case("a", chosen).row["age"])


def test_dicom_goes_through_registration_and_back_without_a_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(steps, "PreprocessSettings", lambda: PreprocessSettings(spacing_mm=4.0, bias="none"))
    made = phantom()
    data, affine = from_grid(made.images["t2f"], made.grid)
    write_series(tmp_path / "in", data, affine, FOUR["t2f"])
    files = [
        Upload(path.relative_to(tmp_path / "in").as_posix(), path.read_bytes())
        for path in (tmp_path / "in").rglob("*.dcm")
    ]
    given = chosen_of(files, tmp_path)
    direct = prepare(make_case("a", given), tmp_path / "direct")
    assert not direct.preprocessed
    assert sorted(path.name for path in (tmp_path / "direct" / "images").iterdir()) == ["t2f.nii.gz"]
    done, packed = make(given, tmp_path / "study", Wishes("a", register=True))
    assert done.prepared.preprocessed
    with zipfile.ZipFile(packed) as archive:
        assert {"a/mask.nii.gz", "a/mask-on-scan.nii.gz", "a/preprocessed/t2f.nii.gz"} <= set(archive.namelist())
        archive.extract("a/mask-on-scan.nii.gz", tmp_path)
        contents = [archive.read(name) for name in archive.namelist() if not name.endswith(".gz")]
    assert not any(mark.encode() in content for content in contents for mark in (PHI_MARK, STUDY_DATE, str(tmp_path)))
    mask, grid = read_labels(tmp_path / "a" / "mask-on-scan.nii.gz")
    assert grid.same_space(given["t2f"].read().grid)
    assert dice(mask > 0, made.labels > 0) > 0.4
