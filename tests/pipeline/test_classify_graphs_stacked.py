"""Graph networks' scores beside tables: no test row reaches what was fitted."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from radiogen.branches.network.prepared import PreparedGraphs
from radiogen.branches.network.rows import GraphRows
from radiogen.config.classify import ClassifySettings
from radiogen.config.network_recipes import GraphModelSettings
from radiogen.errors import ConfigError
from radiogen.pipeline.graph_folds import GraphTrainings
from radiogen.pipeline.inner_folds import inner_probability
from radiogen.pipeline.stacking import check_stackable
from tests.branches.network.graphs import cohort
from tests.branches.network.tract_phantoms import tract_template

N = 24
SETTINGS = GraphModelSettings.parse(
    {"values": "statistics", "network": {"epochs": 3, "embedding": 3, "width": 4}, "explanation": {"most_cases": 1}}
)


def trainings(
    rows: GraphRows, y: np.ndarray, patient: np.ndarray | None = None, kind: type = GraphTrainings
) -> GraphTrainings:
    facts = pd.DataFrame({"wt_ml": 1.0, "n_sequences": 4.0}, index=pd.Index(rows.case_ids, dtype=object, name="case"))
    prepared = PreparedGraphs(rows, facts, tract_template(), "made up", [], {})
    hashes = dict.fromkeys(facts.index, "made up")
    return kind(SETTINGS, prepared, y, rows.case_ids if patient is None else patient, hashes)


def test_inner_scores_come_from_networks_that_did_not_see_the_patient() -> None:
    rows, _, _ = cohort(N)
    patient = np.array([f"p{number // 2}" for number in range(N)], dtype=object)
    y = np.repeat(np.arange(N // 2) % 2, 2)
    asked: list[tuple[np.ndarray, np.ndarray]] = []

    class Watched(GraphTrainings):
        def probability(self, name: str, train: np.ndarray, test: np.ndarray, seed: int) -> np.ndarray:
            asked.append((train, test))
            return test / 100.0

    side = np.arange(N - 1, 3, -1)
    scores = inner_probability(trainings(rows, y, patient, Watched), "side", side, 3, 0)
    np.testing.assert_array_equal(scores, side / 100.0)  # each row its own
    assert len(asked) == 3
    for train, test in asked:
        assert not set(patient[train]) & set(patient[test])
        assert sorted([*train, *test]) == sorted(side)  # and nothing from outside


def test_test_rows_cannot_change_what_was_fitted() -> None:
    rows, y, _ = cohort(N)
    train, test = np.arange(16), np.arange(16, N)
    values, labels = np.array(rows.edge_values), y.copy()
    values[test], labels[test] = 1000.0, 1 - y[test]
    first, other = trainings(rows, y), trainings(replace(rows, edge_values=values), labels)
    inner = [inner_probability(made, "side", train, 2, 0) for made in (first, other)]
    np.testing.assert_array_equal(*inner)
    assert np.ptp(inner[0]) > 0
    one, two = (made.fitted(train, 0).network_.state_dict() for made in (first, other))
    for name, tensor in one.items():
        np.testing.assert_array_equal(tensor.numpy(), two[name].numpy())
    # The network does look at its test rows when it scores them.
    scores = [made.probability("side", train, test, 0) for made in (first, other)]
    assert not np.array_equal(*scores)


def test_a_score_without_explanation_is_the_same_score() -> None:
    rows, y, _ = cohort(N)
    made, train, test = trainings(rows, y), np.arange(16), np.arange(16, N)
    explained = made.score("side", train, test, 0)
    assert len(explained.attribution) == 2
    np.testing.assert_array_equal(explained.probability, made.probability("side", train, test, 0))
    keys = {made.provenance(train, test, 0, explain=explain).fingerprint for explain in (True, False)}
    assert len(keys) == 2


def test_a_table_cannot_have_the_name_of_the_scores() -> None:
    with pytest.raises(ConfigError, match="Rename its file"):
        check_stackable(ClassifySettings(), "graphs", {"graphs": pd.DataFrame()})
