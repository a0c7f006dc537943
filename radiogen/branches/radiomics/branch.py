"""The radiomics branch as a scikit-learn transformer, with a cache of single cases by content."""

from __future__ import annotations

import json
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from radiogen.branches.base import Extraction, FeatureBranch
from radiogen.branches.radiomics.extract import CaseFeatures, extract_case, feature_names, in_table_order
from radiogen.branches.radiomics.plan import Plan, make_plan
from radiogen.cohort.case import read_case, read_case_mask
from radiogen.cohort.table import present_sequences
from radiogen.config.features import RadiomicsSettings
from radiogen.run.atomic import write_json
from radiogen.run.executor import run_cases
from radiogen.run.provenance import content_hash, hash_inputs
from radiogen.run.quarantine import Failure

STAGE = "features-radiomics"

_ALGORITHM = 2
"""Raised when this package computes a feature in another way, so that cached values are made again."""
_PACKAGES = ("pyradiomics-bhklab", "SimpleITK", "PyWavelets", "numpy")


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
        work = partial(case_features, plan=make_plan(self.settings), cache_folder=self.cache_folder)
        results, failures = run_cases(work, rows, stage=STAGE, jobs=self.jobs, dask=dask, progress=self.progress)
        columns = in_table_order(sorted({name for result in results.values() for name in result.values}))
        values = np.array([[result.values.get(name, np.nan) for name in columns] for result in results.values()])
        index = pd.Index(list(results), name="case", dtype=object)
        features = pd.DataFrame(values.reshape(len(index), len(columns)), index=index, columns=columns, dtype=float)
        return Extraction(features, failures, {case: found.notes for case, found in results.items() if found.notes})

    def provenance_settings(self) -> dict[str, Any]:
        """Return the whole plan: a parameter file counts by its content, not by its path."""
        return {**make_plan(self.settings).as_dict(), "algorithm": _ALGORITHM}

    def provenance_inputs(self, table: pd.DataFrame) -> dict[str, str]:
        """Return the hash of every image and mask the features depend on."""
        return {
            f"{case}/{role}": sha256
            for case, row in table.iterrows()
            for role, sha256 in _inputs(row, self.settings.sequences).items()
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
    """Return the features of one cohort row, from the cache where the same content was measured before.

    Raises:
        ImageError: the case has no sequence or no mask, or files are unusable.
        GeometryError: its files do not share their voxels.
    """
    entry = None if cache_folder is None else Path(cache_folder) / f"{_cache_key(row, plan)}.json"
    known = _read_entry(entry)
    if known is not None:
        return known
    wanted = row.drop([name for name in present_sequences(row) if name not in plan.sequences])
    images = read_case(wanted)
    found = extract_case(images, read_case_mask(row, images.grid), plan)
    if entry is not None:
        write_json(entry, {"values": found.values, "notes": found.notes})
    return found


def _cache_key(row: pd.Series, plan: Plan) -> str:
    versions = {name: version(name) for name in _PACKAGES}
    scheme = row.get("mask_labels")
    return content_hash(
        {
            "algorithm": _ALGORITHM,
            "plan": plan.as_dict(),
            "inputs": _inputs(row, plan.sequences),
            "scheme": scheme,
            "versions": versions,
        }
    )


def _inputs(row: pd.Series, sequences: tuple[str, ...]) -> dict[str, str]:
    images = {name: path for name, path in present_sequences(row).items() if name in sequences}
    return hash_inputs({**images, "mask": row.get("mask")})


def _read_entry(entry: Path | None) -> CaseFeatures | None:
    if entry is None or not entry.is_file():
        return None
    try:
        stored = json.loads(entry.read_text(encoding="utf-8"))
        values = {name: float("nan") if value is None else float(value) for name, value in stored["values"].items()}
        return CaseFeatures(values, [str(note) for note in stored["notes"]])
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None  # a damaged entry is made again
