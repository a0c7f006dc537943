"""Bayesian optimisation of the quantile filter and the number of habitats."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float, Integer
from scipy.stats import norm
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel
from threadpoolctl import threadpool_limits

from radiogen.config.habitats import HabitatSettings

LEAST_P = 1e-6
"""Smaller p values count as this one, so that no chance value outweighs all stability."""

_GAMMAS = 31
_NOISE = 1e-3


@dataclass(frozen=True)
class Evaluation:
    """One point that was tried.

    Args:
        gamma: share that the quantile filter cuts off.
        k: habitats.
        stability_loss: 0 is the same division whoever it is learned from.
        p: of the log-rank test between the two groups of training patients; NaN without survival.
        loss: the joint loss.
        found_by: `random`, `improvement` or `surrogate`.
    """

    gamma: float
    k: int
    stability_loss: float
    p: float
    loss: float
    found_by: str


def significance_loss(p: float, tau: float) -> float:
    """Return log(p / tau): below zero where p is below tau, and lower is better.

    The paper prints log(tau / p), which grows as p falls, and minimises it; that would reward groups that do not differ. The sign is turned here.

    Args:
        p: of the log-rank test.
        tau: p value at which the loss is zero.

    Example:
        >>> significance_loss(0.01, 0.05) < significance_loss(0.05, 0.05) < significance_loss(0.5, 0.05)
        True
    """
    return float(np.log(max(p, LEAST_P) / tau))


def joint_loss(stability_loss: float, p: float, alpha: float, tau: float) -> float:
    """Return alpha x stability + (1 - alpha) x significance, both on 0 to 1 so that alpha weighs like with like.

    Args:
        stability_loss: 0 to 1.
        p: of the log-rank test; NaN: stability alone counts.
        alpha: weight of stability.
        tau: of `significance_loss`.

    Source: the habitat paper's joint loss, whose plots show losses that are brought to one range.

    Example:
        >>> joint_loss(0.2, 1.0, 0.5, 0.05), joint_loss(0.2, float("nan"), 0.5, 0.05)
        (0.6, 0.2)
    """
    if np.isnan(p):
        return stability_loss
    lowest, highest = significance_loss(LEAST_P, tau), significance_loss(1.0, tau)
    scaled = (significance_loss(p, tau) - lowest) / (highest - lowest)
    return alpha * stability_loss + (1 - alpha) * scaled


def expected_improvement(
    mean: Float[np.ndarray, " n"], deviation: Float[np.ndarray, " n"], best: float
) -> Float[np.ndarray, " n"]:
    """Return how far below the best value each point is expected to fall, where values above it count as nothing.

    Args:
        mean: of the surrogate.
        deviation: its standard deviation.
        best: the lowest value so far.

    Source: Jones, Schonlau and Welch 1998, J Glob Optim 13:455, for minimisation.

    Example:
        >>> expected_improvement(np.array([1.0, 0.0]), np.array([0.0, 0.0]), 0.5).tolist()
        [0.0, 0.5]
    """
    ahead = best - mean
    spread = np.maximum(deviation, 1e-12)
    return np.where(
        deviation > 1e-12, ahead * norm.cdf(ahead / spread) + spread * norm.pdf(ahead / spread), np.maximum(ahead, 0)
    )


def optimise(
    evaluate: Callable[[float, int], tuple[float, float]],
    settings: HabitatSettings,
    known: Sequence[Evaluation] = (),
    tell: Callable[[list[Evaluation]], None] = lambda done: None,
) -> list[Evaluation]:
    """Look for the point of lowest joint loss.

    Ten random points (as set), then rounds of two: the point of largest expected improvement, and the optimum of the surrogate. Points lie on a
    grid; none is evaluated twice, and the search ends early where all are known. The random points go round the numbers of habitats in turn, and
    there is at least one of each, so that none is left out by chance.

    Args:
        evaluate: gamma and k -> stability loss and p.
        settings: ranges, weights, steps, seed.
        known: evaluations of an earlier run with the same settings, in order; they are taken over.
        tell: called with all evaluations after each one.

    Source: the habitat paper's algorithm 1; Gaussian process with radial basis functions, Rasmussen and Williams 2006.
    """
    grid = _grid(settings)
    stored = {(each.gamma, each.k): each for each in known}
    done: list[Evaluation] = []

    def add(place: int, found_by: str) -> None:
        gamma, k = float(grid[place, 0]), int(grid[place, 1])
        if any((each.gamma, each.k) == (gamma, k) for each in done):
            return
        again = stored.get((gamma, k))
        if again is None:
            loss, p = evaluate(gamma, k)
            again = Evaluation(gamma, k, loss, p, joint_loss(loss, p, settings.alpha, settings.tau), found_by)
        done.append(again)
        tell(list(done))

    numbers = settings.clusters[1] - settings.clusters[0] + 1
    for place in _start(grid, settings.seed)[: max(settings.bo_init, numbers)]:
        add(int(place), "random")
    for _ in range(settings.bo_steps):
        if len(done) == len(grid):
            break
        improvement, optimum = _next_points(grid, done, settings.seed)
        add(improvement, "improvement")
        add(optimum, "surrogate")
    return done


def _start(grid: Float[np.ndarray, "g 2"], seed: int) -> Integer[np.ndarray, " g"]:
    """Return all places in random order, every number of habitats once before any comes again."""
    order = np.random.default_rng(seed).permutation(len(grid))
    turn = pd.Series(grid[order, 1]).groupby(grid[order, 1]).cumcount().to_numpy()
    return order[np.argsort(turn, kind="stable")]


def _next_points(grid: Float[np.ndarray, "g 2"], done: list[Evaluation], seed: int) -> tuple[int, int]:
    """Return the places of the largest expected improvement and of the surrogate's optimum, among points that are not known yet."""
    low, width = grid.min(0), np.ptp(grid, axis=0)
    scaled = (grid - low) / np.where(width > 0, width, 1.0)
    places = [int(np.flatnonzero((grid == (each.gamma, each.k)).all(1))[0]) for each in done]
    losses = np.array([each.loss for each in done])
    kernel = ConstantKernel(1.0) * RBF([0.3, 0.3], (0.05, 5.0))
    surrogate = GaussianProcessRegressor(
        kernel, alpha=_NOISE, normalize_y=True, n_restarts_optimizer=1, random_state=seed
    )
    with warnings.catch_warnings(), threadpool_limits(1):
        # A length that runs to the end of its range says that the loss is flat that way.
        warnings.simplefilter("ignore", ConvergenceWarning)
        mean, deviation = surrogate.fit(scaled[places], losses).predict(scaled, return_std=True)
    fresh = np.ones(len(grid), dtype=bool)
    fresh[places] = False
    gain = np.where(fresh, expected_improvement(mean, deviation, float(losses.min())), -np.inf)
    first = int(np.argmax(gain))
    fresh[first] = False
    return first, int(np.argmin(np.where(fresh, mean, np.inf))) if fresh.any() else first


def _grid(settings: HabitatSettings) -> Float[np.ndarray, "g 2"]:
    low, high = settings.quantile
    gammas = np.unique(np.round(np.linspace(low, high, _GAMMAS), 6))
    return np.array(
        [(gamma, k) for gamma in gammas for k in range(settings.clusters[0], settings.clusters[1] + 1)], dtype=float
    )
