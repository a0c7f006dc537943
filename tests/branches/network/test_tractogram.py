"""Streamlines of known voxels: what they connect, where their region lies, and files that are damaged."""

from __future__ import annotations

import gzip
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from nibabel.streamlines import Tractogram
from scipy.io import savemat

from radiogen.branches.network.tractogram import (
    Streamlines,
    connect,
    mean_density,
    read_streamlines,
    read_subjects,
    subject_density,
    tiny_tracks,
)
from radiogen.cohort.nifti import Grid
from radiogen.config.network import TractogramSettings
from radiogen.errors import GeometryError, InputError

GRID = Grid((10, 5, 5), np.diag([2.0, 2, 2, 1]))
LINE = np.array([[0, 4, 4], [18, 4, 4]], np.float32)  # mm: voxels (0..9, 2, 2)


def nodes() -> np.ndarray:
    labels = np.zeros(GRID.shape, np.uint16)
    labels[0], labels[9], labels[5, 0] = 1, 2, 3
    return labels


def lines(*points: np.ndarray) -> Streamlines:
    start = np.concatenate([[0], np.cumsum([len(line) for line in points])])
    return Streamlines(np.concatenate(points).astype(np.float32), start)


def test_a_straight_streamline_passes_every_voxel_between_its_ends() -> None:
    density = subject_density(lines(LINE, LINE[::-1]), nodes(), GRID, TractogramSettings())
    assert density.pairs.tolist() == [[0, 1]]
    assert density.streamlines.tolist() == [2.0]
    expected = [np.ravel_multi_index((i, 2, 2), GRID.shape) for i in range(10)]
    assert density.voxels.tolist() == expected
    assert np.allclose(density.values, 1.0)


def test_density_is_the_share_of_streamlines() -> None:
    bent = np.array([[0, 4, 4], [9, 8, 4], [18, 4, 4]], np.float32)
    density = subject_density(lines(LINE, LINE, LINE, bent), nodes(), GRID, TractogramSettings())
    value = dict(zip(density.voxels.tolist(), density.values.tolist(), strict=True))
    assert value[int(np.ravel_multi_index((0, 2, 2), GRID.shape))] == 1.0
    assert value[int(np.ravel_multi_index((4, 2, 2), GRID.shape))] == 0.75


def test_ends_out_of_reach_connect_nothing() -> None:
    short = np.array([[6.0, 4, 4], [18, 4, 4]], np.float32)
    assert connect(lines(short), nodes(), GRID, 4.0).tolist() == [[-1, 1]]
    # 6 mm from the first region, but only 5.7 mm from the third: the nearest one counts.
    assert connect(lines(short), nodes(), GRID, 6.0).tolist() == [[1, 2]]
    assert connect(lines(short + 500), nodes(), GRID, 6.0).tolist() == [[-1, -1]]


def test_connections_of_too_few_subjects_are_dropped() -> None:
    to_third = np.array([[0, 0, 4], [10, 0, 4]], np.float32)
    both = subject_density(lines(LINE, to_third), nodes(), GRID, TractogramSettings())
    one = subject_density(lines(LINE), nodes(), GRID, TractogramSettings())
    assert both.pairs.tolist() == [[0, 1], [0, 2]]
    size = int(np.prod(GRID.shape))
    assert mean_density([both, one], 3, size, 0.9).pairs.tolist() == [[0, 1]]
    half = mean_density([both, one], 3, size, 0.5)
    assert half.pairs.tolist() == [[0, 1], [0, 2]]
    assert half.streamlines.tolist() == [1.0, 0.5]
    assert half.values[half.start[1] :].tolist() == pytest.approx([0.5] * int(np.diff(half.start)[1]))


@pytest.mark.parametrize("ending", [".trk", ".tck"])
def test_trk_and_tck_come_back_in_world_mm(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"a{ending}"
    nib.streamlines.save(Tractogram([LINE, LINE + 1], affine_to_rasmm=np.eye(4)), path)
    back = read_streamlines(path)
    assert len(back) == 2
    assert np.allclose(back.points[:2], LINE, atol=1e-4)


def tiny(path: Path, **changes: object) -> Path:
    stream = np.array([9, 32, 64, 0], "<i4").tobytes() + np.array([32, 0, 0, 32, 0, 0], "i1").tobytes()
    to_mni = np.array([[-1.0, 0, 0, 78], [0, -1, 0, 76], [0, 0, 1, -50], [0, 0, 0, 1]])
    content = {"track": np.frombuffer(stream, np.uint8)[:, None], "trans_to_mni": to_mni.reshape(1, 16), **changes}
    with gzip.open(path, "wb") as file:
        savemat(file, {key: value for key, value in content.items() if value is not None}, format="4")
    return path


def test_tiny_track_lies_where_its_matrix_says(tmp_path: Path) -> None:
    back = read_streamlines(tiny(tmp_path / "a.tt.gz"))
    assert back.points.tolist() == [[77, 74, -50], [76, 74, -50], [75, 74, -50]]


def test_damaged_files_are_refused_in_one_line(tmp_path: Path) -> None:
    whole = tiny(tmp_path / "a.tt.gz").read_bytes()
    (tmp_path / "cut.tt.gz").write_bytes(whole[: len(whole) // 2])
    tiny(tmp_path / "wrong.tt.gz", track=np.full((40, 1), 7, np.uint8))
    tiny(tmp_path / "nowhere.tt.gz", trans_to_mni=None)
    (tmp_path / "text.trk").write_text("no streamlines")
    (tmp_path / "text.tck").write_text("no streamlines")
    for name in ("cut.tt.gz", "wrong.tt.gz", "nowhere.tt.gz", "text.trk", "text.tck"):
        with pytest.raises(InputError, match=f"{name} is damaged"):
            read_streamlines(tmp_path / name)
    with pytest.raises(InputError, match="accepted"):
        read_streamlines(tmp_path / "a.vtk")
    with pytest.raises(InputError, match="does not exist"):
        read_streamlines(tmp_path / "none.trk")


def test_a_tractogram_of_another_space_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "far.tck"
    nib.streamlines.save(Tractogram([LINE + 1000], affine_to_rasmm=np.eye(4)), path)
    with pytest.raises(GeometryError, match=r"far.tck: 0% of"):
        read_subjects([path], nodes(), GRID, TractogramSettings())


def test_a_size_that_does_not_fit_is_named() -> None:
    with pytest.raises(ValueError, match="size 10"):
        tiny_tracks(np.array([10, 0, 0, 0], "<i4").tobytes())


@pytest.mark.real_data
def test_the_hcp_tractogram_lies_in_the_brain(shared_data: Path) -> None:
    streamlines = read_streamlines(shared_data / "atlas" / "hcp" / "ICBM152_adult.tt.gz")
    assert len(streamlines) == 10403
    from radiogen.branches.network.space import brain_space
    from radiogen.branches.network.tractogram import voxel_numbers

    space = brain_space(2)
    assert space.brain.ravel()[voxel_numbers(streamlines.points, space.grid)].mean() > 0.99
