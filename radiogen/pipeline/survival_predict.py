"""A saved survival model on new cases: risk, survival at the horizons, risk group, and everything that speaks against trusting them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from radiogen.fusion.survival_bundle import RISK_FILE, apply_risk_model, load_risk_model
from radiogen.pipeline.classify import table_hash
from radiogen.pipeline.predict import joined_features, known_of, warnings_about
from radiogen.resources import sha256_file
from radiogen.run.atomic import write_csv
from radiogen.run.provenance import Provenance


def is_risk_model(folder: Path) -> bool:
    """Return whether a model's folder holds a survival model."""
    return (Path(folder) / RISK_FILE).is_file()


def run_predict_risk(
    model: Path, features: Mapping[str, pd.DataFrame], out: Path, *, cohort: pd.DataFrame | None = None
) -> pd.DataFrame:
    """Apply a survival model and write `predictions.csv`.

    Args:
        model: folder that `radiogen survival --features` wrote (`OUT/model`).
        features: branch or table name -> table indexed by case.
        out: folder for the output.
        cohort: patients and sites of the cases, where known.

    Returns:
        Columns `case, patient, site, model, risk, risk_group, survival_<days>d, ..., in_training, out_of_distribution, missing_features,
        beyond_range`.

    Raises:
        InputError: the bundle cannot be used, there is no case, or none of the model's features is there.
        OutputError: the folder cannot be written.
    """
    bundle = load_risk_model(model)
    joined = joined_features(bundle.feature_names, bundle.reference, features)
    patient, site, _ = known_of(joined.index, cohort, str(bundle.card["target"]))
    found = apply_risk_model(bundle, joined, patient)
    name = bundle.card["model"]
    who = {"case": found.index, "patient": patient.to_numpy(), "site": site.to_numpy(), "model": name}
    predictions = pd.concat([pd.DataFrame(who), found.reset_index(drop=True)], axis=1)
    path = Path(out) / "predictions.csv"
    seen = {"model": sha256_file(Path(model) / "card.json"), "features": table_hash(joined)}
    provenance = Provenance("predict", {"model": name, "target": bundle.card["target"]}, seen)
    write_csv(path, predictions, index=False)
    provenance.record([path], warnings=warnings_about(predictions, bundle))
    return predictions
