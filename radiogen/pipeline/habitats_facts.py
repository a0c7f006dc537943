"""What a fit of habitats says: the numbers of `habitats.json`, the table of numbers of habitats, and one sentence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pandas as pd

from radiogen.branches.habitats.clustering import fit_centres, matched_mismatch, nearest
from radiogen.branches.habitats.compare import EncoderOutcome
from radiogen.branches.habitats.fit import Fitted, group_p
from radiogen.branches.habitats.learn import TrainingData
from radiogen.branches.habitats.model import HabitatModel
from radiogen.branches.habitats.refits import Refit
from radiogen.config.habitats import HabitatSettings

_FITTED = (
    "The columns of habitats.csv come from a division that was learned from the training patients, and in part from their survival: a classifier or"
    " survival model that is cross-validated on the same patients with these columns leaks. Use them for patients the habitats were not fitted on"
    " (held out here, or `radiogen habitats apply`), or let `radiogen classify --branches habitats` learn the division in every fold."
)


def habitat_facts(
    fitted: Fitted,
    training: TrainingData,
    held_out: TrainingData | None,
    settings: HabitatSettings,
    notes: Sequence[str],
    encoders: Sequence[EncoderOutcome] = (),
) -> dict[str, Any]:
    """Return the content of `habitats.json`.

    Args:
        fitted: of `fit_habitats`.
        training: patients it was fitted to.
        held_out: patients it never saw, where survival is known.
        settings: of the method.
        notes: what a reader must know.
        encoders: of `compare_encoders`.
    """
    check = fitted.checks[fitted.chosen.k]
    refits = fitted.refits.get(fitted.chosen.k, [])
    result: dict[str, Any] = {
        "habitats": None if fitted.model is None else fitted.model.k,
        "gamma": fitted.chosen.gamma, "encoder": settings.encoder, "maps": list(training.maps), "region": settings.region,
        "alpha": settings.alpha if training.follow_up is not None else 1.0,
        "n_training_patients": len(set(training.patient_of.values())), "n_evaluations": len(fitted.evaluations),
        "stability_loss": check.stability_loss,
        "stability_of_structureless": min(check.reference_stability, default=None), "valley": check.valley,
        "silhouette": check.silhouette,
        "refused": fitted.reasons(fitted.chosen.k) if fitted.model is None else [],
        "refits": [each.facts for each in refits], "across": {kind: _worst(refits, kind) for kind in ("site", "seed")},
        "encoders": [asdict(each) for each in encoders], "training_p": fitted.p, "held_out": None,
        "notes": [*notes, *([] if fitted.model is None else [_FITTED])],
    }  # fmt: skip
    if held_out is not None and fitted.model is not None:
        result["held_out"] = _held_out(fitted.model, held_out, settings)
    result["summary"] = _summary(result)
    return result


def cluster_table(fitted: Fitted) -> pd.DataFrame:
    """Return one row per number of habitats: how it did, what structureless data reach, and whether it stands.

    Args:
        fitted: of `fit_habitats`.
    """
    rows = [
        {
            "habitats": check.k, "valley": check.valley, "stability_loss": check.stability_loss,
            "reference_stability_min": min(check.reference_stability, default=np.nan),
            "reference_stability_mean": float(np.mean(check.reference_stability)) if check.reference_stability else np.nan,
            "spread_left": check.dispersion, "reference_spread_min": min(check.reference_dispersion),
            "silhouette": check.silhouette, "calinski_harabasz": check.calinski_harabasz, "gap": check.gap,
            "stands": not fitted.reasons(check.k),
        }
        for check in fitted.checks.values()
    ]  # fmt: skip
    return pd.DataFrame(rows)


def with_facts(model: HabitatModel, result: Mapping[str, Any]) -> HabitatModel:
    """Return the model with what is worth knowing of its training.

    Args:
        model: fitted.
        result: of `habitat_facts`.
    """
    kept = ("n_training_patients", "stability_loss", "across", "training_p", "held_out", "alpha")
    return replace(model, facts={name: result[name] for name in kept})


def with_groups(features: pd.DataFrame, model: HabitatModel) -> pd.DataFrame:
    """Return the features with the risk group, where the model has groups.

    Args:
        features: index case, the model's columns.
        model: that made them.
    """
    if model.groups is None or features.empty:
        return features
    return features.assign(habitat_high_risk=model.groups.assign(features).astype(int))


def _worst(refits: Sequence[Refit], kind: str) -> dict[str, Any] | None:
    """Return the refits of one kind in short: how many, the largest mismatch, the least adjusted Rand index and Dice."""
    own = [each for each in refits if each.kind == kind]
    if not own:
        return None
    dice = [value for each in own for value in each.dice if not np.isnan(value)]
    return {
        "n": len(own), "mismatch_max": max(each.mismatch for each in own),
        "adjusted_rand_min": min(each.adjusted_rand for each in own), "dice_min": min(dice, default=None),
    }  # fmt: skip


def _held_out(model: HabitatModel, data: TrainingData, settings: HabitatSettings) -> dict[str, Any]:
    """Return what the frozen model does on patients that it never saw."""
    rows, _ = data.sample(settings.sample_voxels, settings.seed)
    codes = model.code(rows)
    mismatch = matched_mismatch(
        nearest(codes, model.centres), nearest(codes, fit_centres(codes, model.k, settings.seed)), model.k
    )
    facts: dict[str, Any] = {"n_patients": len(set(data.patient_of.values())), "stability_loss": mismatch, "p": None}
    if data.follow_up is None or model.groups is None:
        return facts
    table = pd.DataFrame.from_dict(
        {case: model.features(data.cases[case]) for case in data.follow_up.index}, orient="index", columns=model.columns
    )
    high = model.groups.assign(table)
    return {
        **facts, "p": group_p(data.follow_up, high), "n_high": int(high.sum()), "n_low": int((~high).sum()),
        "n_died": int(data.follow_up["died"].sum()),
    }  # fmt: skip


def _summary(result: Mapping[str, Any]) -> str:
    if result["habitats"] is None:
        return f"No habitats are reported: {'; '.join(result['refused'])}."
    text = (
        f"{result['habitats']} habitats from {result['n_training_patients']} training patients; stability loss "
        f"{result['stability_loss']:.3f} (data without habitats: {result['stability_of_structureless']:.3f} or more)."
    )
    sites = result["across"]["site"]
    if sites is not None:
        text += f" Learned without one of {sites['n']} sites, at most {sites['mismatch_max']:.0%} of its voxels change theirs."
    held_out = result["held_out"]
    if held_out is None or held_out["p"] is None:
        return text
    return (
        f"{text} Two risk groups: p = {held_out['p']:.3g} on {held_out['n_patients']} held-out patients, which counts; "
        f"p = {result['training_p']:.3g} on the training patients, for which it was optimised."
    )
