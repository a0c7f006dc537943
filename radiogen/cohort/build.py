"""From found files and label tables to a cohort table, with everything a reader must know about it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from radiogen.cohort.case import REFERENCE_ORDER, CaseImages, check_one_space, read_case, read_case_mask, read_each
from radiogen.cohort.identifiers import identify
from radiogen.cohort.join import JoinReport, join_labels
from radiogen.cohort.labels import Labels
from radiogen.cohort.layouts import Found, FoundCase, find_cases
from radiogen.cohort.nifti import Grid, read_grid, read_image
from radiogen.cohort.overlaps import find_links, label_conflicts, overlap_counts, unify_patients
from radiogen.cohort.table import (
    CLINICAL_COLUMNS,
    COLUMNS,
    LABEL_COLUMNS,
    PATH_COLUMNS,
    SURVIVAL_COLUMNS,
    present_sequences,
    read_cohort,
)
from radiogen.errors import GeometryError, ImageError
from radiogen.types import SEQUENCES, LabelVolume

REMARK_COLUMNS = ["kind", "case", "text"]
_TEXT_COLUMNS = ["sex", "eor"]
_MEANING = {
    "mgmt": ("unmethylated", "methylated"),
    "idh": ("wild-type", "mutated"),
    "codeletion_1p19q": ("intact", "co-deleted"),
    "os_event": ("alive", "died"),
}


@dataclass(frozen=True)
class Assembled:
    """A cohort table and what was noticed on the way.

    Args:
        cohort: typed table as `read_cohort` returns it, with `mask_labels` where a layout fixes the mask's scheme.
        remarks: columns `kind case text`; kinds are `problem` (something stays unknown because of it), `file`, `label`, `patient`.
        conflicts: contradictions between label tables, as `label_conflicts` returns them.
        overlaps: collections that share patients, as `overlap_counts` returns them.
        join: what joining came to, or None without label tables.
    """

    cohort: pd.DataFrame
    remarks: pd.DataFrame
    conflicts: pd.DataFrame
    overlaps: pd.DataFrame
    join: JoinReport | None


def cohort_table(found: Found) -> pd.DataFrame:
    """Return the cohort table of found cases, with nothing known but what file names say.

    Args:
        found: from `find_cases`.

    Returns:
        Table indexed by `case`, as `read_cohort` returns it, with a further column `mask_labels`.
    """
    rows = [_row(case) for case in found.cases]
    table = pd.DataFrame(rows).set_index("case")
    table.index = table.index.astype(object)
    for column in [*LABEL_COLUMNS, *CLINICAL_COLUMNS, *SURVIVAL_COLUMNS]:
        table[column] = None if column in _TEXT_COLUMNS else np.nan
        table[column] = table[column].astype(object if column in _TEXT_COLUMNS else float)
    return table[[*COLUMNS[1:], "mask_labels"]]


def read_cohort_or_folder(path: str | Path, layout: str = "auto") -> pd.DataFrame:
    """Return the cohort of a CSV, or of the cases found in a folder.

    Args:
        path: `cohort.csv`, a folder holding one case or many.
        layout: how a folder is read; see `radiogen info`.

    Raises:
        CohortError: the table is wrong, or the folder holds no case.
    """
    path = Path(path)
    return cohort_table(find_cases([path], layout)) if path.is_dir() else read_cohort(path)


def _row(case: FoundCase) -> dict[str, str | None]:
    identity = identify(case.case)
    paths = {role: str(case.files[role]) if role in case.files else None for role in PATH_COLUMNS}
    ids = {"case": case.case, "patient": case.patient or identity.patient, "site": identity.site}
    return {**ids, **paths, "mask_labels": case.mask_labels}


def assemble(found: Found, tables: Sequence[Labels] = (), crosswalks: Sequence[Labels] = ()) -> Assembled:
    """Return the cohort of found cases with labels joined and patients unified.

    Args:
        found: from `find_cases`.
        tables: label tables, the most trusted one first; those with two id columns serve as cross-walks as well.
        crosswalks: further tables that give one patient several ids; their label columns are not used.

    Raises:
        CohortError: a label table has no id that matches a case.
    """
    links = find_links([*tables, *crosswalks])
    cohort = cohort_table(found)
    join = None
    if tables:
        cohort, join = join_labels(cohort, tables, links)
    cohort, merged = unify_patients(cohort, links)
    remarks = [*_file_remarks(found), *_label_remarks(tables, join)]
    remarks += [{"kind": "patient", "case": "", "text": line} for line in [*merged, *_follow_ups(cohort)]]
    return Assembled(
        cohort,
        pd.DataFrame(remarks, columns=REMARK_COLUMNS),
        label_conflicts(tables, links),
        overlap_counts(links),
        join,
    )


def _file_remarks(found: Found) -> list[dict[str, str]]:
    remarks = [
        {
            "kind": "file",
            "case": case.case,
            "text": f"{role}: took {case.files[role].name}, not {', '.join(path.name for path in others)}",
        }
        for case in found.cases
        for role, others in case.passed_over.items()
    ]
    remarks += [
        {"kind": "file", "case": "", "text": f"{path.parent.name}/{path.name}: {reason}"}
        for path, reason in found.unused.items()
    ]
    remarks += [
        {"kind": "problem", "case": case.case, "text": "a mask but no sequence"}
        for case in found.cases
        if not any(name in case.files for name in SEQUENCES)
    ]
    return remarks


def _label_remarks(tables: Iterable[Labels], join: JoinReport | None) -> list[dict[str, str]]:
    remarks = []
    for labels in tables:
        remarks += [{"kind": "problem", "case": "", "text": f"{labels.name}: {line}"} for line in labels.problems]
        remarks += [{"kind": "label", "case": "", "text": f"{labels.name}: {line}"} for line in labels.notes]
    if join is None:
        return remarks
    for name, cases in join.unmatched.items():
        if cases:
            some = ", ".join(cases[:3]) + (f" and {len(cases) - 3} more" if len(cases) > 3 else "")
            remarks.append({"kind": "label", "case": "", "text": f"{name}: no row for {len(cases)} case(s): {some}"})
    for record in join.conflicts.to_dict("records"):
        text = (
            f"{record['column']}: {_plain(record['value_1'])} from {record['source_1']} kept, "
            f"{record['source_2']} ({record['case_2']}) says {_plain(record['value_2'])}"
        )
        remarks.append({"kind": "problem", "case": str(record["patient"]), "text": text})
    return remarks


def _plain(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _follow_ups(cohort: pd.DataFrame) -> list[str]:
    several = cohort.groupby("patient", sort=True).size()
    return [
        f"{patient} has {count} scans: {', '.join(map(str, cohort.index[cohort['patient'] == patient]))}"
        for patient, count in several[several > 1].items()
    ]


def check_case(row: pd.Series, *, keep_unregistered: bool = False) -> list[str]:
    """Check the headers of a case's files and that they share their voxels.

    Args:
        row: one row of the cohort table.
        keep_unregistered: return a remark instead of raising when sequences lie on different grids.

    Returns:
        Remarks about the case.

    Raises:
        ImageError: the case has no sequence, or files cannot be used; all of them are listed.
        GeometryError: files do not share their voxels.
    """
    paths = present_sequences(row)
    if not paths:
        raise ImageError("The case has no sequence.", hint="Give at least one of t1n, t1c, t2w, t2f.")
    if isinstance(row["mask"], str):
        paths = {**paths, "mask": row["mask"]}
    grids: dict[str, Grid] = read_each(paths, read_grid)
    reference = next(name for name in REFERENCE_ORDER if name in grids)
    try:
        check_one_space(grids, reference)
    except GeometryError as error:
        if not keep_unregistered:
            hint = f"{error.hint} To list such cases for that step: --keep-unregistered."
            raise GeometryError(error.message, problems=error.problems, hint=hint) from error
        return [" ".join([error.message, *error.problems])]
    return []


def read_for_check(
    row: pd.Series, *, keep_unregistered: bool = False
) -> tuple[CaseImages, LabelVolume | None, list[str]]:
    """Read every voxel of a case and return it with remarks about its content.

    Args:
        row: one row of the cohort table.
        keep_unregistered: read sequences that lie on different grids one by one; the mask is left out then.

    Raises:
        ImageError: a file is damaged, empty, or not what it should be.
        GeometryError: files do not share their voxels.
    """
    remarks = check_case(row, keep_unregistered=keep_unregistered)
    if remarks:
        images = {name: read_image(path) for name, path in present_sequences(row).items()}
        first = next(iter(images.values()))
        return (
            CaseImages(str(row.name), {name: image.data for name, image in images.items()}, first.grid),
            None,
            remarks,
        )
    case = read_case(row)
    labels = read_case_mask(row, case.grid) if isinstance(row["mask"], str) else None
    return case, labels, _copies(case.images)


def _copies(images: Mapping[str, np.ndarray]) -> list[str]:
    names = list(images)
    return [
        f"{one} and {two} hold the same image: one is a copy of the other"
        for index, one in enumerate(names)
        for two in names[index + 1 :]
        if images[one].shape == images[two].shape and np.array_equal(images[one], images[two])
    ]


def coverage(cohort: pd.DataFrame) -> pd.DataFrame:
    """Return what a cohort has and lacks, one row per column of the table.

    Args:
        cohort: typed cohort table.

    Returns:
        Table indexed by `what` with `known`, `missing` (cases) and `values`: counts of each class, or the median and range.
    """
    rows = []
    for column in ["site", *PATH_COLUMNS, *LABEL_COLUMNS, *CLINICAL_COLUMNS, *SURVIVAL_COLUMNS]:
        known = cohort[column].dropna()
        text = "" if column in PATH_COLUMNS else _spread(column, known)
        rows.append({"what": column, "known": len(known), "missing": len(cohort) - len(known), "values": text})
    return pd.DataFrame(rows).set_index("what")


def _spread(column: str, known: pd.Series) -> str:
    if known.empty:
        return ""
    if column in _MEANING:
        negative, positive = _MEANING[column]
        return f"{int((known == 1).sum())} {positive}, {int((known == 0).sum())} {negative}"
    if column in ("site", "sex", "eor", "grade"):
        counts = known.map(_plain).value_counts()
        shown = sorted(counts.items(), key=lambda item: (-item[1], str(item[0])))
        return ", ".join(f"{name}: {count}" for name, count in shown[:8]) + (
            f" and {len(shown) - 8} more" if len(shown) > 8 else ""
        )
    return f"median {known.median():.4g}, {known.min():.4g} to {known.max():.4g}"
