"""Model bundles of classifiers on images: the networks (safetensors), their settings, a card, and what the training cases looked like."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from radiogen.branches.embedding.model import ImageClassifier
from radiogen.branches.embedding.saved import CLASSIFIER, load_classifier, save_classifier
from radiogen.config.classify import ClassifySettings
from radiogen.fusion.bundle import FORMAT, in_training, read_card, read_reference, training_hashes, write_card
from radiogen.fusion.card import model_card
from radiogen.fusion.join import FusionTable
from radiogen.fusion.reference import Reference, fit_reference, novelty

KIND = "images"
"""What the card of such a model calls its kind."""

DIGITS = 8
"""Decimals of probabilities."""


@dataclass(frozen=True)
class ImageBundle:
    """A trained classifier on images with everything needed to apply it and to doubt it.

    Args:
        classifier: trained on every training case.
        reference: what the training cases' prepared images looked like.
        card: JSON-able facts, as those of a `ModelBundle`.
    """

    classifier: ImageClassifier
    reference: Reference
    card: dict[str, Any]
    needs: str = field(default="sequences", init=False)
    stand_in: str = field(default="empty volumes", init=False)

    @property
    def feature_names(self) -> list[str]:
        """Return what the model needs of a case: its sequences."""
        return list(self.classifier.settings.sequences)


def image_bundle(
    classifier: ImageClassifier,
    images: pd.DataFrame,
    table: FusionTable,
    metrics: Mapping[str, Any],
    *,
    name: str,
    salt: str,
    weights: Mapping[str, Any],
    synthetic: bool = False,
) -> ImageBundle:
    """Return the bundle of a classifier that was trained on every case of a table.

    Args:
        classifier: trained.
        images: its cohort rows, in the order of `table`.
        table: training cases.
        metrics: of the out-of-fold predictions of the same recipe.
        name: of the recipe.
        salt: of the hashes of the training cases' names.
        weights: what the first weights were, as `describe_weights` says.
        synthetic: the patients are made up.
    """
    settings = classifier.settings
    shown = classifier.intensities(images)
    ids = training_hashes(images.index.astype(str), table.cohort["patient"].astype(str), salt)
    card = model_card(table, ClassifySettings(), metrics, training_ids=ids, salt=salt, synthetic=synthetic)
    card |= {
        "kind": KIND,
        "model": name,
        "how": _how(name, classifier, weights),
        "features": {KIND: len(settings.sequences)},
        "sequences_in_training": sorted(name for name in settings.sequences if images[name].notna().any()),
        # The file's hash stands under `weights`; its path is the user's.
        "settings": {**settings.model_dump(mode="json"), "weights": settings.weights and Path(settings.weights).name},
        "weights": dict(weights),
        "notes": list(metrics.get("notes", table.notes)),
    }
    return ImageBundle(classifier, fit_reference(shown, dict.fromkeys(map(str, shown.columns), KIND)), card)


def _how(name: str, classifier: ImageClassifier, weights: Mapping[str, Any]) -> str:
    settings = classifier.settings
    parts = "a frozen network with a trained head" if settings.frozen else "a network trained end to end"
    where = "a box around the tumour, so a mask is needed" if classifier.spec_.centre == "tumour" else "the images"
    return (
        f"recipe {name}: {parts} ({settings.network}, sequences {', '.join(settings.sequences)}, fusion {settings.fusion}) on {where}; first weights:"
        f" {weights['weights']}."
    )


def save_image_model(folder: str | Path, bundle: ImageBundle) -> list[Path]:
    """Write a bundle and return its files.

    Args:
        folder: made where it is missing.
        bundle: what to write.

    Raises:
        OutputError: the folder cannot be written.
    """
    folder = Path(folder)
    files = save_classifier(folder, bundle.classifier)
    write_card(folder, bundle.card, bundle.reference, [*(path.name for path in files), "features.csv"])
    return [*files, *(folder / name for name in ("features.csv", "card.json", "card.md"))]


def load_image_model(
    folder: str | Path, *, device: str = "auto", cache_folder: Path | None = None, jobs: int = 1, progress: bool = False
) -> ImageBundle:
    """Read a bundle.

    Args:
        folder: as written by `save_image_model`.
        device: to predict on.
        cache_folder: where prepared volumes are kept; None: radiogen's cache.
        jobs: cases prepared at the same time.
        progress: show progress bars.

    Raises:
        InputError: a file is missing, was changed, or is of another format.
    """
    folder = Path(folder)
    card = read_card(folder, FORMAT, (CLASSIFIER, "features.csv", "card.json"))
    classifier = load_classifier(folder, device=device, cache_folder=cache_folder, jobs=jobs, progress=progress)
    return ImageBundle(classifier, read_reference(folder, card), card)


def apply_image_model(bundle: ImageBundle, table: pd.DataFrame, patient: pd.Series) -> pd.DataFrame:
    """Return the probability per case with everything that speaks against trusting it.

    Args:
        bundle: the model.
        table: cohort rows that can be prepared.
        patient: patient id per case.

    Returns:
        Table indexed by case: `y_prob, in_training, out_of_distribution` (the prepared images are unlike those of every training case),
        `missing_features` (sequences that some training case had), `beyond_range` (share of the images' measures).

    Raises:
        CaseError: a case cannot be prepared.
    """
    shown = bundle.classifier.intensities(table).reindex(columns=list(bundle.reference.ranges.index))
    strange = novelty(shown, bundle.reference)
    needed = [name for name in bundle.card["sequences_in_training"] if name in table.columns]
    absent = len(bundle.card["sequences_in_training"]) - table[needed].notna().sum(axis=1)
    return pd.DataFrame(
        {
            "y_prob": np.round(bundle.classifier.predict_proba(table)[:, 1], DIGITS),
            "in_training": in_training(bundle.card, patient.loc[table.index]),
            "out_of_distribution": strange["out_of_distribution"].to_numpy(dtype=bool),
            "missing_features": absent.to_numpy(dtype=np.int64),
            "beyond_range": strange["beyond_range"].to_numpy(dtype=float),
        },
        index=table.index,
    )
