"""The permutation test of the whole pipeline: labels shuffled between patients, everything that looks at labels fitted again.

Which labels may change places decides what p says. Where whole sites are held out, labels are shuffled within sites: sites differ in how common
the marker is, and shuffling across them would destroy that along with the link between features and label, so that p would also answer to a model
that merely tells sites apart. Elsewhere labels are shuffled over all patients. A patient's labels stay together.
"""

from __future__ import annotations

import json
import logging
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from radiogen.cohort.splits import SITE_HELD_OUT, Split, site_names
from radiogen.config.classify import ClassifySettings
from radiogen.errors import ConfigError, RadiogenError
from radiogen.fusion.join import FusionTable
from radiogen.fusion.permutations_fast import FastRefit
from radiogen.fusion.refit import first_repeat, refitted_auc
from radiogen.run.atomic import write_json
from radiogen.run.executor import run_cases
from radiogen.types import Labels01

log = logging.getLogger(__name__)

_STREAM = 1913
"""Keeps the draws apart from those of splits and classifiers."""


@dataclass(frozen=True)
class PermutationTest:
    """What a permutation test of the whole pipeline found.

    Args:
        observed: AUC of the first repeat inside test splits with the true labels.
        aucs: AUC of the first repeat per permutation, in the order of their numbers.
        method: `exact` or `fast`.
    """

    observed: float
    aucs: list[float]
    method: str

    @property
    def p(self) -> float:
        """Return the one-sided p-value, (b + 1) / (m + 1); it is never zero.

        Source: Phipson, Smyth, Stat Appl Genet Mol Biol 2010, 9:39; Ojala, Garriga, J Mach Learn Res 2010, 11:1833 (permuting for a classifier).
        """
        return (sum(value >= self.observed - 1e-12 for value in self.aucs) + 1) / (len(self.aucs) + 1)


def permuted_labels(y: Labels01, patient: np.ndarray, block: np.ndarray, rng: np.random.Generator) -> Labels01:
    """Return labels that changed places between patients with equally many rows in the same blocks; a patient's labels stay together.

    Args:
        y: 0/1 label per row.
        patient: patient per row.
        block: what a label may not leave, per row, such as a site.
        rng: source of randomness.

    Example:
        >>> y = permuted_labels(np.array([0, 1, 0, 1]), np.array(list("abcd")), np.array(list("xxyy")), np.random.default_rng(0))
        >>> int(y[:2].sum()), int(y[2:].sum())
        (1, 1)
    """
    rows_of: dict[str, list[int]] = {}
    for row, name in enumerate(patient):
        rows_of.setdefault(str(name), []).append(row)
    alike: dict[tuple[str, ...], list[list[int]]] = {}
    for name in sorted(rows_of):
        # Rows of a patient in several blocks are put in order of the blocks, so that each label stays in its own.
        rows = sorted(rows_of[name], key=lambda row: (str(block[row]), row))
        alike.setdefault(tuple(str(block[row]) for row in rows), []).append(rows)
    shuffled = y.copy()
    for key in sorted(alike):
        members = np.array(alike[key])
        shuffled[members] = y[members[rng.permutation(len(members))]]
    return shuffled


@dataclass(frozen=True)
class _Refit:
    table: FusionTable
    settings: ClassifySettings
    splits: list[Split] | None

    def blocks(self) -> np.ndarray:
        _, scheme = first_repeat(self.table, self.settings, self.splits)
        site = site_names(self.table.cohort["site"]).to_numpy(dtype=object)
        return site if scheme == SITE_HELD_OUT else np.full(len(site), "all", dtype=object)

    def __call__(self, labels: Labels01) -> float:
        return refitted_auc(replace(self.table, y=labels), self.settings, self.splits)


@dataclass(frozen=True)
class _Numbered:
    """One permutation by its number: read where it was done before, else computed and kept."""

    statistic: Callable[[Labels01], float]
    y: Labels01
    patient: np.ndarray
    block: np.ndarray
    seed: int
    folder: Path | None

    def __call__(self, name: str, number: int) -> float:
        kept = None if self.folder is None else self.folder / f"{number:05d}.json"
        if kept is not None and kept.is_file():
            return float(json.loads(kept.read_text(encoding="utf-8"))["auc"])
        rng = np.random.default_rng([self.seed, _STREAM, number])
        value = self.statistic(permuted_labels(self.y, self.patient, self.block, rng))
        if kept is not None:
            write_json(kept, {"permutation": number, "auc": value})
        return value


def permutation_test(
    table: FusionTable,
    settings: ClassifySettings,
    *,
    splits: list[Split] | None = None,
    folder: Path | None = None,
    jobs: int = 1,
    progress: bool = False,
) -> PermutationTest:
    """Shuffle the labels, fit everything again and compare, as often as `permutations_refit` says.

    How long it will take is logged before the work. The statistic is the AUC of the first repeat inside test splits, for all labels alike. With the
    method `exact` splits, preparation, selection, tuning and classifiers are all made anew, so p is exact; `fast`:
    `radiogen.fusion.permutations_fast`.

    Args:
        table: features with labels.
        settings: as for cross-validation.
        splits: frozen splits to use instead of drawing them.
        folder: where each permutation's AUC is kept while the test runs, so that a stopped run goes on; removed at the end.
        jobs: permutations worked on at the same time; the result does not depend on it.
        progress: show a progress bar.

    Raises:
        ConfigError: columns are predictions themselves (they were made with the true labels), or `fast` is asked for another fusion than `early`.
        RadiogenError: a permutation failed.
    """
    if table.scores:
        raise ConfigError(
            "Columns that are predictions were made with the true labels, so labels cannot be permuted.",
            hint="Set permutations_refit to 0, or leave such columns out.",
        )
    exact = settings.permutation_method == "exact"
    statistic: _Refit | FastRefit = (
        _Refit(table, settings, splits) if exact else FastRefit.prepare(table, settings, splits)
    )
    patient = table.cohort["patient"].to_numpy(dtype=object)
    start = time.monotonic()
    observed = statistic(table.y)
    count = settings.permutations_refit
    done = len(list(folder.glob("*.json"))) if folder is not None and folder.is_dir() else 0
    took = (count - done) * (time.monotonic() - start) / max(1, min(jobs, count))
    kept = f" ({done} are done)" if done else ""
    log.info("%s permutation test, %d times%s: about %s.", settings.permutation_method, count, kept, duration(took))
    numbered = _Numbered(statistic, table.y, patient, statistic.blocks(), settings.seed, folder)
    named = {f"permutation {number}": number for number in range(1, count + 1)}
    results, failures = run_cases(numbered, named, stage=f"permute {table.target}", jobs=jobs, progress=progress)
    if failures:
        raise RadiogenError(f"{failures[0].case} failed: {failures[0].cause}", hint=failures[0].fix)
    if folder is not None:
        shutil.rmtree(folder, ignore_errors=True)
    return PermutationTest(observed, [results[name] for name in named], settings.permutation_method)


def duration(seconds: float) -> str:
    """Return a duration in words.

    Example:
        >>> duration(5.0), duration(300.0), duration(9000.0)
        ('5 s', '5 min', '2.5 h')
    """
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
