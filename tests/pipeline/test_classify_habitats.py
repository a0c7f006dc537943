"""Habitats as a branch: the division is learned in the fold, from no voxel of a test row."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from radiogen.branches.habitats.model import load_model, save_model
from radiogen.cohort.table import write_cohort
from radiogen.config.classify import ClassifySettings
from radiogen.config.evaluate import EvaluateSettings
from radiogen.config.habitats import AutoencoderTraining
from radiogen.errors import ConfigError
from radiogen.fusion.inner_scores import training_key
from radiogen.pipeline import classify, classify_habitats
from radiogen.pipeline.classify_habitats import fold_model, fold_settings, run_classify_habitats
from radiogen.pipeline.predict_cohort import predict_cohort
from tests.branches.habitats.planted import training
from tests.cli.test_habitats import write_case

HABITATS = fold_settings(3, 0).model_copy(
    update={"sample_voxels": 2000, "autoencoder": AutoencoderTraining(epochs=2, most_voxels=2000)}
)
N = 12


@pytest.mark.parametrize("encoder", ["fae", "none"])
def test_other_images_of_the_test_patients_leave_the_model_s_bytes(tmp_path: Path, encoder: str) -> None:
    data, _ = training(3, 8)
    train = list(data.cases)[:6]
    rng = np.random.default_rng(1)
    strange = {
        name: replace(case, values=rng.normal(50, 20, case.values.shape).astype(np.float32))
        for name, case in data.cases.items()
        if name not in train
    }
    settings = HABITATS.model_copy(update={"encoder": encoder})
    for name, cases in (("one", data.cases), ("other", {**data.cases, **strange})):
        save_model(tmp_path / name, fold_model(replace(data, cases=cases), train, settings))
    for name in ("model.safetensors", "model.json"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "other" / name).read_bytes()
    whole = fold_model(replace(data, cases={**data.cases, **strange}), list(data.cases), settings)
    assert whole.centres.tobytes() != load_model(tmp_path / "one").centres.tobytes()  # they would have counted


def test_the_classifier_gets_other_habitat_columns_in_every_fold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    rows = [write_case(tmp_path, f"case{number}", rng) for number in range(N)]
    cohort = pd.DataFrame(rows).assign(idh=[number % 2 for number in range(N)]).set_index("case")
    cohort.loc["case7", "mask"] = None  # it has a table only
    seen: dict[str, object] = {}

    def remember(*arguments: object, **named: object) -> dict[str, object]:
        seen.update(named)
        return classify.run_classify(*arguments, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(classify_habitats, "run_classify", remember)
    monkeypatch.setattr(classify, "write_classification_report", lambda path, *_, **__: path.write_text("page"))
    cohort["age"] = rng.normal(50, 9, size=N)
    table = cohort[["age"]]
    settings = ClassifySettings(classifiers=("elastic-net",), folds=2, repeats=1, sites="ignore", inner_folds=2)
    metrics, failures = run_classify_habitats(
        {"clinical": table}, cohort, "idh", tmp_path / "out", settings, HABITATS.model_copy(update={"encoder": "none"}), folder=tmp_path,
        evaluate=EvaluateSettings(bootstrap_resamples=100, permutations=99),
    )  # fmt: skip
    assert not failures
    assert metrics["n"] == N
    assert metrics["branches"] == ["clinical", "habitats"]
    assert any("given, not searched" in note for note in metrics["notes"])
    predictions = pd.read_csv(tmp_path / "out" / "predictions.csv")
    sides = {
        training_key(predictions.loc[predictions["split"] != split, "case"]) for split in predictions["split"].unique()
    }
    assert set(seen["scores"]) == sides
    one, other = seen["scores"].values()
    assert len(one) == N - 1
    assert not one.equals(other)
    card = json.loads((tmp_path / "out" / "model" / "card.json").read_text())
    assert card["feature_settings"]["habitats"]["clusters"] == [3, 3]
    assert load_model(tmp_path / "out" / "model" / "habitats").k == 3
    write_cohort(cohort.assign(patient=cohort.index), tmp_path / "cohort.csv")
    found = predict_cohort(tmp_path / "out" / "model", tmp_path / "cohort.csv", tmp_path / "new")
    lacking = found.predictions.set_index("case")["missing_features"]
    assert lacking.drop("case7").tolist() == [0] * (
        N - 1
    )  # its division was applied, and nobody computed the columns by hand
    assert lacking["case7"] > 0
    assert [failure.case for failure in found.failures] == ["case7"]
    assert (tmp_path / "new" / "habitats" / "maps" / "case0.nii.gz").is_file()
    with pytest.raises(ConfigError, match="A feature table is called 'habitats'"):
        run_classify_habitats({"habitats": table}, cohort, "idh", tmp_path, settings, HABITATS, folder=tmp_path)
