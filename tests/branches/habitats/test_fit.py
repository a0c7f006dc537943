"""Planted habitats are found again; where there are none, none are reported."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from radiogen.branches.habitats.fit import fit_habitats
from radiogen.branches.habitats.model import load_model, save_model
from radiogen.config.habitats import HabitatSettings
from tests.branches.habitats.planted import training

QUICK = {
    "autoencoder": {"epochs": 12, "most_voxels": 3000, "batch_size": 256},
    "sample_voxels": 2000,
    "stability_splits": 2,
    "n_references": 4,
    "bo_init": 4,
    "bo_steps": 0,
    "quantile": (0.05, 0.05),
    "clusters": (3, 6),
}


@pytest.mark.parametrize("k", [3, 4, 5])
def test_planted_habitats_are_found_again(k: int) -> None:
    data, truth = training(k)
    fitted = fit_habitats(data, HabitatSettings.parse(QUICK))
    assert fitted.model is not None
    assert fitted.model.k == k
    found = [fitted.model.divide(case.values) for case in data.cases.values()]
    assert adjusted_rand_score(np.concatenate(list(truth.values())), np.concatenate(found)) > 0.9


def test_without_structure_no_habitats_are_reported() -> None:
    data, _ = training(1)
    fitted = fit_habitats(data, HabitatSettings.parse(QUICK))
    assert fitted.model is None
    assert all(check.reasons for check in fitted.checks.values())


def test_survival_makes_groups_that_are_saved_with_the_model(tmp_path: Path) -> None:
    data, _ = training(3, 16, survival=True)
    fitted = fit_habitats(data, HabitatSettings.parse({**QUICK, "clusters": (3, 3)}))
    assert fitted.model is not None
    assert fitted.p < 0.05
    save_model(tmp_path, fitted.model)
    again = load_model(tmp_path)
    case = next(iter(data.cases.values()))
    np.testing.assert_array_equal(again.divide(case.values), fitted.model.divide(case.values))
    assert again.groups.high == fitted.model.groups.high
