"""Patients on a made-up template: what is destroyed is known to the voxel, what the sequences show too."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from radiogen.branches.network.base import PatientGraph
from radiogen.branches.network.patient import (
    VOXELS_PER_REGION,
    Regions,
    edge_regions,
    even_sample,
    node_regions,
    patient_graph,
    roi_vectors,
    sample_case,
    share_outside_brain,
)
from radiogen.cohort.case import CaseImages
from radiogen.cohort.nifti import Grid
from radiogen.config.network import NetworkSettings
from radiogen.types import SEQUENCES
from tests.branches.network.made_up import AFFINE, CENTRES, GRID, SHAPE, block, intensities, made_up_template

HERE = np.eye(4)


def graph(labels: np.ndarray, **images: np.ndarray) -> PatientGraph:
    case = CaseImages("a", images, GRID)
    return patient_graph(case, labels, made_up_template(), NetworkSettings(), HERE)


def test_a_tumour_destroys_what_it_fills_and_nothing_else() -> None:
    # Voxels 5 to 8 of the line from Temporal_Mid_L (voxel 10) to Occipital_Mid_L (voxel 3): 4 of 8.
    found = graph(block((3, 5, 4), (4, 9, 5)))
    assert found.destroyed_edges.tolist() == [0, 0, 0, 0, 0.5, 0, 0]
    assert not found.destroyed_nodes.any()


def test_a_tumour_in_a_node_destroys_the_node_and_the_ends_of_its_connections() -> None:
    found = graph(block((2, 16, 3), (5, 19, 6)))
    assert found.destroyed_nodes.tolist() == [1, 0, 0, 0, 0, 0]
    # Two voxels of the 15 to the right, two of the 8 backwards.
    assert found.destroyed_edges.tolist() == pytest.approx([2 / 15, 2 / 8, 0, 0, 0, 0, 0])


def test_every_part_of_the_tumour_has_its_own_share() -> None:
    labels = block((3, 5, 4), (4, 6, 5), 1) + block((3, 6, 4), (4, 7, 5), 2) + block((3, 7, 4), (4, 8, 5), 3)
    labels += block((3, 8, 4), (4, 9, 5), 4)  # a resection cavity belongs to no region
    found = graph(labels)
    shares = {
        name: found.edge_values[4, found.edge_columns.index(f"destroyed_{name}")] for name in ("wt", "tc", "et", "ed")
    }
    assert shares == {"wt": 3 / 8, "tc": 2 / 8, "et": 1 / 8, "ed": 1 / 8}


def test_an_empty_mask_destroys_nothing() -> None:
    found = graph(np.zeros(SHAPE, dtype=np.uint8), t1n=intensities())
    assert not found.destroyed_nodes.any()
    assert not found.destroyed_edges.any()
    assert np.isfinite(found.node_values).all()
    assert np.isfinite(found.edge_values).all()


def test_a_shifted_world_is_brought_back_by_the_matrix() -> None:
    moved = AFFINE.copy()
    moved[:3, 3] += (13.0, -7.0, 4.0)
    back = np.eye(4)
    back[:3, 3] = (-13.0, 7.0, -4.0)
    labels, image = block((3, 5, 4), (4, 9, 5)), intensities()
    there = patient_graph(
        CaseImages("a", {"t1c": image}, Grid(SHAPE, moved)), labels, made_up_template(), NetworkSettings(), back
    )
    here = graph(labels, t1c=image)
    assert there.destroyed_edges.tolist() == here.destroyed_edges.tolist()
    assert np.allclose(there.edge_values, here.edge_values, atol=1e-4)


def test_a_finer_mask_fills_parts_of_voxels() -> None:
    fine = AFFINE @ np.diag([0.5, 0.5, 0.5, 1.0])
    fine[:3, 3] -= 1.0  # eight fine voxels fill a coarse one
    labels = np.zeros((42, 42, 18), dtype=np.uint8)
    labels[6:8, 12, 8:10] = 3  # half of the voxel (3, 6, 4)
    case = CaseImages("a", {}, Grid((42, 42, 18), fine))
    found = patient_graph(case, labels, made_up_template(), NetworkSettings(), HERE)
    assert found.destroyed_edges[4] == pytest.approx(0.5 / 8)


def test_statistics_are_those_of_the_scaled_voxels() -> None:
    image = intensities()
    template = made_up_template()
    found = graph(block((3, 5, 4), (4, 9, 5)), t2f=image)
    used = np.union1d(np.flatnonzero(template.nodes), template.roi_voxels)
    healthy = used[block((3, 5, 4), (4, 9, 5)).ravel()[used] == 0]
    scaled = (image.ravel() - image.ravel()[healthy].mean(dtype=float)) / image.ravel()[healthy].std(dtype=float)
    names = [found.node_columns.index(f"t2f_{name}") for name in ("mean", "sd", "p10", "p90")]
    for node in range(template.n_nodes):
        values = scaled[np.flatnonzero(template.nodes.ravel() == node + 1)]
        expected = [values.mean(), values.std(), *np.percentile(values, [10, 90])]
        assert found.node_values[node, names].tolist() == pytest.approx(expected, abs=1e-5)
    edge = scaled[template.edge_voxels(2)]
    expected = [edge.mean(), edge.std(), *np.percentile(edge, [10, 90])]
    assert found.edge_values[2, names].tolist() == pytest.approx(expected, abs=1e-5)


def test_the_tumour_does_not_change_the_scale_and_units_do_not_matter() -> None:
    labels = block((3, 5, 4), (4, 9, 5))
    image = intensities()
    bright = np.where(labels > 0, 900, image).astype(np.float32)
    plain, lesion = graph(labels, t1n=image), graph(labels, t1n=bright)
    assert np.array_equal(plain.node_values, lesion.node_values)
    assert lesion.edge_values[4, 0] > plain.edge_values[4, 0] + 5
    assert np.allclose(graph(labels, t1n=image * 7).edge_values, plain.edge_values, atol=1e-4)


def test_a_missing_sequence_is_zeros() -> None:
    found = graph(block((3, 5, 4), (4, 9, 5)), t1n=intensities(), t2f=intensities(1))
    absent = [column for column, name in enumerate(found.node_columns) if name[:3] in ("t1c", "t2w")]
    assert len(absent) == 8
    assert not found.node_values[:, absent].any()
    assert not found.edge_values[:, absent].any()
    assert found.node_values[:, found.node_columns.index("t2f_sd")].all()


def test_regions_of_nodes_are_their_voxels() -> None:
    template = made_up_template()
    regions = node_regions(template)
    for node, (i, j, k) in enumerate(CENTRES.values()):
        voxels = regions.voxels[regions.start[node] : regions.start[node + 1]]
        assert len(voxels) == 27
        assert np.ravel_multi_index((i, j, k), SHAPE) in voxels
    assert edge_regions(template).voxels is template.roi_voxels


def test_vectors_are_the_voxels_then_zeros_sequence_after_sequence() -> None:
    template = made_up_template()
    case = CaseImages("a", {"t1n": intensities(), "t2f": intensities(1)}, GRID)
    sampled = sample_case(case, block((3, 5, 4), (4, 9, 5)), HERE, template)
    vectors = roi_vectors(sampled, edge_regions(template)).reshape(template.n_edges, 4, VOXELS_PER_REGION)
    for edge in range(template.n_edges):
        voxels = template.edge_voxels(edge)
        for position, name in enumerate(SEQUENCES):
            there = vectors[edge, position, : len(voxels)]
            expected = sampled.intensities[name][voxels] if name in sampled.intensities else np.zeros(len(voxels))
            assert np.array_equal(there, expected)
            assert not vectors[edge, position, len(voxels) :].any()


def test_a_large_region_is_sampled_evenly() -> None:
    case = CaseImages("a", {"t1n": intensities()}, GRID)
    template = made_up_template()
    sampled = sample_case(case, block((3, 5, 4), (4, 9, 5)), HERE, template)
    everywhere = np.arange(template.nodes.size)
    rows = roi_vectors(sampled, Regions(everywhere, np.array([0, len(everywhere)])))
    chosen = even_sample(len(everywhere))
    assert np.array_equal(rows[0, :VOXELS_PER_REGION], sampled.intensities["t1n"][chosen])
    assert rows[0, VOXELS_PER_REGION:].any() == np.False_


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 60_000))
def test_sampled_voxels_are_distinct_in_order_and_spread(n: int) -> None:
    chosen = even_sample(n)
    assert len(chosen) == min(n, VOXELS_PER_REGION)
    steps = np.diff(chosen)
    assert chosen[0] == 0
    assert chosen[-1] < n
    assert len(steps) == 0 or (steps.min() >= 1 and steps.max() - steps.min() <= 1)


def test_how_much_of_a_tumour_lies_outside_the_brain() -> None:
    labels = block((3, 5, 4), (4, 9, 5))
    away = np.eye(4)
    away[2, 3] = 200.0
    assert share_outside_brain(labels, GRID, HERE) == 0.0
    assert share_outside_brain(labels, GRID, away) == 1.0
    assert share_outside_brain(np.zeros(SHAPE, dtype=np.uint8), GRID, away) == 0.0
