"""Encoders side by side on one cohort: the same quantile filter and number of habitats, learned again and again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.stats import t as student
from sklearn.metrics import adjusted_rand_score

from radiogen.branches.habitats.autoencoder import ENCODERS
from radiogen.branches.habitats.clustering import filled_valley, stability_loss
from radiogen.branches.habitats.learn import TrainingData, learn_encoder, with_centres
from radiogen.config.habitats import HabitatSettings

N_REPEATS = 20
"""Seeds per encoder; the paper averages over ten."""


@dataclass(frozen=True)
class EncoderOutcome:
    """What one encoder does over the repeats.

    Args:
        encoder: its name.
        n_repeats: how often it was learned, each time with another seed.
        stability_loss: mean; lower is better.
        stability_ci: its 95 % interval over the repeats.
        adjusted_rand: mean agreement of each repeat with the next, on the same voxels.
        valley: mean of `filled_valley`; lower is better.
    """

    encoder: str
    n_repeats: int
    stability_loss: float
    stability_ci: tuple[float, float]
    adjusted_rand: float
    valley: float


def compare_encoders(
    data: TrainingData,
    settings: HabitatSettings,
    gamma: float,
    k: int,
    *,
    repeats: int = N_REPEATS,
    tell: Callable[[str], None] = lambda encoder: None,
) -> list[EncoderOutcome]:
    """Return how stable the division is with every encoder that the maps allow.

    Args:
        data: training patients.
        settings: of the fit; its encoder is one of those compared.
        gamma: share that the quantile filter cuts off.
        k: habitats.
        repeats: seeds, of everything random.
        tell: called with an encoder's name after each of its repeats.
    """
    rows, who = data.sample(settings.sample_voxels // 2, settings.seed)
    found = []
    for encoder in ENCODERS if len(data.maps) > 1 else ENCODERS[2:]:
        losses, labels, valleys = [], [], []
        for number in range(repeats):
            own = settings.model_copy(update={"encoder": encoder, "seed": settings.seed + number})
            model = with_centres(learn_encoder(data, own, gamma), data, own, k)
            losses.append(
                stability_loss(
                    model.code(rows), who, k, splits=own.stability_splits, share=own.stability_share, seed=own.seed
                )
            )
            labels.append(model.divide(rows).astype(np.int64) - 1)
            valleys.append(filled_valley(model.scaling.apply(rows), labels[-1], k))
            tell(encoder)
        pairs = [adjusted_rand_score(labels[at], labels[at + 1]) for at in range(repeats - 1)]
        found.append(
            EncoderOutcome(
                encoder, repeats, float(np.mean(losses)), _interval(np.array(losses)), float(np.mean(pairs or [1.0])),
                float(np.mean(valleys)),
            )
        )  # fmt: skip
    return found


def _interval(values: Float[np.ndarray, " r"]) -> tuple[float, float]:
    """Return the 95 % interval of a mean (Student's t)."""
    if len(values) < 2:
        return float("nan"), float("nan")
    half = float(student.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values)))
    return float(values.mean()) - half, float(values.mean()) + half
