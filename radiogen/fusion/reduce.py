"""Hundreds of embedding columns to a few components, fitted on the training rows of the fold."""

from __future__ import annotations

from typing import Literal

import numpy as np
from jaxtyping import Float
from sklearn.cross_decomposition import PLSRegression

from radiogen.fusion.context import RowContext
from radiogen.fusion.steps import Classes, FoldStep, Names, Prepared, Rows

PREFIX = "embedding_"
"""How the names of columns begin that are reduced: neighbours of one network's vector mean nothing one by one."""


class EmbeddingReduction(FoldStep):
    """Replace the embedding columns by a few components, each with variance 1 in training; all other columns stay as they are, before them.

    Which columns are embeddings is read from the names in the context; without one none is.

    Args:
        how: `pca`, directions of the largest variance, labels not looked at; `pls`, of the largest covariance with the label.
        count: components; fewer where the training rows or the columns are fewer.

    Source: Pearson, Philos Mag 1901;2:559 (principal components); Wold et al., Chemometr Intell Lab Syst 2001;58:109 (PLS).
    """

    needs_labels = True

    def __init__(self, how: Literal["pca", "pls"] = "pca", count: int = 10) -> None:
        self.how = how
        self.count = count

    def _learn(self, X: Rows, y: Classes, context: RowContext | None) -> None:
        # Columns beyond those of the context (indicators of missing values) stay.
        names = [] if context is None else list(context.columns)
        self.columns_ = np.array([at for at, name in enumerate(names) if str(name).startswith(PREFIX)], dtype=np.int64)
        self.others_ = np.setdiff1d(np.arange(X.shape[1]), self.columns_)
        block = X[:, self.columns_]
        count = min(self.count, len(X) - 1, block.shape[1])
        self.mean_ = block.mean(axis=0)
        if count < 1:
            self.rotation_ = np.zeros((block.shape[1], 0))
        elif self.how == "pca":
            _, _, directions = np.linalg.svd(block - self.mean_, full_matrices=False)
            self.rotation_ = _signed(directions[:count].T)
        else:
            target = (y - y.mean()).astype(float)
            self.rotation_ = PLSRegression(count, scale=False).fit(block - self.mean_, target).x_rotations_
        scores = (block - self.mean_) @ self.rotation_
        deviation = scores.std(axis=0)
        self.rotation_ = self.rotation_ / np.where(deviation > 1e-9, deviation, 1.0)

    def _apply(self, X: Rows, context: RowContext | None) -> Prepared:
        return np.hstack([X[:, self.others_], (X[:, self.columns_] - self.mean_) @ self.rotation_])

    def _names_out(self, names: Names) -> Names:
        components = [f"{PREFIX}{self.how}_{number}" for number in range(1, self.rotation_.shape[1] + 1)]
        return np.array([*names[self.others_], *components], dtype=object)


def _signed(directions: Float[np.ndarray, "p q"]) -> Float[np.ndarray, "p q"]:
    # The sign of a direction is chance: its largest entry is made positive.
    largest = np.abs(directions).argmax(axis=0)
    return directions * np.sign(directions[largest, np.arange(directions.shape[1])])
