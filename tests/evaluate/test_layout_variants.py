"""Tables as other people publish them: read right, or refused in one plain message; never misread."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from radiogen.errors import CohortError
from radiogen.evaluate.predictions import check_predictions, read_predictions
from radiogen.stats.auc import auc

N = 40
Y = np.arange(N) % 2
P = 1 / (1 + np.exp(-(2 * Y - 1 + np.random.default_rng(0).normal(size=N))))
LOGIT, CALL = np.log(P / (1 - P)), (P >= 0.5).astype(int)
SURE = np.where(CALL == 1, P, 1 - P)
WORDS = np.where(Y == 1, "Mutant", "Wildtype")
IDS = [f"S{number:03d}" for number in range(N)]

READ = {
    "probability of the predicted class": {"Ground Truth": WORDS, "Predicted Class": np.where(CALL == 1, "Mutant", "Wildtype"), "Probability": SURE},
    "prediction and confidence": {"truth": Y, "prediction": CALL, "confidence": SURE},
    "percent signs": {"truth": Y, "probability": [f"{100 * p:.2f}%" for p in P]},
    "logits": {"truth": Y, "logit": LOGIT},
    "two probabilities": {"label": Y, "class_0": 1 - P, "class_1": P},
    "two softmax outputs": {"gt": Y, "softmax_0": 1 - P, "softmax_1": P},
    "two opposite logits": {"gt": Y, "logit_0": -LOGIT, "logit_1": LOGIT},
    "words for the classes": {"IDH status": WORDS, "prob_wildtype": 1 - P, "prob_mutant": P},
    "methylated and unmethylated": {"MGMT": np.where(Y == 1, "Methylated", "UNMETHYLATED"), "prob_unmethylated": 1 - P, "prob_methylated": P},
    "only the negative class": {"label": Y, "prob_wt": 1 - P},
    "only its logit": {"label": Y, "logit_neg": -LOGIT},
    "P(...)": {"IDH status": WORDS, "P(IDH mutant)": P},
    "names of scikit-learn": {"y_test": Y, "y_pred": CALL, "y_proba": P},
    "yes and no": {"label": np.where(Y == 1, "Yes", "No"), "score": P},
    "booleans": {"label": Y == 1, "score": P},
    "decimal commas": {"label": Y, "prob": [f"{p:.5f}".replace(".", ",") for p in P]},
    "spaces everywhere": {" label ": [f" {y} " for y in Y], " prob ": [f" {p} " for p in P]},
}  # fmt: skip

REFUSED = {
    "three classes": ({"label": np.arange(N) % 3, "prob": P}, "holds '2'"),
    "-1 for the negative class": ({"label": 2 * Y - 1, "prob": P}, "write 0 for the negative class"),
    "lists in cells": ({"label": Y, "probs": [f"[{1 - p}, {p}]" for p in P]}, "no score column"),
    "logits that need a softmax": ({"label": Y, "logit_0": -LOGIT + np.arange(N), "logit_1": LOGIT}, "do not sum to 1"),
    "two scores of the positive class": ({"label": Y, "prob_mut": P, "prob_pos": P}, "several score columns"),
    "infinite scores": ({"label": Y, "prob": np.where(Y == 1, np.inf, P)}, "finite numbers"),
    "no labels": ({"prob": P}, "no label column"),
}


@pytest.mark.parametrize("name", READ)
def test_read_right_from_memory_and_from_a_file(tmp_path: Path, name: str) -> None:
    table = pd.DataFrame({"id": IDS, **READ[name]})
    table.to_csv(tmp_path / "t.csv", index=False, sep=";" if name == "decimal commas" else ",")
    for found in (check_predictions(table), read_predictions(tmp_path / "t.csv")):
        assert found["y_true"].tolist() == Y.tolist()
        assert auc(found["y_true"].to_numpy(), found["y_prob"].to_numpy()) == pytest.approx(auc(Y, P), abs=0.01)


@pytest.mark.parametrize("name", REFUSED)
def test_refused_in_one_message(name: str) -> None:
    columns, words = REFUSED[name]
    with pytest.raises(CohortError) as caught:
        check_predictions(pd.DataFrame({"id": IDS, **columns}))
    assert words in str(caught.value)


def test_several_targets_and_centres_in_one_long_table() -> None:
    part = pd.DataFrame({"id": IDS, "center": np.where(np.arange(N) < 20, "A", "B"), "y_true": Y, "y_prob": P})
    table = pd.concat([part.assign(target="IDH"), part.assign(target="MGMT", y_prob=1 - P)])
    with pytest.raises(CohortError, match="several targets: idh, mgmt"):
        check_predictions(table)
    found = check_predictions(table, target="mgmt")
    assert (len(found), found["target"].iloc[0], found["site"].nunique()) == (N, "mgmt", 2)
    assert auc(found["y_true"].to_numpy(), found["y_prob"].to_numpy()) == pytest.approx(1 - auc(Y, P))


def test_empty_rows_are_left_out_and_hard_calls_are_named() -> None:
    blank = pd.DataFrame({"id": ["", ""], "label": ["", ""], "pred": ["", ""]})
    found = check_predictions(pd.concat([pd.DataFrame({"id": IDS, "label": Y, "pred": CALL}), blank]))
    assert len(found) == N
    assert found.attrs["notes"][0] == "2 empty row(s) are left out."
    assert any("calls, not scores" in note for note in found.attrs["notes"])
