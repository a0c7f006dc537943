"""For whom the model changes the picture that the hardest trivial baseline gives."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float

from radiogen.config.evaluate import EvaluateSettings
from radiogen.evaluate.baselines import Baseline, Folds, crossfit
from radiogen.stats.reclassification import improvement_resamples, integrated_discrimination, net_reclassification
from radiogen.types import Labels01, Scores


def reclassification(
    y: Labels01,
    probability: Scores,
    baseline: Baseline,
    folds: Folds,
    weights: Float[np.ndarray, "b n"],
    settings: EvaluateSettings,
) -> dict[str, Any] | None:
    """Return net reclassification and integrated discrimination improvement of the model over a baseline, with bootstrap intervals.

    A baseline that is scored by its rank gets probabilities of a logistic regression out of fold first.

    Args:
        y: 0/1 outcome per case.
        probability: the model's probability per case.
        baseline: the competitor.
        folds: for that regression.
        weights: how often every case is drawn, one line per resample.
        settings: risk categories and coverage.

    Returns:
        `baseline, n, categories, table` (positives and negatives moved up, moved down, unmoved), `nri, nri_ci, nri_p`, `nri_of_positives`,
        `nri_of_negatives`, `nri_continuous, nri_continuous_ci`, `idi, idi_ci, idi_p`; None where the baseline is known for one class only.
    """
    scores = baseline.scores
    if not baseline.probability:
        scores = crossfit(y, scores[:, None], folds)
    known = ~np.isnan(scores)
    if len(np.unique(y[known])) < 2:
        return None
    labels, old, new, drawn = y[known], scores[known], probability[known], weights[:, known]
    limits = settings.risk_categories or (settings.threshold,)
    sorted_out, any_change = net_reclassification(labels, old, new, limits), net_reclassification(labels, old, new)
    apart = integrated_discrimination(labels, old, new)
    nri, idi = improvement_resamples(labels, old, new, drawn, limits)
    continuous, _ = improvement_resamples(labels, old, new, drawn)
    move = np.sign(np.searchsorted(limits, new, side="right") - np.searchsorted(limits, old, side="right"))
    counts = {
        name: {
            "up": int((move[side] > 0).sum()),
            "down": int((move[side] < 0).sum()),
            "same": int((move[side] == 0).sum()),
        }
        for name, side in (("positive", labels == 1), ("negative", labels == 0))
    }
    tails = [(1 - settings.confidence) / 2, (1 + settings.confidence) / 2]
    return {
        "baseline": baseline.name,
        "n": int(known.sum()),
        "categories": list(limits),
        "table": counts,
        "nri": sorted_out.value,
        "nri_ci": np.nanquantile(nri, tails).tolist(),
        "nri_p": sorted_out.p,
        "nri_of_positives": sorted_out.of_positives,
        "nri_of_negatives": sorted_out.of_negatives,
        "nri_continuous": any_change.value,
        "nri_continuous_ci": np.nanquantile(continuous, tails).tolist(),
        "idi": apart.value,
        "idi_ci": np.nanquantile(idi, tails).tolist(),
        "idi_p": apart.p,
    }
