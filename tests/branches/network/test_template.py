"""Templates: built on a small brain, kept and read back, refused when damaged."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from nibabel.streamlines import Tractogram

from radiogen.branches.network.atlas import Nodes
from radiogen.branches.network.base import NetworkTemplate
from radiogen.branches.network.compare import roi_overlap
from radiogen.branches.network.space import BrainSpace, brain_space
from radiogen.branches.network.template import (
    cached_template_path,
    default_template,
    from_corridors,
    from_tractograms,
    load_template_file,
    save_template,
    split_hemispheres,
    template_problems,
)
from radiogen.cohort.nifti import Grid
from radiogen.config.network import CorridorSettings, NetworkTemplateSettings
from radiogen.errors import ConfigError, InputError

AFFINE = np.array([[2.0, 0, 0, 10], [0, 2, 0, 0], [0, 0, 2, 0], [0, 0, 0, 1]])  # right of the midline


def small() -> tuple[Nodes, BrainSpace]:
    white = np.ones((12, 8, 6), np.float32)
    space = BrainSpace(Grid((12, 8, 6), AFFINE), np.ones(white.shape, bool), 1 - white, white)
    labels = np.zeros(white.shape, np.uint16)
    labels[:2, :2], labels[10:, :2], labels[5:7, 6:] = 1, 2, 3
    return Nodes(labels, ("a", "b", "c"), np.arange(3), 3, "made-up-3", {"atlas": "made up"}), space


def corridors(density: float = 1.0) -> NetworkTemplate:
    return from_corridors(*small(), NetworkTemplateSettings(corridors=CorridorSettings(density=density)))


def test_a_template_keeps_the_contract_and_survives_the_file(tmp_path: Path) -> None:
    template = corridors()
    assert template_problems(template) == []
    assert template.edges.tolist() == [[0, 1], [0, 2], [1, 2]]
    assert template.weights.max() == 1.0
    save_template(tmp_path / "t.npz", template)
    back = load_template_file(tmp_path / "t.npz")
    for name in ("nodes", "edges", "weights", "roi_voxels", "roi_start"):
        assert np.array_equal(getattr(back, name), getattr(template, name)), name
    assert (back.name, back.node_names, back.provenance) == (template.name, template.node_names, template.provenance)
    assert back.grid.same_space(template.grid)
    save_template(tmp_path / "again.npz", corridors())
    assert (tmp_path / "again.npz").read_bytes() == (tmp_path / "t.npz").read_bytes()


def test_damaged_files_are_refused(tmp_path: Path) -> None:
    save_template(tmp_path / "t.npz", corridors())
    whole = (tmp_path / "t.npz").read_bytes()
    (tmp_path / "cut.npz").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "flip.npz").write_bytes(whole[:300] + bytes([whole[300] ^ 255]) + whole[301:])
    (tmp_path / "text.npz").write_text("no template")
    np.savez(tmp_path / "other.npz", a=np.ones(3))
    np.savez(tmp_path / "pickle.npz", about=np.array([{"a": 1}], dtype=object))
    for name in ("cut", "flip", "text", "other", "pickle"):
        with pytest.raises(InputError, match="damaged or not a network template"):
            load_template_file(tmp_path / f"{name}.npz")
    with pytest.raises(InputError, match="does not exist"):
        load_template_file(tmp_path / "none.npz")


def test_a_template_that_contradicts_itself_is_refused(tmp_path: Path) -> None:
    template = corridors()
    save_template(tmp_path / "t.npz", replace(template, edges=template.edges[::-1], weights=template.weights + 1))
    with pytest.raises(InputError, match="contradicts itself") as caught:
        load_template_file(tmp_path / "t.npz")
    assert len(caught.value.problems) == 2


def test_a_tract_and_its_corridor_share_their_place(tmp_path: Path) -> None:
    nodes, space = small()
    line = np.array([[12.0, 2, 4], [32, 2, 4]], np.float32)
    nib.streamlines.save(Tractogram([line, line], affine_to_rasmm=np.eye(4)), tmp_path / "s.tck")
    template = from_tractograms(nodes, space, NetworkTemplateSettings(tractograms=(tmp_path / "s.tck",)))
    assert template.edges.tolist() == [[0, 1]]
    # One density everywhere: the whole way is as dense as its densest twentieth.
    expected = [np.ravel_multi_index((i, 1, 2), (12, 8, 6)) for i in range(1, 12)]
    assert template.edge_voxels(0).tolist() == expected
    overlap = roi_overlap(corridors(), template)
    assert overlap.shape == (1, 2)
    assert overlap[0, 0] > 0.5


def test_the_midline_is_open_in_the_callosum_only() -> None:
    space = brain_space(2)
    white, side = split_hemispheres(space, 0.5)
    centre = 49
    assert set(np.unique(side[centre]).tolist()) == {0}
    assert set(np.unique(side[:centre]).tolist()) == {-1}
    callosum = tuple(np.rint(np.linalg.inv(space.grid.affine) @ [0, 24, 6, 1])[:3].astype(int))
    falx = tuple(np.rint(np.linalg.inv(space.grid.affine) @ [0, 30, 45, 1])[:3].astype(int))
    assert white[callosum] > 0.5
    assert white[falx] == 0


def test_a_cached_template_is_used_and_a_damaged_one_built_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = NetworkTemplateSettings(nodes="geometric")
    built = []

    def build(*_: object) -> NetworkTemplate:
        built.append(1)
        return corridors()

    monkeypatch.setenv("RADIOGEN_CACHE", str(tmp_path))
    monkeypatch.setattr("radiogen.branches.network.template.build_template", build)
    first, second = default_template(settings), default_template(settings)
    assert len(built) == 1
    assert np.array_equal(first.roi_voxels, second.roi_voxels)
    cached_template_path(settings).write_text("damaged")
    default_template(settings)
    assert len(built) == 2
    other = settings.model_copy(update={"voxel_mm": 3})
    assert cached_template_path(other) != cached_template_path(settings)


def test_settings_that_exclude_each_other() -> None:
    with pytest.raises(ConfigError, match="give one of the two"):
        NetworkTemplateSettings.parse({"tractograms": ["a.trk"], "connectome": "c.csv"})
    with pytest.raises(ConfigError, match="node_names needs"):
        NetworkTemplateSettings.parse({"node_names": "n.csv"})
