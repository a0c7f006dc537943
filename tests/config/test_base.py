from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from radiogen.config.base import StageSettings
from radiogen.errors import ConfigError


class Inner(StageSettings):
    threshold: float = 0.5


class Outer(StageSettings):
    seed: int = 0
    inner: Inner = Inner()


def test_unknown_keys_and_bad_values_are_listed_together_with_a_suggestion() -> None:
    with pytest.raises(ConfigError) as caught:
        Outer.parse({"sede": 1, "inner": {"treshold": 1, "threshold": "high"}})
    text = str(caught.value)
    assert "unknown key 'sede'; did you mean 'seed'?" in text
    assert "unknown key 'inner.treshold'; did you mean 'threshold'?" in text
    assert "'inner.threshold' is 'high'" in text
    assert caught.value.exit_code == 2


def test_settings_are_frozen() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Outer().seed = 3  # type: ignore[misc]


def test_yaml_is_read_and_given_overrides_win(tmp_path: Path) -> None:
    path = tmp_path / "settings.yaml"
    path.write_text("seed: 4\ninner: {threshold: 0.25}\n")
    settings = Outer.read(path, seed=7)
    assert (settings.seed, settings.inner.threshold) == (7, 0.25)
    assert Outer.read(path, seed=None).seed == 4
    assert Outer.read(None) == Outer()


@pytest.mark.parametrize(("text", "said"), [("- a\n- b\n", "holds a list"), ("a: [1", "cannot be read")])
def test_yaml_that_is_no_mapping_is_refused(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "settings.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=said):
        Outer.read(path)


def test_missing_settings_file_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        Outer.read(tmp_path / "none.yaml")
