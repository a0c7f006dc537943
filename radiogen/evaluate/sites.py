"""The AUC of every site, pooled: how good the model is on average, and what to expect at the next hospital."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Integer

from radiogen.config.evaluate import EvaluateSettings
from radiogen.evaluate.clinical import known_sites
from radiogen.stats.auc import auc_covariance
from radiogen.stats.pooling import pooled_auc


def pooled_over_sites(
    cases: pd.DataFrame, groups: Integer[np.ndarray, " n"], settings: EvaluateSettings
) -> dict[str, Any] | None:
    """Return the random-effects mean of the sites' AUCs with its interval, prediction interval, tau2 and I2.

    Args:
        cases: one row per case with `site`, `y_true`, `y_prob`.
        groups: patient number per case.
        settings: coverage, and the fewest cases per class of a site.

    Returns:
        `n_sites` pooled, `n_left_out` (too small), `auc, auc_ci, prediction_interval, tau2, i2, q_p`; None with fewer than two usable sites.

    Source: see `stats.pooling.pooled_auc`.
    """
    y, scores = cases["y_true"].to_numpy(dtype=np.int64), cases["y_prob"].to_numpy(dtype=np.float64)
    found, sites = [], known_sites(cases)
    for site in sites:
        inside = (cases["site"] == site).to_numpy(dtype=bool)
        positive, negative = int(y[inside].sum()), int((1 - y[inside]).sum())
        if min(positive, negative) < settings.stratum_min_per_class:
            continue
        areas, covariance = auc_covariance(y[inside], scores[inside][None, :], groups[inside])
        if not np.isnan(covariance[0, 0]):
            found.append((float(areas[0]), float(covariance[0, 0]), positive, negative))
    if len(found) < 2:
        return None
    columns = [np.array(column) for column in zip(*found, strict=True)]
    pooled = pooled_auc(columns[0], columns[1], columns[2], columns[3], confidence=settings.confidence)
    return {
        "n_sites": pooled.k,
        "n_left_out": len(sites) - pooled.k,
        "auc": pooled.estimate,
        "auc_ci": list(pooled.interval),
        "prediction_interval": list(pooled.prediction_interval),
        "tau2": pooled.tau2,
        "i2": pooled.i2,
        "q_p": pooled.q_p,
    }
