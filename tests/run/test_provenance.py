from __future__ import annotations

import json
from pathlib import Path

import pytest

from radiogen.run.provenance import RESEARCH_USE, Provenance, hash_inputs, read_sidecar, sidecar_path


@pytest.fixture
def made(tmp_path: Path) -> tuple[Provenance, Path]:
    output = tmp_path / "case.nii.gz"
    output.write_bytes(b"mask")
    provenance = Provenance("segment", {"threshold": 0.5}, {"t2f": "abc"})
    provenance.record([output], wt_ml=12.5)
    return provenance, output


def test_an_unchanged_output_is_current(made: tuple[Provenance, Path]) -> None:
    provenance, output = made
    assert provenance.is_current([output])


def test_changed_settings_inputs_or_bytes_are_not_current(made: tuple[Provenance, Path]) -> None:
    _, output = made
    assert not Provenance("segment", {"threshold": 0.6}, {"t2f": "abc"}).is_current([output])
    assert not Provenance("segment", {"threshold": 0.5}, {"t2f": "abd"}).is_current([output])
    assert not Provenance("other", {"threshold": 0.5}, {"t2f": "abc"}).is_current([output])
    output.write_bytes(b"mas")
    assert not Provenance("segment", {"threshold": 0.5}, {"t2f": "abc"}).is_current([output])


def test_a_missing_output_or_a_damaged_sidecar_is_not_current(made: tuple[Provenance, Path]) -> None:
    provenance, output = made
    assert not provenance.is_current([output, output.with_name("other.csv")])
    sidecar_path(output).write_text("{ half")
    assert not provenance.is_current([output])


def test_the_sidecar_says_what_it_is_and_holds_no_path(made: tuple[Provenance, Path]) -> None:
    _, output = made
    values = read_sidecar(output)
    assert values["notice"] == RESEARCH_USE
    assert values["wt_ml"] == 12.5
    assert set(values["outputs"]) == {"case.nii.gz"}
    assert values["versions"]["radiogen"]
    assert str(output.parent) not in json.dumps(values)


def test_two_runs_write_the_same_sidecar(made: tuple[Provenance, Path]) -> None:
    provenance, output = made
    first = sidecar_path(output).read_bytes()
    provenance.record([output], wt_ml=12.5)
    assert sidecar_path(output).read_bytes() == first


def test_absent_inputs_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("a")
    assert list(hash_inputs({"t1c": tmp_path / "a", "t2f": None, "t2w": tmp_path / "none"})) == ["t1c"]
