"""`radiogen cohort`: from folders and label tables to cohort.csv, its page, and the list of cases left out."""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from radiogen.cohort.bids_layout import participants_tables
from radiogen.cohort.build import REMARK_COLUMNS, Assembled, assemble, check_case, coverage, read_for_check
from radiogen.cohort.dataset_cohort import (
    DATASET_COLUMN,
    apply_manifests,
    find_dataset_cases,
    read_dataset_labels,
    traps_that_apply,
)
from radiogen.cohort.datasets import known_overlaps, load_dataset
from radiogen.cohort.labels import Labels, read_labels_file, read_text_table
from radiogen.cohort.layouts import Found, find_cases
from radiogen.cohort.table import write_cohort
from radiogen.config.cohort import CohortSettings
from radiogen.config.dataset import DatasetManifest
from radiogen.errors import CohortError, OutputError
from radiogen.report.cohort import CaseSlices, CohortPage, write_cohort_page
from radiogen.report.images import slices_to_show
from radiogen.run.executor import run_cases
from radiogen.run.provenance import Provenance, hash_inputs
from radiogen.run.quarantine import Failure, write_failures

STAGE = "cohort"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class CohortOutcome:
    """What making a cohort came to.

    Args:
        cohort: the usable cases, as written.
        assembled: what was noticed while files and labels were put together, for all cases found.
        remarks: everything a reader should know: columns `kind case text`.
        coverage: what there is and what is missing, as `build.coverage` returns it.
        failures: cases left out.
        table: cohort.csv.
        page: cohort.html.
        failed: failed.csv, which stands only where cases were left out.
    """

    cohort: pd.DataFrame
    assembled: Assembled
    remarks: pd.DataFrame
    coverage: pd.DataFrame
    failures: list[Failure]
    table: Path
    page: Path
    failed: Path


@dataclass(frozen=True)
class _Looked:
    remarks: list[str]
    slices: CaseSlices | None


def run_cohort(
    folders: Sequence[Path],
    output: Path,
    settings: CohortSettings,
    *,
    labels: Sequence[Path] = (),
    crosswalks: Sequence[Path] = (),
    datasets: Sequence[str] = (),
    jobs: int = 1,
    dask: str | None = None,
    progress: bool = False,
) -> CohortOutcome:
    """Find cases, join labels, check everything, and write cohort.csv with its page.

    Args:
        folders: searched with everything below them.
        output: cohort.csv; cohort.html, failed.csv and a sidecar stand beside it.
        settings: layout, depth of the check, number of pictures.
        labels: label tables, the most trusted one first.
        crosswalks: tables that give one patient several ids.
        datasets: names of the public data sets that the folders hold: one for all, or one for each; see `cohort.datasets`.
        jobs: cases checked at the same time.
        dask: scheduler address of a Dask cluster to use instead.
        progress: show a progress bar.

    Raises:
        CohortError: no case is found, no case can be used, or a label table matches no case.
        ConfigError: a data set or a layout is unknown.
        OutputError: the output cannot be written.
    """
    _refuse_output(output)
    found, assembled = _assemble(folders, settings, labels, crosswalks, [load_dataset(name) for name in datasets])
    looked, failures = _look_at_cases(assembled.cohort, settings, jobs=jobs, dask=dask, progress=progress)
    failed = output.parent / "failed.csv"
    write_failures(failed, failures, stages=[STAGE])
    cohort = assembled.cohort.loc[list(looked)]
    if cohort.empty:
        raise CohortError(
            f"None of the {len(failures)} case(s) found can be used:",
            problems=[f"{failure.case}: {failure.cause}" for failure in failures],
            hint=f"{failures[0].fix} The list is in {failed}.",
        )
    return _write(cohort, assembled, found, looked, failures, output, settings, [*labels, *crosswalks])


def _assemble(
    folders: Sequence[Path],
    settings: CohortSettings,
    labels: Sequence[Path],
    crosswalks: Sequence[Path],
    manifests: Sequence[DatasetManifest],
) -> tuple[Found, Assembled]:
    origin: dict[str, DatasetManifest] = {}
    if manifests:
        found, origin = find_dataset_cases(folders, manifests, settings.layout)
    else:
        found = find_cases(folders, settings.layout)
    log.info("found %d case(s)", len(found.cases))
    participants = participants_tables(folders, found)
    tables = [_labels_of(path, manifests) for path in labels] + [read_labels_file(path) for path in participants]
    assembled = assemble(found, tables, [read_labels_file(path) for path in crosswalks])
    if not origin:
        return found, assembled
    cohort = apply_manifests(assembled.cohort, origin)
    remarks = [
        {"kind": "dataset", "case": manifest.name, "text": text}
        for manifest in {manifest.name: manifest for manifest in manifests}.values()
        for text in (
            f"Licence: {manifest.licence}",
            *traps_that_apply(manifest, cohort[cohort[DATASET_COLUMN] == manifest.name], with_labels=bool(tables)),
        )
    ]
    remarks += [
        {"kind": "problem", "case": "", "text": line} for line in known_overlaps(cohort[DATASET_COLUMN].unique())
    ]
    noted = pd.concat([pd.DataFrame(remarks, columns=REMARK_COLUMNS), assembled.remarks], ignore_index=True)
    return found, replace(assembled, cohort=cohort, remarks=noted)


def _labels_of(path: Path, manifests: Sequence[DatasetManifest]) -> Labels:
    """Read a label table by the manifest whose columns it has; without one, as any table."""
    headers = set(read_text_table(path).columns)
    fits = {
        manifest.name: len({source.header for source in manifest.table.columns.values()} & headers)
        for manifest in manifests
        if manifest.table is not None and manifest.table.id in headers
    }
    best = max(fits, key=lambda name: fits[name], default=None)
    return read_labels_file(path) if best is None else read_dataset_labels(path, load_dataset(best))


def _refuse_output(output: Path) -> None:
    """Raise before any work is done when the output cannot be written."""
    if output.is_dir() or output.suffix.lower() != ".csv":
        raise OutputError(
            f"The output {output} is not a CSV file name.", hint=f"Write for instance: -o {output / 'cohort.csv'}"
        )
    nearest = next(folder for folder in output.absolute().parents if folder.exists())
    if not nearest.is_dir():
        raise OutputError(f"Cannot write {output}: {nearest} is a file.", hint="Choose another output folder.")
    if not os.access(nearest, os.W_OK):
        raise OutputError(
            f"Cannot write {output}: no permission in {nearest}.", hint="Choose an output folder that you may write to."
        )


def _look_at_cases(
    cohort: pd.DataFrame, settings: CohortSettings, *, jobs: int, dask: str | None, progress: bool
) -> tuple[dict[str, _Looked], list[Failure]]:
    shown = set(cohort.index[: settings.pictures])
    cases = {str(case): (row, case in shown) for case, row in cohort.iterrows()}
    look = partial(_look, full=settings.check == "full", keep_unregistered=settings.keep_unregistered)
    return run_cases(look, cases, stage=STAGE, jobs=jobs, dask=dask, progress=progress)


def _look(case: str, item: tuple[pd.Series, bool], *, full: bool, keep_unregistered: bool) -> _Looked:
    row, wants_picture = item
    if not (full or wants_picture):
        return _Looked(check_case(row, keep_unregistered=keep_unregistered), None)
    read, labels, remarks = read_for_check(row, keep_unregistered=keep_unregistered)
    if not wants_picture:
        return _Looked(remarks, None)
    # One axial slice per sequence: a sheet of a whole cohort must not hold every volume in memory.
    if remarks and labels is None and len({image.shape for image in read.images.values()}) > 1:
        slabs = _padded(
            {name: _slab(image, slices_to_show({name: image}, None)[2]) for name, image in read.images.items()}
        )
        return _Looked(remarks, CaseSlices(slabs, None, read.grid.voxel_size_mm))
    level = slices_to_show(read.images, labels)[2]
    slabs = {name: _slab(image, level) for name, image in read.images.items()}
    return _Looked(
        remarks, CaseSlices(slabs, None if labels is None else _slab(labels, level), read.grid.voxel_size_mm)
    )


def _slab(volume: np.ndarray, level: int) -> np.ndarray:
    return np.ascontiguousarray(volume[:, :, level : level + 1])


def _padded(slabs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return slices of unregistered sequences on one frame, each in its middle."""
    frame = np.max([slab.shape for slab in slabs.values()], axis=0)
    return {
        name: np.pad(
            slab,
            [((size - own) // 2, size - own - (size - own) // 2) for own, size in zip(slab.shape, frame, strict=True)],
            constant_values=slab.min(),
        )
        for name, slab in slabs.items()
    }


def _write(
    cohort: pd.DataFrame,
    assembled: Assembled,
    found: Found,
    looked: Mapping[str, _Looked],
    failures: list[Failure],
    output: Path,
    settings: CohortSettings,
    tables: Sequence[Path],
) -> CohortOutcome:
    checks = [{"kind": "problem", "case": case, "text": line} for case, seen in looked.items() for line in seen.remarks]
    remarks = pd.concat([pd.DataFrame(checks, columns=REMARK_COLUMNS), assembled.remarks], ignore_index=True)
    write_cohort(cohort, output)
    provenance = Provenance(STAGE, settings.model_dump(), hash_inputs({path.name: path for path in tables}))
    counts = {"n_cases": len(cohort), "n_patients": int(cohort["patient"].nunique()), "n_left_out": len(failures)}
    layouts = dict(sorted(Counter(case.layout for case in found.cases).items()))
    provenance.record([output], **counts, layouts=layouts)
    outcome = CohortOutcome(
        cohort,
        assembled,
        remarks,
        coverage(cohort),
        failures,
        output,
        output.with_suffix(".html"),
        output.parent / "failed.csv",
    )
    page = CohortPage(
        cohort=cohort,
        coverage=outcome.coverage,
        remarks=remarks,
        conflicts=assembled.conflicts,
        overlaps=assembled.overlaps,
        failures=failures,
        slices={case: seen.slices for case, seen in looked.items() if seen.slices is not None},
        layouts=layouts,
    )
    write_cohort_page(
        outcome.page, page, provenance={"settings": settings.model_dump(), "tables": [path.name for path in tables]}
    )
    return outcome
