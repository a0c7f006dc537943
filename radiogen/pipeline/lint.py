"""`radiogen lint`: looks for leaks in a study folder, tables, code, or a pipeline that it runs."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd

from radiogen.cohort.labels import Labels
from radiogen.cohort.table import TARGET_COLUMNS
from radiogen.config.lint import LintSettings
from radiogen.errors import CohortError, InputError
from radiogen.evaluate.columns import binary_labels, find_column, numbers
from radiogen.evaluate.layout import PredictionColumns, find_roles
from radiogen.evaluate.lint import Finding, Severity, as_json, as_text, in_order
from radiogen.evaluate.lint_code import lint_source, read_source
from radiogen.evaluate.lint_features import lint_features
from radiogen.evaluate.lint_folds import lint_equal_rows, lint_folds, partition
from radiogen.evaluate.lint_predictions import lint_metrics, lint_predictions, lint_seen
from radiogen.evaluate.lint_rows import LintRows, is_feature_table, label_of, rows_of
from radiogen.evaluate.lint_run import load_object, try_pipeline
from radiogen.evaluate.predictions import read_any_table
from radiogen.fusion.bundle import training_hashes
from radiogen.fusion.join import target_labels
from radiogen.pipeline.inputs import match_labels, read_labels
from radiogen.run.atomic import write_json, write_text

log = logging.getLogger(__name__)

_TABLES = {".csv", ".tsv", ".parquet"}
_CODE = {".py", ".ipynb"}
_OBJECT = re.compile(r"[\w./\\-]+:[A-Za-z_]\w*")
_NOT_FEATURES = re.compile(r"_(perturbed|dictionary|stability)$")
_SKIPPED = {"site-packages", "node_modules", "__pycache__", "build", "dist", "venv"}
_MOST_FILES = 2000


@dataclass
class LintReport:
    """What the linter found.

    Args:
        findings: the worst first.
        checked: what was looked at, in plain words.
    """

    findings: list[Finding] = field(default_factory=list)
    checked: list[str] = field(default_factory=list)

    @property
    def has_leak(self) -> bool:
        """Return whether any finding is a leak."""
        return any(one.severity == Severity.LEAK for one in self.findings)

    @property
    def text(self) -> str:
        """Return the report for people."""
        return as_text(self.findings, self.checked)


@dataclass(frozen=True)
class _Known:
    """Labels and folds of cases that other files know."""

    labels: Labels | None = None
    y: dict[str, pd.Series] = field(default_factory=dict)
    side: pd.Series | None = None


def run_lint(
    path: str,
    settings: LintSettings,
    *,
    labels: Path | None = None,
    target: str | None = None,
    label_column: str | None = None,
    model: Path | None = None,
    out: Path | None = None,
) -> LintReport:
    """Look for leaks, and write `lint.json` and `lint.txt` where a folder is given.

    Args:
        path: a study folder (ours or anybody's), a table of features or predictions, a Python file or notebook, or `module:object`, which is run.
        settings: limits.
        labels: table with the labels of a feature table, joined by case id.
        target: look at this target only.
        label_column: the label's column in a table that holds features and label.
        model: a model's folder, or its card.json: cases that it was trained on are looked for.
        out: folder for the report.

    Raises:
        InputError: there is nothing to look at, or it cannot be read.
    """
    report = LintReport()
    known = _Known(read_labels(labels) if labels is not None else None)
    card = _read_card(model) if model is not None else None
    place = Path(path)
    targets = [target] if target is not None else list(TARGET_COLUMNS)
    if not place.exists() and _OBJECT.fullmatch(path):
        _lint_object(path, settings, report)
    elif place.is_dir():
        _lint_folder(place, known, targets, card, settings, report)
    elif place.suffix.lower() in _CODE:
        _lint_code(place, report)
    elif place.suffix.lower() == ".json" and place.is_file():
        _lint_json(place, place.name, report)
    else:
        _lint_table(place, place.name, known, targets, card, settings, report, label_column=label_column)
    if not report.checked:
        raise InputError(
            f"{path} holds nothing that can be looked at.",
            hint="Give a folder with predictions or features, a table, a Python file or notebook, or module:object.",
        )
    report.findings = in_order(report.findings)
    if out is not None:
        write_json(out / "lint.json", as_json(report.findings, report.checked))
        write_text(out / "lint.txt", report.text + "\n")
    return report


def _lint_object(reference: str, settings: LintSettings, report: LintReport) -> None:
    file = Path(reference.rpartition(":")[0])
    if file.suffix == ".py":
        _lint_code(file, report)
    tried = try_pipeline(load_object(reference), reference, settings)
    report.findings += tried.findings
    report.checked.append(tried.words)


def _lint_code(path: Path, report: LintReport, *, name: str | None = None) -> None:
    source = read_source(path)
    report.findings += lint_source(source)
    report.checked.append(f"{name or path.name}: {len(source.places)} lines of code, read and not run")


def _lint_json(path: Path, name: str, report: LintReport) -> None:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path} is not JSON: {error}") from error
    if isinstance(content, list) and all(isinstance(one, dict) and {"train", "val"} <= set(one) for one in content):
        table = _splits(content)
        if not table.empty:
            report.findings += lint_folds(rows_of(table, name))
            report.checked.append(f"{name}: {len(content)} folds")
    elif isinstance(content, dict) and "auc" in content:
        report.findings += lint_metrics(content, name)
        report.checked.append(f"{name}: what the evaluation noted itself")


def _splits(content: list[dict[str, Any]]) -> pd.DataFrame:
    rows = [
        (str(case), f"fold {number}", {"train": "train", "val": "test"}[part])
        for number, fold in enumerate(content)
        for part in ("train", "val")
        for case in fold[part]
    ]
    return pd.DataFrame(rows, columns=["case", "split", "set"], dtype=object)


def _lint_folder(
    folder: Path,
    known: _Known,
    targets: list[str],
    card: dict[str, Any] | None,
    settings: LintSettings,
    report: LintReport,
) -> None:
    files = list(_files(folder))
    tables = {path: rows for path in files if (rows := _rows_in_folder(path, folder)) is not None}
    known = _with_predictions(known, tables, targets)
    cohort = folder / "cohort.csv"
    if known.labels is None and not known.y and cohort in files:
        known = _Known(read_labels(cohort))
    for path, rows in tables.items():
        _lint_rows(path, rows, known, targets, card, settings, report)
    for path in files:
        name = str(path.relative_to(folder))
        if path.suffix.lower() in _CODE:
            _lint_code(path, report, name=name)
        elif re.fullmatch(r"metrics.*\.json|splits_final\.json", path.name):
            _lint_json(path, name, report)


def _files(folder: Path) -> Iterator[Path]:
    found = 0
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder).parts
        if any(part.startswith(".") or part in _SKIPPED for part in inside) or not path.is_file():
            continue
        found += 1
        if found > _MOST_FILES:
            log.warning("%s holds more than %d files; the rest is not looked at.", folder, _MOST_FILES)
            return
        yield path


def _rows_in_folder(path: Path, folder: Path) -> LintRows | None:
    if path.suffix.lower() not in _TABLES or _NOT_FEATURES.search(path.stem):
        return None
    if path.suffix == ".csv" and path.with_suffix(".parquet").is_file():
        return None  # the same table
    if _no_features_by_contract(path):
        return None
    try:
        frame = read_any_table(path)
        rows = rows_of(frame, str(path.relative_to(folder)))
    except CohortError as error:
        log.info("%s is left out: %s", path.name, error)
        return None
    return rows if "case" in rows.roles else None


def _no_features_by_contract(path: Path) -> bool:
    """Return whether a table holds what is known of the cases, or was made from predictions: there the labels have to stand."""
    beside = {"scores.csv": "predictions.csv", "truth.csv": "../cohort.csv"}.get(path.name)
    return path.name == "cohort.csv" or (beside is not None and (path.parent / beside).is_file())


def _with_predictions(known: _Known, tables: dict[Path, LintRows], targets: list[str]) -> _Known:
    """Take labels and folds from the predictions beside the features, where no label table is given."""
    for rows in tables.values():
        for target, part, roles in _as_predictions(rows, targets):
            y, _ = binary_labels(part.frame[roles["y_true"]], target or "")
            by_case = pd.Series(y.to_numpy(), index=part.case).groupby(level=0).first()
            side = partition(part)
            sides = None if side is None else side[side != ""].set_axis(part.case[side != ""])
            first = None if sides is None else sides[~sides.index.duplicated()]
            return _Known(known.labels, {target or "": by_case}, first)
    return known


def _lint_table(
    path: Path,
    name: str,
    known: _Known,
    targets: list[str],
    card: dict[str, Any] | None,
    settings: LintSettings,
    report: LintReport,
    *,
    label_column: str | None = None,
) -> None:
    rows = rows_of(read_any_table(path), name)
    _lint_rows(path, rows, known, targets, card, settings, report, label_column=label_column)


def _lint_rows(
    path: Path,
    rows: LintRows,
    known: _Known,
    targets: list[str],
    card: dict[str, Any] | None,
    settings: LintSettings,
    report: LintReport,
    *,
    label_column: str | None = None,
) -> None:
    if card is not None:
        report.findings += lint_seen(rows, _seen(rows, card), "the model")
    predictions = [] if label_column is not None else list(_as_predictions(rows, targets))
    for target, part, roles in predictions:
        y, _ = binary_labels(part.frame[roles["y_true"]], target or "")
        score = numbers(part.frame[roles["y_prob"]])
        report.findings += lint_predictions(part, y, -score if "complement" in roles else score) + lint_folds(part)
        words = f" of {target}" if target else ""
        report.checked.append(f"{rows.name}: {len(part.case)} predictions{words}")
    if predictions:
        return
    report.findings += lint_folds(rows)
    if rows.features.shape[1] == 0 and not rows.words and not {"split", "set"} & set(rows.roles):
        return
    side = rows.case.map(known.side).fillna("") if known.side is not None else partition(rows)
    if is_feature_table(rows):
        report.findings += lint_equal_rows(rows, settings, side=side)
    told = []
    for target, column, y in _labels(rows, known, targets, label_column):
        name = target or column
        for one in lint_features(rows, y, target=target, label_column=column, settings=settings):
            report.findings.append(replace(one, what=f"{name}: {one.what}" if name else one.what))
        told.append(f"{name or 'the label'} ({int((y == 1).sum())} of {int(y.notna().sum())} positive)")
    words = f"against {', '.join(told)}" if told else "without labels"
    report.checked.append(f"{rows.name}: {len(rows.case)} rows, {rows.features.shape[1]} columns of numbers, {words}")


def _as_predictions(rows: LintRows, targets: list[str]) -> Iterator[tuple[str | None, LintRows, dict[str, str]]]:
    """Yield target, rows and roles for every target that a table holds predictions of."""
    column = find_column(rows.frame.columns, "target")
    if column is not None:
        for value, part in rows.frame.groupby(rows.frame[column].astype(str).str.lower(), sort=True):
            target = str(value) if value in TARGET_COLUMNS else None
            if target in targets or target is None:
                inner = rows_of(part, rows.name)
                roles, problems = find_roles(inner.frame, target, PredictionColumns())
                if not problems and {"y_true", "y_prob"} <= set(roles):
                    yield target, inner, roles
        return
    roles, problems = find_roles(rows.frame, None, PredictionColumns())
    if not problems and {"y_true", "y_prob"} <= set(roles):
        yield roles.get("target_name"), rows, roles
        return
    for target in targets:
        roles, problems = find_roles(rows.frame, target, PredictionColumns())
        if not problems and {"y_true", "y_prob"} <= set(roles):
            yield target, rows, roles


def _labels(
    rows: LintRows, known: _Known, targets: list[str], label_column: str | None
) -> Iterator[tuple[str | None, str, pd.Series]]:
    """Yield target, own label column ('' where the labels come from elsewhere) and labels per row."""
    if known.labels is not None:
        cohort = _matched(rows, known.labels)
        for target in targets:
            y = target_labels(cohort, target)
            if y.nunique() == 2:
                yield target, "", y.set_axis(rows.frame.index)
        return
    if known.y:
        for name, by_case in known.y.items():
            yield name or None, "", rows.case.map(by_case).astype(float)
        return
    if label_column is not None:
        own = label_of(rows, targets[0] if len(targets) == 1 else None, label_column)
        if own is not None:
            yield (targets[0] if len(targets) == 1 else None), *own
        return
    found: set[str] = set()
    for target in targets:
        own = label_of(rows, target)
        if own is not None and own[0] not in found and own[1].nunique() == 2:
            found.add(own[0])
            yield target, *own


def _matched(rows: LintRows, labels: Labels) -> pd.DataFrame:
    for ids in (rows.case, rows.patient):
        unique = list(dict.fromkeys(ids))
        try:
            cohort = match_labels(unique, labels)
        except CohortError:
            continue
        return cohort.reindex(ids)
    return match_labels(list(dict.fromkeys(rows.case)), labels)


def _read_card(path: Path) -> dict[str, Any]:
    file = path / "card.json" if path.is_dir() else path
    try:
        card = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{file} cannot be read: {error}", hint="Give the folder `model` of a study.") from error
    if not isinstance(card, dict) or not {"salt", "training_ids"} <= set(card):
        raise InputError(f"{file} holds no training ids.", hint="Give the folder `model` of a study.")
    return card


def _seen(rows: LintRows, card: dict[str, Any]) -> pd.Series:
    hashes, salt = set(card["training_ids"]), str(card["salt"])
    pairs = pd.DataFrame({"case": rows.case, "patient": rows.patient})
    seen = [
        bool(hashes & set(training_hashes([case], [patient], salt))) for case, patient in pairs.itertuples(index=False)
    ]
    return pd.Series(seen, index=rows.case.index, dtype=bool)
