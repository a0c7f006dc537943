"""From region probabilities to one label map, in a written order.

1. Thresholds: each region is where its probability exceeds its own.
2. Conflicts: a table says which label a voxel gets from the regions that hold it (`nested`, `conflicts`); from here on regions are nested.
3. Components of WT, then TC, then ET, are dropped by size, mean probability or number; a voxel that leaves a region keeps what the regions around
   it say of it.
4. Enhancing tumour that is too little is not believed: by its ratio to the whole tumour, by its volume, by its volume beside that of the necrosis.
5. A resection cavity fills only what is no tumour.
"""

from __future__ import annotations

from collections.abc import Mapping

import cc3d
import numpy as np
from jaxtyping import UInt8

from radiogen.config.postprocess import Becomes, ComponentRule, PostprocessRules, PostprocessSettings
from radiogen.errors import InputError
from radiogen.types import ED, ET, NCR, RC, REGIONS, LabelVolume, Mask

_WT, _TC, _ET = 1, 2, 4
_AROUND = {"wt": 0, "tc": _WT, "et": _WT | _TC}
"""What is left of a voxel's regions when it leaves one."""

_INNER_WINS = {0: 0, _WT: ED, _WT | _TC: NCR, _WT | _TC | _ET: ET, _TC: NCR, _ET: ET, _TC | _ET: ET, _WT | _ET: ET}
_OUTER_WINS = {**_INNER_WINS, _TC: 0, _ET: 0, _TC | _ET: 0, _WT | _ET: ED}
_CONFLICTS = {"tc": _TC, "et": _ET, "tc+et": _TC | _ET, "wt+et": _WT | _ET}
_LABELS = {"background": 0, "ncr": NCR, "ed": ED, "et": ET}

Box = tuple[slice, slice, slice]


def postprocess(
    probabilities: Mapping[str, np.ndarray],
    settings: PostprocessSettings,
    voxel_ml: float,
    cluster: int | None = None,
) -> LabelVolume:
    """Return the label map of one case.

    Args:
        probabilities: region (`wt tc et`, and `rc`) -> probability 0 to 1, all of one three-dimensional shape; a region around others that is
            absent is where those are, an inner one that is absent is empty.
        settings: what is done.
        voxel_ml: volume of a voxel, ml.
        cluster: the case's cluster, where `settings` has rules for clusters.

    Returns:
        Labels 1 NCR, 2 ED, 3 ET, 4 RC.

    Raises:
        InputError: no probabilities, unknown regions, or shapes that differ.

    Source: the order of writing WT, TC and ET is that of the BraTS evaluation regions; the sources of the rules are with their settings.

    Example:
        >>> p = {"wt": np.full((1, 1, 3), 0.9), "tc": np.array([[[0.1, 0.9, 0.6]]]), "et": np.array([[[0.1, 0.2, 0.6]]])}
        >>> postprocess(p, PostprocessSettings(), 0.001).tolist()
        [[[2, 1, 3]]]
        >>> postprocess(p, PostprocessSettings(thresholds={"et": 0.7, "tc": 0.7}), 0.001).tolist()
        [[[2, 1, 2]]]
    """
    shape = _checked_shape(probabilities)
    rules = settings.for_cluster(cluster)
    masks = {name: np.asarray(p) > rules.threshold(name) for name, p in probabilities.items()}
    labels = np.zeros(shape, dtype=np.uint8)
    box = _box([masks[name] for name in REGIONS if name in masks])
    if box is not None:
        inside = {name: np.asarray(p)[box] for name, p in probabilities.items()}
        labels[box] = _tumour(inside, {name: mask[box] for name, mask in masks.items()}, rules, voxel_ml)
    if "rc" in masks:
        labels[_cavity(masks["rc"] & (labels == 0), probabilities["rc"], rules, voxel_ml)] = RC
    return labels


def conflict_table(rules: PostprocessRules) -> UInt8[np.ndarray, " 8"]:
    """Return the label for every combination of regions: index 1 for WT, plus 2 for TC, plus 4 for ET.

    Example:
        >>> conflict_table(PostprocessRules()).tolist()
        [0, 2, 1, 1, 3, 3, 3, 3]
        >>> conflict_table(PostprocessRules(nested="outer-wins")).tolist()
        [0, 2, 0, 1, 0, 2, 0, 3]
        >>> conflict_table(PostprocessRules(nested="outer-wins", conflicts={"wt+et": "et"})).tolist()
        [0, 2, 0, 1, 0, 3, 0, 3]
    """
    labels = dict(_INNER_WINS if rules.nested == "inner-wins" else _OUTER_WINS)
    labels.update({_CONFLICTS[name]: _LABELS[label] for name, label in rules.conflicts.items()})
    return np.array([labels[held] for held in range(8)], dtype=np.uint8)


def kept_components(mask: Mask, probability: np.ndarray, rule: ComponentRule, voxel_ml: float) -> Mask:
    """Return a region without the components (26-neighbourhood) that a rule drops.

    Args:
        mask: the region.
        probability: of the region, on the same voxels.
        rule: which components are kept; of components of one size, the first in scanning order.
        voxel_ml: volume of a voxel, ml.

    Source: filters by size, mean probability and number as in the public code of the BioMbz MedNeXt entry to BraTS 2024.
    """
    if rule == ComponentRule() or not mask.any():
        return mask
    components = cc3d.connected_components(np.ascontiguousarray(mask), connectivity=26)
    sizes = np.bincount(components.ravel())
    kept = (sizes * voxel_ml >= rule.smallest_ml) & (sizes >= rule.smallest_voxels)
    if rule.least_mean_probability > 0:
        sums = np.bincount(components.ravel(), weights=np.asarray(probability, dtype=np.float64).ravel())
        kept &= sums >= rule.least_mean_probability * sizes
    kept[0] = False
    if rule.most is not None:
        largest_first = np.argsort(-np.where(kept, sizes, 0), kind="stable")
        kept[largest_first[rule.most :]] = False
    return np.asarray(kept[components])


def _tumour(
    probabilities: Mapping[str, np.ndarray], masks: Mapping[str, Mask], rules: PostprocessRules, voxel_ml: float
) -> LabelVolume:
    held = _held(masks)
    table = conflict_table(rules)
    labels = table[held]
    for name in REGIONS:
        rule = rules.components.get(name)
        if rule is not None and name in probabilities:
            region = _region(labels, name)
            dropped = region & ~kept_components(region, probabilities[name], rule, voxel_ml)
            labels[dropped] = table[held[dropped] & _AROUND[name]]
    return _enhancement_rules(labels, probabilities, held, rules, voxel_ml)


def _held(masks: Mapping[str, Mask]) -> UInt8[np.ndarray, "i j k"]:
    """Return which regions hold each voxel; an absent region around others is taken to be where those are."""
    et = masks.get("et")
    shape = next(iter(masks.values())).shape
    et = np.zeros(shape, dtype=bool) if et is None else et
    tc = masks.get("tc", et)
    wt = masks.get("wt", tc | et)
    return (wt * np.uint8(_WT) + tc * np.uint8(_TC) + et * np.uint8(_ET)).astype(np.uint8)


def _region(labels: LabelVolume, name: str) -> Mask:
    if name == "et":
        return labels == ET
    return (labels == NCR) | (labels == ET) if name == "tc" else labels > 0


def _enhancement_rules(
    labels: LabelVolume,
    probabilities: Mapping[str, np.ndarray],
    held: UInt8[np.ndarray, "i j k"],
    rules: PostprocessRules,
    voxel_ml: float,
) -> LabelVolume:
    """Return the labels with enhancing tumour relabelled by the first rule that does not believe it."""
    counts = np.bincount(labels.ravel(), minlength=4)
    et_voxels = int(counts[ET])
    if et_voxels == 0:
        return labels
    et_ml, ncr_ml, wt_ml = et_voxels * voxel_ml, int(counts[NCR]) * voxel_ml, int(counts[1:4].sum()) * voxel_ml
    small, decision = rules.small_et, rules.et_decision
    becomes: Becomes | None = None
    if et_ml < rules.et_ratio.least * wt_ml:
        becomes = rules.et_ratio.becomes
    elif et_ml < small.least_ml or et_voxels < small.least_voxels:
        becomes = small.becomes
    elif et_ml <= decision.et_at_most_ml and ncr_ml > decision.ncr_above_ml:
        becomes = decision.becomes
    if becomes is None:
        return labels
    where = labels == ET
    if becomes == "next-class":
        labels[where] = _next_class(probabilities, where)
    elif becomes == "outer":
        labels[where] = conflict_table(rules)[held[where] & _AROUND["et"]]
    else:
        labels[where] = _LABELS[becomes]
    return labels


def _next_class(probabilities: Mapping[str, np.ndarray], where: Mask) -> UInt8[np.ndarray, " n"]:
    """Return the most probable class but ET; the probability of a class is that of its region less that of the next inner one."""
    et = probabilities["et"][where].astype(np.float32)
    tc = np.maximum(probabilities["tc"][where], et) if "tc" in probabilities else et
    wt = np.maximum(probabilities["wt"][where], tc) if "wt" in probabilities else tc
    classes = np.stack([tc - et, wt - tc, 1 - wt])  # of equal ones the inner one
    return np.array([NCR, ED, 0], dtype=np.uint8)[classes.argmax(axis=0)]


def _cavity(mask: Mask, probability: np.ndarray, rules: PostprocessRules, voxel_ml: float) -> Mask:
    rule = rules.components.get("rc")
    return mask if rule is None else kept_components(mask, probability, rule, voxel_ml)


def _checked_shape(probabilities: Mapping[str, np.ndarray]) -> tuple[int, ...]:
    known = (*REGIONS, "rc")
    problems = [f"unknown region '{name}'" for name in probabilities if name not in known]
    shapes = {name: np.shape(p) for name, p in probabilities.items()}
    if not any(name in REGIONS for name in probabilities):
        problems.append("no tumour region")
    elif len(set(shapes.values())) > 1:
        problems.append("shapes differ: " + ", ".join(f"{name} {shape}" for name, shape in shapes.items()))
    elif len(next(iter(shapes.values()))) != 3:
        problems.append(f"the shape is {next(iter(shapes.values()))}; three axes are accepted")
    if problems:
        raise InputError(
            "The region probabilities cannot be used:", problems=problems, hint=f"Accepted: {', '.join(known)}."
        )
    return next(iter(shapes.values()))


def _box(masks: list[Mask]) -> Box | None:
    """Return the smallest box around all masks, None where they are empty."""
    union = np.logical_or.reduce(masks)
    first_two, last_two = union.any(axis=2), union.any(axis=0)
    sides = []
    for along in (first_two.any(axis=1), first_two.any(axis=0), last_two.any(axis=0)):
        found = np.flatnonzero(along)
        if not len(found):
            return None
        sides.append(slice(int(found[0]), int(found[-1]) + 1))
    return sides[0], sides[1], sides[2]
