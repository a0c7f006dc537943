"""The embedding branch as a scikit-learn transformer, with a cache of single cases by content."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property, lru_cache, partial
from importlib.metadata import version
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import pandas as pd

from radiogen.branches.base import Extraction, FeatureBranch, read_entry, scheme_hash
from radiogen.branches.embedding.kinds import Kind, make_kind
from radiogen.cohort.case import CaseImages, read_case, read_case_mask
from radiogen.cohort.table import present_sequences
from radiogen.config.embedding import EmbeddingSettings
from radiogen.errors import CaseError
from radiogen.run.atomic import write_json
from radiogen.run.executor import run_cases
from radiogen.run.provenance import content_hash, hash_inputs
from radiogen.types import LabelVolume

log = logging.getLogger(__name__)

STAGE = "features-embedding"

_ALGORITHM = 1
"""Raised when this package prepares a case or asks a network in another way, so that cached values are made again."""
_PACKAGES = ("torch", "monai", "numpy", "scipy")


@dataclass(frozen=True)
class CaseVectors:
    """The embedding of one case.

    Args:
        values: column -> value; NaN where something is missing.
        notes: why columns are blank.
    """

    values: Mapping[str, float]
    notes: list[str] = field(default_factory=list)


class EmbeddingBranch(FeatureBranch):
    """Vectors of a network, one per sequence (or region, or for all sequences together) of a case.

    Columns are `embedding_<network>_<sequence>_<i>`; with early fusion the sequence is `fused`, and of the segmentation encoder it is a region.
    Cases go through the network one after another with all threads, while the next case is read: the values depend on neither `jobs` nor on
    which other cases there are.

    Args:
        settings: which network, and what it is shown.
        jobs: taken for the sake of the other branches; a network uses all cores by itself.
        cache_folder: where the vectors of single cases are kept by content hash; None: nowhere.
        progress: show a progress bar.
        on_failure: `raise`, or `skip` to leave failing cases out of the table that `transform` returns.

    Example:
        >>> branch = EmbeddingBranch(EmbeddingSettings(regions=("et",)))
        >>> branch.get_feature_names_out()[0]
        'embedding_segmentation-encoder_et_000'
    """

    settings: EmbeddingSettings

    @cached_property
    def kind(self) -> Kind:
        """The network, loaded when it is first asked for."""
        return make_kind(self.settings)

    def extract(self, table: pd.DataFrame, *, dask: str | None = None) -> Extraction:
        """Return the vectors of every case of a cohort table; failing cases are quarantined.

        Raises:
            ConfigError: the network is unknown, or does not take the settings.
            InputError: its weights cannot be used.
        """
        rows = {str(case): row for case, row in table.iterrows()}
        kind = self.kind
        if "seed" in kind.facts:
            log.warning(
                "features embedding: %s has no weights: its numbers are random, from the seed %d. Give --weights for a trained network.",
                self.settings.network,
                kind.facts["seed"],
            )
        keys = {case: _cache_key(row, kind) for case, row in rows.items()}
        if dask is not None:
            work = partial(_remote_case, settings=self.settings, cache_folder=self.cache_folder, keys=keys)
            results, failures = run_cases(work, rows, stage=STAGE, dask=dask, progress=self.progress)
        else:
            with _Ahead(rows, partial(_read, kind=kind, cache_folder=self.cache_folder, keys=keys)) as ahead:

                def answer(case: str, row: pd.Series) -> CaseVectors:
                    return _answer(ahead.take(case), kind, self.cache_folder, keys[case])

                results, failures = run_cases(answer, rows, stage=STAGE, progress=self.progress)
        return Extraction(
            _as_table(results, kind.columns),
            failures,
            {case: found.notes for case, found in results.items() if found.notes},
        )

    def provenance_settings(self) -> dict[str, Any]:
        """Return what the network is: its weights by their hash, its input, its arithmetic, its licence."""
        return {**self.kind.facts, "algorithm": _ALGORITHM}

    def provenance_inputs(self, table: pd.DataFrame) -> dict[str, str]:
        """Return the hash of every image and mask the vectors depend on."""
        return {
            f"{case}/{role}": sha256
            for case, row in table.iterrows()
            for role, sha256 in _inputs(row, self.kind).items()
        }

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Return the names of all columns; they follow from the settings alone."""
        return np.array(self.kind.columns, dtype=object)

    def __getstate__(self) -> dict[str, Any]:
        """Leave the network itself out of copies: it is loaded again where it is needed."""
        return {name: value for name, value in super().__getstate__().items() if name != "kind"}


@dataclass(frozen=True)
class _Read:
    """A case as read: its vectors where they are known already, else its images."""

    known: CaseVectors | None
    images: CaseImages | None = None
    labels: LabelVolume | None = None


class _Ahead:
    """Cases read one ahead of the network, in a thread: reading is decompression, which leaves the interpreter free."""

    def __init__(self, rows: Mapping[str, pd.Series], read: Callable[[str, pd.Series], _Read]) -> None:
        self._rows, self._read = rows, read
        self._order = list(rows)
        self._coming: dict[str, Future[_Read]] = {}
        self._thread = ThreadPoolExecutor(max_workers=1)

    def __enter__(self) -> _Ahead:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._thread.shutdown(wait=True, cancel_futures=True)

    def take(self, case: str) -> _Read:
        """Return a case, and begin to read the next.

        Raises:
            Exception: whatever reading this case raised.
        """
        at = self._order.index(case)
        for name in self._order[at : at + 2]:
            if name not in self._coming:
                self._coming[name] = self._thread.submit(self._read, name, self._rows[name])
        return self._coming.pop(case).result()


def _read(case: str, row: pd.Series, *, kind: Kind, cache_folder: Path | None, keys: Mapping[str, str]) -> _Read:
    """Return the known vectors of a cohort row, or its images and mask.

    Raises:
        ImageError: the case has none of the sequences, or no mask where one is needed, or files are unusable.
        GeometryError: its files do not share their voxels.
    """
    known = _read_entry(_entry(cache_folder, keys[case]))
    if known is not None:
        return _Read(known)
    images = read_case(row.drop([name for name in present_sequences(row) if name not in kind.sequences]))
    return _Read(None, images, read_case_mask(row, images.grid) if kind.needs_mask else None)


def _answer(read: _Read, kind: Kind, cache_folder: Path | None, key: str) -> CaseVectors:
    """Return the vectors of a case, and keep them.

    Raises:
        CaseError: the network gave something that is no number.
    """
    if read.known is not None or read.images is None:
        return read.known or CaseVectors({})
    vectors, notes = kind.vectors(read.images, read.labels)
    values: dict[str, float] = {}
    for group, vector in vectors.items():
        if np.isinf(vector).any() or (np.isnan(vector).any() and not np.isnan(vector).all()):
            raise CaseError(
                f"The network '{kind.name}' gave numbers that are not finite for {group}.",
                hint="Try --precision float32, and look at the images.",
            )
        values.update(zip(kind.group_columns(group), map(float, vector), strict=True))
    found = CaseVectors(values, notes)
    entry = _entry(cache_folder, key)
    if entry is not None:
        write_json(entry, {"values": dict(found.values), "notes": found.notes})
    return found


def _remote_case(
    case: str, row: pd.Series, *, settings: EmbeddingSettings, cache_folder: Path | None, keys: Mapping[str, str]
) -> CaseVectors:
    """Return the vectors of a case on a worker of a cluster, which loads the network once."""
    kind = _kind_of(settings.model_dump_json(exclude_unset=True))
    return _answer(_read(case, row, kind=kind, cache_folder=cache_folder, keys=keys), kind, cache_folder, keys[case])


@lru_cache(maxsize=1)
def _kind_of(settings: str) -> Kind:
    return make_kind(EmbeddingSettings.model_validate_json(settings))


def _as_table(results: Mapping[str, CaseVectors], columns: list[str]) -> pd.DataFrame:
    values = np.array([[found.values.get(name, np.nan) for name in columns] for found in results.values()], dtype=float)
    index = pd.Index(list(results), name="case", dtype=object)
    return pd.DataFrame(values.reshape(len(index), len(columns)), index=index, columns=columns)


def _cache_key(row: pd.Series, kind: Kind) -> str:
    return content_hash(
        {
            "algorithm": _ALGORITHM,
            "kind": kind.facts,
            "inputs": _inputs(row, kind),
            "scheme": row.get("mask_labels"),
            "versions": {name: version(name) for name in _PACKAGES},
        }
    )


def _inputs(row: pd.Series, kind: Kind) -> dict[str, str]:
    images = {name: path for name, path in present_sequences(row).items() if name in kind.sequences}
    seen = hash_inputs({**images, "mask": row.get("mask") if kind.needs_mask else None})
    return {**seen, **scheme_hash(row)} if kind.needs_mask else seen


def _entry(cache_folder: Path | None, key: str) -> Path | None:
    return None if cache_folder is None else Path(cache_folder) / f"{key}.json"


def _read_entry(entry: Path | None) -> CaseVectors | None:
    stored = read_entry(entry)
    return None if stored is None else CaseVectors(*stored)
