from __future__ import annotations

from itertools import permutations, product

import numpy as np
import pytest

from radiogen.stats.surfels import cell_codes, surface_areas_mm2

BITS = {corner: 1 << bit for bit, corner in enumerate(product((0, 1), repeat=3))}


def total_mm2(mask: np.ndarray, size_mm: tuple[float, float, float] = (1.0, 1.0, 1.0)) -> float:
    return float(surface_areas_mm2(size_mm)[cell_codes(mask)].sum())


def test_a_box_has_its_faces_and_bevelled_edges_and_corners() -> None:
    # Marching cubes halves the voxels at the rim: 6 faces of (n-1)^2, 12 edges of (n-1) x sqrt(1/2), 8 corners of sqrt(3)/8.
    n = 5
    expected = 6 * (n - 1) ** 2 + 12 * (n - 1) * np.sqrt(0.5) + 8 * np.sqrt(3) / 8
    assert total_mm2(np.ones((n, n, n), bool)) == pytest.approx(expected)


def test_areas_grow_with_the_square_of_the_voxel_and_know_its_axes() -> None:
    flat = np.ones((9, 9, 1), bool)
    assert total_mm2(flat, (2.0, 2.0, 2.0)) == pytest.approx(4 * total_mm2(flat))
    assert total_mm2(flat, (1.0, 1.0, 4.0)) == pytest.approx(total_mm2(flat.transpose(2, 0, 1), (4.0, 1.0, 1.0)))


def test_mirrored_permuted_and_complementary_cells_have_the_same_area() -> None:
    areas = surface_areas_mm2((1.0, 1.0, 1.0))
    assert areas == pytest.approx(areas[::-1])
    codes = np.array([[[BITS[i, j, k] for k in (0, 1)] for j in (0, 1)] for i in (0, 1)])
    for code in range(256):
        cube = (codes & code) > 0
        for axes, mirrored in product(permutations(range(3)), product((False, True), repeat=3)):
            moved = np.flip(cube.transpose(axes), [axis for axis in range(3) if mirrored[axis]])
            assert areas[int((moved * codes).sum())] == pytest.approx(areas[code])


def test_areas_at_one_millimetre_are_those_of_surface_distance() -> None:
    from monai.metrics.utils import create_table_neighbour_code_to_surface_area  # a port of surface-distance's table

    table, kernel = create_table_neighbour_code_to_surface_area((1.0, 1.0, 1.0))
    theirs, weights = table.numpy(), kernel.numpy().reshape(2, 2, 2)
    ours = surface_areas_mm2((1.0, 1.0, 1.0))
    for code in range(256):
        same_cell = sum(int(weights[corner]) for corner, bit in BITS.items() if code & bit)
        assert ours[code] == pytest.approx(float(theirs[same_cell]), abs=1e-6)
