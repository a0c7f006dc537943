"""Planted habitats are found again; where there are none, none are reported."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from radiogen.branches.habitats import fit
from radiogen.branches.habitats.autoencoder import ENCODERS
from radiogen.branches.habitats.compare import compare_encoders
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
    "n_refits": 1,
}


@pytest.mark.parametrize(("k", "encoder"), [(3, "fae"), (4, "none"), (5, "none")])
def test_planted_habitats_are_found_again(k: int, encoder: str) -> None:
    data, truth = training(k)
    fitted = fit_habitats(data, HabitatSettings.parse({**QUICK, "encoder": encoder}))
    assert fitted.model is not None
    assert fitted.model.k == k
    found = [fitted.model.divide(case.values) for case in data.cases.values()]
    assert adjusted_rand_score(np.concatenate(list(truth.values())), np.concatenate(found)) > 0.9


def test_without_structure_no_habitats_are_reported() -> None:
    data, _ = training(1)
    fitted = fit_habitats(data, HabitatSettings.parse(QUICK))
    assert fitted.model is None
    assert all(check.reasons for check in fitted.checks.values())


def test_a_number_that_one_site_makes_falls_and_the_next_one_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    data, _ = training(4)
    monkeypatch.setattr(fit, "reasons_of", lambda refits: ["torn"] if refits and len(refits[0].dice) == 4 else [])
    settings = HabitatSettings.parse({**QUICK, "clusters": (3, 4)})
    fitted = fit_habitats(data, settings)
    assert set(fitted.refits) >= {4}
    assert fitted.reasons(4) == ["torn"]
    assert fitted.model is None or fitted.model.k == 3


def test_every_encoder_is_measured_on_the_same_division() -> None:
    data, _ = training(3, 6)
    settings = HabitatSettings.parse({**QUICK, "autoencoder": {"epochs": 1, "most_voxels": 500}})
    found = compare_encoders(data, settings, 0.05, 3, repeats=2)
    assert [each.encoder for each in found] == list(ENCODERS)
    plain = found[-1]
    assert plain.adjusted_rand > 0.95
    assert plain.stability_ci[0] <= plain.stability_loss <= plain.stability_ci[1]
    assert plain.valley < 0.4


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
