"""Clusters of voxels: k-means, labels matched across splits, stability, and whether there are any clusters at all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
from jaxtyping import Float, Integer
from scipy.optimize import linear_sum_assignment
from sklearn.cluster import KMeans, MiniBatchKMeans
from sklearn.metrics import calinski_harabasz_score, silhouette_score
from threadpoolctl import threadpool_limits

from radiogen.branches.habitats.voxels import Centres, Codes, Rows

Labels = Integer[np.ndarray, " n"]
"""Cluster of each voxel, from 0."""

Patients = Integer[np.ndarray, " n"]
"""Number of each voxel's patient."""

LEAST_GAIN = 0.1
"""Part by which the spread inside clusters must be smaller than in every reference: several numbers are tried, and one would win by a hair."""

STABLE_LOSS = 0.02
"""A smaller stability loss is stable whatever a reference reaches: few clusters of a long cloud are cut the same way every time, too."""

UNSTABLE_LOSS = 0.2
"""A larger stability loss is refused even where structureless data do worse: a fifth of the voxels depends on who was learned from."""

SHALLOW_VALLEY = 0.65
"""Where the line between two habitats' centres is filled more than this, they are one: the number is refused."""

_WINDOW = 0.1
_MANY = 50_000
_ROWS_AT_ONCE = 65_536
_SILHOUETTE_VOXELS = 2000


def fit_centres(rows: Codes, k: int, seed: int, starts: int = 3) -> Centres:
    """Return the centres of k clusters by k-means; by its mini-batch form where there are more than 50,000 voxels.

    Args:
        rows: codes of voxels.
        k: clusters.
        seed: of the starts.
        starts: the best of so many is kept.

    Source: Lloyd 1982, IEEE Trans Inf Theory 28:129; k-means++: Arthur and Vassilvitskii 2007; mini-batch: Sculley 2010, WWW:1177.
    """
    kind = MiniBatchKMeans if len(rows) > _MANY else KMeans
    # One thread: sums of several arrive in no fixed order, and the last bits with them.
    with threadpool_limits(1):
        fitted = kind(n_clusters=k, n_init=starts, random_state=seed).fit(rows)
    return np.asarray(fitted.cluster_centers_, dtype=np.float32)


def nearest(rows: Codes, centres: Centres) -> Labels:
    """Return which centre each voxel is nearest to; memory is bounded.

    Example:
        >>> nearest(np.array([[0.1], [0.9]], np.float32), np.array([[0.0], [1.0]], np.float32)).tolist()
        [0, 1]
    """
    half = 0.5 * (centres.astype(np.float64) ** 2).sum(1)
    found = [
        np.argmin(half - rows[start : start + _ROWS_AT_ONCE] @ centres.T.astype(np.float64), axis=1)
        for start in range(0, len(rows), _ROWS_AT_ONCE)
    ]
    return np.concatenate(found) if found else np.zeros(0, dtype=np.int64)


def matched_mismatch(one: Labels, other: Labels, k: int) -> float:
    """Return the share of voxels that two clusterings label differently, after the labels of one are matched to the other's in the best way.

    Args:
        one: labels from 0 to k - 1.
        other: the same voxels' labels.
        k: clusters.

    Source: the stability loss of the habitat paper (minimal Hamming distance over permutations); matching: Kuhn 1955, Nav Res Logist Q 2:83.

    Example:
        >>> matched_mismatch(np.array([0, 0, 1, 1]), np.array([1, 1, 0, 1]), 2)
        0.25
    """
    return float((matched(one, other, k)[one] != other).mean()) if len(one) else 0.0


def matched(one: Labels, other: Labels, k: int) -> Integer[np.ndarray, " k"]:
    """Return for each label of one clustering its label in another, so that most voxels agree.

    Args:
        one: labels from 0 to k - 1.
        other: the same voxels' labels.
        k: clusters.

    Source: Kuhn 1955, Nav Res Logist Q 2:83 (the assignment problem).

    Example:
        >>> matched(np.array([0, 0, 1]), np.array([1, 1, 0]), 2).tolist()
        [1, 0]
    """
    together = np.bincount(one * k + other, minlength=k * k).reshape(k, k)
    return np.asarray(linear_sum_assignment(-together)[1])


def stability_loss(
    rows: Codes, who: Patients, k: int, *, splits: int, share: float, seed: int, learn: np.ndarray | None = None
) -> float:
    """Return how differently two halves of the patients would divide the second half's voxels: 0 is the same, 1 nothing in common.

    Args:
        rows: codes of voxels.
        who: number of each voxel's patient.
        k: clusters.
        splits: repeated splits; the mean is returned.
        share: of the patients on the first side.
        seed: of splits and starts.
        learn: which voxels the clusters are learned from (the quantile filter's); all are compared.
    """
    use = np.ones(len(rows), dtype=bool) if learn is None else learn
    patients = np.unique(who)
    n_first = min(max(round(share * len(patients)), 1), len(patients) - 1)
    losses = []
    for split in range(splits):
        rng = np.random.default_rng([seed, split])
        first = np.isin(who, rng.permutation(patients)[:n_first])
        sides = [first & use, ~first & use]
        if min(int(side.sum()) for side in sides) < k:
            return 1.0
        ours, theirs = (fit_centres(rows[side], k, seed + split, starts=2) for side in sides)
        there = rows[~first]
        losses.append(matched_mismatch(nearest(there, ours), nearest(there, theirs), k))
    return float(np.mean(losses))


def structureless(rows: Rows, who: Patients, seed: int) -> Rows:
    """Return made-up voxels without habitats: every patient's are one Gaussian cloud with that patient's own mean and covariance, cut to -1..1.

    What patients differ in, such as scanners, stays in; what a tumour's parts differ in goes. Number of voxels and patients stay the same.

    Args:
        rows: scaled maps, -1..1.
        who: number of each voxel's patient.
        seed: of the draw.

    Source: the Gaussian null of SigClust, Liu et al. 2008, J Am Stat Assoc 103:1281, taken patient by patient; the comparison with it follows the
        gap statistic, Tibshirani et al. 2001, J R Stat Soc B 63:411.
    """
    rng = np.random.default_rng(seed)
    made = np.empty_like(rows)
    for patient in np.unique(who):
        own = who == patient
        values = rows[own].astype(np.float64)
        spread = np.atleast_2d(np.cov(values, rowvar=False)) if len(values) > 1 else np.zeros((rows.shape[1],) * 2)
        made[own] = rng.multivariate_normal(values.mean(0), spread, size=len(values), method="svd")
    return np.clip(made, -1, 1).astype(np.float32)


def dispersion(rows: Codes, k: int, seed: int) -> float:
    """Return the share of the voxels' spread that is left inside k clusters: 0 where clusters are points, 1 where they explain nothing.

    Source: the cluster index of SigClust, Liu et al. 2008, J Am Stat Assoc 103:1281.
    """
    centres = fit_centres(rows, k, seed)
    left = ((rows - centres[nearest(rows, centres)]).astype(np.float64) ** 2).sum()
    return float(left / max(((rows - rows.mean(0)).astype(np.float64) ** 2).sum(), 1e-12))


def filled_valley(rows: Rows, labels: Labels, k: int) -> float:
    """Return how densely voxels lie half-way between two clusters, beside the thinner of the two clusters' peaks; of the pair where that is most.

    k-means cuts a cloud without parts, too, and the cuts of an even or skewed cloud can be tight and stable. But at such a cut there are as many
    voxels as beside it (1), while there are few between two kinds of tissue (near 0). It is counted in the maps, not in the encoder's codes: an
    encoder can tear a cloud apart.

    Args:
        rows: scaled maps.
        labels: cluster of each voxel.
        k: clusters.

    Source: the separability of clusters along the ridge between their modes, Li, Ray and Lindsay 2007, J Mach Learn Res 8:1687; here counted in
        windows along the straight line between the two centres.

    Example:
        >>> rows = np.r_[np.linspace(-1, -0.8, 90), np.linspace(0.8, 1, 90)].astype(np.float32)[:, None]
        >>> filled_valley(rows, np.repeat([0, 1], 90), 2)
        0.0
    """
    parts = [rows[labels == each].astype(np.float64) for each in range(k)]
    if min(map(len, parts)) < 2:
        return 1.0
    return max(_filled_between(one, other) for one, other in combinations(parts, 2))


def _filled_between(one: Float[np.ndarray, "n m"], other: Float[np.ndarray, "p m"]) -> float:
    way = other.mean(0) - one.mean(0)
    along = np.sort((np.concatenate([one, other]) - one.mean(0)) @ way / max(float(way @ way), 1e-12))

    def counts(start: float, stop: float) -> Float[np.ndarray, " w"]:
        at = np.arange(start, stop + _WINDOW / 2, _WINDOW)
        return (np.searchsorted(along, at + _WINDOW) - np.searchsorted(along, at - _WINDOW)).astype(float)

    peak = min(counts(-0.2, 0.3).max(), counts(0.7, 1.2).max())
    return float(min(counts(0.3, 0.7).min() / max(peak, 1.0), 1.0))


@dataclass(frozen=True)
class ClusterCheck:
    """Whether a number of habitats stands.

    Args:
        k: habitats.
        valley: `filled_valley` of the data.
        stability_loss: of the data.
        reference_stability: stability losses of structureless data; empty where the number falls without them.
        dispersion: of the data.
        reference_dispersion: of structureless data.
        silhouette: mean silhouette width on a sample, -1 to 1.
        calinski_harabasz: ratio of spread between to spread within; its size depends on the code's scale.
    """

    k: int
    valley: float
    stability_loss: float
    reference_stability: tuple[float, ...]
    dispersion: float
    reference_dispersion: tuple[float, ...]
    silhouette: float
    calinski_harabasz: float

    @property
    def gap(self) -> float:
        """Return the gap statistic: by how much log dispersion is lower than without structure.

        Source: Tibshirani et al. 2001, J R Stat Soc B 63:411, with the reference of `structureless`.
        """
        return float(
            np.mean(np.log(np.maximum(self.reference_dispersion, 1e-12))) - np.log(max(self.dispersion, 1e-12))
        )

    @property
    def reasons(self) -> list[str]:
        """Return why the number is refused, one sentence each; nothing where it stands."""
        found = self.reasons_without_references
        lowest = min(self.reference_dispersion)
        if self.dispersion >= (1 - LEAST_GAIN) * lowest:
            found.append(
                f"voxels are hardly nearer to {self.k} centres ({self.dispersion:.3f} of their spread is left) than in "
                f"data without habitats (from {lowest:.3f})"
            )
        if self.reference_stability and self.stability_loss >= max(min(self.reference_stability), STABLE_LOSS):
            found.append(
                f"{self.k} habitats are no more stable (loss {self.stability_loss:.3f}) than in data without any "
                f"(from {min(self.reference_stability):.3f})"
            )
        return found

    @property
    def reasons_without_references(self) -> list[str]:
        """Return those of the reasons that the data alone give."""
        found = []
        if self.valley > SHALLOW_VALLEY:
            found.append(
                f"of {self.k} habitats two are no two: half-way between them voxels are {self.valley:.0%} as dense as at them"
            )
        if self.stability_loss > UNSTABLE_LOSS:
            found.append(f"{self.k} habitats are unstable: {self.stability_loss:.0%} of the voxels change theirs")
        return found


def check_clusters(
    scaled: Rows,
    who: Patients,
    k: int,
    encode: Callable[[np.ndarray], np.ndarray],
    *,
    splits: int,
    share: float,
    n_references: int,
    seed: int,
) -> ClusterCheck:
    """Compare k clusters of voxels with those that k-means finds in data without any.

    Args:
        scaled: voxels of training patients, maps in -1..1.
        who: number of each voxel's patient.
        k: clusters.
        encode: the learned encoder; the reference passes it as the data do.
        splits: of the stability loss.
        share: of it.
        n_references: structureless data sets.
        seed: of everything.
    """
    rows = encode(scaled)
    references = [encode(structureless(scaled, who, seed + 1000 + number)) for number in range(n_references)]
    labels = nearest(rows, fit_centres(rows, k, seed))
    shown = np.random.default_rng(seed).permutation(len(rows))[:_SILHOUETTE_VOXELS]
    several = len(np.unique(labels[shown])) > 1
    check = ClusterCheck(
        k,
        filled_valley(scaled, labels, k),
        stability_loss(rows, who, k, splits=splits, share=share, seed=seed),
        (),
        dispersion(rows, k, seed),
        tuple(dispersion(each, k, seed) for each in references),
        float(silhouette_score(rows[shown], labels[shown])) if several else float("nan"),
        float(calinski_harabasz_score(rows[shown], labels[shown])) if several else float("nan"),
    )
    if check.reasons:
        return check  # it falls anyway, and this is where the time goes
    losses = tuple(stability_loss(each, who, k, splits=splits, share=share, seed=seed) for each in references)
    return replace(check, reference_stability=losses)
