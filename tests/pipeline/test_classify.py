"""`run_classify` and `run_predict`: what they write, that they write it once, and the same bytes always."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from radiogen.cohort.labels import normalise_labels
from radiogen.config.evaluate import EvaluateSettings
from radiogen.errors import CohortError, InputError
from radiogen.fusion.bundle import load_model
from radiogen.pipeline import classify
from radiogen.pipeline.classify import clinical_facts, run_classify, table_hash
from radiogen.pipeline.inputs import (
    card_settings,
    from_cohort,
    from_tables,
    match_labels,
    read_labels,
    settings_from_card,
)
from radiogen.pipeline.predict import run_predict, warnings_about
from tests.fusion.data import FAST, made_up

QUICK = EvaluateSettings(bootstrap_resamples=200, permutations=199)
OUTPUTS = [
    "importance.csv", "methods.md", "metrics.json", "predictions.csv", "predictions.json", "references.bib", "report.html",
    "scores.csv", "tuning.csv",
    *(f"reporting/{form}.{kind}" for form in ("clear", "metrics-form", "tripod-ai") for kind in ("csv", "md")),
]  # fmt: skip


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("idh")
    features, cohort = made_up(60, strength=3.0, sites="ABC")
    run_classify(features, cohort, "idh", out, FAST, evaluate=QUICK, synthetic=True)
    return out


def test_everything_is_written(done: Path) -> None:
    files = files_of(done)
    assert sorted(files) == sorted(
        [
            *OUTPUTS,
            "model/card.json",
            "model/card.md",
            "model/familiarity.safetensors",
            "model/features.csv",
            "model/model.skops",
        ]
    )
    metrics = json.loads(files["metrics.json"])
    assert metrics["split"] == "site-held-out"
    assert metrics["auc"] > 0.85
    assert metrics["n"] == 60
    assert metrics["n_features"] == 23
    assert metrics["synthetic"] is True
    assert {row["name"] for row in metrics["baselines"]} >= {"age", "sex"}
    assert any("60 cases with features" in note for note in metrics["notes"])
    predictions = pd.read_csv(done / "predictions.csv")
    assert len(predictions) == 60
    card = load_model(done / "model").card
    assert card["out_of_fold"]["auc"] == metrics["auc"]
    assert card["synthetic"] is True


def test_unchanged_is_kept_changed_is_made_again(done: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    features, cohort = made_up(60, strength=3.0, sites="ABC")
    before = files_of(done)
    with monkeypatch.context() as patch:
        patch.setattr(classify, "cross_validate", None)  # would fail if it were called
        metrics = run_classify(features, cohort, "idh", done, FAST, evaluate=QUICK, synthetic=True)
    assert metrics == json.loads(before["metrics.json"])
    (done / "importance.csv").write_text("spoiled")
    run_classify(features, cohort, "idh", done, FAST, evaluate=QUICK, synthetic=True)
    assert files_of(done) == before


def test_other_inputs_or_settings_are_not_taken_for_the_same() -> None:
    table = pd.DataFrame({"x": [1.0, np.nan], "s": ["a", None]}, index=["p", "q"])
    assert table_hash(table) == table_hash(table.copy())
    assert table_hash(table) != table_hash(table.rename(columns={"x": "y"}))
    assert table_hash(table) != table_hash(table.assign(x=[1.0, 2.0]))
    assert table_hash(table) != table_hash(table.set_axis(["p", "r"]))


def test_nothing_is_written_when_it_cannot_be_done(tmp_path: Path) -> None:
    features, cohort = made_up(30)
    with pytest.raises(InputError, match="Fewer cases than folds"):
        run_classify(features, cohort, "idh", tmp_path / "out", FAST.model_copy(update={"folds": 20}), evaluate=QUICK)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ({"wt_ml": 12.0, "t1c_wt_original_shape_MeshVolume": 5000.0}, 12.0),
        ({"t2f_wt_original_shape_MeshVolume": 5000.0}, 5.0),
        ({"original_shape_MeshVolume": 3000.0, "original_shape_VoxelVolume": 1.0}, 3.0),
    ],
)
def test_volume_is_found_for_the_baseline(columns: dict[str, float], expected: float) -> None:
    cohort = pd.DataFrame({"age": [50.0]}, index=["a"])
    facts = clinical_facts({"radiomics": pd.DataFrame(columns, index=["a"])}, cohort)
    assert facts.loc["a", "wt_ml"] == expected
    assert facts.loc["a", "age"] == 50.0
    assert "wt_ml" not in clinical_facts({"radiomics": pd.DataFrame({"x": [1.0]}, index=["a"])}, cohort)


def test_predict_on_new_and_old_cases(done: Path, tmp_path: Path) -> None:
    features, cohort = made_up(60, strength=3.0, sites="ABC")
    fresh, fresh_cohort = made_up(20, strength=3.0, seed=5)
    rename = {case: case.replace("case", "new") for case in fresh_cohort.index}
    both = {name: pd.concat([table.iloc[:2], fresh[name].rename(index=rename)]) for name, table in features.items()}
    cohort = pd.concat([cohort.iloc[:2], fresh_cohort.assign(patient=None).rename(index=rename)])
    table = run_predict(done / "model", both, tmp_path, cohort=cohort)
    assert pd.read_csv(tmp_path / "predictions.csv")["y_prob"].tolist() == table["y_prob"].tolist()
    assert table.columns.tolist()[:9] == [
        "case",
        "patient",
        "site",
        "target",
        "y_true",
        "y_prob",
        "split",
        "repeat",
        "model",
    ]
    assert table.set_index("case")["in_training"].sum() == 2
    assert set(table["prediction_set"]) <= {"positive", "negative", "both", "none"}
    assert table["threshold"].nunique() == 1
    assert (table["strangeness"] > 0).all()
    assert table.loc[table["strangeness"] > 1, "out_of_distribution"].all()
    new = table[~table["in_training"]]
    assert (new["patient"] == new["case"]).all()
    assert new.loc[new["y_true"] == 1, "y_prob"].mean() > new.loc[new["y_true"] == 0, "y_prob"].mean() + 0.3
    told = warnings_about(table, load_model(done / "model"))
    assert "2 of 22 case(s) were in the training" in told[0]
    assert "made-up patients" in told[-1]


def test_predict_without_a_branch_or_a_cohort(tmp_path: Path) -> None:
    features, cohort = made_up(45, sites="ABC")
    features["clinical"] = features["clinical"].iloc[:35]
    run_classify(features, cohort, "idh", tmp_path / "out", FAST, evaluate=QUICK)
    fresh = {"anything": features["radiomics"].set_axis([f"n{i:02d}" for i in range(45)])}
    table = run_predict(tmp_path / "out" / "model", fresh, tmp_path / "new")
    assert "y_true" not in table
    assert set(table["site"]) == {"unknown"}
    assert set(table["missing_features"]) == {2}  # age and sex; that the branch is absent is known
    assert any(
        "lack features (up to 2 of 24)" in line
        for line in warnings_about(table, load_model(tmp_path / "out" / "model"))
    )
    with pytest.raises(InputError, match="no case with features"):
        run_predict(tmp_path / "out" / "model", {}, tmp_path / "new")


def write_tables(folder: Path) -> tuple[Path, Path]:
    (folder / "radiomics.csv").write_text("ID,x,y_shape\nUCSF-PDGM-0004,1,2\nUCSF-PDGM-0005,3,4\nUCSF-PDGM-0099,3,4\n")
    (folder / "labels.csv").write_text(
        "ID,IDH,Age at MRI,Sex\nUCSF-PDGM-004,wildtype,66,M\nUCSF-PDGM-005,IDH1 p.R132H,30,F\n"
    )
    return folder / "radiomics.csv", folder / "labels.csv"


def test_tables_are_joined_whatever_the_spelling(tmp_path: Path) -> None:
    features, labels = write_tables(tmp_path)
    inputs = from_tables([features], read_labels(labels))
    assert list(inputs.features) == ["radiomics", "clinical"]
    assert inputs.cohort["idh"].to_dict() == {"UCSF-PDGM-0004": 0.0, "UCSF-PDGM-0005": 1.0}
    assert inputs.features["clinical"].loc["UCSF-PDGM-0005"].tolist() == [30.0, 0.0]
    assert list(from_tables([features], read_labels(labels), ["radiomics"]).features) == ["radiomics"]
    assert list(from_tables([features, features], None).features) == ["radiomics", "radiomics_2"]
    with pytest.raises(InputError, match="Did you mean 'radiomics'"):
        from_tables([features], read_labels(labels), ["radiomic"])


def test_labels_of_others_are_refused() -> None:
    labels = normalise_labels(pd.DataFrame({"ID": ["A1"], "IDH": ["wildtype"]}))
    with pytest.raises(
        CohortError, match=r"None of the 1 cases of the features \(B1, \.\.\.\) has a row in labels, whose ids are A1"
    ):
        match_labels(["B1"], labels)


def test_a_cohort_without_masks_says_what_to_run(tmp_path: Path) -> None:
    (tmp_path / "cohort.csv").write_text("case,t1c,idh,age\na,a.nii.gz,1,60\nb,b.nii.gz,0,40\n")
    with pytest.raises(CohortError, match="radiogen segment"):
        from_cohort(tmp_path / "cohort.csv", tmp_path / "out")
    with pytest.raises(InputError, match="not a branch"):
        from_cohort(tmp_path / "cohort.csv", tmp_path / "out", ["clinicl"])
    inputs = from_cohort(
        tmp_path / "cohort.csv", tmp_path / "out", ["clinical"], settings={"clinical": {"volumes": False}}
    )
    assert inputs.features["clinical"]["age"].tolist() == [60.0, 40.0]
    assert inputs.settings == {"clinical": {"volumes": False}}


def test_a_parameter_file_is_remembered_by_its_hash(tmp_path: Path) -> None:
    from radiogen.config.features import RadiomicsSettings

    params = tmp_path / "params.yaml"
    params.write_text("imageType: {Original: {}}\n")
    recorded = {"radiomics": card_settings(RadiomicsSettings(params=params))}
    assert str(tmp_path) not in json.dumps(recorded)
    assert settings_from_card(recorded, params) == {"radiomics": {"params": str(params)}}
    with pytest.raises(InputError, match="none was given"):
        settings_from_card(recorded, None)
    other = tmp_path / "other.yaml"
    other.write_text("imageType: {LoG: {sigma: [1.0]}}\n")
    with pytest.raises(InputError, match="is another one"):
        settings_from_card(recorded, other)
    assert settings_from_card({"radiomics": {"sequences": ["t1c"]}}, None) == {"radiomics": {"sequences": ["t1c"]}}


@pytest.mark.real_data
def test_ucsf_pdgm_idh_from_radiomics_and_age(shared_data: Path, tmp_path: Path) -> None:
    folder = shared_data / "tables" / "ucsf-pdgm"
    inputs = from_tables(
        [folder / "radiomic_features_T1gad_bias.csv"], read_labels(folder / "UCSF-PDGM-metadata_v2.csv")
    )
    settings = FAST.model_copy(update={"folds": 5, "classifiers": ("elastic-net", "xgboost")})
    metrics = run_classify(inputs.features, inputs.cohort, "idh", tmp_path, settings, evaluate=QUICK)
    assert (metrics["n"], metrics["n_positive"], metrics["n_patients"]) == (501, 103, 495)
    assert metrics["auc"] > 0.95
    age = next(row for row in metrics["baselines"] if row["name"] == "age")
    assert age["auc"] == pytest.approx(0.904, abs=0.005)
