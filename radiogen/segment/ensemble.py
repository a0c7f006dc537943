"""Several networks, one answer: means of probabilities, votes of masks, STAPLE, and one network per region."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import SimpleITK
from jaxtyping import Float32

from radiogen.config.postprocess import PostprocessSettings
from radiogen.config.recipes import RecipeEnsemble
from radiogen.errors import ConfigError, InputError
from radiogen.segment.lesion import bounding_box
from radiogen.segment.postprocess import postprocess
from radiogen.types import ED, ET, NCR, RC, REGIONS, LabelVolume, Mask, Volume

Probabilities = Mapping[str, np.ndarray]
"""Region -> probability on the canonical voxels of a case."""

_INWARDS = np.array([0, RC, ED, NCR, ET], dtype=np.uint8)
"""Labels from outside to inside."""

_STAPLE_MARGIN = 1
_STAPLE_ITERATIONS = 100


def combine(
    members: Mapping[str, Probabilities],
    ensemble: RecipeEnsemble,
    settings: PostprocessSettings,
    voxel_ml: float,
    cluster: int | None = None,
) -> LabelVolume:
    """Return the labels of an ensemble as a recipe describes it.

    Means and `per-region` join probabilities and are postprocessed once. `majority`, `planes` and `staple` join masks: each member is
    postprocessed by itself, then the masks are joined.

    Args:
        members: training -> its region probabilities, all on the same voxels.
        ensemble: the method and its weights or choices.
        settings: postprocessing.
        voxel_ml: volume of a voxel, ml.
        cluster: the case's cluster, where `settings` has rules for clusters.

    Raises:
        ConfigError: weights or choices do not fit the members.
        InputError: there are no members, or they do not fit each other.

    Example:
        >>> a, b = {"wt": np.full((1, 1, 2), 0.9)}, {"wt": np.array([[[0.2, 0.0]]])}
        >>> weighted = RecipeEnsemble(method="weighted", weights={"a": 0.25, "b": 0.75})
        >>> combine({"a": a, "b": b}, RecipeEnsemble(), PostprocessSettings(), 0.001).tolist()
        [[[2, 0]]]
        >>> combine({"a": a, "b": b}, weighted, PostprocessSettings(), 0.001).tolist()
        [[[0, 0]]]
    """
    if not members:
        raise InputError("An ensemble needs at least one member.")
    if ensemble.method in ("mean", "weighted", "per-region"):
        return postprocess(combine_probabilities(members, ensemble), settings, voxel_ml, cluster)
    labels = [postprocess(member, settings, voxel_ml, cluster) for member in members.values()]
    if ensemble.method == "planes":
        return plane_vote(labels)
    return majority_vote(labels) if ensemble.method == "majority" else staple_labels(labels)


def combine_probabilities(members: Mapping[str, Probabilities], ensemble: RecipeEnsemble) -> dict[str, Volume]:
    """Return the probabilities of an ensemble that averages them or takes each region from one member.

    Raises:
        ConfigError: weights or choices do not fit the members, or the method joins masks.
        InputError: the members do not fit each other.
    """
    if ensemble.method == "mean":
        return mean_probabilities(list(members.values()))
    if ensemble.method == "weighted":
        if set(ensemble.weights) != set(members):
            raise ConfigError(
                f"The weights are for {_names(ensemble.weights)}, the networks are {_names(members)}.",
                hint="Give one weight for each.",
            )
        return mean_probabilities(list(members.values()), [ensemble.weights[name] for name in members])
    if ensemble.method == "per-region":
        return pick_per_region(members, ensemble.regions)
    raise ConfigError(f"The ensemble '{ensemble.method}' joins masks, not probabilities.", hint="Use mean or weighted.")


def mean_probabilities(
    members: Sequence[Probabilities], weights: Sequence[float] | None = None
) -> dict[str, Float32[np.ndarray, "i j k"]]:
    """Return the weighted mean of each region over the members that have it.

    Args:
        members: region -> probability, all on the same voxels.
        weights: one per member, zero or more, of any sum; None: equal.

    Raises:
        InputError: no members, shapes that differ, or weights that do not fit.

    Source: weighted mean of nnU-Net (0.4722) and MedNeXt (0.5278), first place of BraTS-Africa 2024.

    Example:
        >>> a, b = {"wt": np.full((1, 1, 1), 0.2)}, {"wt": np.full((1, 1, 1), 0.8), "et": np.full((1, 1, 1), 0.4)}
        >>> {name: round(float(p[0, 0, 0]), 2) for name, p in mean_probabilities([a, b], [1.0, 3.0]).items()}
        {'wt': 0.65, 'et': 0.4}
    """
    shares = [1.0] * len(members) if weights is None else [float(weight) for weight in weights]
    if not members or len(shares) != len(members) or min(shares) < 0 or not np.isfinite(shares).all():
        raise InputError(
            f"{len(members)} networks and the weights {shares}: one weight, 0 or more, for each is accepted."
        )
    _check_shapes(members)
    total: dict[str, np.ndarray] = {}
    weight_of: dict[str, float] = {}
    for member, share in zip(members, shares, strict=True):
        for name, probability in member.items():
            part = np.asarray(probability, dtype=np.float32) * np.float32(share)
            total[name] = total[name] + part if name in total else part
            weight_of[name] = weight_of.get(name, 0.0) + share
    nothing = [name for name, weight in weight_of.items() if weight == 0]
    if nothing:
        raise InputError(
            f"The weights of all networks that know {_names(nothing)} are 0.", hint="Give one of them a weight."
        )
    return {name: values / np.float32(weight_of[name]) for name, values in total.items()}


def weights_from_scores(scores: Mapping[str, float]) -> dict[str, float]:
    """Return weights in proportion to scores of cross-validation; they sum to 1.

    Args:
        scores: network -> mean Dice or another score above 0; higher is better.

    Raises:
        InputError: a score is not a number above 0.

    Source: as the weights of the first place of BraTS-Africa 2024, whose equation is not in what we read: proportion is our reading.

    Example:
        >>> weights_from_scores({"a": 0.75, "b": 0.25})
        {'a': 0.75, 'b': 0.25}
    """
    bad = [f"{name}: {score}" for name, score in scores.items() if not (np.isfinite(score) and score > 0)]
    if bad or not scores:
        raise InputError("Weights need one score above 0 for every network:", problems=bad)
    total = sum(scores.values())
    return {name: score / total for name, score in scores.items()}


def pick_per_region(members: Mapping[str, Probabilities], choice: Mapping[str, str]) -> dict[str, Volume]:
    """Return each region's probability from the member that is chosen for it.

    Args:
        members: training -> its region probabilities, all on the same voxels.
        choice: region -> training.

    Raises:
        ConfigError: a choice names no member, or one that does not know the region.
        InputError: shapes differ.

    Source: WT by nnSegNet and TC, ET by nnU-Net, BraTS 2021; one network per region, residual 3D U-Net with localisation, BraTS 2021.

    Example:
        >>> one = {"wt": np.zeros((1, 1, 1)), "et": np.zeros((1, 1, 1))}; two = {"wt": np.ones((1, 1, 1))}
        >>> float(pick_per_region({"one": one, "two": two}, {"wt": "two", "et": "one"})["wt"][0, 0, 0])
        1.0
    """
    problems = [
        f"{region} from '{name}'"
        for region, name in choice.items()
        if name not in members or region not in members[name]
    ]
    if problems or not choice:
        known = [f"'{name}' knows {_names(member)}" for name, member in members.items()]
        raise ConfigError("The choice of networks per region does not fit:", problems=[*problems, *known])
    picked = {region: np.asarray(members[name][region], dtype=np.float32) for region, name in choice.items()}
    _check_shapes([picked])
    return picked


def majority_vote(labels: Sequence[LabelVolume]) -> LabelVolume:
    """Return the label that most members give each voxel.

    Ties are settled region by region: a voxel is tumour where more than half of the members say tumour, core where more than half say core, enhancing
    where more than half say enhancing. So of background, oedema and enhancing, one vote each, oedema wins: the label in the middle. Half is not more
    than half: of two members that differ, the outer one wins.

    Args:
        labels: one label map per member, on the same voxels.

    Raises:
        InputError: no members, or shapes that differ.

    Source: majority vote of the multi-plane UNet++, BraTS 2021; its rule for ties is not given, this one is ours.

    Example:
        >>> votes = [[0, 2, 0, 3], [2, 2, 3, 3], [3, 2, 3, 1]]
        >>> majority_vote([np.array([[vote]], np.uint8) for vote in votes]).tolist()
        [[[2, 2, 3, 3]]]
    """
    _check_maps(labels)
    votes = np.stack([sum((one == label).astype(np.uint16) for one in labels) for label in _INWARDS])
    most = votes.max(axis=0)
    winner = votes.argmax(axis=0)
    tied = (votes == most).sum(axis=0) > 1
    if tied.any():
        # The label that more than half of the members reach from inside: the (lower) median on the way inwards.
        reached = 2 * votes[::-1, tied].cumsum(axis=0)[::-1] > len(labels)
        winner[tied] = np.where(reached, np.arange(len(_INWARDS))[:, None], 0).max(axis=0)
    return _INWARDS[winner]


def plane_vote(labels: Sequence[LabelVolume]) -> LabelVolume:
    """Return the vote of three 2D networks whose slices were put together to volumes, one per plane (axial, coronal, sagittal).

    Raises:
        InputError: there are not three maps, or shapes differ.

    Source: multi-plane UNet++, BraTS 2021. Ties as in `majority_vote`.
    """
    if len(labels) != 3:
        raise InputError(
            f"A vote of planes needs three label maps, axial, coronal and sagittal; there are {len(labels)}."
        )
    return majority_vote(labels)


def staple_labels(labels: Sequence[LabelVolume]) -> LabelVolume:
    """Return the labels on which STAPLE agrees, region by region and nested; the resection cavity by majority vote.

    Args:
        labels: one label map per member, on the same voxels.

    Raises:
        InputError: no members, or shapes that differ.

    Source: STAPLE over three networks, DeepSeg and nnU-Net ensemble of BraTS 2021.

    Example:
        >>> votes = np.zeros((3, 4, 4, 4), np.uint8); votes[:, 1:3, 1:3, 1:3] = 2; votes[2, 0, 0, 0] = 2
        >>> int((staple_labels(list(votes)) > 0).sum())
        8
    """
    _check_maps(labels)
    agreed: dict[str, np.ndarray] = {}
    for name in REGIONS:
        agreed[name] = staple([_region(one, name) for one in labels])
    if any((one == RC).any() for one in labels):
        agreed["rc"] = np.stack([one == RC for one in labels]).mean(axis=0, dtype=np.float32)
    return postprocess(agreed, PostprocessSettings(nested="outer-wins"), 1.0)


def staple(masks: Sequence[Mask]) -> Float32[np.ndarray, "i j k"]:
    """Return the probability that a voxel belongs to the region, from masks of raters whose sensitivity and specificity are estimated with it.

    It is computed in the box around all masks and one voxel more, so that background far away does not make every rater look specific; where
    all masks are empty it is 0, and where all agree it is what they say. Raters are taken to err independently: two that are copies of each other
    look better than they are.

    Args:
        masks: one per rater, on the same voxels.

    Raises:
        InputError: no masks, or shapes that differ.

    Source: Warfield et al. 2004, IEEE TMI 23:903, in SimpleITK.
    """
    _check_maps(masks)
    union = np.any(masks, axis=0)
    probability = np.zeros(union.shape, dtype=np.float32)
    if not union.any():
        return probability
    if all(np.array_equal(masks[0], other) for other in masks[1:]):
        return masks[0].astype(np.float32)
    box = bounding_box(union)
    # The margin is added, not cut from the volume: there is background even where a mask fills the volume.
    images = [SimpleITK.GetImageFromArray(np.pad(mask[box], _STAPLE_MARGIN).astype(np.uint8)) for mask in masks]
    estimate = SimpleITK.STAPLEImageFilter()
    estimate.SetForegroundValue(1.0)
    estimate.SetMaximumIterations(_STAPLE_ITERATIONS)
    found = SimpleITK.GetArrayFromImage(estimate.Execute(images))
    inner = slice(_STAPLE_MARGIN, -_STAPLE_MARGIN)
    probability[box] = found[inner, inner, inner]
    return probability


def _region(labels: LabelVolume, name: str) -> Mask:
    if name == "et":
        return labels == ET
    return (labels == NCR) | (labels == ET) if name == "tc" else (labels > 0) & (labels != RC)


def _check_maps(maps: Sequence[np.ndarray]) -> None:
    if not maps:
        raise InputError("A vote needs at least one mask.")
    _check_shapes([{str(number): one for number, one in enumerate(maps)}])


def _check_shapes(members: Sequence[Probabilities]) -> None:
    shapes = sorted({np.shape(values) for member in members for values in member.values()})
    if len(shapes) > 1:
        raise InputError(
            f"The members of the ensemble do not share their voxels; shapes {', '.join(map(str, shapes))}.",
            hint="Bring them to one grid first.",
        )


def _names(names: object) -> str:
    return ", ".join(sorted(map(str, names))) if isinstance(names, Mapping | list) else str(names)
