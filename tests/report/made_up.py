"""Made-up scores and the metrics that the evaluation would give for them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd


def made_up_scores(n: int = 80, *, effect: float = 1.5, seed: int = 0) -> pd.DataFrame:
    """One row per case, two baselines, one stratum; case ids and sites hold characters that HTML must escape."""
    rng = np.random.default_rng(seed)
    y = (np.arange(n) % 5 < 2).astype(np.int64)
    logits = effect * (2 * y - 1) + rng.normal(0, 1, n)
    age = np.where(y == 1, 45, 60) + rng.normal(0, 12, n)
    return pd.DataFrame(
        {
            "patient": [f"p<{number}>&" for number in range(n)],
            "site": rng.choice(["A<b>", "C&D"], n),
            "y_true": y,
            "y_prob": 1 / (1 + np.exp(-logits)),
            "baseline:age": np.where(np.arange(n) % 11 == 0, np.nan, -age),
            "baseline:sex": rng.integers(0, 2, n).astype(float),
        },
        index=pd.Index([f"case {number}" for number in range(n)], name="case"),
    )


def made_up_metrics(**changed: Any) -> dict[str, Any]:
    """Every key that DESIGN.md names, as read back from JSON, and most of the optional ones."""
    metrics: dict[str, Any] = {
        "target": "idh", "model": "elastic net", "n": 80, "n_patients": 80, "n_positive": 32, "n_sites": 2, "split": "site-held-out",
        "auc": 0.912, "auc_ci": [0.834, 0.967], "auc_ci_delong": [0.83, 0.96], "auc_by_repeat": [0.90, 0.92], "auc_sd_over_repeats": 0.014,
        "permutation_p": 0.0005, "smallest_detectable_auc": 0.63, "sample_size": "With n=80 ...", "auprc": 0.88, "prevalence": 0.4,
        "brier": 0.11, "calibration_slope": 0.97, "calibration_intercept": -0.08, "calibration_in_the_large": 0.02, "ece": 0.061,
        "threshold": 0.5, "sensitivity": 0.84, "sensitivity_ci": [0.69, 0.93], "specificity": 0.88, "specificity_ci": [0.75, 0.94],
        "balanced_accuracy": 0.86,
        "baselines": [
            {"name": "age", "n": 72, "auc": 0.787, "auc_ci": [0.68, 0.88], "delta": 0.121, "delta_ci": [0.022, 0.219], "delong_p": 0.0123,
             "model_auc": 0.908, "how": "its own rank", "counts": True},
            {"name": "sex", "n": 80, "auc": 0.51, "auc_ci": [0.4, 0.62], "delta": 0.402, "delta_ci": [0.28, 0.51], "delong_p": 0.00001,
             "model_auc": 0.912, "how": "its own rank", "counts": False},
        ],
        "strata": [
            {"stratum": "grade", "value": "2", "n": 20, "n_positive": 18, "auc": None, "auc_ci": None, "note": "too few: 2 case(s)"},
            {"stratum": "site", "value": "A<b>", "n": 41, "n_positive": 15, "auc": 0.85, "auc_ci": [0.71, 0.93], "note": ""},
        ],
        "verdict": "beats-baselines", "verdict_reason": "above chance and above every trivial baseline",
        "verdict_text": "In 80 cases the IDH model reaches AUC 0.912.", "notes": ["Sites were mixed <b>."],
    }  # fmt: skip
    return metrics | changed


def bare_metrics() -> dict[str, Any]:
    """The least that can come: nothing optional, no interval, no baseline, no stratum."""
    return {
        "target": "mgmt",
        "n": 80,
        "n_positive": 32,
        "auc": 0.5,
        "auc_ci": None,
        "verdict": "undetermined",
        "verdict_text": "Undetermined.",
    }


def made_up_importance(n: int = 30) -> pd.DataFrame:
    """Feature importances with names as long as PyRadiomics makes them."""
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "feature": [f"t2f_wt_wavelet-LLH_glszm_SmallAreaLowGrayLevelEmphasis_{number}_$x_$" for number in range(n)],
            "branch": "radiomics",
            "importance": np.round(np.linspace(0.1, 0, n), 6),
            "selected_share": rng.random(n).round(3),
            "coefficient_mean": rng.normal(size=n).round(4),
            "coefficient_sd": rng.random(n).round(4),
            "gain_mean": rng.random(n).round(4),
        }
    )
