"""Tiny made-up patients whose label can be seen in one sequence: a bright ring around the tumour, or none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from sklearn.linear_model import RidgeClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from radiogen.branches.embedding.channels import with_input
from radiogen.branches.embedding.model import ImageClassifier
from radiogen.branches.embedding.training_items import load_volumes, prepare_cases
from radiogen.branches.embedding.weights import load_backbone
from radiogen.config.embedding_model import EmbeddingModelSettings
from radiogen.stats.auc import auc
from radiogen.types import Labels01

SIDE = 20

Scores = Float[np.ndarray, " n"]
"""One score per case, larger for label 1."""

N_LEARN, N_HELD_OUT = 28, 24
"""Cases to learn from and cases never seen; of either label a whole number of pairs."""


def planted_cohort(folder: Path, n: int, *, seed: int = 0, sequences: tuple[str, ...] = ("t2f",)) -> pd.DataFrame:
    """Write `n` cases with masks; in every second one the tumour has a bright ring in t2f. Two sites, one case per patient."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    rows = {}
    for number in range(n):
        label = number % 2
        centre = rng.uniform(8, 11, 3)
        distance = np.sqrt(((np.indices((SIDE,) * 3) - centre[:, None, None, None]) ** 2).sum(axis=0))
        brain = np.sqrt(((np.indices((SIDE,) * 3) - 9.5) ** 2).sum(axis=0)) < 9.5
        row: dict[str, Any] = {"patient": f"p{number:03d}", "site": f"site{(number // 2) % 2}", "mgmt": float(label)}
        for name in sequences:
            image = rng.normal(100, 8, (SIDE,) * 3) + 40 * (distance < 3)
            if name == "t2f":
                image += label * 80 * ((distance >= 3) & (distance < 5))
            row[name] = str(_save(folder / f"{number}_{name}.nii", np.where(brain, image, 0).astype(np.float32)))
        row["mask"] = str(_save(folder / f"{number}_mask.nii", np.where(distance < 4, 3, 0).astype(np.uint8)))
        row |= {name: None for name in ("t1n", "t1c", "t2w", "t2f") if name not in sequences}
        row |= {"age": float(rng.integers(30, 80)), "sex": "F" if rng.random() < 0.5 else "M"}
        rows[f"case{number:03d}"] = row
    table = pd.DataFrame.from_dict(rows, orient="index")
    table.index = pd.Index(table.index.astype(object), name="case")
    return table


def tiny_model(**changes: Any) -> EmbeddingModelSettings:
    """Return settings of a small network that learns in seconds, with changes laid over."""
    values: dict[str, Any] = {
        "network": "cnn3d",
        "arguments": {"widths": [8, 16]},
        "input": {"centre": "brain", "voxel_size_mm": [1.0, 1.0, 1.0], "shape": [16, 16, 16]},
        "sequences": ["t2f"],
        "fusion": "single",
        "epochs": 12,
        "batch_size": 8,
        "dropout": 0.0,
        "optimiser": {"name": "adam", "learning_rate": 0.01, "weight_decay": 0.0, "schedule": "constant"},
        "device": "cpu",
        "precision": "float32",
    }
    return EmbeddingModelSettings.parse({**values, **changes})


@dataclass(frozen=True)
class Found:
    """AUCs of one kind of classifier, taught once by the planted labels and then by shuffled ones.

    Args:
        planted: in cases that it never saw.
        shuffled: in the same cases, of shuffled labels after learning from shuffled labels; the mean over the shuffles.
        by_heart: of the shuffled labels that it learned from; the mean over the shuffles.
    """

    planted: float
    shuffled: float
    by_heart: float


def shuffled_labels(truth: Labels01, seed: int) -> Labels01:
    """Return labels that say nothing of the planted ones: among the cases to learn from, and among the others, half of each have either label.

    A plain shuffle would not do: where more of the learned cases happened to keep their label, fewer of the others would, and the AUC would be below
    one half.
    """
    rng = np.random.default_rng(seed)
    found = np.zeros_like(truth)
    learned = np.arange(len(truth)) < N_LEARN
    for part in (learned, ~learned):
        for label in (0, 1):
            rows = rng.permutation(np.flatnonzero(part & (truth == label)))
            found[rows[: len(rows) // 2]] = 1
    return found


def taught_and_asked(learn: Callable[[Labels01], Scores], truth: Labels01, shuffles: int) -> Found:
    """Return what a way of learning finds.

    Args:
        learn: given the labels of all cases, it learns from the first `N_LEARN` and returns a score for every case.
        truth: the planted labels.
        shuffles: how often labels are shuffled.
    """
    planted = float(auc(truth[N_LEARN:], learn(truth)[N_LEARN:]))
    found = []
    for seed in range(shuffles):
        y = shuffled_labels(truth, seed)
        scores = learn(y)
        found.append((auc(y[N_LEARN:], scores[N_LEARN:]), auc(y[:N_LEARN], scores[:N_LEARN])))
    shuffled, by_heart = np.mean(found, axis=0)
    return Found(planted, float(shuffled), float(by_heart))


def by_a_linear_head(vectors: Float[np.ndarray, "n _d"], truth: Labels01, shuffles: int = 20) -> Found:
    """Return what a linear classifier finds in vectors that nobody trained."""

    def learn(y: Labels01) -> Scores:
        model = make_pipeline(StandardScaler(), RidgeClassifier()).fit(vectors[:N_LEARN], y[:N_LEARN])
        return np.asarray(model.decision_function(vectors))

    return taught_and_asked(learn, truth, shuffles)


def by_training(settings: EmbeddingModelSettings, cohort: pd.DataFrame, cache: Path, shuffles: int = 1) -> Found:
    """Return what a classifier on images finds."""

    def learn(y: Labels01) -> Scores:
        classifier = ImageClassifier(settings, cache_folder=cache).fit(cohort[:N_LEARN], y[:N_LEARN])
        return classifier.predict_proba(cohort)[:, 1]

    return taught_and_asked(learn, cohort["mgmt"].to_numpy(dtype=np.int64), shuffles)


@torch.inference_mode()
def vectors_of(
    name: str,
    cohort: pd.DataFrame,
    cache: Path,
    *,
    sequences: tuple[str, ...] = ("t2f",),
    arguments: dict[str, Any] | None = None,
) -> Float[np.ndarray, "n _d"]:
    """Return a network's vectors of a cohort's images, its weights random numbers."""
    usual, given = INPUTS[name]
    backbone = load_backbone(
        name, weights=None, seed=0, channels=len(sequences), **(usual if arguments is None else arguments)
    )
    files = prepare_cases(cohort, sequences, with_input(backbone.spec, given), cache)[0]
    volumes = torch.from_numpy(np.stack([load_volumes(files[str(case)]) for case in cohort.index]))
    return torch.cat([backbone(batch) for batch in volumes.split(8)]).double().numpy()


def adam(learning_rate: float) -> dict[str, Any]:
    """Return an optimiser's settings."""
    return {"name": "adam", "weight_decay": 0.0, "schedule": "constant", "learning_rate": learning_rate}


def box(*shape: int, mm: float, slice_mm: float | None = None) -> dict[str, Any]:
    """Return an input around the middle of the brain."""
    return {"centre": "brain", "shape": list(shape), "voxel_size_mm": [mm, mm, slice_mm or mm]}


_CUBE, _FINE, _FILM, _PICTURES = (
    box(16, 16, 16, mm=1.2),
    box(32, 32, 32, mm=0.6),
    box(16, 16, 4, mm=1.2, slice_mm=3.0),
    box(32, 32, 3, mm=0.6, slice_mm=3.0),
)

INPUTS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "cnn3d": ({"widths": [8, 16]}, box(16, 16, 16, mm=1.0)),
    "slice-cnn": ({}, {"centre": "tumour", "shape": [48, 48, 1], "voxel_size_mm": [0.4, 0.4, 1.0]}),
    "c3d": ({"packing": "grey"}, box(24, 24, 16, mm=0.8, slice_mm=1.2)),
    "densenet121-3d": ({}, _FINE),
    "medicalnet-resnet10": ({}, _CUBE),
    "medicalnet-resnet18": ({}, _CUBE),
    "medicalnet-resnet34": ({}, _CUBE),
    "medicalnet-resnet50": ({}, _CUBE),
    "r3d-18": ({}, _FILM),
    "mc3-18": ({}, _FILM),
    "r2plus1d-18": ({}, _FILM),
    "swin3d-t": ({}, _FILM),
    "multiscale-efficientnet-b7": ({"slices": 2}, _PICTURES),
    "late-fusion": (
        {"network": "cnn3d", "sequences": ["t2f"], "arguments": {"widths": [8, 16]}},
        box(16, 16, 16, mm=1.0),
    ),
    "slices-resnet18": ({}, _PICTURES),
    "slices-resnet34": ({}, _PICTURES),
    "slices-resnet50": ({}, _PICTURES),
    "slices-efficientnet-b0": ({}, _PICTURES),
    **{f"efficientnet3d-b{number}": ({}, _FINE) for number in range(8)},
}
"""Every registered network -> its arguments and the smallest input in which it can see the ring."""


def whole_network(network: str, **changes: Any) -> EmbeddingModelSettings:
    """Return settings by which every weight of a network is trained, for a few dozen steps; C3D is made to be kept as it is."""
    arguments, given = INPUTS[network]
    values: dict[str, Any] = {
        "network": network, "arguments": arguments, "input": given, "validation_share": 0.0, "epochs": 6, "batch_size": 7, "norm_momentum": 0.5,
        "optimiser": adam(3e-4 if network == "swin3d-t" else 1e-3),
    }  # fmt: skip
    return tiny_model(**{**values, **changes})


def _save(path: Path, data: np.ndarray) -> Path:
    nib.save(nib.Nifti1Image(data, np.eye(4)), path)
    return path
