"""A manifest put to use: its layout, its label table, its masks, its centre and its patients."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from radiogen.cohort.identifiers import identify
from radiogen.cohort.label_values import DAYS_PER_MONTH, is_missing
from radiogen.cohort.labels import Labels, normalise_labels, read_text_table
from radiogen.cohort.layouts import Found, FoundCase, find_cases, natural_key
from radiogen.config.dataset import DatasetManifest, LabelColumn
from radiogen.errors import CohortError

DATASET_COLUMN = "dataset"
_DAYS = {"days": 1.0, "weeks": 7.0, "months": DAYS_PER_MONTH, "years": 365.25}


def find_dataset_cases(
    folders: Sequence[Path], manifests: Sequence[DatasetManifest], layout: str = "auto"
) -> tuple[Found, dict[str, DatasetManifest]]:
    """Return the cases of folders that hold known data sets.

    Args:
        folders: one data set for all of them, or one for each.
        manifests: the data sets, in the order of the folders.
        layout: used instead of the manifests' unless it is `auto`.

    Returns:
        The cases, and case id -> the data set it is from.

    Raises:
        CohortError: folders and data sets do not pair up, no case is found, or two data sets have a case of one name.
    """
    if len(manifests) not in (1, len(folders)):
        raise CohortError(
            f"{len(folders)} folder(s) and {len(manifests)} data sets do not pair up.",
            hint="Give --dataset once for all folders, or once per folder in their order.",
        )
    pairs = [(list(folders), manifests[0])] if len(manifests) == 1 else [
        ([folder], manifest) for folder, manifest in zip(folders, manifests, strict=True)
    ]  # fmt: skip
    cases: dict[str, FoundCase] = {}
    origin: dict[str, DatasetManifest] = {}
    unused: dict[Path, str] = {}
    twice = []
    for some, manifest in pairs:
        found = find_cases(some, manifest.layout if layout == "auto" else layout)
        unused |= found.unused
        for case in found.cases:
            if case.case in cases:
                twice.append(f"{case.case} in {origin[case.case].name} and {manifest.name}")
            cases[case.case], origin[case.case] = _as_in(manifest, case, unused), manifest
    if twice:
        raise CohortError(
            "Cases of two data sets have one name:", problems=twice, hint="Make one cohort table per data set."
        )
    ordered = [cases[name] for name in sorted(cases, key=natural_key)]
    return Found(ordered, dict(sorted(unused.items()))), origin


def _as_in(manifest: DatasetManifest, case: FoundCase, unused: dict[Path, str]) -> FoundCase:
    match = re.fullmatch(manifest.patient_pattern, case.case) if manifest.patient_pattern else None
    if match is not None and not identify(case.case).collection:
        case = replace(case, patient=match["patient"])
    if "mask" not in case.files:
        return case
    if manifest.masks_readable:
        return replace(case, mask_labels=manifest.mask_labels or case.mask_labels)
    unused[case.files["mask"]] = f"the masks of {manifest.name} have labels that radiogen would misread"
    return replace(case, files={role: path for role, path in case.files.items() if role != "mask"}, mask_labels="")


def read_dataset_labels(path: Path, manifest: DatasetManifest) -> Labels:
    """Read a label table as the manifest of its data set says.

    A table that is not the data set's own (another file with labels of the same patients) is read as any other.

    Args:
        path: CSV.
        manifest: of the data set.

    Raises:
        CohortError: the table cannot be read.
    """
    raw = read_text_table(path)
    if manifest.table is None or manifest.table.id not in raw.columns:
        return normalise_labels(raw, name=path.name)
    columns = manifest.table.columns
    absent = [f"{column} ('{source.header}')" for column, source in columns.items() if source.header not in raw.columns]
    mapped = raw.rename(columns={manifest.table.id: "case"} if "case" not in raw.columns else {})
    for column, source in columns.items():
        if source.header in raw.columns:
            mapped = mapped.drop(columns=source.header).assign(**{column: _values(raw[source.header], column, source)})
    labels = normalise_labels(mapped, name=path.name)
    if absent and len(absent) < len(columns):
        labels.notes.append(f"not where the manifest of {manifest.name} says: {', '.join(absent)}")
    return labels


def _values(written: pd.Series, column: str, source: LabelColumn) -> pd.Series:
    known = {key.lower(): value for key, value in source.values.items()}
    values = written.map(lambda text: known.get(text.lower(), text))
    if column != "os_days" or source.unit in (None, "days"):
        return values
    factor = _DAYS[str(source.unit)]
    return values.map(lambda text: text if is_missing(text) else _times(text, factor))


def _times(text: str, factor: float) -> str:
    try:
        return f"{float(text) * factor:.1f}"
    except ValueError:
        return text  # reported, with its column, where the value is read


def apply_manifests(cohort: pd.DataFrame, origin: dict[str, DatasetManifest]) -> pd.DataFrame:
    """Return a cohort with the column `dataset`, and with the centre where the data set has only one.

    Args:
        cohort: typed cohort table.
        origin: case id -> the data set it is from.
    """
    table = cohort.copy()
    table[DATASET_COLUMN] = [origin[str(case)].name for case in table.index]
    for case in map(str, table.index):
        manifest = origin[case]
        if manifest.site is not None and table.at[case, "site"] is None:
            table.at[case, "site"] = manifest.site
    return table


def traps_that_apply(manifest: DatasetManifest, cohort: pd.DataFrame, *, with_labels: bool) -> list[str]:
    """Return the traps of a data set that concern what a cohort has of it.

    Args:
        manifest: of the data set.
        cohort: its cases.
        with_labels: label tables were given.
    """
    has = {
        "images": True,
        "patients": True,
        "masks": bool(cohort["mask"].notna().any()) or not manifest.masks_readable,
        "labels": with_labels,
        "survival": bool(cohort["os_days"].notna().any()),
    }
    return [trap.text for trap in manifest.traps if has[trap.about]]
