"""Made-up tumours for judging habitats: planted parts of many kinds, and several kinds of no parts; voxels without images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter

from radiogen.branches.habitats.learn import TrainingData
from radiogen.branches.habitats.voxels import CaseVoxels
from radiogen.cohort.nifti import Grid

Shape = Callable[[np.random.Generator, np.ndarray, int], np.ndarray]
"""Generator, (n, 3) places in -1..1 and number of maps -> (n, maps) values without noise."""


@dataclass(frozen=True)
class Phantoms:
    """A made-up cohort.

    Args:
        data: what is fitted.
        truth: case -> the planted part of every voxel; all zero where there is none.
        k: planted parts; 0: none.
        kind: `planted`, or which kind of nothing.
    """

    data: TrainingData
    truth: dict[str, np.ndarray]
    k: int
    kind: str


def planted(k: int, seed: int) -> Phantoms:
    """Return a cohort with k planted habitats; size, number of patients and maps, contrast, noise, blur and the parts' shapes follow from the seed.

    Two habitats lie 5 to 8 standard deviations of the noise apart, or more; borders are blurred as partial volume does; every patient has shares of
    its own and a scanner that shifts each map.
    """
    rng = np.random.default_rng([seed, k])
    n_maps, contrast = int(rng.integers(3, 5)), rng.uniform(5, 8)
    centres = _corners(rng, k, n_maps, contrast)
    blur = rng.uniform(0, 0.6)

    def parts(of: np.random.Generator, places: np.ndarray) -> np.ndarray:
        score = np.stack([_field(of, places) for _ in range(k)], axis=1) + np.log(of.dirichlet(np.full(k, 6.0)))
        return score.argmax(1)

    cases, truth = {}, {}
    for number in range(int(rng.integers(8, 17))):
        inside, places = _ball(rng)
        label = parts(rng, places)
        clean = np.zeros((*inside.shape, n_maps))
        clean[inside] = centres[label]
        weight = gaussian_filter(inside.astype(float), blur) if blur > 0 else inside.astype(float)
        mixed = [gaussian_filter(clean[..., each], blur)[inside] / weight[inside] for each in range(n_maps)]
        values = np.stack(mixed, axis=1) + rng.normal(0, 0.4, n_maps) + rng.normal(0, 1, (len(label), n_maps))
        name = f"case{number:02d}"
        cases[name], truth[name] = _case(name, inside, values), label
    return _cohort(cases, truth, n_maps, k, "planted")


def _noise(rng: np.random.Generator, places: np.ndarray, n_maps: int) -> np.ndarray:
    return np.zeros((len(places), n_maps))


def _long(rng: np.random.Generator, places: np.ndarray, n_maps: int) -> np.ndarray:
    return rng.normal(0, 1, (len(places), 1)) * np.linspace(1, 4, n_maps)


def _tails(rng: np.random.Generator, places: np.ndarray, n_maps: int) -> np.ndarray:
    return rng.standard_t(4, (len(places), n_maps)) * 2


def _gradient(rng: np.random.Generator, places: np.ndarray, n_maps: int) -> np.ndarray:
    way = rng.normal(0, 1, 3)
    return (places @ (way / np.linalg.norm(way)))[:, None] * np.linspace(2, 5, n_maps) * np.resize([1, -1, 1], n_maps)


def _blob(rng: np.random.Generator, places: np.ndarray, n_maps: int) -> np.ndarray:
    height = np.exp(-((places - rng.uniform(-0.3, 0.3, 3)) ** 2).sum(1) / (2 * 0.5**2))
    return height[:, None] * np.linspace(4, 8, n_maps) * np.resize([1, 1, -1], n_maps)


def _smooth(rng: np.random.Generator, places: np.ndarray, n_maps: int) -> np.ndarray:
    return 2.5 * np.stack([_field(rng, places) for _ in range(n_maps)], axis=1)


NOTHING: dict[str, Shape] = {
    "noise": _noise, "noise shared by the maps": _long, "noise with heavy tails": _tails, "gradient": _gradient, "one blob": _blob,
    "smooth random field": _smooth,
}  # fmt: skip
"""Kinds of tumours without parts."""


def without(kind: str, seed: int) -> Phantoms:
    """Return a cohort without habitats.

    Args:
        kind: one of `NOTHING`.
        seed: size and number of patients and maps follow from it.
    """
    rng = np.random.default_rng([seed, 100 + list(NOTHING).index(kind)])
    n_maps = int(rng.integers(3, 5))
    cases, truth = {}, {}
    for number in range(int(rng.integers(8, 17))):
        inside, places = _ball(rng)
        values = (
            NOTHING[kind](rng, places, n_maps) + rng.normal(0, 0.4, n_maps) + rng.normal(0, 1, (len(places), n_maps))
        )
        name = f"case{number:02d}"
        cases[name], truth[name] = _case(name, inside, values), np.zeros(len(places), dtype=np.int64)
    return _cohort(cases, truth, n_maps, 0, kind)


def _corners(rng: np.random.Generator, k: int, n_maps: int, apart: float) -> np.ndarray:
    """Return k points no two of which are nearer than `apart`, drawn in a box that leaves them little more room."""
    side = apart * (1.0 if k <= 3 else 1.3)
    while True:
        for _ in range(500):
            found = rng.uniform(0, side, (k, n_maps))
            gaps = np.linalg.norm(found[:, None] - found[None], axis=2)[np.triu_indices(k, 1)]
            if gaps.min() >= apart:
                return found
        side *= 1.05


def _field(rng: np.random.Generator, places: np.ndarray) -> np.ndarray:
    """Return a smooth random field of about unit spread at some places: sums of a few slow waves."""
    waves = rng.normal(0, 2.0, (6, 3))
    return np.sqrt(2 / 6) * np.cos(places @ waves.T + rng.uniform(0, 2 * np.pi, 6)).sum(1)


def _ball(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return an ellipsoid in its box and the places of its voxels, in -1..1."""
    sides = rng.integers(9, 19, 3)
    axes = [np.linspace(-1, 1, int(side)) for side in sides]
    places = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
    inside = (places**2).sum(-1) <= 1
    return inside, places[inside]


def _case(name: str, inside: np.ndarray, values: np.ndarray) -> CaseVoxels:
    return CaseVoxels(name, values.astype(np.float32), inside, (0, 0, 0), Grid(inside.shape, np.eye(4)))


def _cohort(cases: dict[str, CaseVoxels], truth: dict[str, np.ndarray], n_maps: int, k: int, kind: str) -> Phantoms:
    maps = ("t1n", "t1c", "t2w", "t2f")[:n_maps]
    return Phantoms(TrainingData(cases, {name: name for name in cases}, maps, None), truth, k, kind)
