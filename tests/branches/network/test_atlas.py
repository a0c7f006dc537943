"""Regions: from files, from the template's grey matter, and files that do not fit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from radiogen.branches.network.atlas import load_nodes
from radiogen.branches.network.connectome import read_connectome
from radiogen.branches.network.parcels import bisect_points, geometric_parcels
from radiogen.branches.network.space import BrainSpace, brain_space
from radiogen.config.network import NetworkTemplateSettings
from radiogen.errors import ConfigError, GeometryError, ImageError, InputError
from tests.conftest import save_nifti


@pytest.fixture(scope="module")
def space() -> BrainSpace:
    return brain_space(2)


def write_atlas(folder: Path, space: BrainSpace) -> tuple[Path, Path]:
    """Four boxes in the brain on 4 mm voxels; the last one is cerebellar by name."""
    data = np.zeros((50, 59, 48), np.int16)
    affine = space.grid.affine @ np.diag([2, 2, 2, 1.0])
    affine[:3, 3] += 1.0  # every voxel of the file covers exactly 8 of the grid
    data[15:20, 30:35, 25:30], data[30:35, 30:35, 25:30], data[15:20, 20:25, 25:30] = 3, 7, 11
    data[20:25, 15:18, 15:18] = 20
    names = folder / "names.tsv"
    names.write_text("index\tname\n3\tfront\n7\tfront\n11\tback\n20\tCerebelum_3_L\n")
    return save_nifti(folder / "atlas.nii.gz", data, affine), names


def test_labels_are_renumbered_and_the_cerebellum_left_out(tmp_path: Path, space: BrainSpace) -> None:
    path, names = write_atlas(tmp_path, space)
    nodes = load_nodes(NetworkTemplateSettings(nodes=str(path), node_names=names), space)
    assert nodes.names == ("front-3", "front-7", "back")
    assert np.unique(nodes.labels).tolist() == [0, 1, 2, 3]
    assert (nodes.atlas_rows.tolist(), nodes.atlas_size) == ([0, 1, 2], 4)
    # 125 voxels of 4 mm are 1000 of 2 mm.
    assert np.bincount(nodes.labels.ravel())[1:].tolist() == [1000, 1000, 1000]
    whole = load_nodes(NetworkTemplateSettings(nodes=str(path), node_names=names, cerebellum=True), space)
    assert whole.names[-1] == "Cerebelum_3_L"


def test_atlases_that_do_not_fit(tmp_path: Path, space: BrainSpace) -> None:
    path, names = write_atlas(tmp_path, space)
    names.write_text("label\tname\n3\tfront\n")
    with pytest.raises(ConfigError, match="label 7 has no name"):
        load_nodes(NetworkTemplateSettings(nodes=str(path), node_names=names), space)
    elsewhere = save_nifti(
        tmp_path / "far.nii.gz", np.arange(27, dtype=np.int16).reshape(3, 3, 3), np.eye(4) + 500 * np.eye(4, k=3)
    )
    with pytest.raises(GeometryError, match="MNI152"):
        load_nodes(NetworkTemplateSettings(nodes=str(elsewhere)), space)
    fraction = save_nifti(tmp_path / "image.nii.gz", np.linspace(0, 1, 27, dtype=np.float32).reshape(3, 3, 3))
    with pytest.raises(ImageError, match="not a label map"):
        load_nodes(NetworkTemplateSettings(nodes=str(fraction)), space)
    with pytest.raises(ConfigError, match="neither a file"):
        load_nodes(NetworkTemplateSettings(nodes="aall"), space)


def test_pieces_of_grey_matter_are_equal_mirrored_and_the_same_every_time(space: BrainSpace) -> None:
    labels, names = geometric_parcels(space)
    assert len(names) == len(set(names)) == 90
    sizes = np.bincount(labels.ravel())[1:]
    assert len(sizes) == 90
    assert sizes.max() - sizes.min() <= 2
    left = np.where(labels % 2 == 1, labels, 0)
    right = np.where((labels % 2 == 0) & (labels > 0), labels - 1, 0)
    assert np.array_equal(left, right[::-1])
    assert all(name.startswith("left" if n % 2 == 0 else "right") for n, name in enumerate(names))
    assert np.array_equal(labels, geometric_parcels(space)[0])


def test_bisection_refuses_more_pieces_than_points() -> None:
    with pytest.raises(ValueError, match="cannot make"):
        bisect_points(np.zeros((2, 3)), 3)


def test_connectomes_of_the_atlas_or_of_the_network(tmp_path: Path) -> None:
    whole = np.triu(np.arange(16.0).reshape(4, 4), 1)
    np.save(tmp_path / "c.npy", whole)
    found = read_connectome(tmp_path / "c.npy", np.array([0, 2]), 4)
    assert found.tolist() == [[0, 2], [2, 0]]
    np.savetxt(tmp_path / "c.csv", whole[:2, :2], delimiter=",")
    assert read_connectome(tmp_path / "c.csv", np.array([0, 2]), 4).tolist() == [[0, 1], [1, 0]]
    np.save(tmp_path / "bad.npy", np.ones((3, 3)))
    with pytest.raises(InputError, match="3 x 3"):
        read_connectome(tmp_path / "bad.npy", np.array([0, 2]), 4)
    np.save(tmp_path / "skew.npy", np.arange(16.0).reshape(4, 4))
    with pytest.raises(InputError, match="not symmetric"):
        read_connectome(tmp_path / "skew.npy", np.array([0, 2]), 4)


@pytest.mark.real_data
def test_aal_has_its_90_cerebral_regions(shared_data: Path, space: BrainSpace) -> None:
    folder = shared_data / "atlas" / "nemo"
    path, names = folder / "AAL116_MNI152_1mm_182x218x182.nii.gz", folder / "atlas-aal_scale-116_dseg.tsv"
    nodes = load_nodes(NetworkTemplateSettings(nodes=str(path), node_names=names), space)
    assert (len(nodes.names), nodes.atlas_size) == (90, 116)
    assert nodes.names[:2] == ("Precentral_L", "Precentral_R")
    left, right = (np.argwhere(nodes.labels == label)[:, 0].mean() for label in (1, 2))
    assert left < 49 < right
