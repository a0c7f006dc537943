"""The voxels of every region of many cases without holding them: each case is kept once, regions are gathered when asked for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float32, Integer

from radiogen.branches.network.base import NetworkTemplate
from radiogen.branches.network.patient import VOXELS_PER_REGION, Regions, Sampled, even_sample
from radiogen.types import SEQUENCES


def template_voxels(template: NetworkTemplate) -> Integer[np.ndarray, " m"]:
    """Return the flat voxels that belong to a node or a connection, sorted."""
    return np.union1d(np.flatnonzero(template.nodes.reshape(-1)), template.roi_voxels)


def kept_values(sampled: Sampled, voxels: Integer[np.ndarray, " m"]) -> Float32[np.ndarray, "4 m+1"]:
    """Return what is kept of a case: the four sequences on the template's voxels, then one 0 to pad with.

    At 2 mm some 3 MB, where the vectors of all regions are 100 MB: tracts overlap, and small ones are padded.

    Args:
        sampled: the case.
        voxels: as `template_voxels` returns them.
    """
    values = np.zeros((len(SEQUENCES), len(voxels) + 1), dtype=np.float32)
    for position, name in enumerate(SEQUENCES):
        if name in sampled.intensities:
            values[position, :-1] = sampled.intensities[name][voxels]
    return values


class RegionVectors:
    """Vectors of 2500 voxels x 4 sequences per case and region, as an array that is read from files when indexed.

    The same numbers as `roi_vectors`. Memory: one case at a time.

    Args:
        files: one NumPy file per case, as `kept_values` returns it.
        regions: nodes or connections.
        voxels: as `template_voxels` returns them.
    """

    def __init__(self, files: Sequence[Path], regions: Regions, voxels: Integer[np.ndarray, " m"]) -> None:
        self.files = tuple(files)
        self._places = np.full((len(regions), VOXELS_PER_REGION), len(voxels), dtype=np.int32)
        compact = np.searchsorted(voxels, regions.voxels).astype(np.int32)
        for region, (first, last) in enumerate(zip(regions.start[:-1], regions.start[1:], strict=True)):
            chosen = compact[first:last][even_sample(int(last - first))]
            self._places[region, : len(chosen)] = chosen

    @property
    def shape(self) -> tuple[int, int, int]:
        """Return cases, regions and values of each."""
        return len(self.files), len(self._places), VOXELS_PER_REGION * len(SEQUENCES)

    def case(
        self, number: int, regions: Integer[np.ndarray, " r"] | None = None
    ) -> Float32[np.ndarray, "regions values"]:
        """Return the vectors of one case.

        Args:
            number: which case, from 0.
            regions: which regions; None: all.
        """
        values: Float32[np.ndarray, "4 kept"] = np.load(self.files[number])
        places = self._places if regions is None else self._places[regions]
        # One sequence after the other within a row, as the paper lays them side by side.
        return np.ascontiguousarray(values[:, places].transpose(1, 0, 2)).reshape(len(places), -1)

    def rows(
        self, cases: Integer[np.ndarray, " k"], regions: Integer[np.ndarray, " k"]
    ) -> Float32[np.ndarray, "k values"]:
        """Return single vectors; every case's file is read once.

        Args:
            cases: case of each vector, from 0.
            regions: region of each vector, from 0.
        """
        found = np.zeros((len(cases), self.shape[2]), dtype=np.float32)
        for number in np.unique(cases):
            where = np.flatnonzero(cases == number)
            found[where] = self.case(int(number), regions[where])
        return found
