"""`radiogen features`: one branch's table in a study folder."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from radiogen.branches.base import Extraction, FeatureBranch
from radiogen.branches.names import BRANCHES
from radiogen.branches.radiomics import RadiomicsBranch, data_dictionary
from radiogen.branches.radiomics.dictionary import discretisation_by_image_type
from radiogen.branches.radiomics.plan import make_plan
from radiogen.config.base import StageSettings
from radiogen.resources import cache_folder, sha256_file
from radiogen.run.atomic import write_csv, write_table
from radiogen.run.provenance import Provenance, read_sidecar
from radiogen.run.quarantine import Failure, write_failures

log = logging.getLogger(__name__)


def run_features(
    branch: str,
    cohort: pd.DataFrame,
    study: Path,
    settings: StageSettings,
    *,
    jobs: int = 1,
    dask: str | None = None,
    progress: bool = False,
) -> tuple[pd.DataFrame, list[Failure]]:
    """Compute one branch's features over a cohort and write them into a study folder.

    Writes `features/<branch>.parquet`, the same as `.csv`, the sidecar `<branch>.json` (which also lists the notes on blank columns), for radiomics
    `features/radiomics_dictionary.csv`, and the failing cases into `failed.csv`. What is there and still true is read back instead of computed.

    Args:
        branch: name of the branch (`radiogen info` lists them).
        cohort: as `read_cohort` returns it; radiomics needs a mask for every case.
        study: the study folder.
        settings: settings of the branch.
        jobs: cases worked on at the same time; the bytes written do not depend on it.
        dask: scheduler address of a Dask cluster to use instead.
        progress: show a progress bar.

    Returns:
        The table, index `case`, one row per case that succeeded; and the cases that failed.

    Raises:
        ConfigError: the branch is unknown, or its settings are not accepted.
        OutputError: the study folder cannot be written.
    """
    worker: FeatureBranch = BRANCHES.load(branch)(
        settings, jobs=jobs, cache_folder=cache_folder() / branch, progress=progress
    )
    stage, outputs = f"features-{branch}", _outputs(branch, Path(study))
    provenance = Provenance(stage, worker.provenance_settings(), worker.provenance_inputs(cohort))
    failed_csv = Path(study) / "failed.csv"
    # A case that failed is tried again: its cause may have been the machine.
    sidecar = read_sidecar(outputs[0])
    if provenance.is_current(outputs) and sidecar.get("n_failed") == 0 and _files_stand(sidecar, worker, cohort):
        features = pd.read_parquet(outputs[0])
        if features.index.tolist() == [str(case) for case in cohort.index]:
            log.info("features %s: up to date", branch)
            write_failures(failed_csv, [], stages=[stage])
            return features, []
    extraction = worker.extract(cohort, dask=dask)
    write_table(outputs[0], extraction.features)
    facts: dict[str, Any] = {}
    if isinstance(worker, RadiomicsBranch):
        plan = make_plan(worker.settings)
        write_csv(outputs[2], data_dictionary(extraction.features.columns.tolist(), plan), index=False)
        facts["discretisation"] = discretisation_by_image_type(plan)
    if beside := _files_of_cases(worker, cohort):
        facts["files_of_cases"] = {path.name: sha256_file(path) for path in beside}
    provenance.record(outputs, n_failed=len(extraction.failures), notes=_sorted_notes(extraction), **facts)
    write_failures(failed_csv, extraction.failures, stages=[stage])
    _log_outcome(branch, extraction, outputs[0])
    return extraction.features, extraction.failures


def _outputs(branch: str, study: Path) -> list[Path]:
    folder = study / "features"
    outputs = [folder / f"{branch}.parquet", folder / f"{branch}.csv"]
    return [*outputs, folder / "radiomics_dictionary.csv"] if branch == "radiomics" else outputs


def _files_of_cases(worker: FeatureBranch, cohort: pd.DataFrame) -> list[Path]:
    return [path for case in cohort.index for path in worker.files_of_case(str(case)) if path.is_file()]


def _files_stand(sidecar: Mapping[str, Any], worker: FeatureBranch, cohort: pd.DataFrame) -> bool:
    """Return whether the files that were written beside the table are all there, as they were."""
    recorded = sidecar.get("files_of_cases", {})
    if not recorded and not any(worker.files_of_case(str(case)) for case in cohort.index):
        return True
    return {path.name: sha256_file(path) for path in _files_of_cases(worker, cohort)} == dict(recorded)


def _sorted_notes(extraction: Extraction) -> dict[str, list[str]]:
    return {case: sorted(set(notes)) for case, notes in sorted(extraction.notes.items())}


def _log_outcome(branch: str, extraction: Extraction, written: Path) -> None:
    rows, columns = extraction.features.shape
    log.info("features %s: %d cases, %d columns", branch, rows, columns)
    for case, notes in _sorted_notes(extraction).items():
        for note in notes:
            log.debug("%s: %s", case, note)
    if extraction.notes:
        log.info(
            "features %s: %d case(s) have blank columns; why is in %s",
            branch,
            len(extraction.notes),
            written.with_suffix(".json").name,
        )
