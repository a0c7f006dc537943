"""Model bundles of classifiers on brain networks: network and template, a card, and what the training cases looked like."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from radiogen.branches.network.classifier import GraphClassifier
from radiogen.branches.network.prepared import PreparedGraphs
from radiogen.branches.network.rows import GraphRows
from radiogen.branches.network.saved import FILES, load_graph_classifier, save_graph_classifier
from radiogen.config.classify import ClassifySettings
from radiogen.config.network_recipes import GraphModelSettings
from radiogen.fusion.bundle import FORMAT, in_training, read_card, read_reference, training_hashes, write_card
from radiogen.fusion.card import model_card
from radiogen.fusion.join import FusionTable
from radiogen.fusion.reference import Reference, fit_reference, novelty

KIND = "graphs"
"""What the card of such a model calls its kind."""

MODEL_FILES = (*FILES, "features.csv", "card.json", "card.md")

_DIGITS = 8


@dataclass(frozen=True)
class GraphBundle:
    """A trained classifier on brain networks with everything needed to apply it and to doubt it.

    Args:
        classifier: trained on every training case.
        settings: what its graphs are.
        reference: what the training cases' embeddings and tumours looked like.
        card: JSON-able facts, as those of a `ModelBundle`.
    """

    classifier: GraphClassifier
    settings: GraphModelSettings
    reference: Reference
    card: dict[str, Any]
    needs: str = field(default="sequences", init=False)
    stand_in: str = field(default="zeros", init=False)

    @property
    def feature_names(self) -> list[str]:
        """Return what the model needs of a case: its sequences; none where it looks at what the tumour destroys alone."""
        return [] if self.settings.values == "destroyed" else ["t1n", "t1c", "t2w", "t2f"]


def graph_bundle(
    classifier: GraphClassifier,
    settings: GraphModelSettings,
    prepared: PreparedGraphs,
    table: FusionTable,
    metrics: Mapping[str, Any],
    *,
    name: str,
    salt: str,
    synthetic: bool = False,
) -> GraphBundle:
    """Return the bundle of a classifier that was trained on every case of a table.

    Args:
        classifier: trained.
        settings: what its graphs are.
        prepared: its cases, in the order of `table`.
        table: training cases.
        metrics: of the out-of-fold predictions of the same recipe.
        name: of the recipe.
        salt: of the hashes of the training cases' names.
        synthetic: the patients are made up.
    """
    shown = shown_of(classifier, prepared.rows, prepared.facts)
    ids = training_hashes(table.features.index.astype(str), table.cohort["patient"].astype(str), salt)
    card = model_card(table, ClassifySettings(), metrics, training_ids=ids, salt=salt, synthetic=synthetic)
    template = prepared.template
    card |= {
        "kind": KIND,
        "model": name,
        "how": f"recipe {name}: a graph network ({settings.network.operator}) over {template.n_nodes} regions and {template.n_edges} connections of "
        f"the template {template.name}, which carry {settings.values}; masks are needed.",
        "features": {KIND: shown.shape[1]},
        "most_sequences": int(prepared.facts["n_sequences"].max()),
        "settings": settings.model_dump(
            mode="json", exclude={"graphs": {"template", "preprocessed", "graphs", "tracts", "tract_names"}}
        ),
        "template": prepared.digest,
        "notes": list(metrics.get("notes", table.notes)),
    }
    reference = fit_reference(shown, dict.fromkeys(map(str, shown.columns), KIND))
    return GraphBundle(classifier, settings, reference, card)


def shown_of(classifier: GraphClassifier, rows: GraphRows, facts: pd.DataFrame) -> pd.DataFrame:
    """Return what tells a case that is unlike the training: its graph embedding and the volume of its tumour.

    Args:
        classifier: trained.
        rows: graphs.
        facts: `wt_ml` per row.
    """
    columns = [str(name) for name in classifier.get_feature_names_out()]
    shown = pd.DataFrame(classifier.transform(rows), index=facts.index, columns=columns)
    return shown.assign(wt_ml=facts["wt_ml"]).astype(float)


def save_graph_model(folder: str | Path, bundle: GraphBundle, prepared: PreparedGraphs) -> list[Path]:
    """Write a bundle and return its files.

    Args:
        folder: made where it is missing.
        bundle: what to write.
        prepared: its cases; gives the template.

    Raises:
        OutputError: the folder cannot be written.
    """
    folder = Path(folder)
    files = save_graph_classifier(folder, bundle.classifier, bundle.settings, prepared.template)
    write_card(folder, bundle.card, bundle.reference, [*(path.name for path in files), "features.csv"])
    return [*files, *(folder / name for name in ("features.csv", "card.json", "card.md"))]


def load_graph_model(folder: str | Path, *, device: str = "cpu") -> GraphBundle:
    """Read a bundle.

    Args:
        folder: as written by `save_graph_model`.
        device: to predict on.

    Raises:
        InputError: a file is missing, was changed, or is of another format.
    """
    folder = Path(folder)
    card = read_card(folder, FORMAT, MODEL_FILES[:-1])
    classifier, settings = load_graph_classifier(folder, device=device)
    return GraphBundle(classifier, settings, read_reference(folder, card), card)


def apply_graph_model(bundle: GraphBundle, prepared: PreparedGraphs, patient: pd.Series) -> pd.DataFrame:
    """Return the probability per case with everything that speaks against trusting it.

    Args:
        bundle: the model.
        prepared: cases on the model's template.
        patient: patient id per case.

    Returns:
        Table indexed by case: `y_prob, in_training, out_of_distribution` (embedding or volume are unlike those of every training case),
        `missing_features` (sequences fewer than the training cases had), `beyond_range`.
    """
    shown = shown_of(bundle.classifier, prepared.rows, prepared.facts)
    strange = novelty(shown.reindex(columns=list(bundle.reference.ranges.index)), bundle.reference)
    fewer = (float(bundle.card["most_sequences"]) - prepared.facts["n_sequences"]).clip(lower=0)
    return pd.DataFrame(
        {
            "y_prob": np.round(bundle.classifier.predict_proba(prepared.rows)[:, 1], _DIGITS),
            "in_training": in_training(bundle.card, patient.loc[shown.index]),
            "out_of_distribution": strange["out_of_distribution"].to_numpy(dtype=bool),
            "missing_features": fewer.to_numpy(dtype=np.int64) * bool(bundle.feature_names),
            "beyond_range": strange["beyond_range"].to_numpy(dtype=float),
        },
        index=shown.index,
    )
