"""Parts of the study's report: what each verdict rests on, and the tumour's habitats."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from radiogen.report.classification import SCORES_FILE, key_sections
from radiogen.report.page import Box, Section
from radiogen.report.study_parts import shrunken_picture
from radiogen.report.words import target_words

_HABITAT_PICTURES = 6
_HABITAT_WIDTH_PX = 700


def target_sections(study: Path, verdicts: Mapping[str, Mapping[str, Any]]) -> list[Section]:
    """Return for every classified target the figures that its verdict rests on, each section headed by the target's name.

    Args:
        study: folder with `classify/<target>/scores.csv` and `importance.csv`.
        verdicts: target -> its metrics.
    """
    sections = []
    for name, metrics in verdicts.items():
        folder = study / "classify" / name
        if not (folder / SCORES_FILE).is_file():
            continue  # made by an older radiogen; the box above leads to its own page
        scores = pd.read_csv(folder / SCORES_FILE, dtype={"case": str, "patient": str, "site": str}).set_index("case")
        found = key_sections(metrics, scores, _importance(folder / "importance.csv"))
        title = target_words(name).name
        sections += [replace(each, title=f"{title}: {each.title[0].lower()}{each.title[1:]}") for each in found]
    return sections


def _importance(path: Path) -> pd.DataFrame | None:
    return pd.read_csv(path) if path.is_file() else None


def habitats_section(study: Path) -> list[Section]:
    """Return what the habitats of a study are, with a few of their maps; empty where there are none.

    Args:
        study: folder in which a `habitats.json` stands anywhere.
    """
    boxes, pictures = [], []
    for path in sorted(study.rglob("habitats.json")):
        folder = path.parent.relative_to(study).as_posix()
        result = json.loads(path.read_text(encoding="utf-8"))
        links = {"Full report": f"{folder}/report.html"} if (path.parent / "report.html").is_file() else {}
        boxes.append(Box("Tumour habitats", str(result.get("summary") or "No summary was written."), links=links))
        pictures += [
            shrunken_picture(file, f"{file.stem}: habitats.", f"{folder}/pictures/{file.name}", _HABITAT_WIDTH_PX)
            for file in sorted((path.parent / "pictures").glob("*.png"))[:_HABITAT_PICTURES]
        ]
    return [Section("Habitats", boxes=boxes, pictures=pictures, large_pictures=True)] if boxes else []
