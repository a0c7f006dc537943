"""What can stand behind a network's name: a backbone, the segmentation encoder, or somebody else's model; all are asked alike."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
from jaxtyping import Float32

from radiogen.branches.embedding.encoder import SegmentationEncoder
from radiogen.cohort.case import CaseImages
from radiogen.config.embedding import ADAPTER_PREFIX, SEGMENTATION_ENCODER, EmbeddingSettings
from radiogen.errors import CaseError
from radiogen.types import LabelVolume

Vector = Float32[np.ndarray, " d"]


class Kind(ABC):
    """A network with everything that it needs to be asked.

    Args:
        name: middle part of the column names.
        groups: sequences, regions or `fused`: one vector each.
        dimension: length of a vector.
        sequences: the sequences it looks at.
        needs_mask: whether it looks at the mask.
        facts: JSON-able; two kinds with the same facts give the same numbers.
    """

    name: str
    groups: tuple[str, ...]
    dimension: int
    sequences: tuple[str, ...]
    needs_mask: bool
    facts: dict[str, Any]

    @abstractmethod
    def vectors(self, case: CaseImages, labels: LabelVolume | None) -> tuple[dict[str, Vector], list[str]]:
        """Return group -> vector for the groups that the case has, and notes on the rest."""

    @property
    def columns(self) -> list[str]:
        """Return the names of all columns: `embedding_<network>_<group>_<i>`."""
        return [name for group in self.groups for name in self.group_columns(group)]

    def group_columns(self, group: str) -> list[str]:
        """Return the names of one group's columns."""
        width = len(str(self.dimension - 1))
        return [f"embedding_{self.name}_{group}_{i:0{width}}" for i in range(self.dimension)]


def make_kind(settings: EmbeddingSettings) -> Kind:
    """Return what the settings name, loaded.

    Raises:
        ConfigError: the network is unknown, or does not take the settings.
        InputError: its weights cannot be used.
    """
    if settings.network == SEGMENTATION_ENCODER:
        return _EncoderKind(settings)
    # Imported here: the encoder needs none of what all the other networks bring.
    from radiogen.branches.embedding.prepared import AdapterKind, BackboneKind

    return AdapterKind(settings) if settings.network.startswith(ADAPTER_PREFIX) else BackboneKind(settings)


class _EncoderKind(Kind):
    """The segmentation network's own encoder."""

    def __init__(self, settings: EmbeddingSettings) -> None:
        self._encoder = SegmentationEncoder(settings.weights, settings.device, settings.precision)
        card = self._encoder.card
        self.name, self.groups = SEGMENTATION_ENCODER, tuple(settings.regions)
        self.dimension, self.sequences, self.needs_mask = self._encoder.dimension, card.sequences, True
        self.facts = {
            "network": SEGMENTATION_ENCODER,
            "weights": card.name,
            "weights_sha256": card.sha256,
            "licence": card.licence,
            "training_data": card.training_data,
            "regions": list(self.groups),
            "arithmetic": self._encoder.arithmetic,
        }

    def vectors(self, case: CaseImages, labels: LabelVolume | None) -> tuple[dict[str, Vector], list[str]]:
        if labels is None:
            raise CaseError("The segmentation encoder pools inside the mask's regions, and the case has no mask.")
        return self._encoder(case, labels, self.groups)
