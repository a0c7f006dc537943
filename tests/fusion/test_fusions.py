"""Every way of fusing branches: worth, missing branches, no leak, saving and loading."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import skops.io

from radiogen.cohort.splits import Split, grouped_folds
from radiogen.errors import InputError
from radiogen.fusion.base import FusedModel
from radiogen.fusion.bundle import ModelBundle, apply_model, load_model, reproducible_skops, save_model
from radiogen.fusion.join import FusionTable
from radiogen.fusion.late import LateFusion
from radiogen.fusion.nested import cross_validate, fit_split
from radiogen.fusion.network import NetworkFusion
from radiogen.fusion.reference import fit_reference
from radiogen.fusion.shares import branch_shares, share_notes
from radiogen.stats.auc import auc
from tests.fusion.branches import FUSIONS, QUICK, two_branches

SKIPPING = FUSIONS[1:]


def fitted(fusion: str, strength: tuple[float, float] = (1.2, 1.2), lacking: float = 0.0) -> FusedModel:
    return fitted_once(fusion, strength, lacking)


@cache
def fitted_once(fusion: str, strength: tuple[float, float], lacking: float) -> FusedModel:
    table, split = two_branches(strength=strength, lacking=lacking)
    return fit_split(table, split, QUICK.model_copy(update={"fusion": fusion}))


def probability(model: FusedModel, table: FusionTable, rows: np.ndarray) -> np.ndarray:
    return model.predict_proba(table.features.iloc[rows], table.context.take(rows))[:, 1]


def held_out(fusion: str, strength: tuple[float, float] = (1.2, 1.2), lacking: float = 0.0) -> tuple[float, ...]:
    """Return the AUC on the other half: of the fusion, and of each branch alone."""
    table, split = two_branches(strength=strength, lacking=lacking)
    found = [auc(table.y[split.test], probability(fitted(fusion, strength, lacking), table, split.test))]
    late = fitted("mean", strength, lacking)
    assert isinstance(late, LateFusion)
    rows = table.features.iloc[split.test]
    for branch, member in late.members_.items():
        found.append(auc(table.y[split.test], member.predict_proba(rows[late.columns_[branch]])[:, 1]))
    return tuple(found)


@pytest.mark.parametrize("fusion", FUSIONS)
def test_two_branches_with_signals_of_their_own_beat_each_of_them(fusion: str) -> None:
    fused, first, second = held_out(fusion)
    # Expected: 0.80 each (distance 1.2), 0.885 together; the standard error of an AUC of 200 cases is 0.025, that of a paired difference less.
    assert fused > max(first, second) + 0.03
    assert fused > 0.85


@pytest.mark.parametrize("fusion", FUSIONS)
def test_a_branch_of_noise_costs_no_more_than_noise(fusion: str) -> None:
    fused, first, second = held_out(fusion, (1.2, 0.0))
    assert abs(second - 0.5) < 0.11  # 0.5 within 2.7 standard errors: noise it is
    assert fused > first - 0.04


@pytest.mark.parametrize("fusion", FUSIONS)
def test_cases_that_lack_a_branch_are_answered_from_the_other(fusion: str) -> None:
    table, split = two_branches(lacking=0.4)
    model = fitted(fusion, lacking=0.4)
    answer = probability(model, table, split.test)
    assert np.isfinite(answer).all()
    lacks = table.features.iloc[split.test].drop(columns=["has_clinical", "has_radiomics"]).isna().any(axis=1)
    assert 70 <= lacks.sum() <= 90
    assert auc(table.y[split.test][lacks], answer[lacks]) > 0.65  # 0.80 expected of one branch, standard error 0.05
    assert auc(table.y[split.test][~lacks], answer[~lacks]) > 0.8


@pytest.mark.parametrize("fusion", SKIPPING)
def test_what_is_skipped_has_no_say_and_no_branch_at_all_is_the_prevalence(fusion: str) -> None:
    table, split = two_branches(lacking=0.4)
    model = fitted(fusion, lacking=0.4)
    rows = table.features.iloc[split.test[:4]].copy()
    rows.loc[:, [name for name in rows if name.startswith("radiomics")]] = np.nan
    alone = model.predict_proba(rows)
    np.testing.assert_array_equal(model.predict_proba(rows.assign(has_radiomics=1.0)), alone)
    rows[:] = np.nan
    np.testing.assert_allclose(model.predict_proba(rows)[:, 1], table.y[split.train].mean(), atol=1e-6)


@pytest.mark.parametrize("fusion", ["stacking", "gated-attention"])
def test_missing_branches_can_be_imputed_instead(fusion: str) -> None:
    table, split = two_branches(n=160, lacking=0.4)
    model = fit_split(table, split, QUICK.model_copy(update={"fusion": fusion, "missing_branch": "impute"}))
    rows = table.features.iloc[split.test]
    answer = probability(model, table, split.test)
    assert auc(table.y[split.test], answer) > 0.7
    if fusion == "gated-attention":
        assert model.branch_weights(rows).notna().all(axis=None)
    rows = rows.assign(**{name: np.nan for name in rows.columns})
    assert not np.allclose(model.predict_proba(rows)[:, 1], table.y[split.train].mean(), atol=1e-3)


def test_the_mean_of_one_branch_is_that_branch() -> None:
    table, split = two_branches(lacking=0.4)
    model = fitted("mean", lacking=0.4)
    assert isinstance(model, LateFusion)
    rows = table.features.iloc[split.test]
    only = rows[rows["radiomics_0"].isna()]
    own = model.members_["clinical"].predict_proba(only[model.columns_["clinical"]])
    np.testing.assert_allclose(model.predict_proba(only), own, atol=1e-9)


def test_weights_follow_worth() -> None:
    weighted, stacking = fitted("weighted", (1.2, 0.0)), fitted("stacking", (1.2, 0.0))
    parts = weighted.choices_["weighted"]["parameters"]
    assert parts["clinical"] > 0.9
    assert sum(parts.values()) == pytest.approx(1)
    assert set(stacking.stackers_) == {"01", "10", "11"}
    by_auc = fit_split(
        *two_branches(strength=(1.2, 0.8)), QUICK.model_copy(update={"fusion": "weighted", "branch_weight": "auc"})
    )
    parts = by_auc.choices_["weighted"]["parameters"]
    assert 0.5 < parts["clinical"] < 1


@pytest.mark.parametrize(("fusion", "word"), [("cross-attention", "reliability"), ("gated-attention", "attention")])
def test_shares_of_branches_are_told_per_case(fusion: str, word: str) -> None:
    table, split = two_branches(lacking=0.4)
    rows = table.features.iloc[split.test]
    shares = fitted(fusion, lacking=0.4).branch_weights(rows, table.context.take(split.test))
    assert shares.columns.tolist() == [f"{word}_clinical", f"{word}_radiomics"]
    np.testing.assert_allclose(shares.sum(axis=1), 1, atol=1e-6)
    np.testing.assert_array_equal(shares[f"{word}_clinical"].isna(), rows["clinical_0"].isna())
    both = shares.dropna()
    assert both[f"{word}_clinical"].nunique() > 10
    assert fitted("locally-connected", lacking=0.4).branch_weights(rows).shape == (len(rows), 0)


@pytest.mark.parametrize("fusion", SKIPPING)
def test_importance_names_the_planted_columns(fusion: str) -> None:
    table = fitted(fusion).importance()
    assert set(table["coefficient"].abs().nlargest(2).index) == {"clinical_0", "radiomics_0"}
    assert (table.loc[["clinical_0", "radiomics_0"], "coefficient"] > 0).all()


@pytest.mark.parametrize("fusion", FUSIONS)
def test_test_rows_cannot_change_a_fitted_fusion(fusion: str) -> None:
    table, split = two_branches(n=80, lacking=0.3, columns=3)
    rng = np.random.default_rng(9)

    def spoilt(rows: np.ndarray) -> FusionTable:
        features, y = table.features.copy(), table.y.copy()
        features.iloc[rows] = rng.normal(50, 30, (len(rows), features.shape[1]))
        features.iloc[rows[::2], :3] = np.nan
        y[rows] = 1 - y[rows]
        site, covariates = table.context.site.copy(), table.context.covariates.copy()
        site[rows], covariates.iloc[rows] = "elsewhere", 1.0
        return replace(table, features=features, y=y, context=replace(table.context, site=site, covariates=covariates))

    def fit(one: FusionTable) -> bytes:
        network = QUICK.network.model_copy(update={"branch_epochs": (0, 5), "fusion_epochs": (0, 5)})
        model = fit_split(one, split, QUICK.model_copy(update={"fusion": fusion, "network": network}))
        model.__dict__.pop("inner_probability_", None)
        return reproducible_skops(skops.io.dumps(model))

    first = fit(table)
    assert fit(spoilt(split.test)) == first
    assert fit(spoilt(split.train[:5])) != first


@pytest.mark.parametrize("fusion", SKIPPING)
def test_a_bundle_gives_the_same_answers_after_loading(fusion: str, tmp_path: Path) -> None:
    table, split = two_branches(lacking=0.4)
    model = fitted(fusion, lacking=0.4)
    scores = model.__dict__.pop("inner_probability_")
    reference = fit_reference(table.features, dict(table.branch_of))
    save_model(tmp_path, ModelBundle(model, reference, card_of(fusion)))
    model.inner_probability_ = scores
    bundle = load_model(tmp_path)
    loaded = bundle.model
    assert type(loaded) is type(model)
    assert bundle.stand_in.startswith("for whole branches the others")
    np.testing.assert_array_equal(probability(loaded, table, split.test), probability(model, table, split.test))
    rows = table.features.iloc[split.test]
    pd.testing.assert_frame_equal(loaded.branch_weights(rows), model.branch_weights(rows))
    pd.testing.assert_frame_equal(loaded.importance(), model.importance())
    applied = apply_model(bundle, rows, pd.Series(rows.index, rows.index))
    assert [name for name in applied if "_clinical" in name] == [
        name for name in model.branch_weights(rows) if "_clinical" in name
    ]


def card_of(fusion: str) -> dict[str, object]:
    return {
        "notice": "Research use only.", "synthetic": True, "target": "idh", "positive_means": "IDH mutated", "model": fusion,
        "trained_on": {"cases": 1, "patients": 1, "positive": 1, "sites": {}}, "features": {}, "out_of_fold": {}, "notes": [],
        "settings": QUICK.model_copy(update={"fusion": fusion}).model_dump(mode="json", exclude={"perturbed"}),
        "salt": "x", "training_ids": [],
    }  # fmt: skip


def test_predictions_carry_the_reliability_of_each_branch() -> None:
    table, _ = two_branches(n=80, lacking=0.2, columns=2)
    network = QUICK.network.model_copy(update={"branch_epochs": (10,), "fusion_epochs": (10,)})
    settings = QUICK.model_copy(update={"fusion": "cross-attention", "network": network, "folds": 2})
    found = cross_validate(table, settings)
    shares = found.predictions[["reliability_clinical", "reliability_radiomics"]]
    assert shares.isna().any(axis=None)
    np.testing.assert_allclose(shares.sum(axis=1), 1, atol=1e-6)
    assert set(found.predictions["model"]) == {"cross-attention"}
    told = branch_shares(found.predictions)
    assert told["reliability_clinical"]["n_lacking"] == int(shares["reliability_clinical"].isna().sum()) > 0
    assert sum(share["mean"] for share in told.values()) == pytest.approx(1, abs=0.25)
    assert "clinical" in share_notes(found.predictions)[0]
    assert set(found.choices["classifier"]) == {"clinical", "radiomics", "cross-attention"}


@pytest.mark.parametrize("fusion", ["mean", "gated-attention"])
def test_a_branch_with_too_few_patients_is_left_out_and_none_at_all_is_refused(fusion: str) -> None:
    table, split = two_branches(n=60)
    settings = QUICK.model_copy(update={"fusion": fusion})
    few = table.features.copy()
    few.iloc[split.train[9:], 6:] = np.nan  # four patients of one class keep the branch
    few.iloc[split.train[[1, 3]], 6:] = np.nan
    rare = (np.arange(60) == 5).astype(float)
    constant = few.assign(radiomics_0=rare)[
        [*few.columns[:6], "radiomics_0"]
    ]  # one value of it differs, in one inner fold at most
    assert list(fit_split(replace(table, features=few), split, settings).columns_) == ["clinical"]
    model = fit_split(replace(table, features=constant, context=None), split, settings)
    assert np.isfinite(model.predict_proba(constant)).all()
    few[:] = np.nan
    with pytest.raises(InputError, match="No branch has enough patients"):
        fit_split(replace(table, features=few), split, settings)


def test_a_branch_whose_class_an_inner_fold_lacks_is_left_out() -> None:
    table, split = two_branches(n=60)
    y = table.y[split.train]
    folds = grouped_folds(np.arange(len(y)), y, 2, QUICK.seed)
    settings = QUICK.model_copy(update={"fusion": "gated-attention"})
    features = table.features.iloc[split.train].copy()
    lost = [row for row in folds[1] if y[row] == 1]
    features.iloc[lost, 6:] = np.nan  # no positive case of the second fold has the branch
    model = NetworkFusion.from_settings(settings, QUICK.seed, table.branch_of).fit(features, y)
    assert list(model.columns_) == ["clinical"]


def test_stacking_says_how_many_branches_it_accepts() -> None:
    table, _ = two_branches(n=40, columns=5)
    many = {name: name for name in table.features.columns}
    settings = QUICK.model_copy(update={"fusion": "stacking"})
    with pytest.raises(InputError, match="up to 8 branches; 10 came"):
        fit_split(replace(table, branch_of=many), Split(0, "all", np.arange(40), np.arange(2)), settings)
