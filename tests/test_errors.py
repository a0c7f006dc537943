from __future__ import annotations

import pickle

import pytest

from radiogen import errors


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (errors.RadiogenError, 1),
        (errors.CaseError, 1),
        (errors.IncompleteError, 1),
        (errors.InputError, 2),
        (errors.ConfigError, 2),
        (errors.CohortError, 2),
        (errors.GeometryError, 2),
        (errors.OutputError, 2),
    ],
)
def test_every_error_has_its_exit_code(kind: type[errors.RadiogenError], code: int) -> None:
    assert kind("what came").exit_code == code


def test_message_lists_every_problem_then_the_hint() -> None:
    error = errors.InputError("Two things are wrong:", problems=["first", "second"], hint="Mend them.")
    assert str(error).splitlines() == ["Two things are wrong:", "  - first", "  - second", "Mend them."]


def test_message_and_hint_share_a_line_without_problems() -> None:
    assert str(errors.ImageError("It is empty.", hint="Export it again.")) == "It is empty. Export it again."


def test_errors_survive_the_pickling_of_parallel_workers() -> None:
    error = pickle.loads(pickle.dumps(errors.GeometryError("apart", problems=["5 mm"], hint="align")))
    assert isinstance(error, errors.GeometryError)
    assert (error.message, error.problems, error.hint) == ("apart", ["5 mm"], "align")


def test_missing_dependency_names_the_extra() -> None:
    error = errors.MissingDependencyError("distributed", "dask")
    assert "radiogen[dask]" in str(error)
    assert error.exit_code == 2
