"""`radiogen folds`: every fold gets an equal share of every kind of tumour, and patients stay together."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from radiogen.branches.radiomics.branch import STAGE, extract_cohort
from radiogen.cohort.table import write_cohort
from radiogen.config.folds import FoldsSettings
from radiogen.errors import InputError
from radiogen.pipeline.clusters import ClusterModel, cluster_radiomics, fit_clusters
from radiogen.report.folds import folds_figure
from radiogen.report.style import save_png
from radiogen.resources import cache_folder
from radiogen.run.atomic import make_folder, write_csv, write_json, write_text
from radiogen.run.provenance import RESEARCH_USE, package_versions
from radiogen.run.quarantine import Failure, write_failures

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Folds:
    """Clusters and folds of a cohort.

    Args:
        table: index `case`; `patient, cluster, fold`.
        model: the clustering, for new cases.
        failures: cases without radiomics; they have no fold.
    """

    table: pd.DataFrame
    model: ClusterModel
    failures: list[Failure]


def run_folds(
    cohort: pd.DataFrame,
    out: Path,
    settings: FoldsSettings,
    *,
    jobs: int = 1,
    dask: str | None = None,
    progress: bool = False,
) -> Folds:
    """Write `folds.csv` (case, patient, cluster, fold), `folds.json`, `splits_final.json`, `cohort.csv` and `folds.png`.

    `folds.json` holds the clustering as plain numbers (`ClusterModel.load`). `splits_final.json` is nnU-Net v2's. `cohort.csv` is the cohort with a
    column `fold` that `radiogen train segmentation` and `radiogen tune` take.

    Args:
        cohort: as `read_cohort` returns it; every case needs a mask.
        out: output folder.
        settings: clusters and folds.
        jobs: cases worked on at the same time.
        dask: scheduler address of a Dask cluster to use instead.
        progress: show a progress bar.

    Raises:
        InputError: no case has radiomics, or there are fewer patients than folds.
    """
    make_folder(out)
    features, failures = extract_cohort(
        cohort,
        cluster_radiomics(settings),
        jobs=jobs,
        dask=dask,
        cache_folder=cache_folder() / "radiomics",
        progress=progress,
    )
    write_failures(out / "failed.csv", failures, stages=[STAGE])
    if features.empty:
        raise InputError(
            "No case has radiomics of its tumour:",
            problems=[f"{failure.case}: {failure.cause}" for failure in failures],
            hint="Every case needs images and a mask; `radiogen segment` makes masks.",
        )
    patient = patients_of(cohort).loc[features.index]
    if patient.nunique() < settings.n_folds:
        raise InputError(
            f"{patient.nunique()} patients cannot make {settings.n_folds} folds.", hint="Ask for fewer folds."
        )
    model = fit_clusters(features, settings, patient)
    cluster = model.predict(features)
    fold = deal_folds(patient, cluster, settings.n_folds, seed=settings.seed)
    table = pd.DataFrame({"patient": patient, "cluster": cluster, "fold": fold}, index=features.index)
    _write(out, cohort, table, model, settings)
    scores = model.scores_of(features)
    figure = folds_figure(scores, cluster, fold, model.explained_variance, model.silhouettes, model.not_chosen)
    save_png(figure, out / "folds.png")
    log.info("folds: %d cases, %d clusters, %d folds", len(table), len(model.centres), settings.n_folds)
    return Folds(table, model, failures)


def patients_of(cohort: pd.DataFrame) -> pd.Series:
    """Return the patient of every case; a case without one is its own."""
    names = [str(name) if isinstance(name, str) and name else str(case) for case, name in cohort["patient"].items()]
    return pd.Series(names, index=cohort.index, name="patient", dtype=object)


def deal_folds(patient: pd.Series, cluster: pd.Series, n_folds: int, *, seed: int) -> pd.Series:
    """Deal patients to folds, cluster by cluster; the result does not depend on the order of the rows.

    The patients of a cluster are shuffled and each goes to the fold that has the fewest cases of the cluster so far, of these to the one that has the
    fewest in all. Where every patient has one case, the shares of a cluster in two folds differ by one case at most, and so do the sizes of two
    folds. A patient whose cases lie in several clusters counts for the one most of them lie in.

    Args:
        patient: per case.
        cluster: per case.
        n_folds: folds.
        seed: of the shuffling.

    Returns:
        Fold per case, from 0.

    Source: equal samples of every cluster in each fold, first place of BraTS-Africa 2024.

    Example:
        >>> cases = list("abcdef")
        >>> folds = deal_folds(pd.Series(cases, cases), pd.Series([0, 0, 0, 0, 1, 1], cases), 2, seed=0)
        >>> [int(folds[list(group)].sum()) for group in ("abcd", "ef")]
        [2, 1]
    """
    table = pd.DataFrame({"patient": patient, "cluster": cluster}).sort_index()
    # Of clusters with equally many cases, mode() gives the smallest number first.
    people = table.groupby("patient").agg(
        cluster=("cluster", lambda found: found.mode().iloc[0]), n=("cluster", "size")
    )
    rng = np.random.default_rng(seed)
    in_all = np.zeros(n_folds, dtype=int)
    fold_of: dict[str, int] = {}
    for number in sorted(people["cluster"].unique()):
        members = people[people["cluster"] == number].sort_index()
        shuffled = members.iloc[rng.permutation(len(members))]
        here = np.zeros(n_folds, dtype=int)
        # Patients with many cases first: what is dealt last can still even things out.
        for name, n in shuffled.sort_values("n", ascending=False, kind="stable")["n"].items():
            fold = int(np.lexsort((in_all, here))[0])
            here[fold] += n
            in_all[fold] += n
            fold_of[str(name)] = fold
    return pd.Series([fold_of[str(name)] for name in patient], index=patient.index, name="fold", dtype=int)


def nnunet_splits(fold: pd.Series) -> list[dict[str, list[str]]]:
    """Return folds as nnU-Net v2's `splits_final.json` holds them.

    Example:
        >>> nnunet_splits(pd.Series([0, 1], index=["a", "b"]))
        [{'train': ['b'], 'val': ['a']}, {'train': ['a'], 'val': ['b']}]
    """
    cases = {number: sorted(map(str, fold.index[fold == number])) for number in sorted(fold.unique())}
    return [
        {"train": sorted(name for other, names in cases.items() if other != number for name in names), "val": held_out}
        for number, held_out in cases.items()
    ]


def _write(out: Path, cohort: pd.DataFrame, table: pd.DataFrame, model: ClusterModel, settings: FoldsSettings) -> None:
    write_csv(out / "folds.csv", table.rename_axis("case"))
    write_text(out / "splits_final.json", json.dumps(nnunet_splits(table["fold"]), indent=2, ensure_ascii=False) + "\n")
    write_cohort(cohort.loc[table.index].assign(fold=[str(fold) for fold in table["fold"]]), out / "cohort.csv")
    write_json(out / "folds.json", _facts(table, model, settings))


def _facts(table: pd.DataFrame, model: ClusterModel, settings: FoldsSettings) -> dict[str, Any]:
    counts = table.groupby(["cluster", "fold"]).size().unstack(fill_value=0)
    return {
        "n_cases": len(table),
        "n_patients": int(table["patient"].nunique()),
        "n_clusters": len(model.centres),
        "n_components": len(model.components),
        "cases_per_cluster_and_fold": {
            str(cluster): {str(fold): int(n) for fold, n in row.items()} for cluster, row in counts.iterrows()
        },
        "settings": settings.model_dump(mode="json"),
        "model": model.model_dump(mode="json"),
        "versions": package_versions(),
        "notice": RESEARCH_USE,
    }
