"""What every branch of this house is: a scikit-learn transformer over cohort rows whose columns need no fitting."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils import Tags

from radiogen.cohort.masks import detect_scheme, translate_labels
from radiogen.cohort.nifti import Grid, read_labels
from radiogen.config.base import StageSettings
from radiogen.errors import CaseError, ImageError
from radiogen.run.executor import run_cases
from radiogen.run.provenance import content_hash
from radiogen.run.quarantine import Failure
from radiogen.types import LabelVolume


@dataclass(frozen=True)
class Extraction:
    """The features of a cohort, and what happened on the way.

    Args:
        features: one row per case that succeeded, index `case`, in the order of the cohort.
        failures: cases that were left out.
        notes: case id -> remarks on columns that are blank for it.
    """

    features: pd.DataFrame
    failures: list[Failure] = field(default_factory=list)
    notes: Mapping[str, list[str]] = field(default_factory=dict)


def scheme_hash(row: pd.Series) -> dict[str, str]:
    """Return what the label scheme that a cohort row names for its mask adds to the hashes of its files; nothing where none is named.

    Example:
        >>> list(scheme_hash(pd.Series({"mask_labels": "brats2013"})))
        ['mask_labels']
    """
    scheme = row.get("mask_labels")
    return {"mask_labels": content_hash(scheme)} if isinstance(scheme, str) and scheme else {}


def read_entry(entry: Path | None) -> tuple[dict[str, float], list[str]] | None:
    """Return the values and notes of a cached case; None where there is no entry, or a damaged one, which is made again.

    Args:
        entry: JSON with `values` (null for NaN) and `notes`; None: nothing is cached.

    Example:
        >>> read_entry(None) is None
        True
    """
    if entry is None:
        return None
    try:
        stored = json.loads(entry.read_text(encoding="utf-8"))
        values = {name: float("nan") if value is None else float(value) for name, value in stored["values"].items()}
        return values, [str(note) for note in stored["notes"]]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def entry_key(algorithm: int, settings: Mapping[str, Any], inputs: Mapping[str, str], packages: Iterable[str]) -> str:
    """Return the name of a case's cached entry: other content, settings, versions or ways to measure mean another one.

    Args:
        algorithm: number that a branch raises when it measures something in another way.
        settings: what counts of them.
        inputs: role -> SHA-256 of the case's files.
        packages: distributions that can change the values.
    """
    versions = {name: version(name) for name in packages}
    return content_hash(
        {"algorithm": algorithm, "settings": dict(settings), "inputs": dict(inputs), "versions": versions}
    )


def read_scheme_mask(row: pd.Series) -> tuple[LabelVolume, Grid, str]:
    """Read the mask of a cohort row.

    Args:
        row: its column `mask_labels` may name the label scheme; otherwise it is detected.

    Returns:
        Radiogen's labels, the file's grid, and the scheme, which says whether the mask tells a tumour's parts.

    Raises:
        ImageError: the case has no mask, or it cannot be used.
    """
    if not isinstance(row.get("mask"), str):
        raise ImageError("The case has no mask.", hint="Run radiogen segment first, or give one in the column 'mask'.")
    stored, grid = read_labels(row["mask"])
    given = row.get("mask_labels")
    scheme = given if isinstance(given, str) and given else detect_scheme(stored)
    return translate_labels(stored, scheme), grid, scheme


class CaseValues(Protocol):
    """What a branch knows of one case."""

    @property
    def values(self) -> Mapping[str, float]:
        """Return column -> value; columns that are not here are blank."""

    @property
    def notes(self) -> list[str]:
        """Return why columns are blank, one line each."""


class FeatureBranch(TransformerMixin, BaseEstimator, ABC):
    """A branch that computes every case by itself, so that no statistic can leak from one case to another.

    Args:
        settings: settings of the branch.
        jobs: cases worked on at the same time; the values do not depend on it.
        cache_folder: where the features of single cases are kept by content hash; None: nowhere.
        progress: show a progress bar.
        on_failure: `raise`, or `skip` to leave failing cases out of the table that `transform` returns.
    """

    settings_class: ClassVar[type[StageSettings]] = StageSettings
    """What its settings are read into where only the branch's name is known; a branch of another package sets its own."""

    def __init__(
        self,
        settings: StageSettings,
        *,
        jobs: int = 1,
        cache_folder: Path | None = None,
        progress: bool = False,
        on_failure: Literal["raise", "skip"] = "raise",
    ) -> None:
        self.settings = settings
        self.jobs = jobs
        self.cache_folder = cache_folder
        self.progress = progress
        self.on_failure = on_failure

    @abstractmethod
    def extract(self, table: pd.DataFrame, *, dask: str | None = None) -> Extraction:
        """Return the features of every case of a cohort table; failing cases are quarantined."""

    @abstractmethod
    def provenance_settings(self) -> dict[str, Any]:
        """Return the JSON-able settings that change the features; no path of this machine is among them."""

    @abstractmethod
    def provenance_inputs(self, table: pd.DataFrame) -> dict[str, str]:
        """Return role -> SHA-256 of everything in the cohort that the features depend on."""

    @abstractmethod
    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Return the names of the columns `transform` gives; they follow from the settings alone."""

    def files_of_case(self, case: str) -> list[Path]:
        """Return the files that the branch may write for a case beside the table; by default none."""
        return []

    def fit(self, table: pd.DataFrame, y: Any = None) -> FeatureBranch:
        """Return the branch itself: there is nothing to learn from other cases."""
        return self

    def transform(self, table: pd.DataFrame) -> pd.DataFrame:
        """Return one row of features per case.

        Args:
            table: cohort rows, as `read_cohort` returns them.

        Returns:
            Table indexed by `case` with the columns of `get_feature_names_out`; NaN where something is missing.

        Raises:
            CaseError: a case failed, and `on_failure` is `raise`.
        """
        extraction = self.extract(table)
        if extraction.failures and self.on_failure == "raise":
            first = extraction.failures[0]
            raise CaseError(
                f"{len(extraction.failures)} case(s) have no features; the first is {first.case}: {first.cause}",
                hint=first.fix,
            )
        return extraction.features.reindex(columns=list(self.get_feature_names_out()))

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.requires_fit = False
        tags.input_tags.allow_nan = True
        return tags


class RowBranch(FeatureBranch):
    """A branch that measures every cohort row by one function and knows its columns beforehand; arguments are those of `FeatureBranch`."""

    stage: ClassVar[str]
    """Name for the progress bar and the failures."""

    algorithm: ClassVar[int]
    """Raised when the branch measures something in another way, so that cached values are made again."""

    @abstractmethod
    def measurement(self) -> Callable[[str, pd.Series], CaseValues]:
        """Return the function of case id and cohort row that measures a case; it is sent to other processes."""

    @abstractmethod
    def settings_that_count(self) -> dict[str, Any]:
        """Return the JSON-able settings that change the values; files count by their content."""

    @abstractmethod
    def inputs_of_case(self, row: pd.Series) -> dict[str, str]:
        """Return role -> SHA-256 of every file that the values of a cohort row depend on."""

    def extract(self, table: pd.DataFrame, *, dask: str | None = None) -> Extraction:
        """Return the columns of every case of a cohort table; cases with unusable files are quarantined.

        Raises:
            InputError: what the settings name cannot be used; found before the first case.
        """
        columns = self.get_feature_names_out().tolist()
        rows = {str(case): row for case, row in table.iterrows()}
        work = self.measurement()
        results, failures = run_cases(work, rows, stage=self.stage, jobs=self.jobs, dask=dask, progress=self.progress)
        index = pd.Index(list(results), name="case", dtype=object)
        values = [dict(found.values) for found in results.values()]
        features = pd.DataFrame(values, index=index, columns=columns, dtype=float)
        return Extraction(features, failures, {case: found.notes for case, found in results.items() if found.notes})

    def provenance_settings(self) -> dict[str, Any]:
        """Return the settings that count, and the number of the way to measure."""
        return {**self.settings_that_count(), "algorithm": self.algorithm}

    def provenance_inputs(self, table: pd.DataFrame) -> dict[str, str]:
        """Return the hash of every file that any case depends on."""
        return {
            f"{case}/{role}": value
            for case, row in table.iterrows()
            for role, value in self.inputs_of_case(row).items()
        }
