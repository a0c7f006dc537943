"""Networks' scores beside tables: honest scores, the command's outputs, and the fused model on new cases."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from radiogen.config.classify import ClassifySettings
from radiogen.config.evaluate import EvaluateSettings
from radiogen.errors import ConfigError
from radiogen.fusion.bundle import load_model
from radiogen.fusion.inner_scores import IMAGE_SCORE, IMAGES
from radiogen.pipeline import classify
from radiogen.pipeline.classify_images import with_changes
from radiogen.pipeline.classify_stacked import run_classify_stacked
from radiogen.pipeline.image_folds import Trainings, image_hashes
from radiogen.pipeline.predict import run_predict
from radiogen.pipeline.predict_images import image_scores
from tests.branches.embedding.planted import planted_cohort
from tests.pipeline.test_classify_images import tiny_recipe

QUICK = EvaluateSettings(bootstrap_resamples=100, permutations=99)
FAST = ClassifySettings(classifiers=("elastic-net",), inner_folds=2, random_split=False)
RECIPE = with_changes(tiny_recipe(), {"epochs": 8, "arguments": {"widths": [8]}, "validation_share": 0.0})
N = 24


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    return planted_cohort(tmp_path_factory.mktemp("images"), N)


def test_scores_beside_tables(cohort: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(classify, "write_classification_report", lambda path, *_, **__: path.write_text("page"))
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"size": rng.normal(size=N), "shape": rng.normal(size=N)}, cohort.index)
    some = cohort.copy()
    some.loc["case005", ["t2f", "mask"]] = None  # has a table and no image
    done = run_classify_stacked(
        RECIPE, {"mine": table}, some, "mgmt", tmp_path / "out", FAST, evaluate=QUICK, cache_folder=tmp_path / "cache"
    )
    assert [failure.case for failure in done.failures] == ["case005"]
    assert done.metrics["branches"] == [IMAGES, "mine"]
    assert done.metrics["n"] == N
    alone = json.loads((tmp_path / "out" / IMAGES / "metrics.json").read_text())
    assert alone["n"] == N - 1
    assert min(done.metrics["auc"], alone["auc"]) > 0.9
    importance = pd.read_csv(tmp_path / "out" / "importance.csv")
    assert importance["feature"].iloc[0] == IMAGE_SCORE
    # 2 folds, each with 2 inner ones, and 2 inner ones of all cases.
    assert len(list((tmp_path / "out" / "folds").glob("*/scores.csv"))) == 8
    card = load_model(tmp_path / "out" / "model").card
    assert card["features"] == {IMAGES: 2, "mine": 2}
    new = planted_cohort(tmp_path / "new", 8, seed=9).rename(index=lambda case: f"new-{case}").rename_axis("case")
    new["patient"] = "new-" + new["patient"]
    scores, failures = image_scores(tmp_path / "out" / "model" / IMAGES, new, cache_folder=tmp_path / "cache")
    assert failures == []
    features = {"mine": table.iloc[:8].set_axis(new.index), IMAGES: scores}
    found = run_predict(tmp_path / "out" / "model", features, tmp_path / "predicted", cohort=new)
    assert ((found["y_prob"] > 0.5) == (found["y_true"] == 1)).mean() >= 7 / 8
    assert not found["in_training"].any()
    with pytest.raises(ConfigError, match="cannot be permuted"):
        run_classify_stacked(
            RECIPE, {"mine": table}, some, "mgmt", tmp_path / "out", FAST.model_copy(update={"permutations_refit": 9})
        )


def test_inner_scores_come_from_networks_that_did_not_see_the_patient(cohort: pd.DataFrame) -> None:
    patient = np.array([f"p{number // 2}" for number in range(N)], dtype=object)
    y = np.repeat(np.arange(N // 2) % 2, 2)
    asked: list[tuple[np.ndarray, np.ndarray]] = []

    class Watched(Trainings):
        def score(self, name: str, train: np.ndarray, test: np.ndarray, seed: int) -> tuple[np.ndarray, pd.DataFrame]:
            asked.append((train, test))
            return test / 100.0, pd.DataFrame()

    side = np.arange(N - 1, 3, -1)
    scores = Watched(RECIPE.settings, cohort, y, patient).score_inner("side", side, 3, 0)
    np.testing.assert_array_equal(scores, side / 100.0)  # each row its own
    assert len(asked) == 3
    for train, test in asked:
        assert not set(patient[train]) & set(patient[test])
        assert sorted([*train, *test]) == sorted(side)  # and nothing from outside
    assert sorted(np.concatenate([test for _, test in asked])) == sorted(side)


def test_what_is_kept_is_for_these_rows_and_settings_only(cohort: pd.DataFrame, tmp_path: Path) -> None:
    settings = RECIPE.settings.model_copy(update={"epochs": 1})
    y, patient = cohort["mgmt"].to_numpy(dtype=np.int64), cohort["patient"].to_numpy(dtype=object)
    given = (cohort, y, patient, tmp_path / "folds", image_hashes(cohort, settings), tmp_path / "cache")
    train, test = np.arange(16), np.arange(16, 20)
    first, log = Trainings(settings, *given).score("a", train, test, 0)
    file = tmp_path / "folds" / "a" / "scores.csv"
    made = file.stat().st_mtime_ns
    again, _ = Trainings(settings, *given).score("a", train, test, 0)
    np.testing.assert_array_equal(first, again)
    assert file.stat().st_mtime_ns == made
    assert log["kept"].tolist() == [True]
    for other in (
        Trainings(settings, *given).score("a", train, test, 1)[0],
        Trainings(settings, *given).score("a", train[1:], test, 0)[0],
        Trainings(settings.model_copy(update={"dropout": 0.5}), *given).score("a", train, test, 0)[0],
    ):
        assert not np.array_equal(first, other)
    assert file.stat().st_mtime_ns > made
