"""The made-up cohort's labels: balanced by design, and only IDH leaves traces in the clinical columns."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from radiogen.cohort.phantom_design import cohort_design
from radiogen.cohort.phantom_tumour import volume_quantile
from radiogen.config.phantoms import PhantomSettings

DEFAULT = PhantomSettings()


@given(seed=st.integers(0, 10_000), n_sites=st.integers(1, 5), blocks=st.integers(1, 4))
@settings(max_examples=20, deadline=None)
def test_idh_mgmt_and_site_are_balanced_exactly_and_independent(seed: int, n_sites: int, blocks: int) -> None:
    table = cohort_design(4 * n_sites * blocks, seed=seed, settings=PhantomSettings(n_sites=n_sites))

    counts = table.groupby(["site", "idh", "mgmt"]).size()

    assert len(counts) == 4 * n_sites
    assert (counts == blocks).all()
    assert table["sex"].groupby(table["idh"]).value_counts().nunique() == 1


@pytest.mark.parametrize("seed", range(5))
def test_row_does_not_depend_on_the_size_of_the_cohort(seed: int) -> None:
    small = cohort_design(17, seed=seed, settings=DEFAULT)
    large = cohort_design(60, seed=seed, settings=DEFAULT)

    pd.testing.assert_frame_equal(small, large.iloc[:17])


def test_clinical_columns_know_idh_a_little_and_mgmt_not_at_all() -> None:
    """The planned AUCs of age (0.72) and grade (0.63) hold in every cohort of 60; what MGMT gets is chance."""
    rows = []
    for seed in range(25):
        table = cohort_design(60, seed=seed, settings=DEFAULT)
        male = (table["sex"] == "M").astype(float)
        for target, sign in (("idh", -1), ("mgmt", 1)):
            y = table[target]
            values = {
                "age": sign * table["age"],
                "grade": sign * table["grade"],
                "volume": table["volume_ml"],
                "sex": male,
            }
            rows += [(target, name, roc_auc_score(y, score)) for name, score in values.items()]
    auc = (
        pd.DataFrame(rows, columns=["target", "name", "auc"])
        .groupby(["target", "name"])["auc"]
        .agg(["mean", "min", "max"])
    )

    assert auc.loc[("idh", "age"), "mean"] == pytest.approx(0.72, abs=0.03)
    assert auc.loc[("idh", "age"), "min"] > 0.6
    assert auc.loc[("idh", "age"), "max"] < 0.8
    assert auc.loc[("idh", "grade"), "mean"] == pytest.approx(0.63, abs=0.03)
    assert auc.loc[("idh", "volume"), "min"] > 0.4
    assert auc.loc[("idh", "volume"), "max"] < 0.6
    assert auc.loc[("idh", "sex")].tolist() == pytest.approx([0.5] * 3)
    for name in ("age", "grade", "volume", "sex"):
        assert auc.loc[("mgmt", name), "mean"] == pytest.approx(0.5, abs=0.045)


def test_survival_follows_idh() -> None:
    table = pd.concat([cohort_design(60, seed=seed, settings=DEFAULT) for seed in range(5)])
    died = table[table["os_event"] == 1]

    assert died.loc[died["idh"] == 1, "os_days"].median() > 1.8 * died.loc[died["idh"] == 0, "os_days"].median()
    assert 0.5 < table["os_event"].mean() < 0.9
    assert table["os_days"].min() >= 1


def test_values_are_those_a_clinic_has() -> None:
    table = cohort_design(60, seed=0, settings=DEFAULT)

    assert table["age"].between(18, 90).all()
    assert set(table["grade"]) == {2.0, 3.0, 4.0}
    assert table["kps"].isin(np.arange(50, 101, 10)).all()
    assert set(table["eor"]) <= {"GTR", "STR", "biopsy"}
    codeleted = table[table["codeletion_1p19q"] == 1]
    assert 0 < len(codeleted) < (table["idh"] == 1).sum()
    assert (codeleted["idh"] == 1).all()
    assert (codeleted["grade"] < 4).all()
    assert table["volume_ml"].between(DEFAULT.smallest_tumour_ml, DEFAULT.largest_tumour_ml).all()


def test_volume_quantiles_run_from_the_smallest_to_the_largest() -> None:
    assert volume_quantile(DEFAULT, 0.0) == pytest.approx(DEFAULT.smallest_tumour_ml)
    assert volume_quantile(DEFAULT, 1.0) == pytest.approx(DEFAULT.largest_tumour_ml)
