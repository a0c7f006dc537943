"""Which DICOM series of a case is which sequence: from headers first, then from order in time, then from the image; each choice with its reasons."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from radiogen.cohort.dicom_series import DicomSeries
from radiogen.cohort.sequence_rules import NEVER, RULES, Facts
from radiogen.errors import CohortError, ImageError
from radiogen.types import SEQUENCES

ROLES = (*SEQUENCES, "other")
SETTLED = 0.8
"""Confidence from which the image is not looked at."""
LEAVE_EMPTY = "none"
"""Written in an override file for a role that no series shall have."""
_PRIOR_OTHER = 1.0
_CONTRAST_SETTLED = 1.5
_LOOK_LIMIT = 3.0

Look = Callable[[DicomSeries], Mapping[str, float]]


@dataclass(frozen=True)
class Choice:
    """The series taken for a role.

    Args:
        key: of the series.
        confidence: 0 to 1: the share of the role among the exponentials of all roles' points. It tells a reader where to look first; it is not a
            calibrated probability.
        reasons: every rule that spoke for the role, with its points, and why it was preferred to others.
    """

    key: str
    confidence: float
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class Identification:
    """What the series of a case are.

    Args:
        chosen: role -> choice, in the order `t1n t1c t2w t2f`; a role without a series is absent.
        others: key of every other series -> why it was not taken.
    """

    chosen: dict[str, Choice]
    others: dict[str, str]


@dataclass
class _Scored:
    series: DicomSeries
    points: dict[str, float]
    reasons: dict[str, list[str]] = field(default_factory=lambda: {role: [] for role in ROLES})

    def add(self, reason: str, roles: Sequence[str], points: float) -> None:
        for role in roles:
            self.points[role] += points
            self.reasons[role].append(f"{reason} (+{points:g})")

    @property
    def best(self) -> str:
        return max(ROLES, key=lambda role: self.points[role])

    def confidence(self, role: str) -> float:
        highest = max(self.points.values())
        shares = {name: math.exp(points - highest) for name, points in self.points.items()}
        return shares[role] / sum(shares.values())


def identify(
    series: Sequence[DicomSeries],
    folder_role: Mapping[str, str],
    look: Look | None = None,
    overrides: Mapping[str, str] | None = None,
) -> Identification:
    """Return which series of one case is which sequence.

    Args:
        series: of one case and one visit.
        folder_role: series key -> the sequence its folder is named as, where it is.
        look: gives role -> likelihood from the image; asked only where the header leaves a doubt.
        overrides: role -> series key, or folder as in the file tree, or `none`; taken before anything else.

    Raises:
        CohortError: an override names no series, or several.
    """
    forced = _forced(series, overrides or {})
    chosen: dict[str, Choice] = {
        role: Choice(item.key, 1.0, ("named in the override file",)) for role, item in forced.items() if item
    }
    taken = {choice.key for choice in chosen.values()}
    others: dict[str, str] = {}
    scored: list[_Scored] = []
    for item in series:
        facts = Facts(item, folder_role.get(item.key, ""))
        if item.key in taken:
            continue
        if reason := _never(facts):
            others[item.key] = reason
        else:
            scored.append(_score(facts))
    _use_order(scored, [item for role, item in forced.items() if role == "t1c" and item])
    for candidate in scored:
        _look_at(candidate, look)
    for role in SEQUENCES:
        rivals = [candidate for candidate in scored if candidate.best == role]
        if role not in forced and rivals:
            chosen[role] = _choose(role, rivals, others)
        else:
            others |= {rival.series.key: f"{role} is decided by the override file" for rival in rivals}
    others |= {item.series.key: _why_other(item) for item in scored if item.best == "other"}
    return Identification({role: chosen[role] for role in SEQUENCES if role in chosen}, others)


def read_overrides(path: str | Path) -> dict[str, dict[str, str]]:
    """Read which series to take: a CSV with the columns `case, role, series`.

    Args:
        path: `series` is a series key, a folder as in the file tree, or `none`.

    Returns:
        Case -> role -> series.

    Raises:
        CohortError: unreadable, columns missing, an unknown role, an empty cell, or a role given twice; every problem is listed.

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp()) / "overrides.csv"
        >>> _ = file.write_text("case,role,series\\n007,t1c,SER0005\\n")
        >>> read_overrides(file)
        {'007': {'t1c': 'SER0005'}}
    """
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (OSError, ValueError) as error:
        raise CohortError(
            f"The override file {path} cannot be read: {' '.join(str(error).split())[:200]}", hint=_OVERRIDE_HINT
        ) from error
    missing = [column for column in ("case", "role", "series") if column not in table.columns]
    if missing:
        raise CohortError(f"The override file {path} lacks the column(s) {', '.join(missing)}.", hint=_OVERRIDE_HINT)
    overrides: dict[str, dict[str, str]] = {}
    problems: list[str] = []
    for line, row in enumerate(table[["case", "role", "series"]].itertuples(index=False), start=2):
        case, role, name = (str(cell).strip() for cell in row)
        if role not in SEQUENCES:
            problems.append(f"line {line}: role '{role}' is not one of {', '.join(SEQUENCES)}")
        elif not case or not name:
            problems.append(f"line {line}: an empty {'series' if case else 'case'}")
        elif role in overrides.get(case, {}):
            problems.append(f"line {line}: case {case} has a second line for {role}")
        else:
            overrides.setdefault(case, {})[role] = name
    if problems:
        raise CohortError(f"The override file {path} is not accepted:", problems=problems, hint=_OVERRIDE_HINT)
    return overrides


_OVERRIDE_HINT = (
    "Give a CSV with the columns case, role (t1n, t1c, t2w or t2f) and series (a series key, a folder, or none)."
)


def _never(facts: Facts) -> str:
    reason = next((reason for reason, holds in NEVER if holds(facts)), "")
    return f"{reason}: {facts.series.problems[0]}" if facts.series.problems and "cannot be read" in reason else reason


def _score(facts: Facts) -> _Scored:
    scored = _Scored(facts.series, {role: _PRIOR_OTHER if role == "other" else 0.0 for role in ROLES})
    for reason, roles, points, holds in RULES:
        if holds(facts):
            scored.add(reason, roles, points)
    return scored


def _leaning(item: _Scored) -> float:
    return item.points["t1c"] - item.points["t1n"]


def _use_order(scored: Sequence[_Scored], known_contrast: Sequence[DicomSeries]) -> None:
    """Let order in time say which T1 is after contrast: contrast stays in the patient, so what follows it has it too."""
    t1 = [item for item in scored if item.best in ("t1n", "t1c") and item.series.header.acquisition_order is not None]
    with_contrast = [_rank(item.series) for item in t1 if _leaning(item) >= _CONTRAST_SETTLED]
    with_contrast += [_rank(item) for item in known_contrast if item.header.acquisition_order is not None]
    native = [item for item in t1 if _leaning(item) <= -_CONTRAST_SETTLED]
    open_ones = [item for item in t1 if abs(_leaning(item)) < _CONTRAST_SETTLED]
    for item in open_ones:
        rank = _rank(item.series)
        if any(earlier < rank for earlier in with_contrast):
            item.add("acquired after a series with contrast", ("t1c",), 2.0)
        elif with_contrast:
            item.add("acquired before the first series with contrast", ("t1n",), 2.0)
        elif any(_rank(other.series) > rank for other in native):
            item.add("acquired before a native series", ("t1n",), 2.0)
        elif any(_same_technique(item.series, other.series) for other in native):
            item.add("the same sequence again, after the native one", ("t1c",), 1.5)
    if not with_contrast and not native:
        _pair(open_ones)


def _pair(items: Sequence[_Scored]) -> None:
    for item in items:
        alike = [_rank(other.series) for other in items if _same_technique(item.series, other.series)]
        rank = _rank(item.series)
        if min(alike) < rank:
            item.add("the same sequence again, later in the study", ("t1c",), 1.5)
        elif max(alike) > rank:
            item.add("the first of the same sequence done twice", ("t1n",), 1.5)


def _rank(series: DicomSeries) -> int:
    return series.header.acquisition_order or 0


def _same_technique(one: DicomSeries, other: DicomSeries) -> bool:
    def near(a: float | None, b: float | None) -> bool:
        return a == b or (a is not None and b is not None and abs(a - b) <= 0.2 * max(a, b))

    first, second = one.header, other.header
    return (
        first.acquisition_3d == second.acquisition_3d
        and first.plane == second.plane
        and near(first.te_ms, second.te_ms)
        and near(first.tr_ms, second.tr_ms)
    )


def _look_at(item: _Scored, look: Look | None) -> None:
    """Add what the image says, in log-odds against the average role, where the header leaves a doubt."""
    if look is None or item.confidence(item.best) >= SETTLED:
        return
    try:
        seen = look(item.series)
    except ImageError:
        item.reasons[item.best].append("its image could not be looked at")
        return
    likelihood = {role: max(float(value), 1e-6) for role, value in seen.items() if role in ROLES}
    if not likelihood:
        return
    average = sum(math.log(value) for value in likelihood.values()) / len(likelihood)
    for role, value in likelihood.items():
        points = min(_LOOK_LIMIT, max(-_LOOK_LIMIT, math.log(value) - average))
        item.points[role] += points
        item.reasons[role].append(f"the image looks like it ({points:+.1f})")


def _choose(role: str, rivals: Sequence[_Scored], others: dict[str, str]) -> Choice:
    """Take the surest and best of the series of one role; the rest go to `others`."""
    ranked = sorted(rivals, key=lambda item: (-item.confidence(role) - _quality(item.series)[0], item.series.key))
    best = ranked[0]
    reasons = list(best.reasons[role])
    if len(ranked) > 1:
        why = _quality(best.series)[1]
        reasons.append(f"preferred to {len(ranked) - 1} other {role} series" + (f": {', '.join(why)}" if why else ""))
    others |= {item.series.key: f"{role} too, but series {best.series.key} is preferred" for item in ranked[1:]}
    return Choice(best.series.key, best.confidence(role), tuple(reasons))


def _quality(series: DicomSeries) -> tuple[float, list[str]]:
    """Return what makes one series of a role better than another, and in words: fine and even voxels, axial, original, many slices."""
    if series.grid is None:
        return -1.0, []
    voxel, shape, header = series.grid.voxel_size_mm, series.grid.canonical_shape, series.header
    covered = min(size * count for size, count in zip(voxel, shape, strict=True))
    marks = [
        (0.20, max(voxel) <= 1.5, "near-isotropic"),
        (0.05, header.acquisition_3d is True, "3-D"),
        (0.05, header.plane == "axial", "axial"),
        (0.10, "ORIGINAL" in header.image_type and "DERIVED" not in header.image_type, "original"),
        (0.15, covered >= 100.0, "covers the brain"),
    ]
    total = sum(points for points, holds, _ in marks if holds) + 0.05 * min(len(series.files) / 200, 1.0)
    return total, [word for _, holds, word in marks if holds]


def _why_other(item: _Scored) -> str:
    reasons = item.reasons["other"]
    return (
        "; ".join(reasons) if reasons else "neither its header nor its words say that it is one of the four sequences"
    )


def _forced(series: Sequence[DicomSeries], overrides: Mapping[str, str]) -> dict[str, DicomSeries | None]:
    forced: dict[str, DicomSeries | None] = {}
    problems: list[str] = []
    for role, name in overrides.items():
        if name.lower() == LEAVE_EMPTY:
            forced[role] = None
            continue
        named = [item for item in series if item.key == name] or [item for item in series if _lies_in(item, name)]
        if len(named) == 1:
            forced[role] = named[0]
        else:
            keys = ", ".join(item.key for item in named or series)
            problems.append(f"{role}: '{name}' names {len(named)} series; {'one of' if named else 'there are'} {keys}")
    if problems:
        raise CohortError(
            "The override file does not fit the series of this case:", problems=problems, hint=_OVERRIDE_HINT
        )
    return forced


def _lies_in(series: DicomSeries, folder: str) -> bool:
    wanted = tuple(part for part in Path(folder).parts if part not in (".", "/"))
    for file in series.files:
        parts = file.parent.parts
        if not wanted or not any(parts[at : at + len(wanted)] == wanted for at in range(len(parts) - len(wanted) + 1)):
            return False
    return True
