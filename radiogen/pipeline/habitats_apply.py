"""A frozen habitat model on cases: their maps, features, pictures and a page."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pandas as pd

from radiogen.branches.habitats.branch import HabitatBranch, HabitatValues, measured
from radiogen.branches.habitats.model import HabitatModel
from radiogen.branches.habitats.voxels import read_case_voxels
from radiogen.cohort.nifti import read_image
from radiogen.config.habitats import HabitatSettings
from radiogen.pipeline.habitats_facts import with_groups
from radiogen.report.habitats import habitat_picture, write_application_page
from radiogen.report.style import save_png
from radiogen.run.atomic import write_csv
from radiogen.run.executor import run_cases
from radiogen.run.provenance import Provenance, content_hash
from radiogen.run.quarantine import Failure, write_failures

STAGE = "habitats"
_MOST_SHOWN = 12


def run_habitats_apply(
    model_folder: Path, table: pd.DataFrame, out: Path, *, folder: Path, jobs: int = 1, progress: bool = False
) -> tuple[pd.DataFrame, list[Failure]]:
    """Apply a frozen model to new cases: `maps/`, `pictures/`, `habitats.csv` and `report.html`.

    Args:
        model_folder: the folder `model` of a fit.
        table: cohort, as `read_cohort` returns it.
        out: folder for the outputs.
        folder: what relative paths of further maps are relative to.
        jobs: cases worked on at the same time.
        progress: show progress.

    Returns:
        The features, and the cases that failed.

    Raises:
        InputError: the model cannot be read.
    """
    out = Path(out)
    branch = HabitatBranch(HabitatSettings(), Path(model_folder), data_folder=folder)
    features, failures = divide_cases(branch.model, table, out, folder=folder, jobs=jobs, progress=progress)
    write_failures(out / "failed.csv", failures, stages=[STAGE])
    counted = {**branch.provenance_settings(), "model": content_hash(branch.settings_that_count())}
    provenance = Provenance(STAGE, counted, branch.provenance_inputs(table))
    write_application_page(
        out / "report.html", branch.model, features, shown_pictures(list(features.index), out),
        [f"{failure.case}: {failure.cause}" for failure in failures],
        provenance={"settings": counted, "inputs": dict(provenance.inputs)},
    )  # fmt: skip
    provenance.record([out / "habitats.csv", out / "report.html", *files_of(list(features.index), out)])
    return features, failures


def divide_cases(
    model: HabitatModel, table: pd.DataFrame, out: Path, *, folder: Path, jobs: int, progress: bool
) -> tuple[pd.DataFrame, list[Failure]]:
    """Write every case's map and picture, and `habitats.csv`; one bar shows how far it is.

    Args:
        model: frozen.
        table: cohort rows.
        out: folder for the outputs.
        folder: what relative paths of further maps are relative to.
        jobs: cases worked on at the same time.
        progress: show progress.

    Returns:
        The features, and the cases that failed.
    """
    rows = {str(case): row for case, row in table.iterrows()}
    work = partial(_divided, model=model, out=out, folder=folder)
    results, failures = run_cases(work, rows, stage="divide tumours", jobs=jobs, progress=progress)
    index = pd.Index(list(results), name="case", dtype=object)
    values = [dict(found.values) for found in results.values()]
    features = with_groups(pd.DataFrame(values, index=index, columns=model.columns, dtype=float), model)
    write_csv(out / "habitats.csv", features)
    return features, failures


def shown_pictures(cases: list[str], out: Path) -> dict[str, bytes]:
    """Return the pictures that a page shows: those of the first cases.

    Args:
        cases: those that were divided.
        out: folder of the outputs.
    """
    return {case: (out / "pictures" / f"{case}.png").read_bytes() for case in cases[:_MOST_SHOWN]}


def files_of(cases: list[str], out: Path) -> list[Path]:
    """Return map and picture of every case.

    Args:
        cases: those that were divided.
        out: folder of the outputs.
    """
    return [
        out / folder / f"{case}{ending}"
        for case in cases
        for folder, ending in (("maps", ".nii.gz"), ("pictures", ".png"))
    ]


def _divided(case: str, row: pd.Series, *, model: HabitatModel, out: Path, folder: Path) -> HabitatValues:
    voxels = read_case_voxels(row, model.maps, model.region, folder)
    found, labels = measured(voxels, model, out / "maps" / f"{case}.nii.gz")
    anatomy = read_image(str(folder / row[model.maps[-1]])).data
    save_png(
        habitat_picture(anatomy, labels, voxels.grid.voxel_size_mm, model.k, case), out / "pictures" / f"{case}.png"
    )
    return found
