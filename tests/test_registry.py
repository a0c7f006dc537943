from __future__ import annotations

import sys

import pytest

from radiogen.errors import ConfigError
from radiogen.registry import Registry


def test_nothing_is_imported_until_it_is_loaded() -> None:
    sys.modules.pop("this", None)
    registry = Registry("poems", {"zen": "this:s"})
    assert registry.names() == ["zen"]
    assert "zen" in registry
    assert "this" not in sys.modules


def test_unknown_name_lists_the_choices_and_the_nearest() -> None:
    registry = Registry("networks", {"segresnet": "x:y", "unet": "x:y"})
    with pytest.raises(ConfigError) as caught:
        registry.load("segresnt")
    assert "segresnet, unet" in str(caught.value)
    assert "Did you mean 'segresnet'?" in str(caught.value)


def test_entry_points_of_other_packages_join(monkeypatch: pytest.MonkeyPatch) -> None:
    from importlib.metadata import EntryPoint

    point = EntryPoint("theirs", "collections:OrderedDict", "radiogen.maps")
    monkeypatch.setattr("radiogen.registry.entry_points", lambda group: [point] if group == "radiogen.maps" else [])
    registry = Registry("maps", {"ours": "collections:Counter"})
    assert list(registry) == ["ours", "theirs"]
    assert registry.load("theirs").__name__ == "OrderedDict"
