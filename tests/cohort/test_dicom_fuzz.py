"""Damaged DICOM files: every one is read, or refused with a reason that quotes nothing of its header."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

from radiogen.cohort.dicom import find_series, read_series
from radiogen.cohort.dicom_layouts import find_dicom_cases
from radiogen.cohort.sequence_identity import identify
from radiogen.errors import CohortError, ImageError
from tests.cohort.dicom_data import PHI_MARK, T1C, T2F, compress_with_itk, tilted, volume, write_enhanced, write_series

LONGEST_S = 10.0


@pytest.fixture(scope="module")
def whole_files(tmp_path_factory: pytest.TempPathFactory) -> list[list[tuple[str, bytes]]]:
    """A classic series of six slices and an Enhanced one, as bytes."""
    folder = tmp_path_factory.mktemp("whole")
    data = volume((12, 10, 6))
    write_series(folder / "classic", data, tilted(), T1C)
    write_enhanced(folder / "enhanced" / "e.dcm", data, tilted(), T2F)
    return [
        [(path.name, path.read_bytes()) for path in sorted((folder / kind).iterdir())]
        for kind in ("classic", "enhanced")
    ]


def damage(raw: bytes, random: np.random.Generator) -> bytes:
    """Flip bytes anywhere, flip bytes of the header only, cut short, overwrite a stretch, or leave a hole."""
    data = bytearray(raw)
    kind = random.integers(5)
    if kind in (0, 1):
        end = len(data) if kind == 0 else min(len(data), 2500)
        for at in random.integers(0 if random.random() < 0.3 else 132, end, random.integers(1, 60)):
            data[at] = random.integers(256)
    elif kind == 2:
        data = data[: random.integers(len(data))]
    elif kind == 3:
        at = int(random.integers(132, len(data)))
        stretch = random.integers(0, 256, random.integers(1, 300), dtype=np.uint8).tobytes()
        data[at : at + len(stretch)] = stretch
    else:
        at = int(random.integers(132, len(data)))
        del data[at : at + int(random.integers(1, 200))]
    return bytes(data)


@pytest.mark.parametrize("compressor", ["JPEG", "JPEG2000"])
def test_damaged_compressed_files(tmp_path: Path, compressor: str, capfd: pytest.CaptureFixture[str]) -> None:
    paths = write_series(tmp_path / "whole", volume((32, 32, 4)), tilted(), T1C)
    for path in paths:
        compress_with_itk(path, compressor)
    outcomes = set()
    for seed in range(12):
        random = np.random.default_rng(seed)
        folder = tmp_path / str(seed)
        folder.mkdir()
        for number, path in enumerate(paths):
            raw = path.read_bytes()
            intact = (
                raw.index(b"\xe0\x7f\x10\x00") + 28 + 2 * seed
            )  # from the frame's first marker on, or a little later
            damaged = raw[:intact] + damage(bytes(132) + raw[intact:], random)[132:]
            (folder / path.name).write_bytes(damaged if number == 1 else raw)
        started = time.perf_counter()
        said = walk(folder)
        assert time.perf_counter() - started < LONGEST_S, f"seed {seed}"
        assert PHI_MARK not in "\n".join(f"{thing!r}\n{thing}" for thing in said), f"seed {seed}"
        outcomes |= {type(thing).__name__ for thing in said}
    out, err = capfd.readouterr()
    assert PHI_MARK not in out + err
    assert {"ImageError", "Grid"} <= outcomes


def walk(folder: Path) -> list[object]:
    """Do all that radiogen does with a folder of DICOM files and return all that was said."""
    found = find_series(folder)
    said: list[object] = [found]
    for series in found.series:
        try:
            image = read_series(series)
        except ImageError as error:
            said += [error, error.problems]
        else:
            assert np.isfinite(image.data).all()
            assert image.data.shape == image.grid.canonical_shape
            said.append(image.grid)
    try:
        for case in find_dicom_cases([folder]):
            said += [case.problems, identify(case.series, case.folder_role)]
    except CohortError as error:
        said.append(error)
    assert all(found.unused.values())
    assert all(thing.problems for thing in said if isinstance(thing, ImageError))
    return said


@pytest.mark.parametrize("block", range(5))
def test_damaged_files(
    tmp_path: Path, whole_files: list[list[tuple[str, bytes]]], block: int, capfd: pytest.CaptureFixture[str]
) -> None:
    outcomes = set()
    for seed in range(block * 20, block * 20 + 20):
        random = np.random.default_rng(seed)
        files = whole_files[int(random.random() < 0.3)]
        victim = int(random.integers(len(files)))
        folder = tmp_path / str(seed)
        folder.mkdir()
        for number, (name, raw) in enumerate(files):
            (folder / name).write_bytes(damage(raw, random) if number == victim else raw)
        started = time.perf_counter()
        said = walk(folder)
        assert time.perf_counter() - started < LONGEST_S, f"seed {seed}"
        text = "\n".join(f"{thing!r}\n{thing}" for thing in said)
        assert PHI_MARK not in text, f"seed {seed}"
        outcomes |= {type(thing).__name__ for thing in said}
    out, err = capfd.readouterr()
    assert (out, err) == ("", "")
    assert {"ImageError", "Grid"} <= outcomes  # some were refused and some could still be read
