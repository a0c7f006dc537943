"""Clusters of tumours: radiomics of the whole tumour -> scaling -> principal components -> k-means, kept as plain numbers."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Float
from pydantic import Field, ValidationError
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import silhouette_score

from radiogen.config.base import StageSettings
from radiogen.config.features import RadiomicsSettings
from radiogen.config.folds import FoldsSettings
from radiogen.errors import InputError

_STARTS = 20
_LEAST_CASES = 3
"""Fewer cases than this have no silhouette and are one cluster."""


def cluster_radiomics(settings: FoldsSettings) -> RadiomicsSettings:
    """Return what is measured for the clusters: the whole tumour, no filters; 14 shape features, and 93 of intensity and texture per sequence.

    Example:
        >>> cluster_radiomics(FoldsSettings()).regions
        ('wt',)
    """
    return RadiomicsSettings(image_types={"Original": {}}, regions=("wt",), sequences=settings.sequences)


class ClusterModel(StageSettings):
    """A fitted clustering as plain numbers, so that the cluster of a new case can be told from its file.

    A feature's missing value is its median; it is scaled to (value - mean) / scale; the scaled features give the principal components; a case's
    cluster is that of the nearest centre.

    Example:
        >>> model = ClusterModel(features=("a",), median=(1.0,), mean=(1.0,), scale=(2.0,), components=((1.0,),), explained_variance=(1.0,),
        ...                      centres=((0.0,), (2.0,)))
        >>> model.predict(pd.DataFrame({"a": [1.0, 5.5, None]})).tolist()
        [0, 1, 0]
    """

    features: tuple[str, ...]
    """Columns of the radiomics table, in this order."""

    median: tuple[float, ...]
    """Per feature, what stands in for a missing value."""

    mean: tuple[float, ...]
    """Per feature."""

    scale: tuple[float, ...]
    """Per feature, its standard deviation (with n in the denominator)."""

    components: tuple[tuple[float, ...], ...]
    """Per principal component, its weight of every scaled feature."""

    explained_variance: tuple[float, ...]
    """Per principal component, its share of the variance."""

    centres: tuple[tuple[float, ...], ...] = Field(min_length=1)
    """Per cluster, its centre in principal components; clusters are numbered by size, the largest first."""

    silhouettes: dict[int, float] = Field(default_factory=dict)
    """Number of clusters that was tried -> mean silhouette."""

    not_chosen: dict[int, str] = Field(default_factory=dict)
    """Number of clusters that was tried -> why it could not be chosen."""

    def scores_of(self, features: pd.DataFrame) -> pd.DataFrame:
        """Return the principal components of cases.

        Args:
            features: radiomics, one row per case; a column that is missing is missing for every case.

        Raises:
            InputError: no column of the model is there.
        """
        if not any(name in features.columns for name in self.features):
            raise InputError(
                "The features are not those of the clusters.",
                problems=[f"expected {len(self.features)} such as {', '.join(self.features[:2])}"],
                hint="Make them with the settings of `cluster_radiomics`.",
            )
        values = features.reindex(columns=list(self.features)).to_numpy(dtype=float)
        values = np.where(np.isfinite(values), values, np.array(self.median))
        scaled = (values - np.array(self.mean)) / np.array(self.scale)
        names = [f"pc{number}" for number in range(1, len(self.components) + 1)]
        # One dot product per number, so that a case's scores do not depend on which cases stand beside it.
        scores = np.einsum("nf,cf->nc", scaled, np.array(self.components))
        return pd.DataFrame(scores, index=features.index, columns=names)

    def predict(self, features: pd.DataFrame) -> pd.Series:
        """Return the cluster of every case.

        Args:
            features: radiomics, one row per case.

        Raises:
            InputError: no column of the model is there.
        """
        scores = self.scores_of(features).to_numpy()
        apart = np.linalg.norm(scores[:, None, :] - np.array(self.centres)[None], axis=2)
        return pd.Series(apart.argmin(axis=1), index=features.index, name="cluster")

    @classmethod
    def load(cls, path: Path) -> ClusterModel:
        """Return the model of a `folds.json`, or of a file that holds a model alone.

        Raises:
            InputError: it cannot be read, or holds no model.
        """
        try:
            values = json.loads(Path(path).read_text(encoding="utf-8"))
            return cls.model_validate(values.get("model", values))
        except (OSError, ValueError, AttributeError, ValidationError) as error:
            raise InputError(
                f"{path} holds no clusters of tumours: {str(error).splitlines()[0]}",
                hint="Give the folds.json of `radiogen folds`.",
            ) from error


def fit_clusters(features: pd.DataFrame, settings: FoldsSettings, patient: pd.Series | None = None) -> ClusterModel:
    """Fit clusters to the radiomics of whole tumours; the result does not depend on the order of the rows.

    Columns that no case has, or that do not vary, are left out. k is the number of clusters with the highest mean silhouette among those whose
    smallest cluster has enough patients; where there is none, all cases are one cluster.

    Args:
        features: one row per case.
        settings: variance, range of k, seed.
        patient: per case; None: every case is a patient.

    Raises:
        InputError: there are no cases, or no column varies.

    Source: Rousseeuw 1987, J Comput Appl Math 20:53 (silhouette); first place of BraTS-Africa 2024 (the steps).
    """
    table = features.sort_index()
    patients = (
        pd.Series(table.index, index=table.index) if patient is None else patient.reindex(table.index)
    ).to_numpy()
    table = table.loc[:, table.nunique(dropna=True) > 1].astype(float).replace([np.inf, -np.inf], np.nan)
    if table.shape[1] == 0:
        raise InputError(f"No radiomics feature varies among {len(table)} case(s); there is nothing to cluster.")
    median = table.median()
    filled = table.fillna(median)
    scale = filled.std(ddof=0)
    varies = scale > 1e-12 * filled.abs().max().clip(lower=1e-300)
    filled, median, scale = filled.loc[:, varies], median[varies], scale[varies]
    mean = filled.mean()
    pca = PCA(settings.variance, svd_solver="full")
    scores = pca.fit_transform(((filled - mean) / scale).to_numpy())
    chosen, silhouettes, refused = _choose(scores, patients, settings)
    return ClusterModel(
        features=tuple(filled.columns),
        median=_numbers(median), mean=_numbers(mean), scale=_numbers(scale),
        components=tuple(_numbers(row) for row in pca.components_),
        explained_variance=_numbers(pca.explained_variance_ratio_),
        centres=tuple(_numbers(row) for row in _centres(scores, chosen)),
        silhouettes=silhouettes,
        not_chosen=refused,
    )  # fmt: skip


def _choose(
    scores: Float[np.ndarray, "n c"], patients: np.ndarray, settings: FoldsSettings
) -> tuple[np.ndarray, dict[int, float], dict[int, str]]:
    """Return the cluster of every case for the chosen k, the silhouette of every k, and why some k were refused."""
    silhouettes: dict[int, float] = {}
    refused: dict[int, str] = {}
    labels = {1: np.zeros(len(scores), dtype=int)}
    distinct = len(np.unique(scores.round(12), axis=0))
    wanted = range(settings.least_clusters, settings.most_clusters + 1)
    for k in wanted if settings.clusters is None else [settings.clusters]:
        if k == 1:
            continue
        if len(scores) < _LEAST_CASES or k > min(len(scores) - 1, distinct):
            refused[k] = f"too few cases ({len(scores)})"
            continue
        labels[k] = _k_means(scores, k, settings.seed)
        silhouettes[k] = float(silhouette_score(scores, labels[k]))
        smallest = min(len(set(patients[labels[k] == number])) for number in range(k))
        if settings.clusters is None and smallest < settings.smallest_cluster:
            refused[k] = f"its smallest cluster has {smallest} patient(s)"
    if settings.clusters is not None and settings.clusters not in labels:
        raise InputError(f"{len(scores)} cases cannot make {settings.clusters} clusters.", hint="Ask for fewer.")
    able = [k for k in silhouettes if k not in refused]
    best = max(able, key=lambda k: silhouettes[k], default=1)
    return labels[best], silhouettes, refused


def _k_means(scores: Float[np.ndarray, "n c"], k: int, seed: int) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # says that points coincide; they are counted before
        return np.asarray(KMeans(k, n_init=_STARTS, random_state=seed).fit_predict(scores))


def _centres(scores: Float[np.ndarray, "n c"], labels: np.ndarray) -> Float[np.ndarray, "k c"]:
    """Return the means of the clusters, the largest first; of equally large ones, the one with the smaller first component."""
    means = {number: scores[labels == number].mean(axis=0) for number in np.unique(labels)}
    order = sorted(means, key=lambda number: (-int((labels == number).sum()), tuple(means[number])))
    return np.stack([means[number] for number in order])


def _numbers(values: object) -> tuple[float, ...]:
    return tuple(float(value) for value in np.asarray(values))
