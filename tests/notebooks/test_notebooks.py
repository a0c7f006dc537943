"""Every notebook runs from top to bottom, says nothing on standard error, and its own last cell finds that its claims hold."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from tests.conftest import SHARED_DATA

FOLDER = Path(__file__).resolve().parents[2] / "notebooks"
NOTEBOOKS = sorted(path.stem for path in FOLDER.glob("*.ipynb"))
LARGEST_BYTES = 600_000
SECONDS_PER_CELL = 300

# Absolute paths of Unix, Windows and temporary folders; a slash in `and/or`, in a URL or in a relative path is none.
A_PATH = re.compile(r"(?<![\w./:~-])/(?:tmp|home|root|work|usr|opt|var|mnt|data|private|Users)/|[A-Z]:\\\\")
SKIPPED = "skipped: there is no shared/data"


def read(name: str) -> nbformat.NotebookNode:
    """Return a notebook as committed."""
    return nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)


def outputs(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    """Return every output of every cell."""
    return [output for cell in notebook.cells for output in cell.get("outputs", [])]


def text(notebook: nbformat.NotebookNode, *streams: str) -> str:
    """Return the text of the outputs: of some streams, or of everything but pictures."""
    parts = []
    for output in outputs(notebook):
        if output.output_type == "stream" and (not streams or output.name in streams):
            parts.append(output.text)
        elif output.output_type in ("execute_result", "display_data") and not streams:
            parts += [str(content) for kind, content in output.data.items() if not kind.startswith("image/png")]
    return "\n".join(parts)


def test_there_are_six() -> None:
    assert [name[0] for name in NOTEBOOKS] == list("123456")


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_the_notebook_runs_and_its_claims_hold(name: str, tmp_path: Path) -> None:
    folder = tmp_path / "repository" / "notebooks"
    folder.mkdir(parents=True)
    if SHARED_DATA.is_dir():  # then the cells on real data run too
        (tmp_path / "shared").symlink_to(SHARED_DATA.parent)
    notebook = read(name)
    client = NotebookClient(notebook, timeout=SECONDS_PER_CELL, resources={"metadata": {"path": str(folder)}})
    client.execute()
    assert text(notebook, "stderr") == ""
    assert notebook.cells[-1].outputs[-1].text == "all hold\n"
    assert sum("assert" in line for line in notebook.cells[-1].source.splitlines()) >= 5
    assert (SKIPPED in text(notebook)) != SHARED_DATA.is_dir()
    assert not list(folder.iterdir())  # what it writes goes into a folder of its own


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_what_is_committed_was_run_without_real_data_and_is_portable(name: str) -> None:
    notebook = read(name)
    nbformat.validate(notebook)
    assert (FOLDER / f"{name}.ipynb").stat().st_size < LARGEST_BYTES
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    said = text(notebook)
    assert said.endswith("all hold\n")
    assert SKIPPED in said
    assert not A_PATH.findall(said)
    assert not re.search(r"\b0x[0-9a-f]{6,}", said)  # an address in memory differs from run to run
    assert not [
        output for output in outputs(notebook) if output.output_type == "error" or output.get("name") == "stderr"
    ]
    assert sum("image/png" in output.get("data", {}) for output in outputs(notebook)) >= 2
    assert len({cell.id for cell in notebook.cells}) == len(notebook.cells)


def test_the_search_for_paths_finds_some() -> None:
    assert A_PATH.search("wrote /tmp/tmpab12/study") is not None
    assert A_PATH.search("'/home/somebody/x.csv'") is not None
    assert A_PATH.search("study/preprocessed, and/or, https://example.org/tmp/x") is None
