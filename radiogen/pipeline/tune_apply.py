"""`radiogen tune apply`: masks from saved probabilities by other rules, without asking the network again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from radiogen.branches.radiomics.branch import STAGE as RADIOMICS_STAGE
from radiogen.cohort.masks import region_volumes_ml
from radiogen.cohort.nifti import write_labels
from radiogen.config.folds import FoldsSettings
from radiogen.config.postprocess import PostprocessSettings
from radiogen.errors import ConfigError, InputError
from radiogen.pipeline.clusters import ClusterModel
from radiogen.pipeline.tune_inputs import (
    STAGE as INPUT_STAGE,
)
from radiogen.pipeline.tune_inputs import (
    case_grid,
    predicted_radiomics,
    probability_files,
    read_probabilities,
)
from radiogen.run.atomic import make_folder, write_csv
from radiogen.run.executor import run_cases
from radiogen.run.provenance import Provenance, hash_inputs
from radiogen.run.quarantine import Failure, write_failures
from radiogen.segment.postprocess import postprocess

STAGE = "tune-apply"


def run_tune_apply(
    probabilities: Path,
    cohort: pd.DataFrame,
    rules: Path,
    out: Path,
    *,
    jobs: int = 1,
    progress: bool = False,
) -> tuple[pd.DataFrame, list[Failure]]:
    """Write `masks/<case>.nii.gz` with its sidecar, and `volumes.csv`.

    Where the rules differ between clusters, each case's cluster comes from the radiomics of its predicted whole tumour and the `clusters.json` beside
    the rules.

    Args:
        probabilities: folder of `<case>.safetensors`, or the study it lies in.
        cohort: as `read_cohort` returns it; cases without probabilities are left out.
        rules: `postprocess.json`.
        out: output folder.
        jobs: cases worked on at the same time.
        progress: show a progress bar.

    Returns:
        Index `case`; `wt_ml, tc_ml, et_ml, cluster`; and the cases that failed.

    Raises:
        ConfigError: the rules are not accepted, or have clusters without `clusters.json`.
        InputError: no case has probabilities.
    """
    settings = PostprocessSettings.read(rules)
    files = probability_files(probabilities)
    chosen = cohort.loc[[case for case in cohort.index if case in files]]
    if chosen.empty:
        raise InputError(
            f"None of the {len(files)} cases of {probabilities} is in the cohort table.", hint="Check the ids."
        )
    make_folder(out)
    clusters: dict[str, int] = {}
    failures: list[Failure] = []
    if settings.clusters:
        clusters, failures = _clusters(chosen, files, rules.with_name("clusters.json"), out, jobs, progress)
        chosen = chosen.loc[list(clusters)]
    rows = {str(case): row for case, row in chosen.iterrows()}
    facts, failed = run_cases(_Worker(files, settings, clusters, out), rows, stage=STAGE, jobs=jobs, progress=progress)
    failures += failed
    write_failures(out / "failed.csv", failures, stages=[STAGE, INPUT_STAGE, RADIOMICS_STAGE])
    table = pd.DataFrame.from_dict(facts, orient="index", columns=["wt_ml", "tc_ml", "et_ml", "cluster"])
    table = table.rename_axis("case")
    write_csv(out / "volumes.csv", table.round({"wt_ml": 3, "tc_ml": 3, "et_ml": 3}))
    return table, failures


def _clusters(
    cohort: pd.DataFrame, files: Mapping[str, Path], path: Path, out: Path, jobs: int, progress: bool
) -> tuple[dict[str, int], list[Failure]]:
    """Return the cluster of every case that has radiomics, and the cases that have none."""
    if not path.is_file():
        raise ConfigError(
            "The rules differ between clusters of tumours, and there is no clusters.json beside them.",
            hint="Keep the two files that `radiogen tune masks` wrote together.",
        )
    model = ClusterModel.load(path)
    stored = json.loads(path.read_text(encoding="utf-8"))
    start = PostprocessSettings.parse(stored.get("whole_tumour_rules", {}))
    measured = FoldsSettings.parse({"sequences": stored["sequences"]} if "sequences" in stored else {})
    features, failures = predicted_radiomics(cohort, files, start, out, measured, jobs=jobs, progress=progress)
    known = model.predict(features) if len(features) else pd.Series(dtype=int)
    return {str(case): int(cluster) for case, cluster in known.items()}, failures


@dataclass(frozen=True)
class _Worker:
    files: dict[str, Path]
    settings: PostprocessSettings
    clusters: dict[str, int]
    out: Path

    def __call__(self, case: str, row: pd.Series) -> dict[str, float | int | None]:
        """Write the mask of one case and return its volumes."""
        grid = case_grid(row)
        cluster = self.clusters.get(case)
        voxel_ml = float(np.prod(grid.voxel_size_mm)) / 1000
        labels = postprocess(read_probabilities(self.files[case], grid), self.settings, voxel_ml, cluster)
        path = self.out / "masks" / f"{case}.nii.gz"
        write_labels(path, labels, grid)
        facts = {**region_volumes_ml(labels, grid), "cluster": cluster}
        rules = self.settings.for_cluster(cluster).model_dump(mode="json", exclude_defaults=True)
        made = Provenance(STAGE, {"rules": rules}, hash_inputs({"probabilities": self.files[case]}))
        made.record([path], case=case, **facts)
        return facts
