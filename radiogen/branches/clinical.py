"""The clinical branch: age, sex and tumour volume, the baselines that an image model has to beat."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from radiogen.branches.base import Extraction, FeatureBranch
from radiogen.cohort.masks import SCHEMES, detect_scheme, region_volumes_ml, translate_labels
from radiogen.cohort.nifti import read_labels
from radiogen.config.features import ClinicalSettings
from radiogen.errors import ImageError
from radiogen.registry import did_you_mean
from radiogen.run.executor import run_cases
from radiogen.run.provenance import content_hash, hash_inputs

STAGE = "features-clinical"

VOLUMES = ("wt_ml", "tc_ml", "et_ml")
_SEX_MALE = {"M": 1.0, "MALE": 1.0, "F": 0.0, "FEMALE": 0.0}


class ClinicalBranch(FeatureBranch):
    """Age, sex and tumour volumes of a case; what is not known stays NaN.

    Columns: `age` (years), `sex_male` (1 male, 0 female), `wt_ml tc_ml et_ml` (millilitres), and `kps` where the settings ask for it. Volumes are
    taken from the table where it has these columns, otherwise from the mask. A mask of the whole tumour only does not tell the core: its `tc_ml` and
    `et_ml` stay NaN, which is not the same as 0.

    Args:
        settings: which columns.
        jobs: masks read at the same time.
        cache_folder: not needed by this branch.
        progress: show a progress bar.
        on_failure: `raise`, or `skip` to leave cases with an unusable mask out of the table that `transform` returns.

    Example:
        >>> table = pd.DataFrame({"age": [61.0], "sex": ["M"], "wt_ml": [80.5]}, index=pd.Index(["007"], name="case"))
        >>> ClinicalBranch(ClinicalSettings()).transform(table).loc["007", ["age", "sex_male", "wt_ml"]].tolist()
        [61.0, 1.0, 80.5]
    """

    settings: ClinicalSettings

    def extract(self, table: pd.DataFrame, *, dask: str | None = None) -> Extraction:
        """Return the clinical columns of every case of a cohort table; cases with an unusable mask are quarantined."""
        rows = {str(case): row for case, row in table.iterrows()}
        work = partial(_one_case, settings=self.settings)
        results, failures = run_cases(work, rows, stage=STAGE, jobs=self.jobs, dask=dask, progress=self.progress)
        index = pd.Index(list(results), name="case", dtype=object)
        columns = self.get_feature_names_out().tolist()
        features = pd.DataFrame([values for values, _ in results.values()], index=index, columns=columns, dtype=float)
        return Extraction(features, failures, {case: notes for case, (_, notes) in results.items() if notes})

    def provenance_settings(self) -> dict[str, Any]:
        """Return the settings."""
        return self.settings.model_dump()

    def provenance_inputs(self, table: pd.DataFrame) -> dict[str, str]:
        """Return the hash of the table's clinical columns and of the masks that are measured."""
        used = [name for name in ("age", "sex", "kps", "mask_labels", *VOLUMES) if name in table.columns]
        inputs = {"table": content_hash(table[used].astype(object).where(table[used].notna(), None).to_dict("index"))}
        if self.settings.volumes:
            for case, row in table.iterrows():
                if any(np.isnan(_number(row, name)) for name in VOLUMES):
                    inputs |= {
                        f"{case}/{role}": value for role, value in hash_inputs({"mask": row.get("mask")}).items()
                    }
        return inputs

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Return the names of the columns; they follow from the settings alone."""
        volumes = VOLUMES if self.settings.volumes else ()
        kps = ("kps",) if self.settings.kps else ()
        return np.array(["age", "sex_male", *kps, *volumes], dtype=object)


def _one_case(case: str, row: pd.Series, *, settings: ClinicalSettings) -> tuple[dict[str, float], list[str]]:
    notes: list[str] = []
    values = {"age": _number(row, "age"), "sex_male": _sex_male(row, notes)}
    if settings.kps:
        values["kps"] = _number(row, "kps")
    if settings.volumes:
        volumes = {name: _number(row, name) for name in VOLUMES}
        # A table that brings the whole tumour's volume also knows which of the others are unknown.
        known = not np.isnan(volumes["wt_ml"])
        values |= volumes if known or not isinstance(row.get("mask"), str) else _volumes_ml(row, notes)
    return values, notes


def _number(row: pd.Series, name: str) -> float:
    value = row.get(name)
    return float("nan") if value is None or pd.isna(value) or value == "" else float(value)


def _sex_male(row: pd.Series, notes: list[str]) -> float:
    sex = row.get("sex")
    if not isinstance(sex, str) or not sex.strip():
        return float("nan")
    if sex.strip().upper() not in _SEX_MALE:
        notes.append(f"sex is '{sex}'; F and M are understood, so sex_male is blank")
    return _SEX_MALE.get(sex.strip().upper(), float("nan"))


def _volumes_ml(row: pd.Series, notes: list[str]) -> dict[str, float]:
    labels, grid = read_labels(row["mask"])
    given = row.get("mask_labels")
    scheme = given if isinstance(given, str) and given else detect_scheme(labels)
    if scheme not in SCHEMES:
        raise ImageError(f"'{scheme}' is not a label scheme: {', '.join(SCHEMES)}.", hint=did_you_mean(scheme, SCHEMES))
    volumes = region_volumes_ml(translate_labels(labels, scheme), grid)
    if scheme == "whole-tumour":
        notes.append("the mask shows the whole tumour only, so tc_ml and et_ml are blank")
        volumes |= {"tc_ml": float("nan"), "et_ml": float("nan")}
    return volumes
