"""Made-up studies with a known truth, from features to a cross-validated predictions table, for judging the verdict itself."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from radiogen.config.evaluate import EvaluateSettings
from radiogen.evaluate.audit import quick_verdict

QUICK = EvaluateSettings(bootstrap_resamples=400, permutations=399, crossfit_folds=5, crossfit_repeats=1)
"""Fewer resamples than the default 2,000; `test_verdict.py` shows that the verdicts hardly differ."""

N_SITES, N_FEATURES = 5, 8


@dataclass(frozen=True)
class Design:
    """How a study is made.

    Args:
        name: in the tables.
        shares: share of positives per site.
        age_effect: difference of the classes' mean age in standard deviations.
        sites_look_different: standard deviation of the sites' means of every image feature.
        model_sees_age: age is one of the model's features.
        held_out: `sites`, `folds` or `none` (a model from another cohort).
        repeats: drawings of the folds.
    """

    name: str
    shares: tuple[float, ...] = (0.5, 0.5, 0.5, 0.5, 0.5)
    age_effect: float = 0.0
    sites_look_different: float = 0.0
    model_sees_age: bool = False
    held_out: str = "sites"
    repeats: int = 1


DIFFERENT = (0.2, 0.35, 0.5, 0.65, 0.8)
DESIGNS = (
    Design("one site, 5 folds", held_out="folds"),
    Design("one site, 5 folds drawn 3 times", held_out="folds", repeats=3),
    Design("5 sites held out"),
    Design("5 sites held out, 20 to 80 % positive", shares=DIFFERENT),
    Design("the same, and sites look different", shares=DIFFERENT, sites_look_different=1.0),
    Design("5 sites in random folds, 20 to 80 % positive, sites look different", DIFFERENT, 0.0, 1.0, held_out="folds"),
    Design("age tells, the model sees it, one site", age_effect=1.0, model_sees_age=True, held_out="folds"),
    Design("age tells, the model sees it, 5 sites held out, 20 to 80 % positive", DIFFERENT, 1.0, 0.5, True),
    Design("age tells, the model does not see it, 5 sites held out", age_effect=1.0),
    Design("a fixed model on an external test set", held_out="none"),
)


EQUAL = Design("the image is exactly as good as age, external test set", age_effect=1.0, held_out="none")
EQUAL_EFFECT = 1.0
"""The edge of the null: the true difference to the hardest baseline is zero."""


def made_study(
    design: Design, rng: np.random.Generator, *, n: int = 100, image: float = 0.0
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return a predictions table and the clinical facts of a study whose first image feature differs by `image` standard deviations."""
    site = np.arange(n) % N_SITES
    y = (rng.random(n) < np.array(design.shares)[site]).astype(np.int64)
    features = (
        rng.normal(size=(n, N_FEATURES)) + design.sites_look_different * rng.normal(size=(N_SITES, N_FEATURES))[site]
    )
    features[:, 0] += image * (y - 0.5)
    age = -design.age_effect * (y - 0.5) + rng.normal(size=n)
    if design.model_sees_age:
        features = np.column_stack([features, age])
    one_site = design.held_out == "folds" and design.sites_look_different == 0
    frames = []
    for repeat in range(design.repeats):
        fold, name = _folds(design, y, site, rng)
        frames.append(
            pd.DataFrame(
                {
                    "case": [f"c{number:04d}" for number in range(n)],
                    "site": "A" if one_site else [f"s{number}" for number in site],
                    "target": "idh",
                    "y_true": y,
                    "y_prob": _predicted(features, y, fold, image, design),
                    "split": name,
                    "repeat": repeat,
                }
            )
        )
    facts = pd.DataFrame({"case": frames[0]["case"], "age": 55 + 12 * age, "sex": rng.choice(["F", "M"], n)})
    return pd.concat(frames, ignore_index=True), facts


def _folds(
    design: Design, y: np.ndarray, site: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, list[str] | str]:
    if design.held_out == "none":
        return np.zeros(len(y), dtype=int), "test"
    if design.held_out == "sites":
        return site, [f"site=s{number}" for number in site]
    fold = np.empty(len(y), dtype=int)
    for value in (0, 1):
        rows = rng.permutation(np.flatnonzero(y == value))
        fold[rows] = np.arange(len(rows)) % 5
    return fold, [f"fold{number}" for number in fold]


def _predicted(features: np.ndarray, y: np.ndarray, fold: np.ndarray, image: float, design: Design) -> np.ndarray:
    """Return held-out probabilities of a ridge regression; of the first feature alone for a fixed model."""
    if design.held_out == "none":
        return 1 / (1 + np.exp(-features[:, 0] * (1.0 if image == 0 else image)))
    scores = np.empty(len(y))
    for number in np.unique(fold):
        test = fold == number
        middle, spread, share = features[~test].mean(axis=0), features[~test].std(axis=0), y[~test].mean()
        train, unseen = (features[~test] - middle) / spread, (features[test] - middle) / spread
        weights = np.linalg.solve(train.T @ train + 5 * np.eye(features.shape[1]), train.T @ (y[~test] - share))
        scores[test] = share + unseen @ weights
    return 1 / (1 + np.exp(-4 * (scores - 0.5)))


def verdict_of(
    design: Design, seed: int, *, n: int = 100, image: float = 0.0, settings: EvaluateSettings = QUICK
) -> dict[str, object]:
    """Return the verdict of one study with the numbers behind it."""
    predictions, facts = made_study(design, np.random.default_rng([seed, n]), n=n, image=image)
    found = quick_verdict(predictions, facts, settings)
    return {
        "verdict": found["verdict"],
        "p": found["permutation_p"],
        "auc": found["auc"],
        "pooled_p": found["permutation_p_pooled"],
        "judged": found["auc"] if found["within_split"] is None else found["within_split"]["auc"],
    }
