"""The radiomics branch as a scikit-learn transformer, with a cache of single cases by content."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from radiogen.branches.base import Extraction, FeatureBranch, scheme_hash
from radiogen.branches.radiomics.cache import ALGORITHM, PieceCache
from radiogen.branches.radiomics.extract import (
    CaseFeatures,
    Piece,
    extract_pieces,
    feature_names,
    in_table_order,
    merged,
    pieces_of,
)
from radiogen.branches.radiomics.plan import Plan, make_plan
from radiogen.branches.radiomics.shares import shares, unmeasured
from radiogen.cohort.case import read_case, read_case_mask
from radiogen.cohort.table import present_sequences
from radiogen.config.features import RadiomicsSettings
from radiogen.run.executor import run_cases
from radiogen.run.provenance import hash_inputs
from radiogen.run.quarantine import Failure

STAGE = "features-radiomics"


class RadiomicsBranch(FeatureBranch):
    """PyRadiomics features of every sequence and region of a case.

    Columns are PyRadiomics' own names with a prefix: `t1c_et_original_glcm_Contrast`; shape, which depends on the mask alone,
    `et_original_shape_Sphericity`.

    Args:
        settings: what is computed.
        jobs: cases worked on at the same time; the values do not depend on it.
        cache_folder: where the features of single cases are kept by content hash; None: nowhere.
        progress: show a progress bar.
        on_failure: `raise`, or `skip` to leave failing cases out of the table that `transform` returns.

    Source: van Griethuysen et al., Cancer Res 2017;77:e104.

    Example:
        >>> branch = RadiomicsBranch(RadiomicsSettings(image_types={"Original": {}}, feature_classes={"shape": ["Sphericity"]}))
        >>> branch.get_feature_names_out().tolist()
        ['wt_original_shape_Sphericity', 'tc_original_shape_Sphericity', 'et_original_shape_Sphericity']
    """

    settings: RadiomicsSettings

    def extract(self, table: pd.DataFrame, *, dask: str | None = None) -> Extraction:
        """Return the features of every case of a cohort table; failing cases are quarantined.

        Columns are those that at least one case has, in one order whatever the cases' order.

        Raises:
            ConfigError: the settings are not accepted by PyRadiomics.
        """
        rows = {str(case): row for case, row in table.iterrows()}
        results, failures = self._measured(rows, make_plan(self.settings), dask)
        columns = in_table_order(sorted({name for result in results.values() for name in result.values}))
        values = np.array([[result.values.get(name, np.nan) for name in columns] for result in results.values()])
        index = pd.Index(list(results), name="case", dtype=object)
        features = pd.DataFrame(values.reshape(len(index), len(columns)), index=index, columns=columns, dtype=float)
        return Extraction(features, failures, {case: found.notes for case, found in results.items() if found.notes})

    def _measured(
        self, rows: Mapping[str, pd.Series], plan: Plan, dask: str | None
    ) -> tuple[dict[str, CaseFeatures], list[Failure]]:
        # One share per case where the cases alone keep all workers busy.
        items = {
            (case, number): (row, share)
            for case, row in rows.items()
            for number, share in enumerate(shares(plan, present_sequences(row), cases=len(rows), jobs=self.jobs))
        }
        split = len(items) > len(rows)
        keys = {f"{case} part {number + 1}" if split else case: (case, number) for case, number in items}
        work = partial(_share_features, cache_folder=self.cache_folder)
        options: dict[str, Any] = {"stage": STAGE, "jobs": self.jobs, "dask": dask, "progress": self.progress}
        done, failures = run_cases(work, {name: items[key] for name, key in keys.items()}, **options)
        if not split:
            return done, failures
        by_case: dict[str, list[CaseFeatures]] = {}
        for name, (case, _) in keys.items():
            by_case.setdefault(case, []).extend([done[name]] if name in done else [])
        failing = {keys[failure.case][0] for failure in failures}
        results = {
            case: merged(parts, absent_sequences(rows[case], plan))
            for case, parts in by_case.items()
            if case not in failing
        }
        # A failure says the same whatever was cut: the whole case is tried, and fails as a whole.
        again, failures = run_cases(work, {case: (rows[case], plan) for case in rows if case in failing}, **options)
        results.update(again)
        return {case: results[case] for case in rows if case in results}, failures

    def provenance_settings(self) -> dict[str, Any]:
        """Return the whole plan: a parameter file counts by its content, not by its path."""
        return {**make_plan(self.settings).as_dict(), "algorithm": ALGORITHM}

    def provenance_inputs(self, table: pd.DataFrame) -> dict[str, str]:
        """Return the hash of every image and mask the features depend on."""
        plan = make_plan(self.settings)
        return {
            f"{case}/{role}": sha256 for case, row in table.iterrows() for role, sha256 in _inputs(row, plan).items()
        }

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Return the names of all columns; they follow from the settings alone."""
        return np.array(feature_names(make_plan(self.settings)), dtype=object)


def extract_cohort(
    cohort: pd.DataFrame,
    settings: RadiomicsSettings,
    *,
    jobs: int = 1,
    dask: str | None = None,
    cache_folder: Path | None = None,
    progress: bool = False,
) -> tuple[pd.DataFrame, list[Failure]]:
    """Return the radiomics features of a cohort and the cases that failed.

    Args:
        cohort: as `read_cohort` returns it; every case needs a mask.
        settings: what is computed.
        jobs: cases worked on at the same time.
        dask: scheduler address of a Dask cluster to use instead.
        cache_folder: where the features of single cases are kept by content hash; None: nowhere.
        progress: show a progress bar.
    """
    branch = RadiomicsBranch(settings, jobs=jobs, cache_folder=cache_folder, progress=progress)
    extraction = branch.extract(cohort, dask=dask)
    return extraction.features, extraction.failures


def case_features(case: str, row: pd.Series, *, plan: Plan, cache_folder: Path | None) -> CaseFeatures:
    """Return the features of one cohort row; what was measured before, of the same content, comes from the cache.

    Raises:
        ImageError: the case has no sequence or no mask, or files are unusable.
        GeometryError: its files do not share their voxels.
    """
    scheme = row.get("mask_labels")
    cache = PieceCache(cache_folder, _inputs(row, plan), scheme if isinstance(scheme, str) else "")
    present = present_sequences(row)
    pieces = {piece: cache.read(piece, plan) for piece in pieces_of(plan, present)}
    for part in unmeasured(plan, pieces):
        for piece, found in _read_and_extract(row, part).items():
            cache.write(piece, plan, found)
            pieces[piece] = found
    return merged((known for known in pieces.values() if known is not None), absent_sequences(row, plan))


def absent_sequences(row: pd.Series, plan: Plan) -> list[str]:
    """Return the sequences that a plan asks for and a cohort row lacks."""
    present = present_sequences(row)
    return [name for name in plan.sequences if name not in present]


def _share_features(case: str, item: tuple[pd.Series, Plan], *, cache_folder: Path | None) -> CaseFeatures:
    row, plan = item
    return case_features(case, row, plan=plan, cache_folder=cache_folder)


def _read_and_extract(row: pd.Series, plan: Plan) -> dict[Piece, CaseFeatures]:
    looked_at = _looked_at(row, plan)
    images = read_case(row.drop([name for name in present_sequences(row) if name not in looked_at]))
    return extract_pieces(images, read_case_mask(row, images.grid), plan)


def _looked_at(row: pd.Series, plan: Plan) -> dict[str, str]:
    # A ring stays inside the head, which all sequences show.
    ring = any(name.startswith("ring") for name in plan.regions)
    return {name: path for name, path in present_sequences(row).items() if ring or name in plan.sequences}


def _inputs(row: pd.Series, plan: Plan) -> dict[str, str]:
    return {**hash_inputs({**_looked_at(row, plan), "mask": row.get("mask")}), **scheme_hash(row)}
