"""Trainings of one recipe on parts of a cohort, each kept on disk when it is done, so that a killed study goes on where it stopped."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float

from radiogen.branches.embedding.model import ImageClassifier
from radiogen.branches.embedding.weights import describe_weights
from radiogen.cohort.splits import Rows
from radiogen.cohort.table import present_sequences
from radiogen.config.embedding_model import EmbeddingModelSettings
from radiogen.pipeline.inner_folds import inner_probability
from radiogen.run.atomic import make_folder, write_csv
from radiogen.run.provenance import Provenance, content_hash, hash_inputs
from radiogen.types import Labels01

STAGE = "image-training"

_WORK = "training-"


@dataclass(frozen=True)
class Trainings:
    """Trains a recipe's networks on rows of a cohort and scores other rows, each pair once.

    Args:
        model: networks and training.
        cohort: rows with images.
        y: 0/1 label per row.
        patient: patient per row.
        folder: keeps `<name>/scores.csv`, `<name>/training.csv` and, while a training runs, its checkpoints; None: nothing is kept.
        hashes: case -> what its files are, as `image_hashes` says; needed where something is kept.
        cache_folder: where prepared volumes are kept; None: radiogen's cache.
        jobs: cases prepared at the same time; the scores do not depend on it.
    """

    model: EmbeddingModelSettings
    cohort: pd.DataFrame
    y: Labels01
    patient: np.ndarray
    folder: Path | None = None
    hashes: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    cache_folder: Path | None = None
    jobs: int = 1

    def score(self, name: str, train: Rows, test: Rows, seed: int) -> tuple[Float[np.ndarray, " test"], pd.DataFrame]:
        """Return the probability of every test row by networks that saw the training rows only, and the training's log.

        Args:
            name: folder of what is kept; other names do not share anything.
            train: rows to learn from.
            test: rows to score.
            seed: of the training.

        Raises:
            RadiogenError: the training failed.
        """
        if self.folder is None:
            classifier = self._fitted(train, seed, None)
            return classifier.predict_proba(self.cohort.iloc[test])[:, 1], training_log(classifier)
        folder = Path(self.folder) / name
        provenance = self._provenance(train, test, seed)
        scores, log = folder / "scores.csv", folder / "training.csv"
        if not provenance.is_current([scores, log]):
            work = clean_work(folder, provenance)
            classifier = self._fitted(train, seed, work)
            probability = classifier.predict_proba(self.cohort.iloc[test])[:, 1]
            cases = self.cohort.index[test].astype(str)
            write_csv(scores, pd.DataFrame({"case": cases, "y_prob": probability}), index=False)
            write_csv(log, training_log(classifier), index=False)
            provenance.record([scores, log])
            shutil.rmtree(work, ignore_errors=True)
        # Always from the file: what was kept and what was just made are the same bytes.
        found = pd.read_csv(scores, dtype={"case": str}, float_precision="round_trip")
        return found["y_prob"].to_numpy(dtype=float), pd.read_csv(log, float_precision="round_trip")

    @property
    def cases(self) -> pd.Index:
        """Return the case id of every row."""
        return self.cohort.index

    def probability(self, name: str, train: Rows, test: Rows, seed: int) -> Float[np.ndarray, " test"]:
        """Return what `score` returns, without the log."""
        return self.score(name, train, test, seed)[0]

    def score_inner(self, name: str, rows: Rows, folds: int, seed: int) -> Float[np.ndarray, " rows"]:
        """Return for every row the probability by networks that were trained on the other inner folds of the same rows.

        Args:
            name: start of the names of what is kept.
            rows: a training side.
            folds: inner folds; fewer where a class has fewer patients. Patients stay together.
            seed: of the folds and the trainings.

        Raises:
            RadiogenError: a training failed.
        """
        return inner_probability(self, name, rows, folds, seed)

    def train_all(self, name: str, seed: int) -> tuple[ImageClassifier, Path | None]:
        """Return the classifier trained on every row, and the folder of its checkpoints, to be removed when the model is saved.

        Args:
            name: folder of its checkpoints.
            seed: of the training.
        """
        everything = np.arange(len(self.y))
        if self.folder is None:
            return self._fitted(everything, seed, None), None
        folder = Path(self.folder) / name
        work = clean_work(folder, self._provenance(everything, everything[:0], seed))
        return self._fitted(everything, seed, work), folder

    def provenance_of_all(self, seed: int, facts: Mapping[str, Any]) -> Provenance:
        """Return what a model that is trained on every row depends on, without any name of a case.

        Args:
            seed: of the training.
            facts: what else its files say.
        """
        everything = np.arange(len(self.y))
        rows = self._provenance(everything, everything[:0], seed)
        return Provenance("image-model", {**rows.settings, "facts": content_hash(facts)}, {"rows": rows.fingerprint})

    def _fitted(self, train: Rows, seed: int, work: Path | None) -> ImageClassifier:
        settings = self.model.model_copy(update={"seed": seed})
        classifier = ImageClassifier(settings, cache_folder=self.cache_folder, work_folder=work, jobs=self.jobs)
        return classifier.fit(self.cohort.iloc[train], self.y[train], self.patient[train])

    def _provenance(self, train: Rows, test: Rows, seed: int) -> Provenance:
        cases = self.cohort.index.astype(str)
        learned = {
            cases[row]: content_hash([self.hashes[cases[row]], int(self.y[row]), str(self.patient[row])])
            for row in train
        }
        scored = {f"test/{cases[row]}": content_hash(self.hashes[cases[row]]) for row in test}
        chosen = {
            "model": self.model.model_copy(update={"seed": seed}).model_dump(mode="json"),
            "weights": describe_weights(self.model.weights, seed),
            "order": content_hash([cases[row] for row in train]),
        }
        return Provenance(STAGE, chosen, {**learned, **scored})


def clean_work(folder: Path, provenance: Provenance) -> Path:
    """Return the folder of a training's checkpoints; those of a training with other settings or rows are removed.

    Args:
        folder: of what is kept of the training.
        provenance: of the training.
    """
    make_folder(folder)
    work = folder / f"{_WORK}{provenance.fingerprint[:16]}"
    for other in folder.glob(f"{_WORK}*"):
        if other != work:
            shutil.rmtree(other, ignore_errors=True)
    return work


def image_hashes(cohort: pd.DataFrame, settings: EmbeddingModelSettings) -> dict[str, dict[str, str]]:
    """Return for every case the SHA-256 of the files that a recipe can look at.

    Args:
        cohort: cohort rows.
        settings: of the recipe.
    """
    found = {}
    for case, row in cohort.iterrows():
        roles: dict[str, str | Path | None] = {"mask": row.get("mask")}
        roles |= {name: path for name, path in present_sequences(row).items() if name in settings.sequences}
        found[str(case)] = hash_inputs(roles)
    return found


def training_log(classifier: ImageClassifier) -> pd.DataFrame:
    """Return one row per network and epoch: `network, epoch`, losses and AUC, `kept` (the epoch whose weights were taken).

    Args:
        classifier: trained.
    """
    rows: list[dict[str, Any]] = []
    for member in classifier.members_:
        network = "+".join(member.sequences)
        rows += [{"network": network, **row, "kept": row["epoch"] == member.best_epoch} for row in member.log]
    return pd.DataFrame(rows)
