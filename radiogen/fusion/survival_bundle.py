"""Bundles of survival models: a fitted model of the risk of death with its card, applied to new cases with everything that speaks against it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float

from radiogen.config.survival_model import SurvivalModelSettings
from radiogen.errors import InputError
from radiogen.fusion.bundle import (
    FORMAT,
    TRUSTED_TYPES,
    asked_features,
    doubts_of,
    read_card,
    read_reference,
    reproducible_skops,
    training_hashes,
    write_card,
)
from radiogen.fusion.reference import Reference, fit_reference
from radiogen.fusion.survival import HazardModel
from radiogen.fusion.survival_nested import IMAGE, SurvivalTable, survival_column
from radiogen.fusion.trust import dumped, read_trusted
from radiogen.run.atomic import writing
from radiogen.run.provenance import RESEARCH_USE, package_versions

KIND = "survival"
"""What the card of such a model calls its kind."""

RISK_FILE = "risk-model.skops"
"""What only the folder of a survival model has."""

FILES = (RISK_FILE, "features.csv", "card.json", "card.md")

GROUPS = ("low risk", "high risk")
"""Names of the risk groups: at or below the cut, and above it."""

_DIGITS = 8
_DAYS_PER_MONTH = 30.4375


@dataclass(frozen=True)
class RiskBundle:
    """A fitted survival model with everything needed to apply it and to doubt it.

    Args:
        model: fitted on every training case.
        reference: what the training cases' features looked like.
        card: JSON-able facts, as those of a `ModelBundle`; `horizons_days` are those at which survival is predicted.
    """

    model: HazardModel
    reference: Reference
    card: dict[str, Any]
    needs: str = field(default="features", init=False)
    stand_in: str = field(default="training medians", init=False)

    @property
    def feature_names(self) -> list[str]:
        """Return the columns the model needs."""
        return [str(name) for name in self.model.columns_]


def fit_risk_bundle(
    table: SurvivalTable,
    settings: SurvivalModelSettings,
    horizons_days: Float[np.ndarray, " h"],
    judged: Mapping[str, Any],
    *,
    salt: str,
    feature_settings: Mapping[str, Any] | None = None,
    synthetic: bool = False,
) -> RiskBundle:
    """Fit a survival model on every case of a table, and return it with its card.

    Args:
        table: training cases.
        settings: the model, as it was cross-validated.
        horizons_days: (h,) where survival is predicted.
        judged: what the same recipe was worth out of fold, as `evaluate.survival_risk.judge_risks` says, with `split`.
        salt: of the hashes of the training cases' names.
        feature_settings: branch -> settings with which its features were made, where radiogen made them.
        synthetic: the patients are made up.
    """
    patient = table.cohort["patient"].astype(str)
    model = HazardModel(settings).fit(table.features, table.days, table.died, patient.to_numpy(dtype=object))
    measured = next(row for row in judged["models"] if row["model"] == IMAGE)
    out_of_fold = {key: value for key, value in measured.items() if key not in ("model", "calibration")}
    card = {
        "kind": KIND,
        "notice": RESEARCH_USE,
        "synthetic": synthetic,
        "target": KIND,
        "positive_means": "death",
        "gives": f"risk of death, survival at {_months(horizons_days)} months, risk group",
        "model": settings.model,
        "how": _how(table, settings),
        "horizons_days": horizons_days.tolist(),
        "trained_on": {
            "cases": len(table.days),
            "patients": int(patient.nunique()),
            "positive": int(table.died.sum()),
            "sites": dict(sorted(Counter(table.cohort["site"].fillna("unknown").astype(str)).items())),
        },
        "features": dict(sorted(Counter(table.branch_of[name] for name in table.features.columns).items())),
        "feature_settings": dict(feature_settings or {}),
        "out_of_fold": {**out_of_fold, "split": judged["split"], "verdict_text": judged["sentence"]},
        "notes": list(table.notes),
        "settings": settings.model_dump(mode="json"),
        "salt": salt,
        "training_ids": training_hashes(table.features.index.astype(str), patient, salt),
        "versions": package_versions(),
    }
    return RiskBundle(model, fit_reference(table.features, dict(table.branch_of)), card)


def _how(table: SurvivalTable, settings: SurvivalModelSettings) -> str:
    cut = {"median": "the median", "best": "the best-separating cut"}[settings.cut]
    chosen = ", then ".join(settings.selection) or "nothing, all were used"
    return (
        f"{settings.model} on {table.features.shape[1]} columns chosen by: {chosen}; slope and baseline hazard from inner out-of-fold risks; the"
        f" groups are cut at {cut} of those."
    )


def save_risk_model(folder: str | Path, bundle: RiskBundle) -> list[Path]:
    """Write a bundle and return its files.

    Args:
        folder: made where it is missing.
        bundle: what to write.

    Raises:
        InputError: the model holds a type that no bundle may hold.
        OutputError: the folder cannot be written.
    """
    folder = Path(folder)
    with writing(folder / RISK_FILE) as beside:
        beside.write_bytes(reproducible_skops(dumped(bundle.model.parts(), TRUSTED_TYPES)))
    write_card(folder, bundle.card, bundle.reference, FILES[:2], risk_card_text)
    return [folder / name for name in FILES]


def load_risk_model(folder: str | Path) -> RiskBundle:
    """Read a bundle.

    Args:
        folder: as written by `save_risk_model`.

    Raises:
        InputError: a file is missing, was changed, is of another format, or holds a type that is not trusted.
    """
    folder = Path(folder)
    card = read_card(folder, FORMAT, FILES[:3])
    parts = read_trusted(folder / RISK_FILE, TRUSTED_TYPES)
    try:
        model = HazardModel.from_parts(SurvivalModelSettings.parse(card["settings"]), parts)
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{folder / RISK_FILE} cannot be read as a survival model: {error}") from error
    return RiskBundle(model, read_reference(folder, card), card)


def apply_risk_model(bundle: RiskBundle, features: pd.DataFrame, patient: pd.Series) -> pd.DataFrame:
    """Return risk, survival and risk group per case with everything that speaks against trusting them.

    Args:
        bundle: the model.
        features: one row per case; columns that the model needs and that are absent count as missing.
        patient: patient id per case.

    Returns:
        Table indexed by case: `risk` (log hazard ratio against the training patients' mean), `risk_group`, `survival_<days>d` per horizon,
        `in_training, out_of_distribution, missing_features` (count), `beyond_range` (share of known features).

    Raises:
        InputError: none of the model's features is there.
    """
    complete = asked_features(bundle.reference, features)
    horizons = np.array(bundle.card["horizons_days"], dtype=float)
    found = pd.DataFrame(
        {
            "risk": np.round(bundle.model.risk(complete), _DIGITS),
            "risk_group": np.where(bundle.model.high(complete), GROUPS[1], GROUPS[0]),
        },
        index=complete.index,
    )
    survival = np.round(bundle.model.survival(complete, horizons), _DIGITS)
    for place, horizon in enumerate(horizons):
        found[survival_column(float(horizon))] = survival[:, place]
    return pd.concat([found, doubts_of(bundle.card, bundle.reference, complete, patient)], axis=1)


def risk_card_text(card: Mapping[str, Any]) -> str:
    """Return the card of a survival model as Markdown in plain language.

    Args:
        card: of a `RiskBundle`.
    """
    trained, measured = card["trained_on"], card["out_of_fold"]
    sites = ", ".join(f"{name} ({count})" for name, count in trained["sites"].items())
    months = _months(card["horizons_days"])
    made_up = "**The training patients are made up (synthetic): this model says nothing about real ones.**"
    lines = [
        "# Model card: risk of death",
        "",
        f"**{card['notice']}**",
        *(["", made_up] * card["synthetic"]),
        "",
        f"- **What it gives:** the log hazard ratio of death against the training patients' mean, the probability of living beyond {months} months,"
        " and a risk group by a cut chosen in training.",
        f"- **How:** {card['how']}",
        f"- **Trained on:** {trained['cases']} cases of {trained['patients']} patients, {trained['positive']} of them died; sites: {sites}.",
        f"- **Measured:** {_measured(measured)}",
        f"- **Verdict:** {measured['verdict_text']}",
        "- **Those numbers** are of models that never saw the tested patient (nor the site, where sites were held out); this final model was"
        " fitted on all cases afterwards with the same recipe, and has not been tested itself.",
        "- **Do not use it** for decisions about patients, on features computed in another way, or on patients whose follow-up starts elsewhere than"
        " in training. `radiogen predict` flags training patients, missing features, and cases unlike the training cases.",
        "",
        "About the training cases and columns:",
        "",
        *[f"- {note}" for note in card["notes"]],
    ]
    return "\n".join(lines) + "\n"


def _months(days: Iterable[float]) -> str:
    return ", ".join(f"{day / _DAYS_PER_MONTH:.0f}" for day in days)


def _measured(measured: Mapping[str, Any]) -> str:
    if "c_index" not in measured:
        return "the model found nothing and predicts the same for everybody."
    low, high = measured["c_index_ci"]
    return (
        f"out-of-fold Harrell's C {measured['c_index']:.3f} (95 % interval {low:.3f} to {high:.3f}) over {measured['n']} patients,"
        f" {measured['split']}."
    )
