"""A habitat model: what divides a tumour, and what divides patients; saved without pickle."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import kmedoids
import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, UInt8
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from radiogen.branches.habitats.autoencoder import VoxelEncoder
from radiogen.branches.habitats.clustering import nearest
from radiogen.branches.habitats.features import feature_names, habitat_features
from radiogen.branches.habitats.voxels import CaseVoxels, Centres, Codes, Rows, Scaling
from radiogen.config.habitats import AutoencoderTraining
from radiogen.errors import InputError
from radiogen.run.atomic import write_json, writing

FORMAT = 1
FILES = ("model.safetensors", "model.json")


@dataclass(frozen=True)
class RiskGroups:
    """Two groups of patients round two typical ones (k-medoids), frozen.

    Args:
        columns: features that are compared.
        centre: (f,) mean of each among training patients.
        spread: (f,) standard deviation of each.
        medoids: (2, f) standardised features of the two typical patients.
        high: which of them stands for the higher risk.

    Source: partitioning around medoids, Kaufman and Rousseeuw 1990; Schubert and Rousseeuw 2021, Inf Syst 101:101804 (FasterPAM).
    """

    columns: tuple[str, ...]
    centre: Float[np.ndarray, " f"]
    spread: Float[np.ndarray, " f"]
    medoids: Float[np.ndarray, "2 f"]
    high: int

    @classmethod
    def learn(cls, features: pd.DataFrame, columns: Sequence[str]) -> RiskGroups:
        """Return groups of training patients; which one has the higher risk is not known yet and said by `turned`.

        Args:
            features: one row per patient, two or more, without blanks.
            columns: features that are compared.
        """
        values = features[list(columns)].to_numpy(dtype=float)
        centre, spread = values.mean(0), values.std(0)
        spread = np.where(spread > 1e-9, spread, 1.0)
        scaled = (values - centre) / spread
        apart = np.sqrt(((scaled[:, None] - scaled[None]) ** 2).sum(-1))
        found = kmedoids.fasterpam(apart, 2, init="build", random_state=0)
        medoids = scaled[np.sort(np.asarray(found.medoids, dtype=int))]
        return cls(tuple(columns), centre, spread, medoids, 1)

    def turned(self, high: int) -> RiskGroups:
        """Return the same groups with the medoid of higher risk named."""
        return RiskGroups(self.columns, self.centre, self.spread, self.medoids, high)

    def assign(self, features: pd.DataFrame) -> Bool[np.ndarray, " n"]:
        """Return who is in the high-risk group: nearer to its medoid than to the other."""
        scaled = (features[list(self.columns)].to_numpy(dtype=float) - self.centre) / self.spread
        near = ((scaled[:, None] - self.medoids[None]) ** 2).sum(-1).argmin(1)
        return np.asarray(near == self.high)


@dataclass(frozen=True)
class HabitatModel:
    """Divides a tumour into habitats 1 to k, and patients into two groups.

    Args:
        maps: columns of the cohort that it reads, in order.
        region: part of the mask.
        gamma: share that the quantile filter cut off each map while it learned.
        scaling: of the maps.
        encoder: of scaled voxels.
        centres: (k, z) codes of the habitats.
        groups: of patients; None where survival was not known.
        facts: JSON-able facts of its training.
    """

    maps: tuple[str, ...]
    region: str
    gamma: float
    scaling: Scaling
    encoder: VoxelEncoder
    centres: Centres
    groups: RiskGroups | None
    facts: Mapping[str, Any]

    @property
    def k(self) -> int:
        """Return the number of habitats."""
        return len(self.centres)

    @property
    def columns(self) -> list[str]:
        """Return the columns of `features`."""
        return feature_names(self.k)

    def code(self, values: Rows) -> Codes:
        """Return the codes of voxels as read."""
        return self.encoder.encode(self.scaling.apply(values))

    def divide(self, values: Rows) -> UInt8[np.ndarray, " n"]:
        """Return the habitat of every voxel, from 1."""
        return (nearest(self.code(values), self.centres) + 1).astype(np.uint8)

    def features(self, case: CaseVoxels) -> dict[str, float]:
        """Return the habitat features of a case."""
        return habitat_features(case.box_labels(self.divide(case.values)), self.k)


def save_model(folder: str | Path, model: HabitatModel) -> list[Path]:
    """Write a model as safetensors and JSON, atomically; the same model gives the same bytes.

    Returns:
        The files.
    """
    folder = Path(folder)
    arrays = {f"encoder.{name}": value for name, value in model.encoder.weights().items()}
    arrays |= {"scaling.low": model.scaling.low, "scaling.high": model.scaling.high, "centres": model.centres}
    groups = None
    if model.groups is not None:
        arrays |= {f"groups.{name}": getattr(model.groups, name) for name in ("centre", "spread", "medoids")}
        groups = {"columns": list(model.groups.columns), "high": model.groups.high}
    with writing(folder / FILES[0]) as beside:
        beside.write_bytes(save({name: np.ascontiguousarray(value) for name, value in sorted(arrays.items())}))
    card = {
        "format": FORMAT, "maps": list(model.maps), "region": model.region, "gamma": model.gamma, "habitats": model.k,
        "encoder": model.encoder.kind, "autoencoder": model.encoder.training.model_dump(mode="json"), "groups": groups,
        "facts": dict(model.facts),
    }  # fmt: skip
    write_json(folder / FILES[1], card)
    return [folder / name for name in FILES]


def load_model(folder: str | Path) -> HabitatModel:
    """Read a model that `save_model` wrote.

    Raises:
        InputError: the folder holds no such model, one of another format, or a damaged one.
    """
    folder = Path(folder)
    try:
        card = json.loads((folder / FILES[1]).read_text(encoding="utf-8"))
        if card["format"] != FORMAT:
            raise InputError(f"{folder.name} has format {card['format']}; {FORMAT} is accepted.", hint="Fit it again.")
        arrays = load_file(folder / FILES[0])
        training = AutoencoderTraining.parse(card["autoencoder"])
        encoder = VoxelEncoder(card["encoder"], len(card["maps"]), training)
        encoder.load({name[8:]: value for name, value in arrays.items() if name.startswith("encoder.")})
        groups = None if card["groups"] is None else _groups(card["groups"], arrays)
        scaling = Scaling(arrays["scaling.low"], arrays["scaling.high"])
        return HabitatModel(
            tuple(card["maps"]), card["region"], float(card["gamma"]), scaling, encoder, arrays["centres"], groups, card["facts"]
        )  # fmt: skip
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise InputError(
            f"{folder} holds no habitat model that can be read: {error}",
            hint="Give the folder 'model' that radiogen habitats fit wrote.",
        ) from error


def _groups(card: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> RiskGroups:
    centre, spread, medoids = (arrays[f"groups.{name}"] for name in ("centre", "spread", "medoids"))
    return RiskGroups(tuple(card["columns"]), centre, spread, medoids, int(card["high"]))
