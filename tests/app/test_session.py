"""Temporary files are gone when a session is."""

from __future__ import annotations

import gc
import subprocess
import sys
from pathlib import Path

import pytest

from radiogen.app.session import Workspace


def test_it_is_removed_when_closed_and_when_forgotten(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    (workspace.fresh() / "scan.nii").write_text("x")
    workspace.close()
    workspace.close()
    assert list(tmp_path.iterdir()) == []
    forgotten = Workspace(tmp_path)
    (forgotten.fresh() / "scan.nii").write_text("x")
    del forgotten
    gc.collect()
    assert list(tmp_path.iterdir()) == []


def test_it_is_removed_on_an_error_and_at_the_end_of_the_program(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), Workspace(tmp_path):
        raise RuntimeError
    code = (
        "from pathlib import Path; from radiogen.app.session import Workspace; "
        f"w = Workspace(Path({str(tmp_path)!r})); w.fresh(); raise SystemExit(3)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 3
    assert list(tmp_path.iterdir()) == []


def test_a_new_case_begins_empty(tmp_path: Path) -> None:
    with Workspace(tmp_path) as workspace:
        (workspace.fresh() / "old.nii").write_text("x")
        assert list(workspace.fresh().iterdir()) == []


def test_work_that_outlives_the_session_leaves_nothing(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    with workspace.working() as folder:
        workspace.close()
        (folder / "study").mkdir(parents=True)
        (folder / "study" / "mask.nii").write_text("x")
    assert list(tmp_path.iterdir()) == []
