"""Model bundles: same bytes, same predictions after loading, nothing foreign is loaded, training patients are recognised."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import skops.io

from radiogen.errors import InputError
from radiogen.fusion.bundle import (
    FILES,
    ModelBundle,
    apply_model,
    load_model,
    reproducible_skops,
    save_model,
    training_hashes,
)
from radiogen.fusion.card import card_text, model_card
from radiogen.fusion.join import fusion_table
from radiogen.fusion.nested import fit_all
from radiogen.fusion.reference import fit_reference, novelty
from radiogen.resources import sha256_file
from tests.fusion.data import FAST, made_up

ALL = FAST.model_copy(update={"classifiers": ("elastic-net", "xgboost", "random-forest")})
METRICS = {"auc": 0.81, "auc_ci": [0.7, 0.9], "split": "grouped-kfold", "verdict_text": "In 40 cases ...", "ece": 0.1}


def bundle_of(n: int = 40) -> ModelBundle:
    features, cohort = made_up(n)
    table = fusion_table(features, cohort, "idh")
    ids = training_hashes(table.features.index.astype(str), table.cohort["patient"].astype(str), "salt")
    card = model_card(table, ALL, METRICS, training_ids=ids, salt="salt")
    return ModelBundle(fit_all(table, ALL), fit_reference(table.features, dict(table.branch_of)), card)


@pytest.fixture(scope="module")
def bundle() -> ModelBundle:
    return bundle_of()


@pytest.fixture
def folder(bundle: ModelBundle, tmp_path: Path) -> Path:
    save_model(tmp_path / "model", bundle)
    return tmp_path / "model"


def new_cases(n: int = 10) -> pd.DataFrame:
    features, _ = made_up(n, seed=9)
    joined = pd.concat(features.values(), axis=1)
    return joined.set_axis([f"new-{i}" for i in range(n)])


def test_a_loaded_model_predicts_the_same(bundle: ModelBundle, folder: Path) -> None:
    loaded = load_model(folder)
    np.testing.assert_array_equal(loaded.model.predict_proba(new_cases()), bundle.model.predict_proba(new_cases()))
    pd.testing.assert_frame_equal(loaded.reference.ranges, bundle.reference.ranges, check_exact=True)
    assert loaded.feature_names == bundle.feature_names


def test_the_same_model_has_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    save_model(tmp_path / "again", bundle_of())
    assert [sha256_file(folder / name) for name in FILES] == [sha256_file(tmp_path / "again" / name) for name in FILES]


def test_files_hold_no_case_id_and_no_pickle(folder: Path) -> None:
    for name in FILES:
        data = (folder / name).read_bytes()
        assert b"case-00" not in data
        assert b"pickle" not in data


def test_a_foreign_type_is_refused(folder: Path) -> None:
    from collections import Counter

    path = folder / "model.skops"
    path.write_bytes(skops.io.dumps({"hidden": Counter("abc"), "worse": Path.unlink}))
    forge(folder)
    with pytest.raises(InputError, match="not trusted"):
        load_model(folder)


def test_another_object_is_refused(folder: Path) -> None:
    (folder / "model.skops").write_bytes(skops.io.dumps([1, 2]))
    forge(folder)
    with pytest.raises(InputError, match="holds a list"):
        load_model(folder)


def test_rubbish_is_refused(folder: Path) -> None:
    (folder / "model.skops").write_bytes(b"rubbish")
    forge(folder)
    with pytest.raises(InputError, match="cannot be read"):
        load_model(folder)


def forge(folder: Path) -> None:
    card = json.loads((folder / "card.json").read_text())
    card["sha256"]["model.skops"] = sha256_file(folder / "model.skops")
    (folder / "card.json").write_text(json.dumps(card))


def test_a_changed_file_is_noticed(folder: Path) -> None:
    with (folder / "features.csv").open("a") as file:
        file.write("more,,0,0,0,0,0,0\n")
    with pytest.raises(InputError, match=r"features\.csv is not the file"):
        load_model(folder)


def test_not_a_bundle(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"model\.skops, features\.csv, card\.json missing"):
        load_model(tmp_path)
    (folder / "card.json").write_text("{")
    with pytest.raises(InputError, match="not JSON"):
        load_model(folder)
    (folder / "card.json").write_text('{"format": 99}')
    with pytest.raises(InputError, match="another format"):
        load_model(folder)


def test_object_sharing_and_files_survive_renumbering() -> None:
    shared = np.arange(5.0)
    data = reproducible_skops(skops.io.dumps({"a": shared, "b": shared, "c": np.ones(3), "d": bytearray(b"xyz")}))
    loaded = skops.io.loads(data)
    assert loaded["a"].tolist() == loaded["b"].tolist() == shared.tolist()
    assert loaded["c"].tolist() == [1, 1, 1]
    assert loaded["d"] == bytearray(b"xyz")


def test_training_patients_are_recognised_whatever_their_spelling() -> None:
    hashes = training_hashes(["UCSF-PDGM-004"], ["UCSF-PDGM-0004"], "x")
    assert len(hashes) == 1
    assert training_hashes(["UCSF-PDGM-0004_FU001d"], [], "x") == hashes
    assert training_hashes(["UCSF-PDGM-0005"], [], "x") != hashes
    assert training_hashes(["UCSF-PDGM-0004"], [], "another salt") != hashes


def test_apply_says_what_speaks_against_a_prediction(bundle: ModelBundle) -> None:
    cases = new_cases(4).rename(index={"new-0": "case-000"})
    cases.iloc[1] = 1e5
    cases.loc["new-2", ["signal", "age"]] = np.nan
    cases.loc["new-2", "noise_0"] = np.inf
    found = apply_model(bundle, cases.drop(columns="noise_1"), pd.Series(cases.index, cases.index))
    assert found["in_training"].tolist() == [True, False, False, False]
    assert found["out_of_distribution"].tolist() == [False, True, False, False]
    assert found["missing_features"].tolist() == [1, 1, 4, 1]
    assert found["y_prob"].between(0, 1).all()
    with pytest.raises(InputError, match="None of the model's 23 features"):
        apply_model(bundle, pd.DataFrame({"other": [1.0]}, index=["a"]), pd.Series(["a"], ["a"]))


def test_no_training_case_is_strange_and_few_new_ones_are(bundle: ModelBundle) -> None:
    features, _ = made_up(40)
    train = pd.concat(features.values(), axis=1)
    assert not novelty(train, bundle.reference)["out_of_distribution"].any()
    fresh = novelty(new_cases(400), bundle.reference)["out_of_distribution"].mean()
    # Two scores, each exceeding the most extreme of 40 training cases with probability 1/41.
    assert fresh < 0.15


def test_a_shifted_scanner_is_noticed(bundle: ModelBundle) -> None:
    assert novelty(new_cases(50) * 3 + 5, bundle.reference)["out_of_distribution"].mean() > 0.9


def test_constant_and_empty_features_do_not_count() -> None:
    train = pd.DataFrame({"x": [1.0, 2.0, 3.0], "same": 1.0, "empty": np.nan})
    reference = fit_reference(train, {})
    new = pd.DataFrame({"x": [2.0], "same": [7.0], "empty": [9.0]})
    assert novelty(new, reference).iloc[0].tolist() == [0.0, 0.0, False]


def test_what_no_training_case_had_is_not_missed() -> None:
    features, cohort = made_up(40)
    features["clinical"]["kps"] = np.nan
    table = fusion_table(features, cohort, "idh")
    card = model_card(table, FAST, METRICS, training_ids=[], salt="x")
    made = ModelBundle(fit_all(table, FAST), fit_reference(table.features, dict(table.branch_of)), card)
    found = apply_model(made, new_cases(3), pd.Series(["a", "b", "c"], [f"new-{i}" for i in range(3)]))
    assert found["missing_features"].tolist() == [0, 0, 0]


def test_card_is_plain_and_complete(bundle: ModelBundle) -> None:
    text = card_text(bundle.card)
    for part in (
        "IDH mutated",
        "Research use only",
        "AUC 0.810 (95 % interval 0.700 to 0.900)",
        "40 cases of 40 patients",
        "clinical (2), radiomics (21)",
    ):
        assert part in text
    assert "synthetic" not in text
    assert "ece" not in bundle.card["out_of_fold"]
    empty = {**bundle.card, "out_of_fold": {}, "synthetic": True}
    assert "not evaluated" in card_text(empty)
    assert "made up (synthetic)" in card_text(empty)
