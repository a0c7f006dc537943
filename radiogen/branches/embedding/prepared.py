"""Networks that see a prepared volume: registered backbones and models of one's own."""

from __future__ import annotations

import hashlib
import re
from dataclasses import asdict

import numpy as np
import torch
from jaxtyping import Float32
from torch import nn

from radiogen.branches.embedding.adapter import load_adapter
from radiogen.branches.embedding.base import InputSpec
from radiogen.branches.embedding.channels import with_input
from radiogen.branches.embedding.fast import Embedder
from radiogen.branches.embedding.inputs import prepare
from radiogen.branches.embedding.kinds import Kind, Vector
from radiogen.branches.embedding.weights import describe_weights, load_backbone
from radiogen.cohort.case import CaseImages
from radiogen.config.embedding import EmbeddingSettings
from radiogen.types import SEQUENCES, LabelVolume

FUSED = "fused"
"""What stands for the sequence in the columns of a network that sees all of them at once."""

PreparedVolume = Float32[np.ndarray, "_i _j _k"]
"""One sequence on the grid of a network's input."""

_ADAPTER_SPEC = InputSpec("tumour", (1.0, 1.0, 1.0), (96, 96, 96), "zscore")


class _Prepared(Kind):
    """A kind whose input is prepared as a specification says."""

    spec: InputSpec

    def _take(self, settings: EmbeddingSettings, own: InputSpec) -> None:
        asked = ("centre", "voxel_size_mm", "shape", "intensity")
        changes = {name: getattr(settings, name) for name in asked if getattr(settings, name) is not None}
        self.spec = with_input(own, changes)
        self.sequences = tuple(name for name in SEQUENCES if name in settings.sequences)
        self.needs_mask = self.spec.centre == "tumour"

    def _volumes(self, case: CaseImages, labels: LabelVolume | None) -> tuple[dict[str, PreparedVolume], list[str]]:
        """Return the prepared volume of every sequence the case has, and notes on the others."""
        prepared = {
            name: prepare(case.images[name], case.grid, labels, self.spec)
            for name in self.sequences
            if name in case.images
        }
        notes = [f"{name} is missing; its columns are blank." for name in self.sequences if name not in prepared]
        notes += dict.fromkeys(note for one in prepared.values() for note in one.notes)
        return {name: one.data for name, one in prepared.items()}, notes


class BackboneKind(_Prepared):
    """A registered network, with one vector per sequence or one for all sequences together."""

    def __init__(self, settings: EmbeddingSettings) -> None:
        fused = settings.mode == "early-fusion"
        channels = len(settings.sequences) if fused else 1
        backbone = load_backbone(
            settings.network, weights=settings.weights, seed=settings.seed, channels=channels, **settings.arguments
        )
        self._take(settings, backbone.spec)
        self.name, self.dimension = settings.network, backbone.dimension
        self.groups = (FUSED,) if fused else self.sequences
        self.facts = {
            "network": settings.network,
            "arguments": settings.arguments,
            "mode": settings.mode,
            "sequences": list(self.sequences),
            "input": asdict(self.spec),
            **describe_weights(settings.weights, settings.seed),
            "weights_sha256": state_sha256(backbone),
        }
        self._embedder = Embedder(backbone, settings.device, settings.precision)
        self.facts["arithmetic"] = self._embedder.arithmetic

    def vectors(self, case: CaseImages, labels: LabelVolume | None) -> tuple[dict[str, Vector], list[str]]:
        """Return one vector per sequence that the case has, or with early fusion one for all; none there where a sequence is missing."""
        volumes, notes = self._volumes(case, labels)
        if self.groups == (FUSED,):
            if len(volumes) < len(self.sequences):
                missing = ", ".join(name for name in self.sequences if name not in volumes)
                return {}, [f"{missing} is missing, and the network sees all sequences at once; all columns are blank."]
            stack = np.stack(list(volumes.values()))[None]
        else:
            stack = np.stack(list(volumes.values()))[:, None]
        found = self._embedder(torch.from_numpy(stack)).numpy()
        return dict(zip((FUSED,) if self.groups == (FUSED,) else volumes, found, strict=True)), notes


class AdapterKind(_Prepared):
    """Somebody else's model, one sequence at a time."""

    def __init__(self, settings: EmbeddingSettings) -> None:
        self._adapter = load_adapter(settings.network)
        self._take(settings, _ADAPTER_SPEC)
        # Column names are made of what files and formulas everywhere accept.
        self.name = re.sub(r"[^a-z0-9]+", "-", self._adapter.name.lower()).strip("-") or "adapter"
        self.dimension, self.groups = self._adapter.dimension, self.sequences
        self.facts = {
            "network": settings.network,
            "name": self._adapter.name,
            "version": self._adapter.version,
            "licence": self._adapter.licence,
            "sequences": list(self.sequences),
            "input": asdict(self.spec),
        }

    def vectors(self, case: CaseImages, labels: LabelVolume | None) -> tuple[dict[str, Vector], list[str]]:
        """Return one vector per sequence that the case has."""
        volumes, notes = self._volumes(case, labels)
        return {name: self._adapter(volume, self.spec.voxel_size_mm) for name, volume in volumes.items()}, notes


def state_sha256(network: nn.Module) -> str:
    """Return the SHA-256 over every number of a network, whatever file it came from.

    Example:
        >>> state_sha256(nn.Identity())[:8]
        'e3b0c442'
    """
    digest = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        plain = tensor.detach().cpu().contiguous()
        digest.update(f"{name} {plain.dtype} {tuple(plain.shape)}".encode())
        digest.update(plain.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
