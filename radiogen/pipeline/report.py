"""`radiogen report`: pages of cases, the study's report, and both on paper."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from pathlib import Path

from radiogen.errors import InputError
from radiogen.pipeline.case_pages import FOLDER, page_path, run_case_pages
from radiogen.report.pdf import find_browser, write_pdf
from radiogen.report.reporting import write_reporting
from radiogen.report.study import read_report_facts, write_study_report
from radiogen.run.quarantine import Failure

log = logging.getLogger(__name__)

PAGE = "report.html"


@dataclass(frozen=True)
class ReportOutcome:
    """What was made.

    Args:
        report: the page to open first.
        cases: cases with a page that was asked for.
        pdfs: printed files, the report first.
        failures: cases whose page could not be made.
    """

    report: Path
    cases: list[str]
    pdfs: list[Path] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)


def run_report(
    study: Path,
    cases: str = "all",
    *,
    pdf_folder: Path | None = None,
    jobs: int = 1,
    dask: str | None = None,
    progress: bool = False,
) -> ReportOutcome:
    """Make the case pages and the report of a study folder.

    Args:
        study: output folder of `radiogen run`, or of single stages.
        cases: `all`, `none`, or ids with commas between them.
        pdf_folder: where to print the report and the cases' pages to; None: nowhere.
        jobs: cases worked on at the same time.
        dask: scheduler address of a Dask cluster to use instead.
        progress: show a progress bar.

    Raises:
        InputError: the folder is no study, or there is no browser to print with.
        CohortError: a case is not in the cohort.
        CaseError: the browser failed.
        OutputError: the folder cannot be written.
    """
    study = Path(study)
    if not study.is_dir():
        raise InputError(f"There is no folder {study}.", hint="Give the output folder of `radiogen run`.")
    browser = None if pdf_folder is None else find_browser()  # said before the work, not after it
    skipped, synthetic = read_report_facts(study)
    done, failures = run_case_pages(study, cases, jobs=jobs, dask=dask, progress=progress, synthetic=synthetic)
    report = study / PAGE
    write_study_report(report, study, skipped=skipped, synthetic=synthetic)
    write_reporting(study, skipped=skipped)
    pdfs: list[Path] = []
    if pdf_folder is not None:
        targets = {report: Path(pdf_folder) / "report.pdf"}
        targets |= {page_path(study, case): Path(pdf_folder) / FOLDER / f"{case}.pdf" for case in done}
        for page, pdf in targets.items():
            log.info("printing %s", pdf.name)
            write_pdf(page, pdf, browser=browser)
            pdfs.append(pdf)
    return ReportOutcome(report, done, pdfs, failures)
