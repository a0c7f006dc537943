"""Columns that are predictions themselves: each training side has values of its own, made without any test row."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
from jaxtyping import Float
from scipy.special import logit

from radiogen.errors import InputError
from radiogen.fusion.join import FusionTable
from radiogen.run.provenance import content_hash

IMAGES = "images"
"""Branch of the scores of networks that look at images; the folder of their model beside the fused one."""

IMAGE_SCORE = "image_score"
"""Its column: log-odds of the positive class."""

GRAPHS = "graphs"
"""The same of networks that look at brain networks."""

GRAPH_SCORE = "graph_score"
"""Its column."""

HABITATS = "habitats"
"""Branch of the habitats that are learned in every training side; the folder of their model beside the classifier."""

_EPSILON = 1e-6


def training_key(cases: Iterable[str]) -> str:
    """Return the name of a training side: it depends on its cases and not on their order.

    Example:
        >>> training_key(["b", "a"]) == training_key(["a", "b"]) != training_key(["a"])
        True
    """
    return content_hash(sorted(str(case) for case in cases))


def score_table(cases: pd.Index, probability: Float[np.ndarray, " n"], column: str = IMAGE_SCORE) -> pd.DataFrame:
    """Return the branch of networks' scores: log-odds, so that the last hundredths count as they should.

    Args:
        cases: case ids.
        probability: of the positive class.
        column: name of the scores.

    Example:
        >>> score_table(pd.Index(["a"]), np.array([0.5]))["image_score"].tolist()
        [0.0]
    """
    return pd.DataFrame({column: logit(np.clip(probability, _EPSILON, 1 - _EPSILON))}, index=cases)


def with_inner_scores(table: FusionTable, scores: Mapping[str, pd.DataFrame], notes: Sequence[str] = ()) -> FusionTable:
    """Return a table whose score columns have other values for every training side.

    Args:
        table: with those columns; its own values are those for a training on all cases.
        scores: `training_key` -> values for every case of the table: of training rows by models that did not see the row (inner folds of that
            training side), of the others by a model of the whole training side.
        notes: what a reader must know of them.

    Source: Wolpert, Neural Networks 1992, 5:241 (stacked generalisation).
    """
    return replace(table, scores=dict(scores), notes=[*table.notes, *notes])


def as_trained(table: FusionTable, train: np.ndarray) -> FusionTable:
    """Return the table as it is for one training side; unchanged where no column is a prediction.

    Args:
        table: features with labels.
        train: row positions of the training side.

    Raises:
        InputError: there are score columns, and no scores for this training side.
    """
    if not table.scores or len(train) == len(table.y):
        return table
    found = table.scores.get(training_key(table.features.index[train]))
    if found is None:
        raise InputError(
            f"There are no scores of inner folds for a training side of {len(train)} cases; there are for {len(table.scores)} other ones.",
            hint="Columns that are predictions need scores for every split; leave out options that draw further splits.",
        )
    features = table.features.copy()
    features[list(found.columns)] = found.reindex(features.index).to_numpy(dtype=float)
    return replace(table, features=features, scores={})
