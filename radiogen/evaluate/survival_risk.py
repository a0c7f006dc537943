"""What cross-validated risks are worth: concordance, accuracy at horizons, calibration, and whether the image adds to what is known without it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float

from radiogen.config.survival_model import SurvivalModelSettings
from radiogen.evaluate.survival import MONTH, rounded
from radiogen.stats.survival import Z95
from radiogen.stats.survival_cox import (
    NotEstimableError,
    concordance,
    concordance_difference,
    concordance_interval,
    cox_regression,
    likelihood_ratio_p,
)
from radiogen.stats.survival_intervals import score_intervals
from radiogen.stats.survival_scores import (
    brier_scores,
    calibration_at,
    integrated_brier,
    time_dependent_auc,
    uno_concordance,
)


def usable_horizons(
    days: Float[np.ndarray, " n"], died: Bool[np.ndarray, " n"], settings: SurvivalModelSettings
) -> tuple[Float[np.ndarray, " h"], list[str]]:
    """Return the horizons, in days, that lie inside the follow-up with enough patients on both sides, and a note on the others.

    Args:
        days: (n,) follow-up.
        died: (n,) whether it ended with death.
        settings: `horizons_months`, `least_at_risk`.

    Example:
        >>> days = np.linspace(10, 900, 100)
        >>> usable_horizons(days, np.ones(100, bool), SurvivalModelSettings())[0].round().tolist()
        [365.0, 730.0]
    """
    asked = np.array(settings.horizons_months) * MONTH
    beyond = np.array([(days > horizon).sum() for horizon in asked])
    before = np.array([(died & (days <= horizon)).sum() for horizon in asked])
    good = (beyond >= settings.least_at_risk) & (before >= settings.least_at_risk)
    notes = [
        f"No judgement at {horizon / MONTH:g} months: {n_died} died by then and {n_left} lived longer; {settings.least_at_risk} of each are needed."
        for horizon, n_died, n_left in zip(asked[~good], before[~good], beyond[~good], strict=True)
    ]
    return asked[good], notes


def judge_risks(
    risks: pd.DataFrame, clinical: pd.DataFrame, horizons_days: Float[np.ndarray, " h"], settings: SurvivalModelSettings
) -> dict[str, Any]:
    """Judge cross-validated risks of several models of the same patients.

    Args:
        risks: as `fusion.survival_nested.cross_validate_risk` returns it: `case, days, died, model, repeat, risk` and `survival_<days>d`.
        clinical: (n, k) numbers known without the image, index case; NaN where unknown.
        horizons_days: (h,) where survival was predicted.
        settings: resamples, seed.

    Returns:
        JSON-able: `models` (per model `c_index, uno_c, auc, brier, integrated_brier`, each with `..._ci`, and `calibration`), `image_adds`
        (likelihood ratio, change in C with interval), `sentence`. Risks are averaged over repeats.
    """
    survival = [name for name in risks.columns if str(name).startswith("survival_")]
    averaged = {
        str(name): rows.groupby("case")[["days", "died", "risk", *survival]].mean()
        for name, rows in risks.groupby("model", sort=True)
    }
    models = [_judged(name, rows, survival, horizons_days, settings) for name, rows in averaged.items()]
    adds = _image_adds(averaged, clinical, settings)
    metrics = rounded({"horizons_days": horizons_days.tolist(), "models": models, "image_adds": adds})
    metrics["sentence"] = _sentence(metrics)
    return dict(metrics)


def _judged(
    name: str, rows: pd.DataFrame, survival: list[str], horizons: np.ndarray, settings: SurvivalModelSettings
) -> dict[str, Any]:
    days, died, risk = _arrays(rows)
    found: dict[str, Any] = {"model": name, "n": len(rows), "n_events": int(died.sum())}
    drawn: dict[str, Any] = {"seed": settings.seed, "n_bootstrap": settings.n_bootstrap}
    if risk.any():
        interval = concordance_interval(days, died, risk, **drawn)
        found |= {"c_index": concordance(days, died, risk), "c_index_ci": list(interval)}
    if not len(horizons):
        return found
    predicted = rows[survival].to_numpy(dtype=float)
    brier = brier_scores(days, died, predicted, horizons)
    uno_ci, auc_ci, brier_ci, whole_ci = score_intervals(days, died, risk, predicted, horizons, **drawn)
    found |= {"brier": brier.tolist(), "brier_ci": [list(interval) for interval in brier_ci]}
    if len(horizons) > 1:
        found |= {"integrated_brier": integrated_brier(brier, horizons), "integrated_brier_ci": list(whole_ci)}
    if risk.any():
        found |= {
            "uno_c": uno_concordance(days, died, risk, horizon=float(horizons[-1])),
            "uno_c_ci": list(uno_ci),
            "auc": time_dependent_auc(days, died, risk, horizons).tolist(),
            "auc_ci": [list(interval) for interval in auc_ci],
            "calibration": [
                _calibration(days, died, predicted[:, number], float(horizon))
                for number, horizon in enumerate(horizons)
            ],
        }
    return found


def _calibration(days: np.ndarray, died: np.ndarray, predicted: np.ndarray, horizon: float) -> dict[str, Any]:
    result = calibration_at(days, died, predicted, horizon)
    # A Poisson interval on the deaths by the horizon, as McLernon et al. 2023, Ann Intern Med 176:105.
    spread = math.exp(Z95 / max(1.0, float((died & (days <= horizon)).sum())) ** 0.5)
    return {
        "horizon_days": horizon,
        "observed_to_expected": result.observed_to_expected,
        "observed_to_expected_ci": [result.observed_to_expected * factor for factor in (1 / spread, spread)],
        "groups": result.table.to_dict("records"),
    }


def _image_adds(
    averaged: dict[str, pd.DataFrame], clinical: pd.DataFrame, settings: SurvivalModelSettings
) -> dict[str, Any] | None:
    """Return what the image's out-of-fold risk adds to the clinical facts; None where there are none."""
    if "clinical" not in averaged:
        return None
    image, known, both = (averaged[name] for name in ("image", "clinical", "clinical+image"))
    days, died, _ = _arrays(image)
    try:
        change, interval = concordance_difference(
            days, died, known["risk"].to_numpy(dtype=float), both["risk"].to_numpy(dtype=float),
            seed=settings.seed, n_bootstrap=settings.n_bootstrap,
        )  # fmt: skip
    except NotEstimableError:
        return None
    facts = clinical.loc[image.index]
    facts = facts.fillna(facts.median()).loc[:, facts.nunique() > 1]
    p = None
    try:
        smaller = cox_regression(facts, days, died)
        p = likelihood_ratio_p(smaller, cox_regression(facts.assign(image_risk=image["risk"]), days, died))
    except NotEstimableError:
        p = None  # too few deaths for the facts, or facts that say the same: the change in C stands alone
    return {
        "clinical": [str(name) for name in clinical.columns],
        "likelihood_ratio_p": p,
        "c_index_change": change,
        "c_index_change_ci": list(interval),
    }


def _sentence(metrics: dict[str, Any]) -> str:
    by_name = {row["model"]: row for row in metrics["models"]}
    image = by_name["image"]
    if "c_index" not in image:
        return "The image's risk model found nothing: it predicts the same for every patient."
    low, high = image["c_index_ci"]
    text = f"The image alone orders survival with C {image['c_index']:.3f} [{low:.3f}, {high:.3f}], out of fold"
    adds = metrics["image_adds"]
    if adds is None:
        return text + "; no clinical fact was known to compare it with."
    known = by_name["clinical"].get("c_index", 0.5)
    low, high = adds["c_index_change_ci"]
    verdict = "orders patients better beside them" if low > 0 else "is not shown to order patients better beside them"
    p = adds["likelihood_ratio_p"]
    tested = "" if p is None else f"; likelihood-ratio p {p:.2g}"
    return (
        f"{text}; {', '.join(adds['clinical'])} alone reach {known:.3f}, and the image {verdict}: change in C"
        f" {adds['c_index_change']:+.3f} [{low:+.3f}, {high:+.3f}]{tested}."
    )


def _arrays(rows: pd.DataFrame) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return rows["days"].to_numpy(dtype=float), rows["died"].to_numpy() > 0.5, rows["risk"].to_numpy(dtype=float)
