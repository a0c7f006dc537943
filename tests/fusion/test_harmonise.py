"""ComBat in the fold."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from radiogen.errors import InputError
from radiogen.fusion.context import RowContext
from radiogen.fusion.harmonise import Combat


def context_of(site: np.ndarray, age: np.ndarray | None = None, p: int = 20) -> RowContext:
    n = len(site)
    covariates = pd.DataFrame(
        {"age": np.nan if age is None else age, "sex": np.nan, "kps": np.nan}, index=range(n), dtype=float
    )
    names = np.array([f"f{i}" for i in range(p)], dtype=object)
    cases = np.array([str(i) for i in range(n)], dtype=object)
    return RowContext(cases, site.astype(object), covariates, names, np.ones(p, dtype=bool))


def made_up(seed: int = 0, p: int = 20) -> tuple[np.ndarray, RowContext, np.ndarray]:
    """Three sites; b is scaled by 1.7 and shifted by 2, c shifted by -1; all columns rise with age."""
    rng = np.random.default_rng(seed)
    site = np.array(["a"] * 30 + ["b"] * 25 + ["c"] * 20)
    age = rng.normal(50, 10, len(site)) + 8 * (site == "b")
    X = rng.normal(size=(len(site), p)) + 0.05 * age[:, None]
    X[site == "b"] = 1.7 * X[site == "b"] + 2
    X[site == "c"] -= 1
    return X, context_of(site, age, p), age


def test_sites_come_together_and_age_is_kept() -> None:
    X, context, age = made_up()
    moved = Combat(("age",)).fit(X, None, context).transform(X, context)
    centred = moved - 0.05 * age[:, None]
    means = np.array([centred[context.site == name].mean() for name in "abc"])
    assert np.ptp(means) < 0.25
    assert np.ptp([(X - 0.05 * age[:, None])[context.site == name].mean() for name in "abc"]) > 3
    spreads = [moved[context.site == name].std(axis=0).mean() for name in "abc"]
    assert max(spreads) / min(spreads) < 1.3
    slope = np.polyfit(age, moved.mean(axis=1), 1)[0]
    assert slope > 0.03


def test_without_covariates_the_age_of_a_site_is_taken_for_its_scanner() -> None:
    X, context, age = made_up()
    kept = Combat(("age",)).fit(X, None, context).transform(X, context)
    lost = Combat(()).fit(X, None, context).transform(X, context)
    older = age[context.site == "b"].mean() - age[context.site == "a"].mean()
    assert older > 4
    gap = [moved[context.site == "b"].mean() - moved[context.site == "a"].mean() for moved in (kept, lost)]
    assert gap[0] > gap[1] + 0.1


def test_values_of_neurocombat() -> None:
    """neuroCombat 0.2.12, `neuroCombat(X.T, covars, "site", continuous_cols=["age"])`, its iterations run to 1e-9 instead of 1e-4."""
    site = np.array(["a"] * 4 + ["b"] * 4)
    age = np.array([30.0, 40, 50, 60, 35, 45, 55, 70])
    X = np.array([[1.0, 2, 0], [2, 1, 1], [3, 4, 1], [4, 3, 3], [5, 5, 2], [7, 4, 3], [9, 8, 5], [12, 7, 4]])
    context = context_of(site, age, 3)
    moved = Combat(("age",)).fit(X, None, context).transform(X, context)
    np.testing.assert_allclose(moved, EXPECTED, atol=1e-5)


EXPECTED = np.array(
    [
        [3.238722, 3.613287, 0.943052],
        [4.263004, 2.610948, 1.9501],
        [5.287287, 5.614026, 1.929106],
        [6.311569, 4.611686, 3.964197],
        [2.870556, 3.334755, 1.100084],
        [4.789659, 2.680093, 2.04806],
        [6.708762, 6.025769, 3.789046],
        [9.587418, 5.443809, 3.228484],
    ]
)


@pytest.mark.parametrize("policy", ["identity", "reference-batch"])
def test_a_new_site_stays_as_it_is(policy: str) -> None:
    X, context, _ = made_up()
    fitted = Combat(("age",), policy).fit(X, None, context)
    new = context_of(np.array(["z"] * len(X)), None)
    np.testing.assert_array_equal(fitted.transform(X, new), X)


def test_a_new_site_is_refused_by_name_where_that_is_wanted() -> None:
    X, context, _ = made_up()
    fitted = Combat(("age",), "refuse").fit(X, None, context)
    with pytest.raises(InputError, match="z"):
        fitted.transform(X, context_of(np.array(["z"] * len(X)), None))


def test_the_reference_site_is_not_moved() -> None:
    X, context, _ = made_up()
    moved = Combat(("age",), "reference-batch").fit(X, None, context).transform(X, context)
    np.testing.assert_allclose(moved[context.site == "a"], X[context.site == "a"], atol=1e-9)
    assert np.abs(moved[context.site == "b"] - X[context.site == "b"]).max() > 1


def test_missing_values_stay_missing_and_do_not_disturb_other_columns() -> None:
    X, context, _ = made_up()
    holes = X.copy()
    holes[::7, 3] = np.nan
    moved, other = (Combat(("age",)).fit(one, None, context).transform(one, context) for one in (X, holes))
    assert np.isnan(other[::7, 3]).all()
    assert np.isfinite(np.delete(other, 3, axis=1)).all()
    np.testing.assert_allclose(np.delete(other, 3, axis=1), np.delete(moved, 3, axis=1), atol=0.05)


def test_one_site_is_left_alone() -> None:
    X, _, _ = made_up()
    alone = context_of(np.array(["a"] * len(X)), None)
    np.testing.assert_array_equal(Combat().fit(X, None, alone).transform(X, alone), X)


def test_columns_that_no_scanner_changes_stay() -> None:
    X, context, _ = made_up()
    from_images = np.ones(20, dtype=bool)
    from_images[5] = False
    context = RowContext(**{**vars(context), "from_images": from_images})
    moved = Combat(("age",)).fit(X, None, context).transform(X, context)
    np.testing.assert_array_equal(moved[:, 5], X[:, 5])
    assert (np.abs(moved - X).max(axis=0) > 0.5).sum() == 19


def test_sites_with_few_cases_are_one() -> None:
    X, context, _ = made_up()
    site = context.site.copy()
    site[:4] = ["p", "q", "r", "s"]
    fitted = Combat(("age",)).fit(X, None, RowContext(**{**vars(context), "site": site}))
    assert fitted.batches_ == ["a", "b", "c", "small sites"]


@pytest.mark.parametrize("policy", ["identity", "reference-batch"])
def test_one_case_of_a_site_does_not_switch_harmonisation_off(policy: str) -> None:
    X, context, _ = made_up()
    site = context.site.copy()
    site[0] = "alone"
    context = RowContext(**{**vars(context), "site": site})
    fitted = Combat(("age",), policy).fit(X, None, context)
    moved = fitted.transform(X, context)
    assert fitted.batches_ == ["a", "b", "c"]
    np.testing.assert_allclose(moved[0], X[0], atol=1e-9)
    assert (np.abs(moved - X)[site == "b"].max(axis=0) > 0.5).all()


def test_the_small_sites_together_are_no_reference() -> None:
    X, context, _ = made_up()
    site = np.array([f"small {i // 2}" for i in range(40)] + ["b"] * 20 + ["c"] * 15, dtype=object)
    fitted = Combat((), "reference-batch").fit(X, None, RowContext(**{**vars(context), "site": site}))
    assert fitted.batches_[fitted.reference_] == "b"


def test_columns_that_a_site_lacks_are_harmonised_among_the_others() -> None:
    X, context, age = made_up()
    X[context.site == "c", :5] = np.nan
    moved = Combat(("age",)).fit(X, None, context).transform(X, context)
    centred = moved[:, :5] - 0.05 * age[:, None]
    assert abs(centred[context.site == "a"].mean() - centred[context.site == "b"].mean()) < 0.4  # 2.9 before
    assert np.isnan(moved[context.site == "c", :5]).all()


def test_a_column_that_is_constant_at_a_site_stays() -> None:
    X, context, _ = made_up()
    X[context.site == "b", 2] = 7.0
    moved = Combat(("age",)).fit(X, None, context).transform(X, context)
    np.testing.assert_array_equal(moved[:, 2], X[:, 2])


@given(scale=st.floats(0.5, 20), shift=st.floats(-50, 50), seed=st.integers(0, 5))
@settings(max_examples=15, deadline=None)
def test_the_unit_of_a_column_does_not_matter(scale: float, shift: float, seed: int) -> None:
    X, context, _ = made_up(seed)
    moved, other = (Combat(("age",)).fit(one, None, context).transform(one, context) for one in (X, scale * X + shift))
    np.testing.assert_allclose(other, scale * moved + shift, rtol=1e-6, atol=1e-4 * scale)
