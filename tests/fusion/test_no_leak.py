"""Whatever happens to the test rows, the fitted model is the same, byte for byte: every selector, harmonised or not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import skops.io

from radiogen.cohort.splits import Split, make_splits
from radiogen.config.classify import ClassifySettings
from radiogen.fusion.bundle import reproducible_skops
from radiogen.fusion.join import FusionTable, fusion_table
from radiogen.fusion.nested import cross_validate, fit_split
from radiogen.fusion.perturbed import variance_shares, with_perturbed
from tests.fusion.data import FAST, made_up, perturbed_table

CHAINS = [
    "none",
    "correlation",
    "correlation-clusters",
    "univariate",
    "mrmr",
    "l1",
    "stability",
    "boruta",
    "icc",
    "icc,correlation-clusters,mrmr",
]


def table_of(seed: int = 0) -> FusionTable:
    features, cohort = made_up(sites="ABC", seed=seed)
    table = fusion_table(features, cohort, "idh")
    return with_perturbed(table, perturbed_table(features["radiomics"], ["noise_3", "noise_4"]))


def spoilt(table: FusionTable, test: np.ndarray) -> FusionTable:
    """Return the table with everything known of the test rows replaced: values, site, covariates, perturbed values."""
    rng = np.random.default_rng(9)
    features = table.features.copy()
    features.iloc[test] = rng.normal(50, 30, (len(test), features.shape[1]))
    site, covariates = table.context.site.copy(), table.context.covariates.copy()
    site[test] = "elsewhere"
    covariates.iloc[test] = rng.normal(size=(len(test), covariates.shape[1]))
    perturbed = table.context.perturbed.copy()
    rows = perturbed.index.get_level_values(0).isin(table.context.case[test])
    perturbed.loc[rows] = rng.normal(size=(int(rows.sum()), perturbed.shape[1]))
    context = replace(table.context, site=site, covariates=covariates, perturbed=perturbed)
    return replace(table, features=features, context=context)


@pytest.mark.parametrize("harmonise", ["none", "combat"])
@pytest.mark.parametrize("chain", CHAINS)
def test_test_rows_cannot_change_a_fitted_model(chain: str, harmonise: str) -> None:
    table = table_of()
    settings = ClassifySettings.parse(
        {
            **FAST.model_dump(),
            "selection": chain,
            "harmonise": harmonise,
            "perturbed": "made-up.parquet",
            "inner_folds": 2,
            "max_columns": 5,
        }
    )
    split = make_splits(
        table.cohort, table.y, seed=0, n_splits=3, repeats=1, sites="ignore", min_site_cases=5, max_site_folds=10
    )[0][0]
    models = [fit_split(one, split, settings) for one in (table, spoilt(table, split.test))]
    dumped = [reproducible_skops(skops.io.dumps(model)) for model in models]
    assert dumped[0] == dumped[1]
    # The same damage to training rows does change it, so that the comparison is one.
    changed = fit_split(spoilt(table, split.train[:5]), split, settings)
    assert reproducible_skops(skops.io.dumps(changed)) != dumped[0]


@pytest.mark.parametrize("how", ["pca", "pls"])
def test_test_rows_cannot_change_components(how: str) -> None:
    features, cohort = made_up(noise=40)
    table = fusion_table({"embedding": features["radiomics"].add_prefix("embedding_net_t1c_")}, cohort, "idh")
    settings = ClassifySettings.parse({**FAST.model_dump(), "reduce": how, "components": 4})
    train, test = np.arange(40), np.arange(40, 60)
    noise = table.features.copy()
    noise.iloc[test] = 1e3 * np.random.default_rng(1).normal(size=(20, noise.shape[1]))
    models = [
        fit_split(replace(table, features=one), Split(0, "fold0", train, test), settings)
        for one in (table.features, noise)
    ]
    first, second = (reproducible_skops(skops.io.dumps(model)) for model in models)
    assert first == second
    assert models[0].preparation_.get_feature_names_out(models[0].feature_names_in_)[-1] == f"embedding_{how}_4"


def test_a_stable_model_has_no_variance_within_cases_and_an_unstable_one_has() -> None:
    features, cohort = made_up(n=60, noise=3, strength=4.0)
    shares = {}
    for name, unstable in (("stable", []), ("unstable", ["signal"])):
        table = with_perturbed(fusion_table(features, cohort, "idh"), perturbed_table(features["radiomics"], unstable))
        result = cross_validate(table, FAST)
        assert set(result.perturbed["perturbation"]) == {"none", "mask-erode-1", "mask-erode-2", "mask-erode-3"}
        assert len(result.perturbed) == 60 * 4
        base = result.perturbed[result.perturbed["perturbation"] == "none"].set_index("case")["y_prob"].sort_index()
        direct = result.predictions.set_index("case")["y_prob"].sort_index()
        pd.testing.assert_series_equal(base, direct, check_names=False, atol=1e-6)
        shares[name] = variance_shares(result.perturbed)["mask"]
    assert shares["stable"]["share_within"] < 0.01
    assert shares["stable"]["share_of_calls_that_flip"] < 0.02
    assert shares["unstable"]["share_within"] > 0.5
    assert shares["unstable"]["n_cases"] == 60


def test_variance_components_of_known_size() -> None:
    rng = np.random.default_rng(0)
    n, k = 400, 5
    odds = rng.normal(0, 2, (n, 1)) + rng.normal(0, 1, (n, k))
    rows = [
        (f"c{i}", "none" if j == 0 else f"sample-{j}", 1 / (1 + np.exp(-odds[i, j])), 0)
        for i in range(n)
        for j in range(k)
    ]
    share = variance_shares(pd.DataFrame(rows, columns=["case", "perturbation", "y_prob", "repeat"]))["sample"]
    assert share["share_within"] == pytest.approx(0.2, abs=0.03)
    assert share["sd_log_odds_within"] == pytest.approx(1, abs=0.05)
    assert share["sd_log_odds_between"] == pytest.approx(2, abs=0.15)
