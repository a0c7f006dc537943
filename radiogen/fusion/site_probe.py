"""How well features name the hospital: one site against the others, in folds of patients, with the pipeline of the markers."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from radiogen.cohort.splits import UNKNOWN_SITE, Split, grouped_folds
from radiogen.config.classify import ClassifySettings
from radiogen.errors import RadiogenError
from radiogen.fusion.join import FusionTable
from radiogen.fusion.nested import fit_split
from radiogen.run.executor import run_cases


@dataclass(frozen=True)
class _Item:
    site: str
    split: Split


@dataclass(frozen=True)
class _Probe:
    table: FusionTable
    settings: ClassifySettings

    def __call__(self, name: str, item: _Item) -> np.ndarray:
        table = replace(self.table, y=(self.table.cohort["site"].astype(str) == item.site).to_numpy(dtype=np.int64))
        test = item.split.test
        with threadpool_limits(1):
            model = fit_split(table, item.split, self.settings)
            context = None if table.context is None else table.context.take(test)
            return model.predict_proba(table.features.iloc[test], context)[:, 1].astype(float)


def probed_sites(table: FusionTable, least_patients: int) -> list[str]:
    """Return the sites with enough patients for a probe, in alphabetical order; cases of unknown site are of none.

    Args:
        table: features with sites.
        least_patients: fewest patients of a site.
    """
    counts = table.cohort.groupby(table.cohort["site"].astype(str))["patient"].nunique()
    return sorted(str(name) for name in counts.index[counts >= least_patients] if str(name) != UNKNOWN_SITE)


def site_probabilities(
    table: FusionTable,
    settings: ClassifySettings,
    *,
    least_patients: int = 5,
    jobs: int = 1,
    progress: bool = False,
) -> pd.DataFrame:
    """Return out-of-fold probabilities of each site, every patient predicted by models that never saw it.

    Args:
        table: features; the marker's labels are not used.
        settings: preparation, classifiers, folds, seed.
        least_patients: sites with fewer patients are left out, with their cases.
        jobs: fits done at the same time; the result does not depend on it.
        progress: show a progress bar.

    Returns:
        Index `case`, one column per site; empty with fewer than two sites.

    Raises:
        RadiogenError: a fit failed.
    """
    sites = probed_sites(table, least_patients)
    if len(sites) < 2:
        return pd.DataFrame(index=pd.Index([], name="case"))
    table = _only(table, table.cohort["site"].astype(str).isin(sites).to_numpy())
    site = table.cohort["site"].astype(str).to_numpy(dtype=object)
    patient = table.cohort["patient"].to_numpy(dtype=object)
    code = np.searchsorted(sites, site.astype(str)).astype(np.int64)
    fewest = int(table.cohort.groupby(site)["patient"].nunique().min())
    folds = grouped_folds(patient, code, min(settings.folds, fewest), settings.seed)
    everything = np.arange(len(code))
    items = {
        f"{name}, fold {number}": _Item(name, Split(0, f"fold{number}", np.setdiff1d(everything, test), test))
        for number, test in enumerate(folds, start=1)
        for name in sites
    }
    results, failures = run_cases(_Probe(table, settings), items, stage="site probe", jobs=jobs, progress=progress)
    if failures:
        raise RadiogenError(f"The site probe '{failures[0].case}' failed: {failures[0].cause}", hint=failures[0].fix)
    found = pd.DataFrame(np.nan, index=table.features.index, columns=sites)
    for name, item in items.items():
        found.iloc[item.split.test, sites.index(item.site)] = results[name]
    return found


def _only(table: FusionTable, rows: np.ndarray) -> FusionTable:
    kept = np.flatnonzero(rows)
    context = None if table.context is None else table.context.take(kept)
    return replace(
        table, features=table.features.iloc[kept], y=table.y[kept], cohort=table.cohort.iloc[kept], context=context
    )
