"""Made-up cases whose best thresholds are known."""

from __future__ import annotations

import numpy as np

from radiogen.types import ED, ET, NCR

SHAPE = (22, 20, 18)
BEST = {"wt": 0.35, "tc": 0.65, "et": 0.75}
"""Thresholds that give the reference back."""


def distance(centre: tuple[float, float, float]) -> np.ndarray:
    return np.linalg.norm(np.indices(SHAPE).reshape(3, -1).T - np.array(centre), axis=1).reshape(SHAPE)


def made_up(seed: int, *, enhancing: bool = True) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Balls in balls whose probability crosses `BEST` exactly at the reference's border, and a small false island of every region."""
    rng = np.random.default_rng(seed)
    r = distance(tuple(np.array([10.0, 9.0, 8.0]) + rng.uniform(-0.5, 0.5, 3)))
    radii = {"wt": 6.5 + rng.uniform(-0.5, 0.5), "tc": 4.6 + rng.uniform(-0.3, 0.3), "et": 3.1 + rng.uniform(-0.2, 0.2)}
    p, reference = {}, np.zeros(SHAPE, dtype=np.uint8)
    for name, label in (("wt", ED), ("tc", NCR), ("et", ET)):
        p[name] = (1 / (1 + np.exp(1.5 * (r - radii[name]) - np.log(BEST[name] / (1 - BEST[name]))))).astype(np.float32)
        if name != "et" or enhancing:
            reference[r < radii[name]] = label
        elif name == "et":
            p[name] = p[name] * 0.02
    island = np.s_[19:21, 16:18, 14:16]
    for values in p.values():
        values[island] = 0.97
    return p, reference
