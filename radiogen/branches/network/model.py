"""A graph network over cohort rows, as scikit-learn knows classifiers and transformers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float
from sklearn.base import BaseEstimator, ClassifierMixin

from radiogen.branches.network.classifier import GraphClassifier
from radiogen.branches.network.prepared import prepare_graphs
from radiogen.branches.network.rows import GraphRows
from radiogen.config.network_recipes import GraphModelSettings
from radiogen.errors import CaseError
from radiogen.types import Labels01


def graph_classifier(settings: GraphModelSettings, seed: int | None = None) -> GraphClassifier:
    """Return the classifier over graphs that settings mean, not fitted.

    Args:
        settings: of the model.
        seed: in place of that of the settings.

    Example:
        >>> graph_classifier(GraphModelSettings(values="statistics"), seed=3).autoencoder is None
        True
    """
    autoencoder = settings.autoencoder if settings.values == "voxels" else None
    return GraphClassifier(settings.network, autoencoder, settings.seed if seed is None else seed)


class GraphModel(ClassifierMixin, BaseEstimator):
    """Graphs of cohort rows, auto-encoders where wanted, and the graph network; all that is fitted is fitted on the rows given to `fit`.

    Its `transform` gives the graph embedding, one vector per case, as columns for fusion. These columns mean something only beside the same fit:
    two folds have two embeddings.

    Args:
        settings: template, values, network.
        cache_folder: where prepared cases are kept, by content; None: radiogen's cache.
        jobs: cases prepared at the same time; the numbers do not depend on it.

    Example:
        >>> GraphModel(GraphModelSettings(values="destroyed")).settings.values
        'destroyed'
    """

    def __init__(self, settings: GraphModelSettings, *, cache_folder: Path | None = None, jobs: int = 1) -> None:
        self.settings = settings
        self.cache_folder = cache_folder
        self.jobs = jobs

    def fit(self, table: pd.DataFrame, y: Any, patient: Any = None) -> GraphModel:
        """Train on cohort rows.

        Args:
            table: cohort rows, index `case`.
            y: 0 or 1 per row.
            patient: patient of every row; None: the table's column `patient`.

        Raises:
            CaseError: a case cannot be prepared.
            InputError: a class has too few patients.
        """
        labels: Labels01 = np.asarray(y).astype(np.int64)
        group = np.asarray(table["patient"] if patient is None else patient, dtype=object)
        self.classes_ = np.array([0, 1])
        self.classifier_ = graph_classifier(self.settings).fit(self._graphs(table), labels, group)
        return self

    def predict_proba(self, table: pd.DataFrame) -> Float[np.ndarray, "n 2"]:
        """Return the probability of 0 and of 1 per row.

        Raises:
            CaseError: a case cannot be prepared.
        """
        return self.classifier_.predict_proba(self._graphs(table))

    def transform(self, table: pd.DataFrame) -> pd.DataFrame:
        """Return the graph embedding per row: columns `network_graph_<number>`.

        Raises:
            CaseError: a case cannot be prepared.
        """
        values = self.classifier_.transform(self._graphs(table))
        return pd.DataFrame(values, index=table.index, columns=self.classifier_.get_feature_names_out())

    def _graphs(self, table: pd.DataFrame) -> GraphRows:
        prepared = prepare_graphs(table, self.settings, self.cache_folder, jobs=self.jobs)
        if prepared.failures:
            first = prepared.failures[0]
            raise CaseError(
                f"{len(prepared.failures)} case(s) have no graph; the first is {first.case}: {first.cause}",
                hint=first.fix,
            )
        return prepared.rows
