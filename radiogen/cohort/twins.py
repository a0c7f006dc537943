"""The same patient under two names: found from what the brain looks like, without names, dates or ids.

A fingerprint holds how bright 10 mm cells of the brain are, in ranks, minus the mean of their neighbours, which is much the same in all
brains. So scanner gain, re-export and small shifts do not matter, while the ventricles, the large folds and the tumour of this patient do.
It is no secret and holds no name: who has the image can make it; nobody can make a face from 10 mm cells of a brain.

Fingerprints are compared within one sequence and one space: images registered to the template, 1 mm voxels.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from jaxtyping import Float

from radiogen.cohort.identifiers import Identifier
from radiogen.cohort.layouts import natural_key
from radiogen.cohort.overlaps import Link, Patients
from radiogen.errors import CohortError, ImageError
from radiogen.types import Mask, Volume

TWIN_DISTANCE = 0.3
"""Fingerprints closer than this are reported as twins: T1 after contrast agent of 32 real patients, registered to MNI152, lie 0.347 apart at least
(median 0.83); copies of 12 of them, turned 3 degrees, shifted 2 mm, with another curve, noise and a brain 2 mm larger or smaller, 0.16 at most. One
patient through two pipelines, brain-extracted by others and raw with thick slices, is 0.351 from itself and is missed."""

TWIN_COLUMNS = ["case_a", "case_b", "distance", "same_patient"]

_CELL_VOXELS = 10
_CELLS = (16, 22, 18)
_LEAST_SHARE = 0.3
_LEAST_CELLS = 100
_STEPS_PER_DEVIATION = 3
_DIGITS = np.frombuffer(b"0123456789abcdef", dtype=np.uint8)


def fingerprint(image: Volume, brain: Mask) -> str:
    """Return the fingerprint of a brain.

    Args:
        image: one sequence registered to the template, 1 mm voxels, axes R, A, S; any intensity unit.
        brain: on the same voxels.

    Returns:
        Hexadecimal text, one sign per cell of 10 mm.

    Raises:
        ImageError: shapes differ, or the brain is too small to be told from others.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> image = np.kron(rng.random((8, 8, 8)), np.ones((15, 15, 15))).astype(np.float32)
        >>> brain = np.ones(image.shape, bool)
        >>> fingerprint(image, brain) == fingerprint(5 * image + 2, brain)
        True
    """
    if image.shape != brain.shape:
        raise ImageError(f"The brain mask has shape {brain.shape}, the image {image.shape}.")
    if not brain.any():
        raise ImageError("The brain mask is empty: there is nothing to recognise the patient by.")
    ranks = _ranks(image, brain)
    sums, counts = _cells(ranks, brain), _cells(np.ones(1, np.float64), brain)
    share = counts / _CELL_VOXELS**3
    known = share > _LEAST_SHARE
    if known.sum() < _LEAST_CELLS:
        raise ImageError(
            f"The brain fills {int(known.sum())} cells of {_CELL_VOXELS} mm; at least {_LEAST_CELLS} are needed to recognise it."
        )
    mean = np.where(known, sums / np.maximum(counts, 1), 0.0)
    own = _without_common(mean, known)
    deviation = own[known].std()
    codes = np.where(known, np.clip(np.rint(8 + _STEPS_PER_DEVIATION * own / max(deviation, 1e-12)), 1, 15), 0).astype(
        int
    )
    return "".join(f"{code:x}" for code in codes.ravel())


def distance(first: str, second: str) -> float:
    """Return how different two fingerprints are: 0 the same, about 1 unrelated.

    One minus the correlation over the cells that both hold.

    Args:
        first: fingerprint.
        second: fingerprint.

    Raises:
        CohortError: one of them is not a fingerprint of this version.
    """
    a, b = _decode(first), _decode(second)
    both = (a > 0) & (b > 0)
    if both.sum() < _LEAST_CELLS:
        return 1.0
    return _distance(a[both].astype(float), b[both].astype(float))


def find_twins(fingerprints: pd.Series, patient: pd.Series, *, limit: float = TWIN_DISTANCE) -> pd.DataFrame:
    """Return every pair of cases whose brains look the same.

    Args:
        fingerprints: case -> fingerprint, all of one sequence; unknown ones are passed over.
        patient: case -> patient id.
        limit: largest distance of twins.

    Returns:
        Columns of `TWIN_COLUMNS`, nearest pair first; `same_patient` says whether the table knew already.

    Raises:
        CohortError: a text is not a fingerprint, or a case has no patient.

    Example:
        >>> codes = pd.Series({"a": "1f" * 3168, "b": "1f" * 3168, "c": "f1" * 3168})
        >>> find_twins(codes, pd.Series({"a": "P1", "b": "P2", "c": "P3"}))["case_b"].tolist()
        ['b']
    """
    known = fingerprints.dropna()
    known = known[known.astype(str) != ""].sort_index()
    unknown = sorted(set(known.index) - set(patient.index))
    if unknown:
        raise CohortError("Cases without a patient cannot be compared:", problems=[str(case) for case in unknown])
    codes = [_decode(str(text)) for text in known]
    rows = []
    for i in range(len(codes)):
        for j in range(i + 1, len(codes)):
            both = (codes[i] > 0) & (codes[j] > 0)
            if both.sum() < _LEAST_CELLS:
                continue
            apart = _distance(codes[i][both].astype(float), codes[j][both].astype(float))
            if apart <= limit:
                one, two = str(known.index[i]), str(known.index[j])
                rows.append((one, two, apart, bool(patient[one] == patient[two])))
    rows.sort(key=lambda row: (row[2], row[0], row[1]))
    return pd.DataFrame(rows, columns=TWIN_COLUMNS).astype({"distance": float, "same_patient": bool})


def join_twins(cohort: pd.DataFrame, twins: pd.DataFrame) -> pd.DataFrame:
    """Return the cohort with one patient id for all twins, so that no split separates them.

    Whoever shares a patient with a twin joins too. The first id in natural order stands for all.

    Args:
        cohort: typed cohort table, indexed by case, with the column `patient`.
        twins: from `find_twins`.

    Raises:
        CohortError: a twin is not in the cohort.

    Example:
        >>> cohort = pd.DataFrame({"patient": ["P1", "P2", "P2"]}, index=["a", "b", "c"])
        >>> twins = pd.DataFrame([("a", "b", 0.1, False)], columns=TWIN_COLUMNS)
        >>> join_twins(cohort, twins)["patient"].tolist()
        ['P1', 'P1', 'P1']
    """
    strangers = sorted({str(case) for name in TWIN_COLUMNS[:2] for case in twins[name]} - set(map(str, cohort.index)))
    if strangers:
        raise CohortError("Twins are not in the cohort:", problems=strangers)
    groups = Patients(_same_patient(cohort, twins))
    joined = cohort.copy()
    roots = cohort["patient"].map(lambda patient: groups.of(str(patient)))
    first: dict[str, str] = {}
    for root, patient in zip(roots, cohort["patient"].astype(str), strict=True):
        first[root] = min(first.get(root, patient), patient, key=natural_key)
    joined["patient"] = [first[root] for root in roots]
    return joined


def _same_patient(cohort: pd.DataFrame, twins: pd.DataFrame) -> list[Link]:
    links = []
    for one, two in zip(twins["case_a"], twins["case_b"], strict=True):
        a, b = (str(cohort.at[case, "patient"]) for case in (one, two))
        links.append(Link(Identifier("", a, a, a), Identifier("", b, b, b), "twins"))
    return links


def _ranks(image: Volume, brain: Mask) -> Float[np.ndarray, "i j k"]:
    """Return each voxel's share of brain voxels that are darker: what no change of gain or curve alters; 0 outside."""
    values = image[brain]
    order = np.sort(values)
    low, high = np.searchsorted(order, values, "left"), np.searchsorted(order, values, "right")
    ranks = np.zeros(image.shape)
    ranks[brain] = (low + high) / (2 * values.size)
    return ranks


def _cells(values: np.ndarray, brain: Mask) -> Float[np.ndarray, "a b c"]:
    """Return the sum over the brain in each cell; cells are counted from the brain's centre, so that a shifted brain falls into the same ones."""
    where = np.argwhere(brain)
    index = np.floor((where - where.mean(axis=0)) / _CELL_VOXELS + np.array(_CELLS) / 2).astype(np.int64)
    fits = ((index >= 0) & (index < np.array(_CELLS))).all(axis=1)
    flat = np.ravel_multi_index(tuple(index[fits].T), _CELLS)
    weights = values[brain][fits] if values.shape == brain.shape else np.ones(len(flat))
    return np.bincount(flat, weights=weights, minlength=int(np.prod(_CELLS))).reshape(_CELLS).astype(np.float64)


def _without_common(mean: Float[np.ndarray, "a b c"], known: Mask) -> Float[np.ndarray, "a b c"]:
    """Return cells minus the mean of their neighbourhood of 30 mm."""
    total, count = np.zeros(mean.shape), np.zeros(mean.shape)
    padded, inside = np.pad(mean * known, 1), np.pad(known.astype(float), 1)
    for i, j, k in np.ndindex(3, 3, 3):
        part = np.s_[i : i + mean.shape[0], j : j + mean.shape[1], k : k + mean.shape[2]]
        total += padded[part]
        count += inside[part]
    return np.where(known, mean - total / np.maximum(count, 1), 0.0)


def _decode(text: str) -> np.ndarray:
    signs = np.frombuffer(text.encode("utf-8"), dtype=np.uint8)
    digits = np.where(signs < ord("a"), signs - ord("0"), signs - ord("a") + 10)
    if signs.size != np.prod(_CELLS) or not np.isin(signs, _DIGITS).all():
        raise CohortError(
            f"'{text[:16]}...' ({len(text)} signs) is not a fingerprint; {int(np.prod(_CELLS))} hexadecimal signs are accepted.",
            hint="Make all fingerprints with the same version.",
        )
    return digits


def _distance(a: Float[np.ndarray, " n"], b: Float[np.ndarray, " n"]) -> float:
    a, b = a - a.mean(), b - b.mean()
    norm = float(np.sqrt((a @ a) * (b @ b)))
    return float(np.clip(1 - (a @ b) / norm, 0, 2)) if norm > 0 else 1.0
