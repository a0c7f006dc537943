"""One executor for work over cases: joblib on one machine, the same call on a Dask cluster."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

import joblib
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from radiogen.errors import MissingDependencyError, OutputError
from radiogen.run.quarantine import Failure

Item = TypeVar("Item")
Result = TypeVar("Result")

log = logging.getLogger(__name__)


def run_cases(
    function: Callable[[str, Item], Result],
    cases: Mapping[str, Item],
    *,
    stage: str,
    jobs: int = 1,
    dask: str | None = None,
    progress: bool = True,
) -> tuple[dict[str, Result], list[Failure]]:
    """Call `function(case, item)` for every case; a failing case is quarantined and the rest goes on.

    Args:
        function: picklable; must not depend on the order of the cases.
        cases: case id -> what the function needs.
        stage: name for the progress bar and the failures.
        jobs: worker processes on this machine.
        dask: scheduler address of a Dask cluster to use instead, such as `tcp://head:8786`.
        progress: show a progress bar on standard error.

    Returns:
        Results by case id and the failures, both in the order of `cases` whatever order they finished in.

    Raises:
        OutputError: the output cannot be written; this is nobody's case, so the run stops.
        MissingDependencyError: `dask` was given and distributed is not installed.

    Example:
        >>> run_cases(lambda case, item: 1 / item, {"a": 2, "b": 0}, stage="invert", progress=False)[0]
        {'a': 0.5}
    """
    results: dict[str, Result] = {}
    failures: dict[str, Failure] = {}
    with (
        _progress(progress) as bar,
        _backend(min(jobs, max(len(cases), 1)), dask) as parallel,
        warnings.catch_warnings(),
    ):
        # joblib replaces a worker whose memory grew, and says so; nothing is lost.
        warnings.filterwarnings("ignore", message="A worker stopped while some jobs were given")
        task = bar.add_task(stage, total=len(cases))
        for case, result in parallel(
            joblib.delayed(_guarded)(function, case, item, stage) for case, item in cases.items()
        ):
            if isinstance(result, Failure):
                failures[case] = result
                log.error("%s: %s failed: %s %s", case, stage, result.cause, result.fix)
                log.debug("%s", result.trace)
            else:
                results[case] = result
            bar.advance(task)
    return {case: results[case] for case in cases if case in results}, [
        failures[case] for case in cases if case in failures
    ]


def _guarded(
    function: Callable[[str, Item], Result], case: str, item: Item, stage: str
) -> tuple[str, Result | Failure]:
    try:
        return case, function(case, item)
    except OutputError:
        raise
    # The one broad catch of the package: whatever a library raises on one strange scan must not cost the other 499 cases.
    except Exception as error:
        return case, Failure.from_exception(case, stage, error)


@contextmanager
def _backend(jobs: int, dask: str | None) -> Iterator[joblib.Parallel]:
    if dask is None:
        if jobs <= 1:
            yield joblib.Parallel(n_jobs=1, return_as="generator")
            return
        threads = max(1, (os.cpu_count() or 1) // jobs)
        with joblib.parallel_config(backend="loky", n_jobs=jobs, inner_max_num_threads=threads):
            yield joblib.Parallel(return_as="generator_unordered")
        return
    try:
        from distributed import Client
    except ImportError as error:
        raise MissingDependencyError("distributed", "dask") from error
    with Client(dask), joblib.parallel_config(backend="dask", n_jobs=-1):
        yield joblib.Parallel(return_as="list")


def _progress(enabled: bool) -> Progress:
    columns: list[Any] = [
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    ]
    return Progress(*columns, console=Console(stderr=True), disable=not enabled)
