"""From frames to series: which frames are one volume, in which order, and what is wrong with it. Knows nothing of DICOM files.

What a header may pass on is listed here, field by field (`SeriesHeader`): there is no field that could hold a name, an id, a date or free text.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from radiogen.cohort.dicom_geometry import Plane, heights_mm, plane_name, same_places, stack_grid, stack_problems
from radiogen.cohort.nifti import Grid


@dataclass(frozen=True)
class SeriesHeader:
    """What a series' header says, without anything that could identify a person.

    Args:
        modality: a DICOM modality code, `other` when it is none that is known here.
        contrast_agent: whether a contrast agent is named; None when the header does not have the field.
        te_ms: echo time, ms.
        tr_ms: repetition time, ms.
        ti_ms: inversion time, ms.
        flip_angle_deg: flip angle, degrees.
        field_strength_t: field strength, tesla.
        scanning_sequence: DICOM's codes (`SE IR GR EP RM`).
        sequence_variant: DICOM's codes (`SK MTC SS TRSS SP MP OSP TOF`).
        image_type: known codes of ImageType; unknown words are dropped.
        acquisition_3d: whether the volume was excited as a whole; None when not said.
        plane: `axial sagittal coronal oblique`, from the geometry; empty when there is none.
        words: words of `dicom_words.VOCABULARY` found in the descriptions.
        acquisition_order: rank in time among the series of the study, from 0; None when times and series numbers are missing.
    """

    modality: str = "other"
    contrast_agent: bool | None = None
    te_ms: float | None = None
    tr_ms: float | None = None
    ti_ms: float | None = None
    flip_angle_deg: float | None = None
    field_strength_t: float | None = None
    scanning_sequence: tuple[str, ...] = ()
    sequence_variant: tuple[str, ...] = ()
    image_type: tuple[str, ...] = ()
    acquisition_3d: bool | None = None
    plane: str = ""
    words: tuple[str, ...] = ()
    acquisition_order: int | None = None


@dataclass(frozen=True)
class Frame:
    """One frame of one file, as its header describes it.

    Args:
        path: the file.
        index: frame within the file, from 0.
        series: anonymous key of its series.
        study: anonymous key of its study.
        space: anonymous key of its frame of reference, empty when there is none.
        plane: where it lies; None when the header does not say.
        header: the header of its series as this frame has it.
        temporal: temporal position.
        b_value: diffusion weighting, s/mm2.
        acquisition: number of the acquisition within the series.
        problems: why the frame cannot be used.
        time_s: when it was acquired, seconds on an absolute scale; used for ranks only, never shown.
        series_number: used for ranks only, never shown.
    """

    path: Path
    index: int
    series: str
    study: str
    space: str
    plane: Plane | None
    header: SeriesHeader
    temporal: int | None = None
    b_value: float | None = None
    acquisition: int | None = None
    problems: tuple[str, ...] = ()
    time_s: float | None = field(default=None, repr=False)
    series_number: int | None = field(default=None, repr=False)


@dataclass(frozen=True)
class DicomSeries:
    """One volume of a DICOM series.

    Args:
        key: anonymous and stable; volumes of one series that had to be told apart end in -1, -2, ...
        files: the file of every slice, in the order of the slices (a multi-frame file is named once per slice).
        header: what may be known of it.
        problems: why it cannot be read as a volume; empty when it can.
        notes: what was done to it, such as a duplicate slice left out.
        frames: frame within the file, per slice.
        grid: its grid in the world; None when there is a problem with its geometry.
        study: anonymous key of its study.
        space: anonymous key of its frame of reference: equal keys share one patient position.
    """

    key: str
    files: tuple[Path, ...]
    header: SeriesHeader
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    frames: tuple[int, ...] = ()
    grid: Grid | None = None
    study: str = ""
    space: str = ""


@dataclass(frozen=True)
class FoundSeries:
    """What a folder holds.

    Args:
        series: every volume, studies in order of time, series within them too.
        unused: file -> why it belongs to no series.
        studies: anonymous keys of the studies, earliest first.
    """

    series: list[DicomSeries]
    unused: Mapping[Path, str]
    studies: tuple[str, ...] = ()


_ENOUGH_DIFFERING = 3

SamePixels = Callable[[Frame, Frame], bool]


def assemble(frames: Iterable[Frame], same_pixels: SamePixels) -> tuple[list[DicomSeries], tuple[str, ...]]:
    """Return the volumes that frames make up, and the studies in order of time.

    Args:
        frames: of any number of files.
        same_pixels: whether two frames hold the same values; asked only for frames at the same place.
    """
    by_series: dict[str, list[Frame]] = defaultdict(list)
    for frame in frames:
        by_series[frame.series].append(frame)
    studies = _studies_in_time(by_series)
    ranks = _ranks(by_series)
    series: list[DicomSeries] = []
    for key in sorted(by_series, key=lambda key: (studies.index(by_series[key][0].study), ranks[key] or 0, key)):
        stacks = _volumes(by_series[key])
        keys = [key] if len(stacks) == 1 else [f"{key}-{number}" for number in range(1, len(stacks) + 1)]
        series += [_series(name, stack, ranks[key], same_pixels) for name, stack in zip(keys, stacks, strict=True)]
    return series, studies


def _studies_in_time(by_series: Mapping[str, list[Frame]]) -> tuple[str, ...]:
    times: dict[str, float] = {}
    for members in by_series.values():
        earliest = min((frame.time_s for frame in members if frame.time_s is not None), default=float("inf"))
        times[members[0].study] = min(times.get(members[0].study, float("inf")), earliest)
    return tuple(sorted(times, key=lambda study: (times[study], study)))


def _ranks(by_series: Mapping[str, list[Frame]]) -> dict[str, int | None]:
    """Return the rank in time of every series within its study: by time where all have one, else by number, else None."""
    of_study: dict[str, list[str]] = defaultdict(list)
    for key, members in by_series.items():
        of_study[members[0].study].append(key)
    ranks: dict[str, int | None] = {}
    for keys in of_study.values():
        times = [min((f.time_s for f in by_series[key] if f.time_s is not None), default=None) for key in keys]
        numbers = [
            min((f.series_number for f in by_series[key] if f.series_number is not None), default=None) for key in keys
        ]
        ranks |= dict(zip(keys, _dense_ranks(times) or _dense_ranks(numbers) or [None] * len(keys), strict=True))
    return ranks


def _dense_ranks(values: Sequence[float | int | None]) -> list[int | None] | None:
    known = [value for value in values if value is not None]
    if len(known) < len(values) or (len(set(known)) == 1 and len(known) > 1):
        return None  # one time for all is a header that was wiped, not an order
    levels = sorted(set(known))
    return [levels.index(value) for value in values if value is not None]


def _volumes(frames: list[Frame]) -> list[list[Frame]]:
    """Return the frames of one series split into volumes: by geometry first, then by what tells frames at one place apart."""
    stacks: list[list[Frame]] = []
    lost: dict[Hashable, list[Frame]] = defaultdict(list)
    for frame in frames:
        if frame.plane is None:
            lost[""].append(frame)
            continue
        for stack in stacks:
            other = stack[0].plane
            if other is not None and frame.plane.in_stack_with(other):
                stack.append(frame)
                break
        else:
            stacks.append([frame])
    stacks.sort(key=_stack_order)
    return [part for stack in stacks for part in _split_repeats(stack)] + list(lost.values())


def _stack_order(stack: list[Frame]) -> tuple[object, ...]:
    """Return a sorting key that does not depend on the order of files, so that keys of volumes stay what they are."""
    plane = stack[0].plane
    if plane is None:
        return (-len(stack),)
    rounded = np.round([*plane.row_direction, *plane.column_direction, *plane.spacing_mm], 2) + 0.0
    return (-len(stack), *rounded.tolist(), *plane.shape)


_TOLD_APART_BY: tuple[Callable[[Frame], tuple[float, str]], ...] = (
    lambda frame: (frame.header.te_ms or 0.0, ""),
    lambda frame: (frame.b_value or 0.0, ""),
    lambda frame: (float(frame.temporal or 0), ""),
    lambda frame: (frame.header.ti_ms or 0.0, ""),
    lambda frame: (0.0, "/".join(frame.header.image_type)),
    lambda frame: (float(frame.acquisition or 0), ""),
)


def _split_repeats(stack: list[Frame]) -> list[list[Frame]]:
    places = len(same_places(_heights(stack)))
    if places == len(stack):
        return [stack]  # an echo time that wanders from slice to slice does not make several volumes
    for told_apart_by in _TOLD_APART_BY:
        parts: dict[tuple[float, str], list[Frame]] = defaultdict(list)
        for frame in stack:
            parts[told_apart_by(frame)].append(frame)
        # A part of few places is a repeated slice, not a volume of its own.
        if len(parts) > 1 and all(2 * len(same_places(_heights(part))) >= places for part in parts.values()):
            return [volume for value in sorted(parts) for volume in _split_repeats(parts[value])]
    return [stack]


def _heights(frames: Sequence[Frame]) -> list[float]:
    return heights_mm([frame.plane for frame in frames if frame.plane is not None]).tolist()


def _series(key: str, frames: list[Frame], rank: int | None, same_pixels: SamePixels) -> DicomSeries:
    problems = _counted(frames)
    notes: list[str] = []
    grid = None
    if all(frame.plane is not None for frame in frames):
        frames, notes, repeated = _without_repeats(frames, same_pixels)
        planes = [frame.plane for frame in frames if frame.plane is not None]
        geometry = [*repeated, *stack_problems(planes)]
        grid = None if geometry else stack_grid(planes)
        problems = [*problems, *geometry]
    first = frames[0]
    agents = {frame.header.contrast_agent for frame in frames}
    header = replace(
        first.header,
        contrast_agent=True if True in agents else False if False in agents else None,
        plane=plane_name(first.plane) if first.plane is not None else "",
        acquisition_order=rank,
    )
    files, indices = tuple(frame.path for frame in frames), tuple(frame.index for frame in frames)
    return DicomSeries(
        key, files, header, tuple(problems), tuple(notes), indices, grid, study=first.study, space=first.space
    )


def _counted(frames: Sequence[Frame]) -> list[str]:
    counts: dict[str, int] = defaultdict(int)
    for frame in frames:
        for problem in frame.problems:
            counts[problem] += 1
    return [f"{count} of {len(frames)} frame(s): {problem}" for problem, count in counts.items()]


def _without_repeats(frames: list[Frame], same_pixels: SamePixels) -> tuple[list[Frame], list[str], list[str]]:
    """Return frames in order of position, each place once; what was left out; and places that hold different values."""
    heights = _heights(frames)
    places = [
        sorted(place, key=lambda index: (str(frames[index].path), frames[index].index))
        for place in same_places(heights)
    ]
    kept = [frames[place[0]] for place in places]
    left_out, differing = 0, []
    for place in places:
        same = [same_pixels(frames[place[0]], frames[index]) for index in place[1:]]
        left_out += sum(same)
        if not all(same):
            differing.append(heights[place[0]])
        if len(differing) > _ENOUGH_DIFFERING:
            break  # a time series has thousands of repeats, and each comparison decodes two files
    notes = [f"{left_out} duplicate slice(s) with identical values left out"] if left_out else []
    return kept, notes, _repeat_problems(places, differing)


def _repeat_problems(places: Sequence[Sequence[int]], differing: Sequence[float]) -> list[str]:
    counts = {len(place) for place in places}
    if not differing:
        return []
    if len(counts) == 1:
        return [f"it holds {counts.pop()} volumes of {len(places)} slice(s) that nothing in the header tells apart"]
    where = ", ".join(f"{height:.1f}" for height in differing[:_ENOUGH_DIFFERING])
    number = f"more than {_ENOUGH_DIFFERING}" if len(differing) > _ENOUGH_DIFFERING else str(len(differing))
    return [f"{number} place(s) hold slices with different values (at {where} mm along the slice normal)"]
