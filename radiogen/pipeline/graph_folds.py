"""Trainings of a graph network: one per fold and one on every case; each is kept when it is done."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Float
from safetensors.numpy import load_file, save

from radiogen.branches.network.classifier import GraphClassifier
from radiogen.branches.network.explain import case_attribution, case_importance
from radiogen.branches.network.model import graph_classifier
from radiogen.branches.network.prepared import PreparedGraphs
from radiogen.cohort.splits import Rows
from radiogen.config.network_recipes import GraphModelSettings
from radiogen.run.atomic import make_folder, writing
from radiogen.run.provenance import Provenance, content_hash
from radiogen.types import Labels01

STAGE = "graph-fold"


@dataclass(frozen=True)
class FoldResult:
    """What one training said of cases that it did not see.

    Args:
        probability: of label 1, per test case.
        attribution: of every connection, per explained test case: log-odds with their sign, or the masks of GNNExplainer.
        explained: which test cases are explained, from 0.
        history: loss of the inner held-out patients per epoch.
        best_epoch: after which epoch the weights were taken.
    """

    probability: Float[np.ndarray, " c"]
    attribution: Float[np.ndarray, "x e"]
    explained: np.ndarray
    history: Float[np.ndarray, " t"]
    best_epoch: int


@dataclass(frozen=True)
class GraphTrainings:
    """Trainings of one study.

    Args:
        settings: graphs and network.
        prepared: the cases, in the order of `y`.
        y: 0/1 label per case.
        patient: patient per case.
        hashes: case -> what its graph depends on.
        folder: where finished trainings are kept; None: nowhere.
    """

    settings: GraphModelSettings
    prepared: PreparedGraphs
    y: Labels01
    patient: np.ndarray
    hashes: Mapping[str, str]
    folder: Path | None = None

    @property
    def cases(self) -> pd.Index:
        """Return the case id of every row."""
        return self.prepared.facts.index

    def probability(self, name: str, train: Rows, test: Rows, seed: int) -> Float[np.ndarray, " test"]:
        """Return the probability of every test row by a network that saw the training rows only, without any explanation.

        Args:
            name: of the file that keeps it.
            train: rows to learn from.
            test: rows to predict.
            seed: of the training.

        Raises:
            InputError: a class has too few patients.
        """
        return self.score(name, train, test, seed, explain=False).probability

    def score(self, name: str, train: Rows, test: Rows, seed: int, *, explain: bool = True) -> FoldResult:
        """Train on some cases and look at others; kept where the same was done before.

        Args:
            name: of the file that keeps it.
            train: rows to learn from.
            test: rows to predict.
            seed: of the training.
            explain: also find the connections that the network looks at.

        Raises:
            InputError: a class has too few patients.
        """
        path = None if self.folder is None else Path(self.folder) / f"{name}.safetensors"
        provenance = self.provenance(train, test, seed, explain=explain)
        if path is not None and provenance.is_current([path]):
            return _read(path)
        result = self._result(self.fitted(train, seed), test, explain=explain)
        if path is not None:
            make_folder(path.parent)
            with writing(path) as beside:
                beside.write_bytes(save(_arrays(result)))
            provenance.record([path])
        return result

    def fitted(self, train: Rows, seed: int) -> GraphClassifier:
        """Return the classifier trained on some cases.

        Args:
            train: rows to learn from.
            seed: of the training.

        Raises:
            InputError: a class has too few patients.
        """
        classifier = graph_classifier(self.settings, seed)
        return classifier.fit(self.prepared.rows[train], self.y[train], self.patient[train])

    def _result(self, classifier: GraphClassifier, test: Rows, *, explain: bool) -> FoldResult:
        rows, chosen = self.prepared.rows[test], self.settings.explanation
        most = chosen.most_cases if explain else 0
        explained = np.sort(np.concatenate([np.flatnonzero(self.y[test] == label)[:most] for label in (0, 1)]))
        attribute = case_importance if chosen.method == "gnnexplainer" else case_attribution
        nothing: Float[np.ndarray, "0 e"] = np.zeros((0, len(rows.edges)))
        return FoldResult(
            classifier.predict_proba(rows)[:, 1],
            attribute(classifier, rows[explained], chosen) if explain else nothing,
            explained,
            np.array(classifier.history_, dtype=np.float64),
            classifier.best_epoch_,
        )

    def provenance(self, train: Rows, test: Rows, seed: int, *, explain: bool = True) -> Provenance:
        """Return what a training and its predictions depend on.

        Args:
            train: rows to learn from.
            test: rows to predict; none for a model.
            seed: of the training.
            explain: with the connections that the network looks at.
        """
        cases = self.prepared.facts.index.astype(str)
        learned = {
            cases[row]: content_hash([self.hashes[cases[row]], int(self.y[row]), str(self.patient[row])])
            for row in train
        }
        scored = {f"test/{cases[row]}": self.hashes[cases[row]] for row in test}
        chosen = {
            "model": settings_that_count(self.settings),
            "seed": seed,
            "template": self.prepared.digest,
            "order": content_hash([cases[row] for row in train]),
            **({} if explain else {"explain": False}),
        }
        return Provenance(STAGE, chosen, {**learned, **scored})


def settings_that_count(settings: GraphModelSettings) -> dict[str, object]:
    """Return the settings without paths; a template counts by its content.

    Args:
        settings: of the model.
    """
    return settings.model_dump(mode="json", exclude={"graphs": {"template", "preprocessed", "graphs"}})


def training_log(result: FoldResult) -> pd.DataFrame:
    """Return one row per epoch: `epoch`, `held_out_loss`, `kept` (the epoch whose weights were taken).

    Args:
        result: of a training.
    """
    epochs = np.arange(len(result.history))
    return pd.DataFrame({"epoch": epochs, "held_out_loss": result.history, "kept": epochs == result.best_epoch})


def _arrays(result: FoldResult) -> dict[str, np.ndarray]:
    found = {
        "probability": result.probability,
        "attribution": result.attribution,
        "explained": result.explained.astype(np.int64),
        "history": result.history,
        "best_epoch": np.array([result.best_epoch]),
    }
    # safetensors writes memory as it lies: a column of a table would bring its neighbours along.
    return {name: np.ascontiguousarray(values) for name, values in found.items()}


def _read(path: Path) -> FoldResult:
    arrays = load_file(path)
    best = int(arrays.pop("best_epoch")[0])
    return FoldResult(**arrays, best_epoch=best)
