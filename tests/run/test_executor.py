from __future__ import annotations

import pytest

from radiogen.errors import ImageError, OutputError
from radiogen.run.executor import run_cases


def invert(case: str, item: float) -> float:
    if item < 0:
        raise ImageError(f"{case} is negative.", hint="Give a positive number.")
    return 1 / item


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_failing_case_is_quarantined_and_the_rest_goes_on(jobs: int) -> None:
    results, failures = run_cases(
        invert, {"c": 4.0, "a": -1.0, "b": 0.0, "d": 2.0}, stage="invert", jobs=jobs, progress=False
    )
    assert results == {"c": 0.25, "d": 0.5}
    assert list(results) == ["c", "d"]
    assert [(f.case, f.stage, f.cause, f.fix) for f in failures[:1]] == [
        ("a", "invert", "a is negative.", "Give a positive number.")
    ]
    assert failures[1].case == "b"
    assert failures[1].cause.startswith("ZeroDivisionError")
    assert "in invert" in failures[1].trace


def full_disk(case: str, item: int) -> int:
    raise OutputError("Cannot write: No space left on device.")


@pytest.mark.parametrize("jobs", [1, 2])
def test_an_output_that_cannot_be_written_stops_the_run(jobs: int) -> None:
    with pytest.raises(OutputError, match="No space left"):
        run_cases(full_disk, {"a": 1, "b": 2}, stage="write", jobs=jobs, progress=False)


def test_no_cases_is_no_work() -> None:
    assert run_cases(invert, {}, stage="invert", jobs=2, progress=False) == ({}, [])


def test_the_same_call_runs_on_a_dask_cluster() -> None:
    distributed = pytest.importorskip("distributed", reason="the extra `dask` is not installed")
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None
    ) as cluster:
        results, failures = run_cases(
            invert, {"a": 4.0, "b": -1.0}, stage="invert", dask=cluster.scheduler_address, progress=False
        )
    assert results == {"a": 0.25}
    assert [failure.case for failure in failures] == ["b"]
