"""The report of a study folder: every verdict on top, then survival, cohort, masks and what failed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from radiogen.cohort.table import read_cohort
from radiogen.errors import InputError
from radiogen.evaluate.verdict import judged_auc, judged_baselines
from radiogen.report.forests import ForestRow, forest_figure
from radiogen.report.page import STATUS_WORDS, Box, Figure, Section, Table, write_page
from radiogen.report.reporting import reporting_sections
from radiogen.report.run_record import read_record
from radiogen.report.study_parts import (
    cohort_section,
    failures_section,
    features_section,
    masks_section,
    shrunken_picture,
)
from radiogen.report.study_targets import habitats_section, target_sections
from radiogen.report.style import QUIET
from radiogen.report.words import (
    bounds,
    count,
    interval,
    known,
    label,
    number,
    p_value,
    split_words,
    target_words,
)
from radiogen.run.atomic import write_json
from radiogen.run.provenance import RESEARCH_USE, hash_inputs
from radiogen.run.quarantine import without_folders
from radiogen.types import Target

_TARGET_ORDER = [target.value for target in Target]
_SURVIVAL_WIDTH_PX = 900

FACTS = "report.json"
"""What the report cannot read from other files; it stands beside the page."""


def write_study_report(
    path: str | Path,
    study: Path,
    *,
    skipped: Mapping[str, str] | None = None,
    provenance: Mapping[str, Any] | None = None,
    synthetic: bool = False,
) -> None:
    """Write the report of a study folder as one self-contained HTML page, atomically; the same folder gives the same bytes.

    It shows whatever stands in the folder: `classify/<target>/metrics.json`, `survival/<group>/survival.json`, `cohort.csv`, `volumes.csv`,
    `features/*.csv`, `qc/<case>.png` (made small, about 3 MB in all) and `failed.csv`.

    Args:
        path: the page; links to the detailed reports are relative to the study folder, so it belongs there.
        study: the study folder.
        skipped: stage or target -> why it was left out of this run; what an earlier run left behind for it is not shown.
        provenance: settings for the page's foot; hashes of the files read are added.
        synthetic: the patients are made up.

    Raises:
        InputError: a result in the folder cannot be read.
        OutputError: the page cannot be written.
    """
    study, left_out = Path(study), dict(skipped or {})
    verdicts = {name: metrics for name, metrics in read_results(study).items() if f"classify {name}" not in left_out}
    survival = {
        name: found
        for name, found in _survival(study).items()
        if f"survival by {found.get('group_by')}" not in left_out
    }
    cohort = read_cohort(study / "cohort.csv") if (study / "cohort.csv").is_file() else None
    sections = [
        *_verdict_section(study, verdicts),
        *target_sections(study, verdicts),
        *_survival_section(study, survival),
        *habitats_section(study),
        *_left_out_section(left_out),
        *failures_section(study / "failed.csv"),
        *cohort_section(cohort),
        *masks_section(study),
        *features_section(study / "features"),
        *reporting_sections(read_record(study, skipped=left_out), promised=[Path(path).name]),
    ]
    facts = {
        **(provenance or {}),
        "inputs": {**(provenance or {}).get("inputs", {}), **_hashes(study, verdicts, survival)},
    }
    write_json(study / FACTS, {"notice": RESEARCH_USE, "skipped": left_out, "synthetic": synthetic})
    write_page(
        path,
        "Glioma radiogenomics study",
        sections,
        lead=_lead(verdicts, cohort),
        provenance=facts,
        synthetic=synthetic,
    )


def read_report_facts(study: Path) -> tuple[dict[str, str], bool]:
    """Return what an earlier run left out and why, and whether its patients are made up, so that the report can be made anew.

    Args:
        study: study folder; without `report.json` nothing was left out.

    Raises:
        InputError: the file cannot be read.
    """
    path = Path(study) / FACTS
    found = _read_json(path) if path.is_file() else {}
    synthetic = found.get("synthetic") or any(
        metrics.get("synthetic") for metrics in read_results(Path(study)).values()
    )
    return {str(name): str(why) for name, why in dict(found.get("skipped") or {}).items()}, bool(synthetic)


def read_results(study: Path) -> dict[str, dict[str, Any]]:
    """Return target -> its metrics, in the order in which they are shown.

    Args:
        study: study folder with `classify/<target>/metrics.json`.

    Raises:
        InputError: a file of metrics cannot be read.
    """
    found = {file.parent.name: _read_json(file) for file in sorted(study.glob("classify/*/metrics.json"))}
    order = [*(name for name in _TARGET_ORDER if name in found), *(name for name in found if name not in _TARGET_ORDER)]
    return {name: found[name] for name in order}


def _survival(study: Path) -> dict[str, dict[str, Any]]:
    files = [*study.glob("survival/survival.json"), *sorted(study.glob("survival/*/survival.json"))]
    return {file.parent.relative_to(study).as_posix(): _read_json(file) for file in files}


def _read_json(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(
            f"{path} cannot be read: {error}", hint="Delete it, then run the same command again."
        ) from error
    if not isinstance(values, dict):
        raise InputError(f"{path} does not hold results.", hint="Delete it, then run the same command again.")
    return values


def _lead(verdicts: Mapping[str, Mapping[str, Any]], cohort: pd.DataFrame | None) -> str:
    cases = (
        "" if cohort is None else f"{count(len(cohort), 'case')} of {count(cohort['patient'].nunique(), 'patient')}. "
    )
    if not verdicts:
        return f"{cases}No target was classified, so there is no verdict."
    parts = []
    for name, metrics in verdicts.items():
        word = STATUS_WORDS.get(str(metrics.get("verdict")), "Undetermined")
        parts.append(f"{target_words(name).name}: {word[0].lower()}{word[1:]}")
    return f"{cases}{'; '.join(parts)}."


def _verdict_section(study: Path, verdicts: Mapping[str, Mapping[str, Any]]) -> list[Section]:
    if not verdicts:
        return []
    boxes = [_verdict_box(study, name, metrics) for name, metrics in verdicts.items()]
    rows = [row for name, metrics in verdicts.items() for row in _forest_rows(name, metrics)]
    figure = Figure(
        forest_figure(rows, "AUC (0.5 is chance)", zero=0.5, limits=(_lowest(rows), 1.005)),
        "Each model (filled) above its hardest baseline (hollow), with 95 % intervals, over the pairs of cases that the verdict uses.",
    )
    return [Section("Verdicts", boxes=boxes, figures=[figure])]


def _verdict_box(study: Path, name: str, metrics: Mapping[str, Any]) -> Box:
    area, ends = judged_auc(metrics)
    facts = {
        "AUC [95 %]": f"{number(area, 2)} [{interval(ends, 2)}]",
        "cases": f"{metrics.get('n', '?')}, {metrics.get('n_positive', '?')} {target_words(name).positive}",
        "permutation p": p_value(metrics.get("permutation_p")),
    }
    hardest = _hardest(metrics)
    if hardest is not None:
        facts[f"lead over {label(str(hardest['name']))}"] = (
            f"{number(hardest.get('delta'), 2, signed=True)} [{interval(hardest.get('delta_ci'), 2, signed=True)}]"
        )
    facts["held out"] = split_words(str(metrics.get("split", "unknown")), metrics.get("n_sites")).split(":")[0]
    links = _links(
        study, {"Full report": f"classify/{name}/report.html", "Predictions": f"classify/{name}/predictions.csv"}
    )
    text = str(metrics.get("verdict_text") or "No verdict was reached.")
    return Box(target_words(name).name, text, str(metrics.get("verdict") or "undetermined"), facts, links)


def _links(study: Path, links: Mapping[str, str]) -> dict[str, str]:
    return {words: link for words, link in links.items() if (study / link).is_file()}


def _hardest(metrics: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the baseline that counts and leaves the model the smallest lead."""
    counted = [row for row in judged_baselines(metrics) if row.get("counts", True) and known(row.get("delta"))]
    return min(counted, key=lambda row: float(row["delta"]), default=None)


def _forest_rows(name: str, metrics: Mapping[str, Any]) -> list[ForestRow]:
    short = {"idh": "IDH", "mgmt": "MGMT", "codeletion": "1p/19q", "grade": "grade 4"}.get(name, name)
    area, ends = judged_auc(metrics)
    rows = [_forest_row(f"{short}: model", {"auc": area, "auc_ci": ends}, filled=True)]
    hardest = _hardest(metrics)
    return (
        rows
        if hardest is None
        else [*rows, _forest_row(f"{short}: {label(str(hardest['name']))}", hardest, filled=False)]
    )


def _forest_row(name: str, row: Mapping[str, Any], *, filled: bool) -> ForestRow:
    value = float(row["auc"]) if known(row.get("auc")) else None
    words = f"{number(row.get('auc'), 2)} ({interval(row.get('auc_ci'), 2)})"
    return (
        ForestRow(name, value, bounds(row.get("auc_ci")), words, filled=filled)
        if filled
        else ForestRow(name, value, bounds(row.get("auc_ci")), words, QUIET, filled)
    )


def _lowest(rows: list[ForestRow]) -> float:
    return max(0.0, min([0.45, *(row.ci[0] - 0.02 for row in rows if row.ci)]))


def _survival_section(study: Path, survival: Mapping[str, Mapping[str, Any]]) -> list[Section]:
    if not survival:
        return []
    boxes, pictures = [], []
    for folder, found in survival.items():
        title = (
            "Overall survival"
            if found.get("group_by") is None
            else f"Survival by {found.get('group_title') or label(str(found['group_by']))}"
        )
        boxes.append(
            Box(title, str(found.get("summary") or ""), links=_links(study, {"Full report": f"{folder}/report.html"}))
        )
        curve = study / folder / "kaplan_meier.png"
        if curve.is_file():
            pictures.append(
                shrunken_picture(
                    curve, f"{title}: Kaplan-Meier curves.", f"{folder}/report.html", _SURVIVAL_WIDTH_PX, drawing=True
                )
            )
    return [Section("Survival", boxes=boxes, pictures=pictures, large_pictures=True)]


def _left_out_section(left_out: Mapping[str, str]) -> list[Section]:
    if not left_out:
        return []
    rows = [{"what": name, "why": without_folders(reason)} for name, reason in sorted(left_out.items())]
    return [Section("Left out", tables=[Table(pd.DataFrame(rows), "What this run did not do, and why.")])]


def _hashes(study: Path, verdicts: Mapping[str, Any], survival: Mapping[str, Any]) -> dict[str, str]:
    names = ["cohort.csv", "volumes.csv", "failed.csv"]
    names += [f"classify/{name}/metrics.json" for name in verdicts] + [f"{folder}/survival.json" for folder in survival]
    return hash_inputs({name: study / name for name in names})
