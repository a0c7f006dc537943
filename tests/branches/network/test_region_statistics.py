"""Statistics of regions: those of PyRadiomics, whatever lies beside a region; flat regions; the graph's columns."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813 - the name that its own manual uses
from radiomics.firstorder import RadiomicsFirstOrder

from radiogen.branches.network.patient import feature_columns, patient_graph
from radiogen.branches.network.region_statistics import BIN_WIDTH, FIRST_ORDER, region_statistics
from radiogen.cohort.case import CaseImages
from radiogen.config.network import NetworkSettings
from radiogen.preprocess.deform import Deformation
from tests.branches.network.made_up import AFFINE, GRID, block, intensities, made_up_template

THEIRS = {
    "mean": "Mean",
    "p10": "10Percentile",
    "p90": "90Percentile",
    "median": "Median",
    "iqr": "InterquartileRange",
    "skewness": "Skewness",
    "kurtosis": "Kurtosis",
    "entropy": "Entropy",
    "energy": "Energy",
}


@pytest.mark.filterwarnings("ignore")
def test_first_order_features_are_those_of_pyradiomics() -> None:
    rng = np.random.default_rng(3)
    values = rng.gamma(2.0, 1.0, 60).astype(np.float32) - np.float32(1)
    beside = rng.normal(5, 2, 9).astype(np.float32)
    found = region_statistics(np.concatenate([beside, values]), np.array([0, 9, 69]), FIRST_ORDER)
    image = sitk.GetImageFromArray(values.reshape(3, 4, 5).astype(np.float64))
    mask = sitk.GetImageFromArray(np.ones((3, 4, 5), np.uint8))
    wanted = RadiomicsFirstOrder(image, mask, binWidth=BIN_WIDTH)
    wanted.enableAllFeatures()
    theirs = wanted.execute()
    ours = {name: float(value[1]) for name, value in zip(FIRST_ORDER, found, strict=True)}
    assert ours["sd"] == pytest.approx(values.astype(float).std())
    for name, other in THEIRS.items():
        assert ours[name] == pytest.approx(float(theirs[other]), rel=1e-6), name


def test_a_flat_region_has_no_shape_of_its_values() -> None:
    found = region_statistics(np.full(4, 2, np.float32), np.array([0, 4]), ("sd", "skewness", "kurtosis", "entropy"))
    assert [float(value[0]) for value in found] == [0, 0, 0, 0]


def test_graphs_hold_the_values_that_the_settings_ask_for() -> None:
    images = CaseImages("a", {"t1c": intensities()}, GRID)
    given = (images, block((2, 6, 3), (5, 13, 6)), made_up_template())
    plain = patient_graph(*given, NetworkSettings(), np.eye(4))
    more = patient_graph(*given, NetworkSettings(region_values="first-order"), np.eye(4))
    assert plain.node_columns == feature_columns()
    assert more.node_columns == feature_columns(FIRST_ORDER)
    assert more.edge_values.shape == (7, 4 * 10 + 4 + 1)
    for name in plain.edge_columns:
        mine, theirs = more.edge_columns.index(name), plain.edge_columns.index(name)
        assert np.array_equal(more.edge_values[:, mine], plain.edge_values[:, theirs]), name


def test_a_deformation_moves_what_is_looked_at() -> None:
    # Every point of the template is displaced by one voxel to the right: as a case that lies one voxel further right.
    images = CaseImages("a", {"t1c": intensities()}, GRID)
    labels = block((2, 6, 3), (5, 13, 6))
    field = np.zeros((*labels.shape, 3), dtype=np.float32)
    field[..., 0] = 4.0
    settings, template = NetworkSettings(), made_up_template()
    bent = patient_graph(images, labels, template, settings, np.eye(4), Deformation(field, GRID, np.eye(4)))
    shift = np.eye(4)
    shift[0, 3] = -4.0
    moved = patient_graph(images, labels, template, settings, shift)
    straight = patient_graph(images, labels, template, settings, np.eye(4))
    assert np.allclose(bent.edge_values, moved.edge_values, atol=1e-4)
    assert not np.allclose(bent.destroyed_nodes, straight.destroyed_nodes)
    assert np.allclose(Deformation(field, GRID, np.eye(4)).at(AFFINE[:3, 3:] + 9.0), [[4.0], [0], [0]])
