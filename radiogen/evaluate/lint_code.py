"""Leaks that the code of a pipeline shows without being run: a Python file or a notebook."""

from __future__ import annotations

import ast
import json
import re
from dataclasses import dataclass
from pathlib import Path

from radiogen.errors import InputError
from radiogen.evaluate.lint import Finding, Severity, finding
from radiogen.evaluate.lint_calls import call_value
from radiogen.evaluate.lint_flow import Flow, Trace
from radiogen.evaluate.lint_steps import (
    CHECK_OF,
    CROSS_VALIDATORS,
    GROUP_SPLITTERS,
    PARTS_OF_PATIENTS,
    ROW_SPLITTERS,
    SEARCHES,
)

_EARLY = re.compile(r"early_?stopping", re.IGNORECASE)


@dataclass(frozen=True)
class Source:
    """The code of one file, and where each of its lines stands.

    Args:
        name: file name.
        text: Python.
        places: place of each line, from line 1, in words.
    """

    name: str
    text: str
    places: list[str]


def read_source(path: Path) -> Source:
    """Read a Python file or the code cells of a notebook.

    Raises:
        InputError: it cannot be read, or is no notebook.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read: {error}", hint="Give a Python file or a notebook.") from error
    if path.suffix != ".ipynb":
        return Source(path.name, text, [f"{path.name}:{number + 1}" for number in range(text.count("\n") + 1)])
    try:
        cells = [cell for cell in json.loads(text)["cells"] if cell.get("cell_type") == "code"]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path} is no notebook: {error}", hint="Give a Jupyter notebook of format 4.") from error
    lines, places = [], []
    for number, cell in enumerate(cells, start=1):
        written = "".join(cell.get("source", "")).splitlines()
        lines += [_without_magic(line) for line in written]
        places += [f"{path.name}: code cell {number}, line {row}" for row in range(1, len(written) + 1)]
    return Source(path.name, "\n".join(lines), places or [path.name])


def lint_source(source: Source) -> list[Finding]:
    """Return the leaks that code shows: steps that learn outside the fold, tests that are trained on.

    Args:
        source: of `read_source`.

    Raises:
        InputError: the code has a syntax error.

    Example:
        >>> code = "X = StandardScaler().fit_transform(X)\\ncross_val_score(SVC(), X, y)\\n"
        >>> [one.check for one in lint_source(Source("a.py", code, ["a.py:1", "a.py:2", "a.py:3"]))]
        ['scaling-outside-fold']
    """
    try:
        tree = ast.parse(source.text)
    except SyntaxError as error:
        place = source.places[min((error.lineno or 1) - 1, len(source.places) - 1)]
        raise InputError(f"{place}: the code is not valid Python: {error.msg}.", hint="Mend it first.") from error
    flow = Flow(call_value)
    flow.run(tree)
    found = [_leak(source, trace) for trace in sorted(flow.leaks)]
    for check, line, what in sorted(flow.events):
        sure = check != "early-stopping-on-test" or _EARLY.search(source.text) is not None
        found.append(finding(Severity.LEAK if sure else Severity.SUSPICIOUS, check, _place(source, line), what))
    if not flow.splits:
        found += [_leak(source, trace) for trace in sorted(flow.scored)]
        found += [_pending(source, trace) for trace in sorted(flow.pending)]
    return found + _names(source, tree)


def _place(source: Source, line: int) -> str:
    return source.places[min(line, len(source.places)) - 1]


def _leak(source: Source, trace: Trace) -> Finding:
    words = "is fitted on all rows, and the result is split or scored afterwards"
    if trace.kind == "model":
        words = "is fitted on all rows, and scored on rows that it has seen"
    severity = Severity.SUSPICIOUS if trace.kind == "unknown" else Severity.LEAK
    return finding(severity, CHECK_OF[trace.kind], _place(source, trace.line), f"`{trace.name}` {words}.")


def _pending(source: Source, trace: Trace) -> Finding:
    what = f"`{trace.name}` learns from all rows; this file splits nothing."
    return finding(Severity.NOTE, "no-split-here", _place(source, trace.line), what)


def _names(source: Source, tree: ast.Module) -> list[Finding]:
    used: dict[str, int] = {}
    for node in ast.walk(tree):
        name = node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""
        if name:
            used.setdefault(name, node.lineno)  # type: ignore[attr-defined]
    found = []
    outer = set(used) & (CROSS_VALIDATORS | {"train_test_split", "split"})
    if "best_score_" in used and set(used) & SEARCHES and not outer:
        what = "`best_score_` of a search is used, and nothing tests the search itself."
        found.append(finding(Severity.SUSPICIOUS, "best-score-reported", _place(source, used["best_score_"]), what))
    rows = sorted(set(used) & ROW_SPLITTERS, key=lambda name: used[name])
    several = _speaks_of_parts(tree)
    if rows and several and not set(used) & GROUP_SPLITTERS:
        what = f"`{rows[0]}` splits rows, and the file speaks of '{several}'."
        found.append(finding(Severity.SUSPICIOUS, "rows-split-not-patients", _place(source, used[rows[0]]), what))
    return found


def _speaks_of_parts(tree: ast.Module) -> str:
    words = [node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and node.id != "slice"]
    words += [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and len(node.value) <= 40
    ]
    return next((word for word in words if PARTS_OF_PATIENTS.search(word)), "")


def _without_magic(line: str) -> str:
    return re.sub(r"\S.*", "pass", line, count=1) if line.lstrip().startswith(("%", "!")) else line
