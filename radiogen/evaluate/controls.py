"""Negative controls: what a model should not be able to do, and what it means where it can.

The rules, in one place:

- *shuffled labels*: `failed` where the mean AUC over shuffles lies above 0.5 (one-sided t-test at `leak_alpha`), because a pipeline that predicts
  random labels leaks; `passed` otherwise.
- *contralateral* and *blanked*: `passed` where the model with the tumour is above chance and the paired interval of model minus control lies above 0;
  `failed` where it does not and the control itself is above chance; `undecided` where neither can be said, or the model is not above chance itself.
- *site probe*: `failed` where the permutation p is below `alpha`; `passed` where it is not and the interval ends below `harmless_auc`; `undecided`
  otherwise.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float, Integer
from scipy.stats import t as student_t

from radiogen.config.controls import ControlsSettings
from radiogen.stats.auc import auc
from radiogen.stats.resampling import bootstrap_auc_interval, bootstrap_difference, permutation_p
from radiogen.types import Labels01, Scores

PASSED, FAILED, UNDECIDED, NOT_DONE = "passed", "failed", "undecided", "not done"

MEANING = {
    "model": "The model itself, out of fold.",
    "shuffled-labels": "Labels at random, everything fitted again: an AUC above 0.5 is a leak in the pipeline.",
    "contralateral": (
        "Features of the healthy side, inside the tumour's mirror image (no shape): as good as the tumour's, and the model reads the patient or "
        "the scanner, not the tumour."
    ),
    "blanked": (
        "Features inside the mask with the tumour painted over by healthy tissue: as good, and outline, size and scanner do the work, not what is "
        "inside the tumour."
    ),
    "site-probe": "The same features predict the hospital: the better, the more a model can live on differences between scanners.",
}  # fmt: skip
"""Control -> what it would mean."""

_CONFIDENCE = 0.95
_STREAMS = {"model": 1, "contralateral": 2, "blanked": 3, "site-probe": 4}


@dataclass(frozen=True)
class ControlResult:
    """What one control gave.

    Args:
        name: a key of `MEANING`.
        verdict: `passed`, `failed`, `undecided` or `not done`; '' for the model itself.
        text: one sentence.
        n: cases.
        auc: AUC of the control (mean over shuffles; mean over sites, one against the others).
        auc_ci: its 95 % interval (of single shuffles, for shuffled labels).
        p: against chance.
        reference_auc: AUC of the model on the same cases and kind of columns.
        delta: model minus control.
        delta_ci: its paired interval.
        facts: further numbers.
    """

    name: str
    verdict: str
    text: str
    n: int = 0
    auc: float | None = None
    auc_ci: tuple[float, float] | None = None
    p: float | None = None
    reference_auc: float | None = None
    delta: float | None = None
    delta_ci: tuple[float, float] | None = None
    facts: dict[str, Any] | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return the JSON-able content, with the control's meaning."""
        return {**asdict(self), "meaning": MEANING[self.name]}


def judge_model(y: Labels01, scores: Scores, patient: np.ndarray, settings: ControlsSettings) -> ControlResult:
    """Return the model's own line, which the controls are compared with.

    Args:
        y: 0/1 label per case.
        scores: out-of-fold probability.
        patient: patient per case.
        settings: resamples, seed.
    """
    area, ends, p = _against_chance("model", y, scores, _groups(patient), settings)
    text = f"AUC {area:.3f} ({_ends(ends)}) on {len(y)} cases."
    return ControlResult("model", "", text, len(y), area, ends, p)


def judge_shuffles(observed: float, aucs: Sequence[float], n: int, settings: ControlsSettings) -> ControlResult:
    """Return whether a pipeline predicts random labels.

    Args:
        observed: AUC with the true labels, of the same splits.
        aucs: AUC per shuffle.
        n: cases.
        settings: level.

    Source: Ojala & Garriga 2010, J Mach Learn Res 11:1833 (permuted labels); the mean of repeated nulls: one-sample t-test.

    Example:
        >>> judge_shuffles(0.7, [0.45, 0.5, 0.55, 0.48, 0.53], 60, ControlsSettings()).verdict
        'passed'
    """
    values = np.asarray(aucs, dtype=float)
    mean, spread = float(values.mean()), float(values.std(ddof=1))
    error = spread / math.sqrt(len(values))
    above = float(student_t.sf((mean - 0.5) / error, len(values) - 1)) if error > 0 else float(mean <= 0.5)
    ends = (mean - 1.96 * spread, mean + 1.96 * spread)
    ends = (max(0.0, ends[0]), min(1.0, ends[1]))
    p = (float(np.sum(values >= observed - 1e-12)) + 1) / (len(values) + 1)
    leaks = above < settings.leak_alpha and mean > 0.5
    told = f"mean AUC {mean:.3f} over {len(values)} shuffles (single ones {_ends(ends)}); the true labels give {observed:.3f}"
    text = (
        f"Random labels are predicted: {told}. The pipeline leaks."
        if leaks
        else f"Random labels are not predicted: {told}."
    )
    facts = {"aucs": [float(value) for value in values], "p_mean_above_half": above, "p_true_labels": p}
    return ControlResult(
        "shuffled-labels",
        FAILED if leaks else PASSED,
        text,
        n,
        mean,
        ends,
        above,
        observed,
        observed - mean,
        None,
        facts,
    )


def judge_image(
    name: str, y: Labels01, model: Scores, control: Scores, patient: np.ndarray, settings: ControlsSettings
) -> ControlResult:
    """Return whether the tumour is needed: model and control on the same cases.

    Args:
        name: `contralateral` or `blanked`.
        y: 0/1 label per case.
        model: out-of-fold probability with the tumour's features.
        control: the same with the control's.
        patient: patient per case.
        settings: resamples, seed.
    """
    groups = _groups(patient)
    reference, reference_ends, _ = _against_chance("model", y, model, groups, settings)
    area, ends, p = _against_chance(name, y, control, groups, settings)
    rng = np.random.default_rng([settings.seed, _STREAMS[name], 1])
    delta_ends = bootstrap_difference(
        y, model, control, groups=groups, n_resamples=settings.bootstrap_resamples, confidence=_CONFIDENCE, rng=rng
    )
    delta = reference - area
    told = f"control {area:.3f} ({_ends(ends)}), tumour {reference:.3f}, tumour minus control {delta:+.3f} ({_ends(delta_ends, '+.3f')})"
    if reference_ends[0] > 0.5 and delta_ends[0] > 0:
        verdict, text = PASSED, f"The tumour is needed: {told}."
    elif ends[0] > 0.5:
        verdict, text = FAILED, f"Without the tumour it is not shown to be worse: {told}."
    elif reference_ends[0] <= 0.5:
        verdict, text = UNDECIDED, f"The model with the tumour is not above chance itself: {told}."
    else:
        verdict, text = UNDECIDED, f"Too few cases to say whether the tumour is needed: {told}."
    return ControlResult(name, verdict, text, len(y), area, ends, p, reference, delta, delta_ends)


def judge_probe(
    probabilities: pd.DataFrame, site: pd.Series, patient: pd.Series, settings: ControlsSettings
) -> ControlResult:
    """Return how well features name the hospital.

    Args:
        probabilities: of `fusion.site_probe`: index `case`, one column per site.
        site: site per case, same index.
        patient: patient per case, same index.
        settings: resamples, permutations, level.

    Source: Hand & Till 2001, Machine Learning 45:171 (mean AUC over classes; here one against the others).
    """
    sites = [str(name) for name in probabilities.columns]
    values = probabilities.to_numpy(dtype=float)
    code = np.array([sites.index(str(name)) for name in site], dtype=np.int64)
    people, groups = np.unique(patient.astype(str).to_numpy(), return_inverse=True)
    area = mean_site_auc(code, values)
    rng = np.random.default_rng([settings.seed, _STREAMS["site-probe"]])
    resampled = [mean_site_auc(code[rows], values[rows]) for rows in _resamples(code, groups, settings, rng)]
    low, high = (float(value) for value in np.nanquantile(resampled, [0.025, 0.975]))
    first = np.array([np.flatnonzero(groups == one)[0] for one in range(len(people))])
    null = [mean_site_auc(rng.permutation(code[first])[groups], values) for _ in range(settings.permutations)]
    p = (sum(value >= area - 1e-12 for value in null) + 1) / (len(null) + 1)
    balanced = float(np.mean([(values[code == one].argmax(axis=1) == one).mean() for one in range(len(sites))]))
    accuracy = f"balanced accuracy {balanced:.2f} (chance {1 / len(sites):.2f})"
    told = f"mean AUC over {len(sites)} sites {area:.3f} ({_ends((low, high))}), {accuracy}, p {p:.3f}"
    if p < settings.alpha:
        verdict, text = (
            FAILED,
            f"The features name the hospital: {told}. Hold whole sites out, or harmonise in the fold.",
        )
    elif high < settings.harmless_auc:
        verdict, text = PASSED, f"The features do not name the hospital: {told}."
    else:
        verdict, text = UNDECIDED, f"Too few cases to say whether the features name the hospital: {told}."
    facts = {
        "sites": {name: int((code == place).sum()) for place, name in enumerate(sites)},
        "balanced_accuracy": balanced,
    }
    return ControlResult("site-probe", verdict, text, len(code), area, (low, high), p, facts=facts)


def not_done(name: str, reason: str) -> ControlResult:
    """Return the line of a control that could not be done.

    Example:
        >>> not_done("blanked", "There are no images.").verdict
        'not done'
    """
    return ControlResult(name, NOT_DONE, reason)


def mean_site_auc(code: Integer[np.ndarray, " n"], values: Float[np.ndarray, "n s"]) -> float:
    """Return the mean over sites of the AUC of one site against the others.

    Args:
        code: number of the site per row.
        values: probability per row and site.

    Example:
        >>> mean_site_auc(np.array([0, 0, 1]), np.array([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8]]))
        1.0
    """
    return float(np.nanmean([auc((code == one).astype(np.int64), values[:, one]) for one in range(values.shape[1])]))


def _resamples(
    code: np.ndarray, groups: np.ndarray, settings: ControlsSettings, rng: np.random.Generator
) -> list[np.ndarray]:
    """Draw patients with replacement within their site, with all their rows."""
    rows_of = [np.flatnonzero(groups == one) for one in range(int(groups.max()) + 1)]
    home = np.array([code[rows[0]] for rows in rows_of])
    members = [np.flatnonzero(home == one) for one in np.unique(home)]
    drawn = []
    for _ in range(settings.bootstrap_resamples // 4):
        people = np.concatenate([rng.choice(one, len(one)) for one in members])
        drawn.append(np.concatenate([rows_of[one] for one in people]))
    return drawn


def _against_chance(
    name: str, y: Labels01, scores: Scores, groups: np.ndarray, settings: ControlsSettings
) -> tuple[float, tuple[float, float], float]:
    def rng(use: int) -> np.random.Generator:
        return np.random.default_rng([settings.seed, _STREAMS[name], 2 + use])

    ends = bootstrap_auc_interval(
        y, scores, groups=groups, n_resamples=settings.bootstrap_resamples, confidence=_CONFIDENCE, rng=rng(0)
    )
    p = permutation_p(y, scores, groups=groups, n_permutations=settings.permutations, rng=rng(1))
    return auc(y, scores), ends, p


def _groups(patient: np.ndarray) -> Integer[np.ndarray, " n"]:
    return np.unique(np.asarray(patient).astype(str), return_inverse=True)[1]


def _ends(ends: tuple[float, float], form: str = ".3f") -> str:
    return f"{ends[0]:{form}} to {ends[1]:{form}}"
