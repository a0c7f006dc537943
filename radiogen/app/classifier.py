"""A saved model asked about one case: probability, interval, call, and what speaks against trusting them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from radiogen.app.steps import Finished, Say, raise_first
from radiogen.errors import CaseError, InputError
from radiogen.pipeline.predict import warnings_about
from radiogen.pipeline.predict_cohort import predict_cohort
from radiogen.pipeline.survival_predict import is_risk_model

_PLACED = ("location", "network")
"""Branches that need to know how a case was brought to template space."""


@dataclass(frozen=True)
class Prediction:
    """What a model said of the case.

    Args:
        row: of the predictions table.
        card: facts of the model's card.
        card_text: the card in plain language, Markdown.
        warnings: what speaks against trusting it.
    """

    row: pd.Series
    card: Mapping[str, Any]
    card_text: str
    warnings: list[str] = field(default_factory=list)

    @property
    def interval(self) -> tuple[float, float] | None:
        """Return the interval of the probability where the model gives one."""
        bounds = [float(self.row.get(name, float("nan"))) for name in ("y_prob_low", "y_prob_high")]
        return None if np.isnan(bounds).any() else (bounds[0], bounds[1])

    @property
    def call(self) -> str:
        """Return in words what the model calls the case, or that it does not."""
        found = self.row.get("prediction_set")
        meant = self.card["positive_means"]
        if not isinstance(found, str):
            return "This model makes no calls; it gives a probability only."
        coverage = f"{self.card['decision']['coverage']:.0%}"
        return {
            "positive": f"Call: {meant}, at a coverage of {coverage}.",
            "negative": f"Call: not {meant}, at a coverage of {coverage}.",
        }.get(found, f"No call: at a coverage of {coverage} the model cannot tell.")


def model_folder(typed: str) -> Path:
    """Return the folder that the user named.

    Args:
        typed: as typed, perhaps with quotation marks around it.

    Raises:
        InputError: nothing was typed.
    """
    folder = typed.strip().strip("'\"")
    if not folder:
        raise InputError(
            "No folder of a model was given.",
            hint="Type the path of the folder `model` that `radiogen classify` wrote.",
        )
    return Path(folder).expanduser()


def predict(done: Finished, model: Path, *, say: Say = lambda line: None) -> Prediction:
    """Return what a model says of the case.

    Args:
        done: a case with its mask.
        model: folder that `radiogen classify` wrote.
        say: told what is being done.

    Raises:
        InputError: the model cannot be used.
        CaseError: the features of the case could not be made.
    """
    if is_risk_model(model):
        raise InputError(
            "This is a survival model, which tells risks; a classifier is accepted here.", hint="Use radiogen predict."
        )
    say("Computing what the model looks at: this can take minutes")
    out = done.study / "prediction"
    files: dict[str, dict[str, str]] = {}
    if done.prepared.preprocessed:
        features = _branches_of(model)
        own = {"preprocessed": str(done.study / "preprocessed")}
        files = {name: own for name in _PLACED if name in features}
    found = predict_cohort(model, done.study / "cohort.csv", out, files=files, cache_folder=done.study / "cache")
    raise_first(found.failures)
    if found.predictions.empty:
        raise CaseError("The model gave no probability for this case.", hint="See what the model needs in its card.")
    text = model / "card.md"
    return Prediction(
        found.predictions.iloc[0], found.bundle.card, text.read_text(encoding="utf-8") if text.is_file() else "",
        warnings_about(found.predictions, found.bundle),
    )  # fmt: skip


def _branches_of(model: Path) -> set[str]:
    """Return the branches whose settings the model's card holds; an unreadable card is told by whoever applies the model."""
    try:
        card = json.loads((model / "card.json").read_text(encoding="utf-8"))
        return set(card.get("feature_settings", {}))
    except (OSError, ValueError, AttributeError):
        return set()
