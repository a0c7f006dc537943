"""Train and test sides: whole sites held out where that is possible, patients never on both sides.

Sites are held out when at least two test folds can be made of whole sites. A site is tested alone when it has `min_site_cases` cases and both
classes. Sites that are smaller, or have one class only, are put together from the largest to the smallest until they reach that; what is left
over joins the smallest fold. Beyond `max_site_folds` folds the two smallest are joined, again and again. Sites that share a patient count as
one. Cases without a site form one more site called `unknown`. Everywhere else patients are split at random, stratified by label, and the split
is repeated.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Int
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from sklearn.model_selection import StratifiedKFold

from radiogen.errors import InputError
from radiogen.types import Labels01

log = logging.getLogger(__name__)

SITE_HELD_OUT = "site-held-out"
GROUPED_KFOLD = "grouped-kfold"
UNKNOWN_SITE = "unknown"
LEAST_TRAINING_PATIENTS = 2
"""Patients of each class that every training side must hold, so that it can be split once more to choose hyper-parameters."""

_NAMED_SITES = 3
"""A fold of more sites than this is named by the first ones and the number of the others."""

Rows = Int[np.ndarray, "_"]


@dataclass(frozen=True, eq=False)
class Split:
    """One train and test side.

    Args:
        repeat: which drawing of the split, from 0.
        name: `site=<site>` (several joined by `+`) or `fold<number>`.
        train: row positions of the training side, ascending.
        test: row positions of the test side, ascending.
    """

    repeat: int
    name: str
    train: Rows
    test: Rows


def make_splits(
    table: pd.DataFrame,
    y: Labels01,
    *,
    seed: int,
    n_splits: int = 5,
    repeats: int = 3,
    sites: str = "hold-out",
    min_site_cases: int = 5,
    max_site_folds: int = 10,
) -> tuple[list[Split], str]:
    """Split cases into train and test sides; the result does not depend on the order of the rows.

    Args:
        table: one row per case, with columns `patient` and `site`.
        y: 0/1 label per row.
        seed: seed of the random split.
        n_splits: folds of the random split.
        repeats: drawings of the random split; held-out sites are split once.
        sites: `hold-out` or `ignore`.
        min_site_cases: fewest cases of a test fold made of sites.
        max_site_folds: most test folds made of sites.

    Returns:
        The splits, in each repeat every case is tested once, and the scheme: `site-held-out` or `grouped-kfold`.

    Raises:
        InputError: one class only, or fewer patients of a class than folds; the numbers are in the message.

    Example:
        >>> table = pd.DataFrame({"patient": list("abcdefgh"), "site": ["A"] * 4 + ["B"] * 4})
        >>> splits, scheme = make_splits(table, np.array([0, 1] * 4), seed=0, min_site_cases=4)
        >>> scheme, [split.name for split in splits]
        ('site-held-out', ['site=A', 'site=B'])
    """
    patient = table["patient"].astype(str).to_numpy(dtype=object)
    _check_classes(patient, y)
    if sites == "hold-out":
        folds = _site_folds(table["site"], patient, y, min_site_cases, max_site_folds)
        if folds:
            everything = np.arange(len(y))
            return [Split(0, name, np.setdiff1d(everything, test), test) for name, test in folds], SITE_HELD_OUT
    _check_folds(patient, y, n_splits)
    splits = []
    for repeat in range(repeats):
        state = int(np.random.SeedSequence([seed, repeat]).generate_state(1)[0])
        for number, test in enumerate(grouped_folds(patient, y, n_splits, state), start=1):
            splits.append(Split(repeat, f"fold{number}", np.setdiff1d(np.arange(len(y)), test), test))
    return splits, GROUPED_KFOLD


def grouped_folds(patient: np.ndarray, y: Labels01, n_splits: int, seed: int) -> list[Rows]:
    """Return the test rows of each fold: patients stay together, classes are spread evenly (a patient is positive when one of its cases is).

    Args:
        patient: patient id per row.
        y: 0/1 label per row.
        n_splits: folds; no class may have fewer patients.
        seed: seed of the drawing.
    """
    names, row_of = np.unique(patient.astype(str), return_inverse=True)
    label = np.zeros(len(names), dtype=np.int64)
    np.maximum.at(label, row_of, y.astype(np.int64))
    drawn = StratifiedKFold(n_splits, shuffle=True, random_state=seed).split(label, label)
    return [np.flatnonzero(np.isin(row_of, test)) for _, test in drawn]


def patients_of_smaller_class(patient: np.ndarray, y: Labels01) -> int:
    """Return how many patients the class with fewer of them has (a patient is positive when one of its cases is)."""
    label = pd.Series(y).groupby(np.asarray(patient, dtype=object)).max()
    return int(min((label == 0).sum(), (label == 1).sum()))


def _check_classes(patient: np.ndarray, y: Labels01) -> None:
    positive, negative = int((y == 1).sum()), int((y == 0).sum())
    if positive == 0 or negative == 0:
        raise InputError(
            f"One class only: {positive} positive and {negative} negative cases with a known label.",
            hint="A classifier needs cases of both classes; check the label column.",
        )
    fewest = patients_of_smaller_class(patient, y)
    if fewest <= LEAST_TRAINING_PATIENTS:
        raise InputError(
            f"The smaller class has {fewest} patient(s) among {len(y)} cases with a known label; at least "
            f"{LEAST_TRAINING_PATIENTS + 1} are needed.",
            hint="Add cases of the smaller class.",
        )


def _check_folds(patient: np.ndarray, y: Labels01, n_splits: int) -> None:
    fewest = patients_of_smaller_class(patient, y)
    if fewest < n_splits:
        raise InputError(
            f"Fewer cases than folds: the smaller class has {fewest} patients, and {n_splits} folds were asked for.",
            hint=f"Ask for at most {fewest} folds (--folds {fewest}), or add cases of the smaller class.",
        )
    left = fewest - -(-fewest // n_splits)
    if left < LEAST_TRAINING_PATIENTS:
        raise InputError(
            f"{n_splits} folds leave {left} patient(s) of the smaller class ({fewest}) to train on; "
            f"{LEAST_TRAINING_PATIENTS} are needed.",
            hint="Ask for more folds, or add cases of the smaller class.",
        )


@dataclass(frozen=True)
class _Block:
    sites: tuple[str, ...]
    rows: tuple[int, ...]

    @property
    def order(self) -> tuple[int, tuple[str, ...]]:
        return (-len(self.rows), self.sites)

    @property
    def name(self) -> str:
        shown = "+".join(self.sites[:_NAMED_SITES])
        return f"site={shown}" + (f"+{len(self.sites) - _NAMED_SITES} more" if len(self.sites) > _NAMED_SITES else "")

    def joined(self, other: _Block) -> _Block:
        return _Block(tuple(sorted(self.sites + other.sites)), tuple(sorted(self.rows + other.rows)))


def site_names(site: pd.Series) -> pd.Series:
    """Return sites as strings; unknown ones are called `unknown`."""
    return site.where(site.notna() & (site.astype(str).str.strip() != ""), UNKNOWN_SITE).astype(str)


def _site_folds(
    site: pd.Series, patient: np.ndarray, y: Labels01, least_cases: int, most_folds: int
) -> list[tuple[str, Rows]]:
    names = site_names(site).to_numpy(dtype=object)
    if len(set(names) - {UNKNOWN_SITE}) < 2:
        return []
    folds = _joined_blocks(_blocks(names, patient), y, least_cases)
    while len(folds) > most_folds:
        *folds, second, smallest = sorted(folds, key=lambda block: block.order)
        folds.append(second.joined(smallest))
    folds.sort(key=lambda block: block.sites)
    rest = np.ones(len(y), dtype=bool)
    for block in folds:
        rest[:] = True
        rest[list(block.rows)] = False
        if patients_of_smaller_class(patient[rest], y[rest]) < LEAST_TRAINING_PATIENTS:
            log.warning(
                "%s cannot be held out: the other sites lack a class; patients are split at random.", block.name
            )
            return []
    if len(folds) < 2:
        log.warning("Sites cannot be held out: fewer than two have both classes; patients are split at random.")
        return []
    return [(block.name, np.array(block.rows, dtype=np.int64)) for block in folds]


def _blocks(site: np.ndarray, patient: np.ndarray) -> list[_Block]:
    """Return groups of sites that share no patient with another group."""
    sites, site_of = np.unique(site.astype(str), return_inverse=True)
    patients, patient_of = np.unique(patient.astype(str), return_inverse=True)
    size = len(sites) + len(patients)
    links = coo_array((np.ones(len(site)), (site_of, patient_of + len(sites))), shape=(size, size))
    _, component = connected_components(links, directed=False)
    blocks = []
    for number in np.unique(component[: len(sites)]):
        members = np.flatnonzero(component[: len(sites)] == number)
        rows = np.flatnonzero(np.isin(site_of, members))
        blocks.append(_Block(tuple(str(name) for name in sites[members]), tuple(int(row) for row in rows)))
    return sorted(blocks, key=lambda block: block.order)


def _joined_blocks(blocks: list[_Block], y: Labels01, least_cases: int) -> list[_Block]:
    def can_stand(block: _Block) -> bool:
        return len(block.rows) >= least_cases and len(set(y[list(block.rows)].tolist())) == 2

    folds = [block for block in blocks if can_stand(block)]
    waiting: _Block | None = None
    for block in blocks:
        if can_stand(block):
            continue
        waiting = block if waiting is None else waiting.joined(block)
        if can_stand(waiting):
            folds.append(waiting)
            waiting = None
    if waiting is not None and folds:
        smallest = max(folds, key=lambda block: block.order)
        folds[folds.index(smallest)] = smallest.joined(waiting)
    return folds
