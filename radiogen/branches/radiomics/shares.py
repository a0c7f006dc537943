"""A few cases on many cores: a plan cut into shares that can be worked on at the same time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from radiogen.branches.radiomics.extract import SHAPE, CaseFeatures, Piece
from radiogen.branches.radiomics.filters import passes
from radiogen.branches.radiomics.plan import Plan

_SHARES_PER_WORKER = 4
"""With about as many shares as workers, all would wait for the slowest."""


def shares(plan: Plan, present: Iterable[str], *, cases: int, jobs: int) -> list[Plan]:
    """Return the plans that together are one plan for one case, as many as are worth it.

    By sequence where the cases alone do not keep the workers busy, by sequence and filter where that is still too few. Shape goes with the first.

    Args:
        plan: what is computed.
        present: the sequences the case has.
        cases: how many cases are waiting.
        jobs: worker processes.

    Example:
        >>> from radiogen.config.features import RadiomicsSettings
        >>> from radiogen.branches.radiomics.plan import make_plan
        >>> plan = make_plan(RadiomicsSettings())
        >>> [len(shares(plan, ["t1c", "t2f"], cases=number, jobs=2)) for number in (1, 2, 100)]
        [10, 2, 1]
    """
    here = [name for name in plan.sequences if name in set(present)]
    enough = _SHARES_PER_WORKER * jobs
    if jobs <= 1 or cases >= enough or not here or _hangs_together(plan):
        return [plan]
    without_shape = {name: wanted for name, wanted in plan.feature_classes.items() if not name.startswith(SHAPE)}
    if not without_shape:
        return [plan]
    parts = [replace(plan, sequences=(name,)) for name in here]
    if cases * len(parts) < enough / 2:
        parts = [piece for part in parts for piece in _by_filter(part)]
    return [parts[0], *(replace(part, feature_classes=without_shape) for part in parts[1:])]


def unmeasured(plan: Plan, pieces: Mapping[Piece, CaseFeatures | None]) -> list[Plan]:
    """Return plans that measure the missing pieces of a case, and nothing else; the plan itself where it has none at all.

    Args:
        plan: the plan that the pieces are of.
        pieces: what is known; None: missing.
    """
    missing = [piece for piece, known in pieces.items() if known is None]
    if len(missing) == len(pieces):
        return [plan]
    together: dict[tuple[str, bool, tuple[str, ...]], list[str]] = {}
    by_pass: dict[tuple[str, str], list[str]] = {}
    for sequence, region, source in missing:
        by_pass.setdefault((sequence, source), []).append(region)
    for (sequence, source), regions in by_pass.items():
        together.setdefault((sequence, source == SHAPE, tuple(regions)), []).append(source)
    return [_narrowed(plan, *key, sources) for key, sources in together.items()]


def _narrowed(plan: Plan, sequence: str, shape: bool, regions: tuple[str, ...], sources: list[str]) -> Plan:
    classes = {name: wanted for name, wanted in plan.feature_classes.items() if name.startswith(SHAPE) == shape}
    sequences = (sequence,) if sequence else plan.sequences
    part = replace(plan, sequences=sequences, regions=regions, feature_classes=classes)
    if shape:
        return part
    types: dict[str, dict[str, Any]] = {}
    for name, kind, settings in passes(plan):
        if name in sources and kind == "LoG":
            known = types.get(kind, {}).get("sigma", [])
            types[kind] = {**plan.image_types[kind], "sigma": [*known, *settings["sigma"]]}
        elif name in sources:
            types[kind] = plan.image_types[kind]
    return replace(part, image_types=types)


def _hangs_together(plan: Plan) -> bool:
    # The shape of a region selected by intensity is taken from the first sequence that has enough of it.
    return plan.setting.get("resegmentRange") is not None or plan.region_by_region


def _by_filter(plan: Plan) -> list[Plan]:
    types = [
        {kind: {**plan.image_types[kind], **({"sigma": settings["sigma"]} if kind == "LoG" else {})}}
        for _, kind, settings in passes(plan)
    ]
    return [replace(plan, image_types=one) for one in types]
