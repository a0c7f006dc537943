from __future__ import annotations

import numpy as np
import pytest

from radiogen.branches.embedding.adapter import load_adapter
from radiogen.errors import CaseError, ConfigError

HERE = "adapter:tests.branches.embedding.outside_models"
MM = (1.0, 1.0, 2.0)


def test_an_adapter_gives_the_vector_and_leaves_the_volume_alone() -> None:
    adapter = load_adapter(f"{HERE}:means")
    volume = np.arange(8, dtype=np.float32).reshape(2, 2, 2)
    np.testing.assert_allclose(adapter(volume, MM), [3.5, volume.std(), 1.0], rtol=1e-6)
    assert volume.max() == 7
    assert (adapter.name, adapter.licence, adapter.version) == ("Means 1.0", "CC0-1.0", "1")


def test_a_model_without_a_licence_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"licence \(text\)") as refused:
        load_adapter(f"{HERE}:unlicensed")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("adapter:no_such_module:f", "No module named"),
        (f"{HERE}:no_such", "no attribute 'no_such'"),
        (f"{HERE}:__doc__", "is a str, not a function"),
        ("adapter:os", "names no function"),
    ],
)
def test_what_cannot_be_imported_is_refused_in_one_line(name: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says) as refused:
        load_adapter(name)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(("name", "says"), [("broken", "RuntimeError: no memory"), ("wrong", r"shape \(1, 2\) with 1")])
def test_a_failing_model_fails_the_case_in_one_line(name: str, says: str) -> None:
    with pytest.raises(CaseError, match=says) as failed:
        load_adapter(f"{HERE}:{name}")(np.zeros((2, 2, 2), dtype=np.float32), MM)
    assert "\n" not in str(failed.value)
