"""Features over perturbations of every case, and how far they agree."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Float

from radiogen.branches.base import read_entry, scheme_hash
from radiogen.branches.radiomics.cache import ALGORITHM as FEATURES_ALGORITHM
from radiogen.branches.radiomics.extract import CaseFeatures, extract_case, in_table_order
from radiogen.branches.radiomics.perturb import ALGORITHM, SAMPLE, UNPERTURBED, Perturber, family
from radiogen.branches.radiomics.plan import Plan, make_plan
from radiogen.cohort.case import check_one_space, read_case, read_case_mask
from radiogen.cohort.masks import region_masks
from radiogen.cohort.nifti import Grid, read_labels
from radiogen.cohort.table import present_sequences
from radiogen.config.stability import StabilitySettings
from radiogen.errors import CaseError, InputError
from radiogen.run.atomic import write_json
from radiogen.run.executor import run_cases
from radiogen.run.provenance import content_hash, hash_inputs
from radiogen.run.quarantine import Failure
from radiogen.stats.icc import icc_3_1
from radiogen.types import LabelVolume

STAGE = "stability"
STABLE = 0.75
"""Lower bound of the interval from which a feature counts as stable: good by Koo & Li."""

ALL = "all"
"""In the place of a family: all perturbations together."""

_PACKAGES = ("pyradiomics-bhklab", "SimpleITK", "PyWavelets", "numpy", "scipy", "scikit-image")
_SAMPLE_FILE = re.compile(r"([1-9]\d*)\.nii\.gz")


@dataclass(frozen=True)
class PerturbedCohort:
    """Features over perturbations.

    Args:
        features: index `case, perturbation`, one row each, those of a case together with `none` first; NaN where a region is empty.
        failures: cases that were left out.
        notes: case id -> remarks on blank columns; on a perturbed row only where the row `none` has no such remark.
    """

    features: pd.DataFrame
    failures: list[Failure] = field(default_factory=list)
    notes: Mapping[str, list[str]] = field(default_factory=dict)


def perturb_cohort(
    cohort: pd.DataFrame,
    settings: StabilitySettings,
    *,
    samples: Path | None = None,
    jobs: int = 1,
    dask: str | None = None,
    cache_folder: Path | None = None,
    progress: bool = False,
) -> PerturbedCohort:
    """Return the features of every case under every perturbation.

    Args:
        cohort: as `read_cohort` returns it; every case needs a mask.
        settings: perturbations and features.
        samples: folder of `<case>/<k>.nii.gz`, masks that a segmentation drew, which become `sample-<k>`; None: none. A case may have none.
        jobs: cases worked on at the same time; the values do not depend on it.
        dask: scheduler address of a Dask cluster to use instead.
        cache_folder: where rows are kept by content hash; None: nowhere.
        progress: show a progress bar.

    Raises:
        ConfigError: the settings are not accepted by PyRadiomics.
        InputError: there is nothing to perturb, no case has samples, or nothing could be measured in any case.
    """
    plan = make_plan(settings)
    rows = {str(case): (row, case_samples(samples, str(case))) for case, row in cohort.iterrows()}
    if samples is not None and not any(found for _, found in rows.values()):
        raise InputError(
            f"{samples} holds no samples of these cases.", hint="Expected is <case>/<k>.nii.gz, as `segment` writes."
        )
    if samples is None and not settings.perturbations:
        raise InputError("There is nothing to perturb.", hint="Name perturbations, or give --samples.")
    work = partial(_case_rows, plan=plan, settings=settings, cache_folder=cache_folder)
    done, failures = run_cases(work, rows, stage=STAGE, jobs=jobs, dask=dask, progress=progress)
    if done and not any(found.values for by in done.values() for found in by.values()):
        raise InputError(
            "No feature could be measured in any case.", hint="Look at the settings' sequences and regions."
        )
    features = _table({(case, name): found for case, by in done.items() for name, found in by.items()})
    notes = {case: _notes(by) for case, by in done.items()}
    return PerturbedCohort(features, failures, {case: found for case, found in notes.items() if found})


def case_samples(folder: Path | None, case: str) -> dict[str, Path]:
    """Return the sampled masks of a case in a folder, `sample-<k>` -> file, by number; empty where there are none."""
    if folder is None or not (folder / case).is_dir():
        return {}
    found = [(match, path) for path in (folder / case).iterdir() if (match := _SAMPLE_FILE.fullmatch(path.name))]
    return {f"{SAMPLE}-{match[1]}": path for match, path in sorted(found, key=lambda pair: int(pair[0][1]))}


def input_hashes(cohort: pd.DataFrame, settings: StabilitySettings, samples: Path | None) -> dict[str, str]:
    """Return role -> SHA-256 of everything that the features of a cohort depend on."""
    return {
        f"{case}/{role}": sha256
        for case, row in cohort.iterrows()
        for role, sha256 in _inputs(row, make_plan(settings), case_samples(samples, str(case))).items()
    }


def stability_table(perturbed: pd.DataFrame) -> pd.DataFrame:
    """Return how far every feature agrees over each family of perturbations, and over all of them together.

    The table is computed over all cases it is given: it describes them. A model that selects features by it has seen its test cases; to select,
    compute the ICC from the perturbed rows of the training cases, inside the fold.

    Args:
        perturbed: index `case, perturbation` with a row `none` per case, features as columns.

    Returns:
        One row per column and family: `column, region, filter, class, family, icc, low, high` (95 %), `n_cases` (measured completely), `cv` (median
        over the cases of standard deviation over mean of a case's measurements, also with one case), `category` by the lower bound: `poor` below 0.5,
        `moderate` below 0.75, `good` below 0.9, else `excellent`; `undetermined` where there is none.

    Source: ICC(3,1), Shrout & Fleiss, Psychol Bull 1979;86:420; categories: Koo & Li, J Chiropr Med 2016;15:155.

    Example:
        >>> index = pd.MultiIndex.from_product([list("abc"), ["none", "noise-1"]], names=["case", "perturbation"])
        >>> column = "t1c_wt_original_glcm_Contrast"
        >>> table = stability_table(pd.DataFrame({column: [1.0, 1.0, 2.0, 2.0, 3.0, 3.0]}, index=index))
        >>> table[["family", "low", "category"]].values.tolist()
        [['noise', 1.0, 'excellent'], ['all', 1.0, 'excellent']]
    """
    names = list(dict.fromkeys(perturbed.index.get_level_values("perturbation")))
    perturbations = [name for name in names if name != UNPERTURBED]
    families: dict[str, list[str]] = {}
    for name in perturbations:
        families.setdefault(family(name), []).append(name)
    if families:
        families[ALL] = perturbations
    columns = perturbed.columns.tolist()
    parts = [_agreement(perturbed, name, [UNPERTURBED, *members]) for name, members in families.items()]
    table = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=_COLUMNS)
    order = {column: number for number, column in enumerate(columns)}
    return table.sort_values("column", key=lambda found: found.map(order), kind="stable", ignore_index=True)[_COLUMNS]


_COLUMNS = ["column", "region", "filter", "class", "family", "icc", "low", "high", "n_cases", "cv", "category"]


def category(low: float) -> str:
    """Return the word for an intraclass correlation by the lower bound of its interval.

    Source: Koo & Li, J Chiropr Med 2016;15:155.

    Example:
        >>> [category(low) for low in (0.49, 0.5, 0.75, 0.9, float("nan"))]
        ['poor', 'moderate', 'good', 'excellent', 'undetermined']
    """
    if np.isnan(low):
        return "undetermined"
    return "poor" if low < 0.5 else "moderate" if low < STABLE else "good" if low < 0.9 else "excellent"


def _agreement(perturbed: pd.DataFrame, name: str, measurements: list[str]) -> pd.DataFrame:
    cases = list(dict.fromkeys(perturbed.index.get_level_values("case")))
    wanted = pd.MultiIndex.from_product([cases, measurements], names=perturbed.index.names)
    cells = perturbed.reindex(wanted).to_numpy(dtype=float)
    values = cells.reshape(len(cases), len(measurements), perturbed.shape[1])
    found = icc_3_1(values)
    parts = [column.rsplit("_", 2) for column in perturbed.columns]
    place = [part[0].split("_") for part in parts]
    return pd.DataFrame(
        {
            "column": perturbed.columns,
            "region": [words[-2] if len(words) > 1 else "" for words in place],
            "filter": [words[-1] for words in place],
            "class": [part[1] for part in parts],
            "family": name,
            "icc": found.icc,
            "low": found.low,
            "high": found.high,
            "n_cases": found.n_cases,
            "cv": _variation(values),
            "category": [category(float(low)) for low in found.low],
        }
    )


def _variation(values: Float[np.ndarray, "n k p"]) -> Float[np.ndarray, " p"]:
    complete = np.isfinite(values).all(axis=1)
    out = np.full(values.shape[2], np.nan)
    for feature in np.flatnonzero(complete.any(axis=0)):
        measured = values[complete[:, feature], :, feature]
        mean = np.abs(measured.mean(axis=1))
        if (mean > 0).any():
            out[feature] = np.median(measured.std(axis=1, ddof=1)[mean > 0] / mean[mean > 0])
    return out


def _case_rows(
    case: str,
    item: tuple[pd.Series, dict[str, Path]],
    *,
    plan: Plan,
    settings: StabilitySettings,
    cache_folder: Path | None,
) -> dict[str, CaseFeatures]:
    row, samples = item
    names = [UNPERTURBED, *settings.perturbations, *samples]
    hashes = _inputs(row, plan, samples)
    entries = {name: _entry(cache_folder, case, row, plan, settings.seed, name, hashes) for name in names}
    found = {name: _read(entry) for name, entry in entries.items()}
    missing = [name for name in names if found[name] is None]
    if missing:
        perturber = _perturber(row, plan, settings.seed, samples)
        for name in missing:
            images, labels = perturber(name)
            features = extract_case(images, labels, plan)
            entry = entries[name]
            if entry is not None:
                write_json(entry, {"values": features.values, "notes": features.notes})
            found[name] = features
    return {name: features for name, features in found.items() if features is not None}


def _perturber(row: pd.Series, plan: Plan, seed: int, samples: Mapping[str, Path]) -> Perturber:
    looked_at = _looked_at(row, plan)
    images = read_case(row.drop([name for name in present_sequences(row) if name not in looked_at]))
    labels = read_case_mask(row, images.grid)
    if not region_masks(labels)["wt"].any():
        raise CaseError("The mask holds no tumour.", hint="Give a mask with a tumour, or leave the case out.")
    return Perturber(images, labels, seed, {name: _sample(path, images.grid) for name, path in samples.items()})


def _sample(path: Path, grid: Grid) -> LabelVolume:
    # Samples have radiogen's own labels, and one may be empty: nothing is detected or refused here.
    labels, found = read_labels(path)
    check_one_space({f"sample {path.name}": found, "images": grid}, "images")
    return labels


def _looked_at(row: pd.Series, plan: Plan) -> dict[str, str]:
    # A ring stays inside the head, which all sequences show.
    ring = any(name.startswith("ring") for name in plan.regions)
    return {name: path for name, path in present_sequences(row).items() if ring or name in plan.sequences}


def _inputs(row: pd.Series, plan: Plan, samples: Mapping[str, Path]) -> dict[str, str]:
    return {**hash_inputs({**_looked_at(row, plan), "mask": row.get("mask"), **samples}), **scheme_hash(row)}


def _entry(
    folder: Path | None, case: str, row: pd.Series, plan: Plan, seed: int, name: str, hashes: Mapping[str, str]
) -> Path | None:
    if folder is None:
        return None
    scheme = row.get("mask_labels")
    known = {
        "algorithms": [ALGORITHM, FEATURES_ALGORITHM],
        "versions": {package: version(package) for package in _PACKAGES},
        "plan": plan.as_dict(),
        "case": case,
        "seed": seed,
        "perturbation": name,
        "inputs": {role: sha256 for role, sha256 in hashes.items() if family(role) != SAMPLE or role == name},
        "scheme": scheme if isinstance(scheme, str) else "",
    }
    key = content_hash(known)
    return folder / key[:2] / f"{key}.json"


def _read(entry: Path | None) -> CaseFeatures | None:
    stored = read_entry(entry)
    return None if stored is None else CaseFeatures(*stored)


def _table(rows: Mapping[tuple[str, str], CaseFeatures]) -> pd.DataFrame:
    columns = in_table_order(sorted({name for found in rows.values() for name in found.values}))
    values = np.array([[found.values.get(name, np.nan) for name in columns] for found in rows.values()], dtype=float)
    index = pd.MultiIndex.from_tuples(list(rows), names=["case", "perturbation"])
    return pd.DataFrame(values.reshape(len(rows), len(columns)), index=index, columns=columns)


def _notes(by_perturbation: Mapping[str, CaseFeatures]) -> list[str]:
    known = set(by_perturbation[UNPERTURBED].notes)
    further: Iterable[str] = (
        f"{name}: {note}" for name, found in by_perturbation.items() for note in found.notes if note not in known
    )
    return [*sorted(known), *dict.fromkeys(further)]
