"""What every branch of this house is: a scikit-learn transformer over cohort rows whose columns need no fitting."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils import Tags

from radiogen.config.base import StageSettings
from radiogen.errors import CaseError
from radiogen.run.provenance import content_hash
from radiogen.run.quarantine import Failure


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


class FeatureBranch(TransformerMixin, BaseEstimator, ABC):
    """A branch that computes every case by itself, so that no statistic can leak from one case to another.

    Args:
        settings: settings of the branch.
        jobs: cases worked on at the same time; the values do not depend on it.
        cache_folder: where the features of single cases are kept by content hash; None: nowhere.
        progress: show a progress bar.
        on_failure: `raise`, or `skip` to leave failing cases out of the table that `transform` returns.
    """

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
