"""Likeness to the training cases: how often a case like them is flagged, what is found, what is kept."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from radiogen.errors import InputError
from radiogen.fusion.familiarity import fit_familiarity, load_familiarity, save_familiarity

RNG = np.random.default_rng(0)
MIX = RNG.normal(size=(5, 40))


def cases(n: int, seed: int, columns: int = 40) -> pd.DataFrame:
    """Forty columns that are five hidden ones mixed, with a little noise."""
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(n, 5)) @ MIX + 0.3 * rng.normal(size=(n, 40))
    return pd.DataFrame(values[:, :columns]).add_prefix("f")


def test_cases_like_the_training_ones_are_flagged_as_seldom_as_stated() -> None:
    shares = []
    for seed in range(12):
        familiar = fit_familiarity(cases(250, 2 * seed), np.arange(250), share=0.95, seed=seed)
        shares.append((familiar.strangeness(cases(400, 2 * seed + 1)) > 1).mean())
    error = np.std(shares, ddof=1) / np.sqrt(len(shares))
    # Each of two distances takes half of 5 %; both may flag the same case, and held-out distances are a little larger than the final ones.
    assert 0.01 < np.mean(shares) < 0.05 + 3 * error


def test_what_lies_far_off_or_off_the_plane_is_flagged() -> None:
    familiar = fit_familiarity(cases(250, 1), np.arange(250))
    new = cases(4, 2)
    new.iloc[1] = np.ones(5) * 6 @ MIX  # within the plane, far from the centre
    new.iloc[2] = new.iloc[2].to_numpy() + 3 * np.random.default_rng(3).normal(
        size=40
    )  # every value usual, together impossible
    new.iloc[3] = np.nan
    found = familiar.strangeness(new)
    assert found[0] < 1
    assert found[1] > 1
    assert found[2] > 1
    assert found[3] < 1  # nothing is known against it


def test_more_columns_than_cases_and_few_cases() -> None:
    wide = pd.DataFrame(np.random.default_rng(0).normal(size=(30, 200))).add_prefix("f")
    wide["constant"] = 1.0
    wide.iloc[::4, 5] = np.nan
    familiar = fit_familiarity(wide, np.arange(30) // 2)
    assert "constant" not in familiar.names
    assert np.isfinite(familiar.strangeness(wide)).all()
    assert (familiar.strangeness(wide * 50) > 1).all()
    constant = fit_familiarity(pd.DataFrame({"x": [1.0, 1.0, 1.0]}), np.arange(3))
    assert (constant.strangeness(pd.DataFrame({"x": [1.0, 2.0]})) > 1).tolist() == [False, True]


def test_it_is_kept_as_it_is_and_holds_no_case(tmp_path: Path) -> None:
    train = cases(60, 4)
    familiar = fit_familiarity(train, np.arange(60))
    save_familiarity(tmp_path / "one", familiar)
    save_familiarity(tmp_path / "two", fit_familiarity(train, np.arange(60)))
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    again = load_familiarity(tmp_path / "one", familiar.names)
    new = cases(20, 5)
    np.testing.assert_array_equal(again.strangeness(new), familiar.strangeness(new))
    assert all(60 not in array.shape for array in familiar.arrays.values())
    with pytest.raises(InputError, match="40 columns, and the card names 2"):
        load_familiarity(tmp_path / "one", ("a", "b"))
    (tmp_path / "one").write_bytes(b"no")
    with pytest.raises(InputError, match="cannot be read"):
        load_familiarity(tmp_path / "one", familiar.names)
