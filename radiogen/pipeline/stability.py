"""`radiogen stability`: how far the features of a cohort survive other contours, positions and noise."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from radiogen.branches.radiomics.plan import make_plan
from radiogen.branches.radiomics.stability import (
    ALGORITHM,
    FEATURES_ALGORITHM,
    STABLE,
    STAGE,
    input_hashes,
    perturb_cohort,
    stability_table,
)
from radiogen.config.stability import StabilitySettings
from radiogen.report.stability import stability_figure, write_stability_page
from radiogen.report.style import save_png
from radiogen.resources import cache_folder
from radiogen.run.atomic import write_csv, writing
from radiogen.run.provenance import Provenance, read_sidecar
from radiogen.run.quarantine import Failure, write_failures

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class StabilityOutcome:
    """What the stability of a cohort gave.

    Args:
        perturbed: features, index `case, perturbation`.
        table: of `branches.radiomics.stability.stability_table`.
        failures: cases that were left out.
    """

    perturbed: pd.DataFrame
    table: pd.DataFrame
    failures: list[Failure]


def run_stability(
    cohort: pd.DataFrame,
    study: Path,
    settings: StabilitySettings,
    *,
    samples: Path | None = None,
    jobs: int = 1,
    dask: str | None = None,
    progress: bool = False,
) -> StabilityOutcome:
    """Compute a cohort's features under perturbations and how far they agree, and write both into a study folder.

    Writes `features/radiomics_perturbed.parquet` (index `case, perturbation`, columns as in `radiomics.parquet`; the row `none` is the case as it
    is), its sidecar, `features/radiomics_stability.csv`, `.png`, `.html`, and the failing cases into `failed.csv`. The stability table is over all
    cases and describes them; to select features for a model, compute the ICC in the fold from the training cases' rows of the perturbed table.

    Args:
        cohort: as `read_cohort` returns it; every case needs a mask.
        study: the study folder.
        settings: perturbations and features.
        samples: folder of sampled masks, `<case>/<k>.nii.gz`; None: none.
        jobs: cases worked on at the same time; the values written do not depend on it.
        dask: scheduler address of a Dask cluster to use instead.
        progress: show a progress bar.

    Raises:
        ConfigError: the settings are not accepted.
        InputError: there is nothing to perturb, no case has samples, or no case has a sequence that is asked for.
        OutputError: the study folder cannot be written.
    """
    study = Path(study)
    outputs = _outputs(study)
    kept = {**make_plan(settings).as_dict(), "perturbations": settings.perturbations, "seed": settings.seed}
    provenance = Provenance(
        STAGE, {**kept, "algorithms": [ALGORITHM, FEATURES_ALGORITHM]}, input_hashes(cohort, settings, samples)
    )
    if provenance.is_current(outputs) and read_sidecar(outputs[0]).get("n_failed") == 0:
        perturbed = pd.read_parquet(outputs[0])
        if list(dict.fromkeys(perturbed.index.get_level_values("case"))) == [str(case) for case in cohort.index]:
            log.info("stability: up to date")
            write_failures(study / "failed.csv", [], stages=[STAGE])
            return StabilityOutcome(perturbed, stability_table(perturbed), [])
    found = perturb_cohort(
        cohort, settings, samples=samples, jobs=jobs, dask=dask, cache_folder=cache_folder() / STAGE, progress=progress
    )
    write_failures(study / "failed.csv", found.failures, stages=[STAGE])
    table = stability_table(found.features)
    if table.empty:  # every case failed: there is nothing to draw, and what an earlier run wrote stays
        return StabilityOutcome(found.features, table, found.failures)
    with writing(outputs[0]) as beside:
        found.features.to_parquet(beside)
    write_csv(outputs[1], table, index=False)
    save_png(stability_figure(table, STABLE), outputs[2])
    n_cases = found.features.index.get_level_values("case").nunique()
    write_stability_page(outputs[3], table, STABLE, n_cases, {"stage": STAGE, "settings": kept})
    provenance.record(outputs, n_failed=len(found.failures), n_cases=n_cases, notes=dict(sorted(found.notes.items())))
    return StabilityOutcome(found.features, table, found.failures)


def _outputs(study: Path) -> list[Path]:
    folder = study / "features"
    return [
        folder / "radiomics_perturbed.parquet",
        *(folder / f"radiomics_stability.{kind}" for kind in ("csv", "png", "html")),
    ]
