"""Learning a division of tumours whose quantile filter and number of habitats are given."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from radiogen.branches.habitats.autoencoder import VoxelEncoder
from radiogen.branches.habitats.clustering import fit_centres, nearest
from radiogen.branches.habitats.model import HabitatModel
from radiogen.branches.habitats.voxels import CaseVoxels, Scaling, sample_rows, within_quantiles
from radiogen.config.habitats import HabitatSettings


@dataclass(frozen=True)
class TrainingData:
    """What habitats are fitted to.

    Args:
        cases: case id -> its tumour's voxels.
        patient_of: case id -> patient.
        maps: names of the columns of the voxels.
        follow_up: index case, one case per patient, columns `days` and `died`; None where survival is not known well enough.
        site_of: case id -> site, of the cases where it is known.
    """

    cases: Mapping[str, CaseVoxels]
    patient_of: Mapping[str, str]
    maps: tuple[str, ...]
    follow_up: pd.DataFrame | None
    site_of: Mapping[str, str] = field(default_factory=dict)

    def part(self, cases: Collection[str]) -> TrainingData:
        """Return the data of some of the cases; survival only where somebody died."""
        kept = {name: case for name, case in self.cases.items() if name in set(cases)}
        known = None if self.follow_up is None else self.follow_up[self.follow_up.index.isin(list(kept))]
        return TrainingData(
            kept,
            {name: self.patient_of[name] for name in kept},
            self.maps,
            known if known is not None and known["died"].any() else None,
            {name: site for name, site in self.site_of.items() if name in kept},
        )

    def sample(self, most: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Return sampled voxels and the number of each one's patient; see `sample_rows`."""
        return sample_rows({name: case.values for name, case in self.cases.items()}, self.patient_of, most, seed)


def learn_encoder(data: TrainingData, settings: HabitatSettings, gamma: float) -> HabitatModel:
    """Return a model with scaling and encoder, still without habitats.

    Args:
        data: training patients.
        settings: of the method.
        gamma: share that the quantile filter cuts off.
    """
    rows, _ = data.sample(settings.autoencoder.most_voxels, settings.seed)
    kept = rows[within_quantiles(rows, gamma)]
    kept = kept if len(kept) else rows
    scaling = Scaling.learn(kept)
    encoder = VoxelEncoder(settings.encoder, len(data.maps), settings.autoencoder).learn(
        scaling.apply(kept), settings.seed
    )
    nothing = np.zeros((0, len(data.maps)), dtype=np.float32)
    return HabitatModel(data.maps, settings.region, gamma, scaling, encoder, nothing, None, {})


def with_centres(model: HabitatModel, data: TrainingData, settings: HabitatSettings, k: int) -> HabitatModel:
    """Return the model with k habitats, numbered from the darkest to the brightest over all maps.

    Args:
        model: with an encoder.
        data: training patients.
        settings: of the method.
        k: habitats.
    """
    rows, _ = data.sample(settings.sample_voxels, settings.seed)
    kept = rows[within_quantiles(rows, model.gamma)]
    kept = kept if len(kept) >= k else rows
    codes = model.code(kept)
    centres = fit_centres(codes, k, settings.seed, starts=5)
    label, bright = nearest(codes, centres), model.scaling.apply(kept).mean(1)
    order = np.argsort([float(bright[label == each].mean()) if (label == each).any() else np.inf for each in range(k)])
    return replace(model, centres=centres[order])
