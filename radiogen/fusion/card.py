"""The model card: what a model is, on whom it was trained, how well it did, and what it must not be used for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from radiogen.config.classify import ClassifySettings
from radiogen.fusion.join import POSITIVE_MEANS, FusionTable
from radiogen.fusion.nested import model_name
from radiogen.run.provenance import RESEARCH_USE, package_versions

_HEADLINE = (
    "n", "n_positive", "n_patients", "n_sites", "split", "auc", "auc_ci", "auprc", "brier", "calibration_slope", "permutation_p", "baselines",
    "verdict", "verdict_text",
)  # fmt: skip


def model_card(
    table: FusionTable,
    settings: ClassifySettings,
    metrics: Mapping[str, Any],
    *,
    training_ids: list[str],
    salt: str,
    feature_settings: Mapping[str, Any] | None = None,
    synthetic: bool = False,
) -> dict[str, Any]:
    """Return the facts of a model card.

    Args:
        table: training cases.
        settings: how it was fitted.
        metrics: of the out-of-fold predictions, not of the final model on its own training cases.
        training_ids: hashed ids of the training cases and patients.
        salt: salt of those hashes.
        feature_settings: branch -> settings with which its features were made, where radiogen made them.
        synthetic: the patients are made up.
    """
    return {
        "notice": RESEARCH_USE,
        "synthetic": synthetic,
        "target": table.target,
        "positive_means": POSITIVE_MEANS[table.target],
        "model": model_name(settings),
        "trained_on": {
            "cases": len(table.y),
            "patients": int(table.cohort["patient"].nunique()),
            "positive": int(table.y.sum()),
            "sites": dict(sorted(Counter(table.cohort["site"].astype(str)).items())),
        },
        "features": dict(sorted(Counter(table.branch_of[name] for name in table.features.columns).items())),
        "feature_settings": dict(feature_settings or {}),
        "out_of_fold": {key: metrics[key] for key in _HEADLINE if key in metrics},
        "notes": list(table.notes),
        "settings": settings.model_dump(mode="json", exclude={"perturbed"}),
        "salt": salt,
        "training_ids": training_ids,
        "versions": package_versions(),
    }


def card_text(card: Mapping[str, Any]) -> str:
    """Return the card as Markdown in plain language.

    Args:
        card: as `model_card` returns it.
    """
    trained, measured = card["trained_on"], card["out_of_fold"]
    sites = ", ".join(f"{name} ({count})" for name, count in trained["sites"].items())
    lines = [
        f"# Model card: {card['positive_means']}",
        "",
        f"**{card['notice']}**",
        *(
            ["", "**The training patients are made up (synthetic): this model says nothing about real ones.**"]
            * card["synthetic"]
        ),
        "",
        f"- **What it gives:** the probability of *{card['positive_means']}*.",
        f"- **How:** {card.get('how') or _how(card)}",
        f"- **Trained on:** {trained['cases']} cases of {trained['patients']} patients, {trained['positive']} of them positive; sites: {sites}.",
        f"- **Measured:** {_measured(measured)}",
        f"- **Verdict:** {measured.get('verdict_text') or 'not evaluated'}",
        "- **Those numbers** are of models that never saw the tested patient (nor the site, where sites were held out); this final model was"
        " fitted on all cases afterwards with the same recipe, and has not been tested itself.",
        "- **Do not use it** for decisions about patients, on scans made or features computed in another way, or on age groups and tumour types it"
        " was not trained on. `radiogen predict` flags training patients, missing features, and cases unlike the training cases.",
        "",
        "About the training cases and columns:",
        "",
        *[f"- {note}" for note in card["notes"]],
    ]
    return "\n".join(lines) + "\n"


def _how(card: Mapping[str, Any]) -> str:
    branches = ", ".join(f"{name} ({count})" for name, count in card["features"].items())
    return (
        f"{card['model']}, on features from: {branches}; columns chosen inside the fold by: {_selection(card['settings'])}."
        f"{_harmonised(card['settings'])}{_lacking(card)}"
    )


def _lacking(card: Mapping[str, Any]) -> str:
    if len(card["features"]) < 2:
        return ""
    return f" A case that lacks a branch: {missing_branch_policy(card['settings'])}."


def missing_branch_policy(settings: Mapping[str, Any]) -> str:
    """Return in words what happens to a case that lacks a branch.

    Args:
        settings: of the model, as its card has them.

    Example:
        >>> missing_branch_policy({"fusion": "stacking", "missing_branch": "skip"})
        'the branches that it has answer'
    """
    if settings.get("fusion", "early") == "early":
        return "training medians stand in, and indicators say so"
    if settings.get("missing_branch", "skip") == "impute":
        return "training medians stand in"
    return "the branches that it has answer"


def _selection(settings: Mapping[str, Any]) -> str:
    return ", then ".join(settings["selection"]) or "nothing, all were used"


def _harmonised(settings: Mapping[str, Any]) -> str:
    if settings["harmonise"] == "none":
        return ""
    fates = {
        "refuse": "are refused",
        "identity": "stay as they are",
        "reference-batch": "stay as they are, beside training sites that were moved to the largest one",
    }
    return (
        f" Sites were harmonised by ComBat ({', '.join(settings['covariates']) or 'nothing'} kept), fitted on training rows; rows of a site that was"
        f" not in training {fates[settings['unseen_site']]}."
    )


def _measured(measured: Mapping[str, Any]) -> str:
    if measured.get("auc") is None:
        return "not evaluated."
    low, high = measured.get("auc_ci") or (float("nan"), float("nan"))
    return f"out-of-fold AUC {measured['auc']:.3f} (95 % interval {low:.3f} to {high:.3f}), {measured.get('split', 'unknown split')}."
