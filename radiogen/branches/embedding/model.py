"""A classifier that learns from images end to end, as scikit-learn knows classifiers: fit and predict_proba over cohort rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from sklearn.base import BaseEstimator, ClassifierMixin
from torch import Tensor, nn

from radiogen.branches.embedding.base import InputSpec
from radiogen.branches.embedding.image_network import (
    ImageNetwork,
    build_image_network,
    input_of,
    mirrored_probability,
    with_margin,
)
from radiogen.branches.embedding.image_summary import summary_of
from radiogen.branches.embedding.image_training import Watch, inner_split, loss_of, plan_of, shown_of, train
from radiogen.branches.embedding.training_items import TrainingItems, changed, load_volumes, middle, prepare_cases
from radiogen.branches.embedding.weights import describe_weights
from radiogen.cohort.splits import patients_of_smaller_class
from radiogen.config.embedding_model import EmbeddingModelSettings
from radiogen.errors import CaseError, ConfigError, InputError
from radiogen.resources import cache_folder
from radiogen.run.atomic import make_folder, writing
from radiogen.run.provenance import content_hash
from radiogen.run.quarantine import Failure
from radiogen.segment.network import choose_device
from radiogen.types import Labels01

Probabilities = Float[np.ndarray, "n 2"]
"""Probability of 0 and of 1, per case."""


@dataclass(frozen=True)
class Member:
    """One trained network.

    Args:
        sequences: what its channels are.
        network: on the CPU, in evaluation mode.
        log: one row per epoch: `epoch`, `loss`, and where an inner fold was held out `held_out_loss`, `held_out_auc`.
        best_epoch: after which epoch the weights were taken.
        held_out: cases of the inner fold.
    """

    sequences: tuple[str, ...]
    network: ImageNetwork
    log: list[dict[str, Any]]
    best_epoch: int
    held_out: tuple[str, ...]


class ImageClassifier(ClassifierMixin, BaseEstimator):
    """A classifier on the images of cohort rows.

    Everything that is learned comes from the rows that `fit` is given, the epoch that is kept and the statistics of vectors included: a share of
    their patients is held out inside to stop the training, and the best epoch's weights are kept. The same rows, settings and machine give the same
    numbers on a CPU; a GPU may add in another order.

    Args:
        settings: networks, fusion, training.
        cache_folder: where prepared volumes and vectors of frozen networks are kept, by content; None: radiogen's cache.
        work_folder: keeps the checkpoints of this very training (settings and rows), so that a killed one goes on; None: nothing is kept.
        jobs: cases prepared at the same time; the numbers do not depend on it.
        progress: show progress bars.

    Example:
        >>> ImageClassifier(EmbeddingModelSettings(network="cnn3d")).members_of_
        [('t1n', 't1c', 't2w', 't2f')]
    """

    def __init__(
        self,
        settings: EmbeddingModelSettings,
        *,
        cache_folder: Path | None = None,
        work_folder: Path | None = None,
        jobs: int = 1,
        progress: bool = False,
    ) -> None:
        self.settings = settings
        self.cache_folder = cache_folder
        self.work_folder = work_folder
        self.jobs = jobs
        self.progress = progress

    @property
    def members_of_(self) -> list[tuple[str, ...]]:
        """Return the sequences of every network: all of them, or with a mean of scores one each."""
        names: tuple[str, ...] = tuple(self.settings.sequences)
        return [(name,) for name in names] if self.settings.fusion == "score-mean" else [names]

    @cached_property
    def spec_(self) -> InputSpec:
        """What volumes are prepared as, without the margin of random crops."""
        spec = input_of(self.settings, build_image_network(self.settings, self.members_of_[0], self.settings.seed))
        changes = self.settings.augmentation
        if spec.shape[2] == 1 and (changes.rotation_degrees or changes.elastic_voxels):
            raise ConfigError("Single slices cannot be rotated freely or bent.", hint="Use right_angles and flips.")
        return spec

    def prepare(self, table: pd.DataFrame) -> list[Failure]:
        """Prepare every case of a table, so that fitting and predicting find it ready; return the cases that cannot be.

        Args:
            table: cohort rows.

        Raises:
            ConfigError: the settings do not fit the network.
        """
        failures: dict[str, Failure] = {
            str(case): Failure(str(case), "prepare-images", f"The case has none of {', '.join(self.settings.sequences)}.", "Add a sequence.")
            for case in table.index[~_has_any(table, self.settings.sequences)]
        }  # fmt: skip
        for sequences in self.members_of_:
            rows = table[_has_any(table, sequences)]
            failures |= {failure.case: failure for failure in self._prepared(rows, sequences)[1]}
        return list(failures.values())

    def fit(self, table: pd.DataFrame, y: Any, patient: Any = None) -> ImageClassifier:
        """Train on cohort rows.

        Args:
            table: cohort rows, index `case`.
            y: 0 or 1 per row.
            patient: patient of every row; None: the table's column `patient`.

        Raises:
            InputError: a class has too few patients.
            CaseError: a case cannot be prepared.
            ConfigError: the settings do not fit the network.
        """
        labels: Labels01 = np.asarray(y).astype(np.int64)
        patients = np.asarray(table["patient"] if patient is None else patient, dtype=object)
        _check_classes(patients, labels, self.settings.validation_share)
        self.classes_ = np.array([0, 1])
        self.members_ = []
        for number, sequences in enumerate(self.members_of_):
            there = _has_any(table, sequences)
            _check_classes(patients[there], labels[there], self.settings.validation_share, sequences)
            rows = table[there]
            self.members_.append(self._train(rows, labels[there], patients[there], sequences, number))
        return self

    def predict_proba(self, table: pd.DataFrame) -> Probabilities:
        """Return the probability of 0 and of 1 per row.

        Args:
            table: cohort rows.

        Raises:
            CaseError: a case cannot be prepared, or has none of the sequences.
        """
        weights = self.settings.score_weights or (1.0,) * len(self.members_)
        total, weight_sum = np.zeros(len(table)), np.zeros(len(table))
        for member, weight in zip(self.members_, weights, strict=True):
            there = _has_any(table, member.sequences)
            total[there] += weight * self._scores(member, table[there])
            weight_sum[there] += weight
        if (weight_sum == 0).any():
            raise CaseError(
                f"{int((weight_sum == 0).sum())} case(s) have none of {', '.join(self.settings.sequences)}; the first is "
                f"{table.index[weight_sum == 0][0]}.",
            )
        positive = total / weight_sum
        return np.stack([1 - positive, positive], axis=1)

    def intensities(self, table: pd.DataFrame) -> pd.DataFrame:
        """Return what the prepared volumes of cases look like, to tell cases that are unlike those of the training.

        Args:
            table: cohort rows.

        Returns:
            Index as given; `<sequence>_<measure>` as `image_summary.summary_of` names them, NaN where a sequence is missing.

        Raises:
            CaseError: a case cannot be prepared.
        """
        parts = []
        for sequences in self.members_of_:
            rows = table[_has_any(table, sequences)]
            shown = [middle(load_volumes(file), self.settings.augmentation) for file in self._files(rows, sequences)]
            parts.append(
                pd.DataFrame([summary_of(volumes, sequences) for volumes in shown], rows.index).reindex(table.index)
            )
        return pd.concat(parts, axis=1).astype(float)

    def predict(self, table: pd.DataFrame) -> Labels01:
        """Return 1 where the probability is above one half."""
        return (self.predict_proba(table)[:, 1] > 0.5).astype(np.int64)

    @property
    def _folder(self) -> Path:
        return Path(self.cache_folder) if self.cache_folder is not None else cache_folder() / "embedding-images"

    def _prepared(self, table: pd.DataFrame, sequences: tuple[str, ...]) -> tuple[dict[str, Path], list[Failure]]:
        spec = with_margin(self.spec_, self.settings.augmentation.crop_margin)
        return prepare_cases(
            table, sequences, spec, self._folder, correct=self.settings.correct, jobs=self.jobs, progress=self.progress
        )

    def _files(self, table: pd.DataFrame, sequences: tuple[str, ...]) -> list[Path]:
        files, failures = self._prepared(table, sequences)
        if failures:
            raise CaseError(
                f"{len(failures)} case(s) cannot be prepared; the first is {failures[0].case}: {failures[0].cause}",
                hint=failures[0].fix,
            )
        return [files[str(case)] for case in table.index]

    def _scores(self, member: Member, table: pd.DataFrame) -> np.ndarray:
        device = choose_device(self.settings.device)
        network = member.network.to(device)
        scores = []
        for file in self._files(table, member.sequences):
            volumes = torch.from_numpy(middle(load_volumes(file), self.settings.augmentation)).to(device)
            scores.append(mirrored_probability(network, volumes, self.settings.test_flips))
        network.to("cpu")
        return np.array(scores)

    def _train(
        self, table: pd.DataFrame, y: Labels01, patient: np.ndarray, sequences: tuple[str, ...], number: int
    ) -> Member:
        settings = self.settings
        seed = int(np.random.SeedSequence([settings.seed, number]).generate_state(1)[0] % 2**31)
        network = build_image_network(settings, sequences, seed)
        files = self._files(table, sequences)
        learn, held = inner_split(patient, y, settings.validation_share, seed)
        inputs: Sequence[Any] = self._vectors(network, files, sequences, seed) if settings.frozen else files
        if settings.standardise:
            network.head.standardise(torch.stack([inputs[row][0] for row in learn]))
        trained: nn.Module = network.head if settings.frozen else network
        watch = Watch(settings, [shown_of(inputs[row], settings) for row in held], y[held]) if len(held) else None
        items = TrainingItems(
            [inputs[row] for row in learn], [float(y[row]) for row in learn], settings.augmentation, seed
        )
        folder = None if self.work_folder is None else Path(self.work_folder) / f"network-{number}"
        log, epoch = train(
            plan_of(settings, len(learn), seed, watched=watch is not None), trained, loss_of(settings, y[learn]), items,
            watch, folder=folder, progress=self.progress,
        )  # fmt: skip
        return Member(sequences, network.eval(), log, epoch, tuple(str(case) for case in table.index[held]))

    def _vectors(self, network: ImageNetwork, files: list[Path], sequences: tuple[str, ...], seed: int) -> list[Tensor]:
        """Return every case's vectors, the case's own first and then those of its augmented copies; kept on disk."""
        settings, device = self.settings, choose_device(self.settings.device)
        facts = {
            **describe_weights(settings.weights, seed), "network": settings.network, "arguments": settings.arguments, "fusion": settings.fusion,
            "sequences": list(sequences), "spec": asdict(self.spec_), "augmentation": settings.augmentation.model_dump(mode="json"),
            "copies": settings.copies, "seed_of_copies": settings.seed, "torch": torch.__version__, "device": device.type,
        }  # fmt: skip
        folder = self._folder / f"vectors-{content_hash(facts)[:16]}"
        make_folder(folder)
        network = network.to(device)
        found = [_kept(folder / file.name, partial(_encode, network, file, settings, device)) for file in files]
        network.to("cpu")
        return found


@torch.inference_mode()
def _encode(network: ImageNetwork, file: Path, settings: EmbeddingModelSettings, device: torch.device) -> np.ndarray:
    volumes = load_volumes(file)
    changes = settings.augmentation
    # The file's name is its content: a case's copies are the same in every fold.
    streams = [np.random.default_rng([settings.seed, copy, int(file.stem[:15], 16)]) for copy in range(settings.copies)]
    shown = [middle(volumes, changes), *(changed(volumes, changes, rng) for rng in streams)]
    return (
        torch.cat([network.encode(torch.from_numpy(image).to(device)[None]) for image in shown]).float().cpu().numpy()
    )


def _kept(path: Path, make: Callable[[], np.ndarray]) -> Tensor:
    if not path.is_file():
        with writing(path) as beside, beside.open("wb") as file:
            np.save(file, make())
    return torch.from_numpy(np.load(path))


def _has_any(table: pd.DataFrame, sequences: Sequence[str]) -> np.ndarray:
    columns = [name for name in sequences if name in table.columns]
    return table[columns].notna().any(axis=1).to_numpy(dtype=bool)


def _check_classes(patient: np.ndarray, y: Labels01, share: float, sequences: Sequence[str] = ()) -> None:
    least = 2 if share else 1
    fewest = patients_of_smaller_class(patient, y) if len(y) else 0
    if fewest < least:
        having = f" with {', '.join(sequences)}" if sequences else ""
        raise InputError(
            f"The smaller class has {fewest} patient(s){having} to learn from; at least {least} are needed.",
            hint="Add cases of the smaller class.",
        )
