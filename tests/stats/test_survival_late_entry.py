"""Left truncation: hand-computed curves, the plain estimates where nobody enters late, and the truth where early deaths are never seen."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from radiogen.stats.survival import (
    NotEstimableError,
    at_risk_table,
    kaplan_meier,
    log_rank,
    median_follow_up,
    restricted_mean,
)

TIMES, DIED = np.array([4.0, 6.0, 8.0, 10.0, 12.0]), np.array([True, True, False, True, False])
ENTRY = np.array([0.0, 5.0, 0.0, 7.0, 6.0])


def test_by_hand() -> None:
    """At 4 the first and third are at risk; at 6 the second and third (the fifth enters at 6, too late for it); at 10 the last two."""
    table = kaplan_meier(TIMES, DIED, ENTRY).table
    assert table["time"].tolist() == [0, 4, 6, 8, 10, 12]
    assert table["at_risk"].tolist() == [2, 2, 2, 3, 2, 1]
    assert table["survival"].tolist() == [1, 0.5, 0.25, 0.25, 0.125, 0.125]
    # 4 x 1 + 2 x 1/2 + 4 x 1/4 + 2 x 1/8
    assert restricted_mean(TIMES, DIED, 12.0, ENTRY).mean == pytest.approx(4 + 1 + 1 + 0.25)
    counts = at_risk_table(TIMES, DIED, [0.0, 6.0, 10.0], ENTRY)
    assert counts[["at_risk", "entered", "events", "censored"]].to_numpy().tolist() == [
        [2, 1, 1, 0],
        [2, 2, 1, 1],
        [2, 0, 1, 1],
    ]
    assert median_follow_up(TIMES, DIED, ENTRY) == 12.0


def test_log_rank_by_hand() -> None:
    """Deaths at 4 (a, of a and b), 6 (b, of b and b), 10 (a, of a and b): 2 - (1/2 + 0 + 1/2) = 1, variance 1/4 + 0 + 1/4."""
    group = np.array(["a", "b", "b", "a", "b"])
    test = log_rank(TIMES, DIED, group, ENTRY)
    assert test.statistic == pytest.approx(1.0**2 / 0.5)
    assert test.degrees_of_freedom == 1


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 9), st.booleans()), min_size=3, max_size=20))
def test_entry_at_zero_changes_nothing(patients: list[tuple[int, bool]]) -> None:
    times = np.array([float(time) for time, _ in patients])
    died = np.array([dead for _, dead in patients])
    plain, late = kaplan_meier(times, died), kaplan_meier(times, died, np.zeros(len(times)))
    np.testing.assert_allclose(late.table.to_numpy(dtype=float), plain.table.to_numpy(dtype=float), atol=1e-9)
    assert (late.median, late.median_ci) == (plain.median, plain.median_ci)


def test_an_emptied_risk_set_is_refused_with_the_reason() -> None:
    with pytest.raises(NotEstimableError, match="At 4 all 1 patient") as caught:
        kaplan_meier(np.array([4.0, 9.0]), np.array([True, True]), np.array([0.0, 5.0]))
    assert "later time" in caught.value.hint


def test_deaths_that_were_never_seen_bias_the_plain_curve_only() -> None:
    """Patients are referred at a random time and only then enter: who died before is not in the data. True median: 10 ln 2."""
    rng = np.random.default_rng(0)
    lived, referred = rng.exponential(10, 6000), rng.uniform(0, 8, 6000) * (rng.random(6000) < 0.8)
    seen = lived > referred
    times, entry, died = lived[seen], referred[seen], np.ones(seen.sum(), bool)
    assert kaplan_meier(times, died, entry).median == pytest.approx(10 * np.log(2), rel=0.06)
    assert kaplan_meier(times, died).median > 1.25 * 10 * np.log(2)
