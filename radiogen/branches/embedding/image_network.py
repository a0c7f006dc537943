"""A classifier network on images: backbones by name, one way of combining sequences, and a head with one logit."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from itertools import pairwise

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from radiogen.branches.embedding.base import Backbone, FeatureMaps, InputSpec, Volumes
from radiogen.branches.embedding.channels import with_input
from radiogen.branches.embedding.fusion import LateFusion, present
from radiogen.branches.embedding.locally_connected import LocallyConnectedHead
from radiogen.branches.embedding.weights import load_backbone
from radiogen.config.embedding_model import EmbeddingModelSettings

Encoded = Float[Tensor, "b *_values"]
"""One vector per item, or one per item and sequence."""

OneLogit = Float[Tensor, "b 1"]
"""One logit per item."""

_LEAST_SD = 1e-6


class Head(nn.Module):
    """From vectors to one logit: standardised, then linear layers with dropout before each and ReLU between, or the locally connected head.

    Args:
        dimension: length of a vector.
        sequences: vectors per item; 0: one vector for all of them, without an axis of its own.
        hidden: widths of the hidden layers.
        dropout: probability that a value is dropped in training.

    Example:
        >>> Head(5, 0, (3,), 0.1)(torch.zeros(2, 5)).shape, Head(5, 4, (3,), 0.1)(torch.zeros(2, 4, 5)).shape
        (torch.Size([2, 1]), torch.Size([2, 1]))
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, dimension: int, sequences: int, hidden: tuple[int, ...], dropout: float) -> None:
        super().__init__()
        shape = (sequences, dimension) if sequences else (dimension,)
        self.register_buffer("mean", torch.zeros(shape))
        self.register_buffer("deviation", torch.ones(shape))
        self.layers: nn.Module
        if sequences:
            self.layers = LocallyConnectedHead(sequences, dimension, hidden=hidden, dropout=dropout)
            return
        layers: list[nn.Module] = []
        for before, after in pairwise((dimension, *hidden)):
            layers += [nn.Dropout(dropout), nn.Linear(before, after), nn.ReLU()]
        self.layers = nn.Sequential(*layers, nn.Dropout(dropout), nn.Linear((dimension, *hidden)[-1], 1))

    def standardise(self, vectors: Encoded) -> None:
        """Take mean and standard deviation from training vectors; vectors of zeros (missing sequences) do not count.

        Args:
            vectors: one item each.
        """
        there = vectors.ne(0).any(dim=-1, keepdim=True).double()
        count = there.sum(dim=0).clamp(min=1)
        mean = vectors.double().sum(dim=0) / count
        deviation = (((vectors.double() - mean) ** 2 * there).sum(dim=0) / count).sqrt()
        self.mean.copy_(mean)
        # A value that never changes says nothing; divided by next to nothing it would say too much.
        self.deviation.copy_(torch.where(deviation > _LEAST_SD * deviation.max(), deviation, torch.inf))

    def forward(self, vectors: Encoded) -> OneLogit:
        """Return one logit per item."""
        ready = (vectors - self.mean) / self.deviation
        if isinstance(self.layers, LocallyConnectedHead):
            found: Tensor = self.layers(ready, vectors.ne(0).any(dim=-1))
            return found
        logits: Tensor = self.layers(ready)
        return logits


class ImageNetwork(nn.Module):
    """Backbone and head.

    Args:
        backbone: of one channel per sequence, or of one channel where every sequence goes through it by itself.
        head: from its vectors to a logit.
        shared: every sequence goes through the one backbone by itself.
    """

    def __init__(self, backbone: Backbone, head: Head, *, shared: bool) -> None:
        super().__init__()
        self.backbone, self.head, self.shared = backbone, head, shared

    def encode(self, volumes: Volumes) -> Encoded:
        """Return one vector per item; with a shared backbone one per item and sequence, zeros for a missing one."""
        if not self.shared:
            found: Tensor = self.backbone(volumes)
            return found
        vectors = self.backbone(volumes.flatten(0, 1)[:, None]).unflatten(0, tuple(volumes.shape[:2]))
        return torch.where(present(volumes)[..., None], vectors, 0.0)

    def maps(self, volumes: Volumes) -> FeatureMaps:
        """Return the last feature maps, those of a shared backbone side by side."""
        if not self.shared:
            return self.backbone.feature_maps(volumes)
        found = self.backbone.feature_maps(volumes.flatten(0, 1)[:, None])
        return found.unflatten(0, tuple(volumes.shape[:2])).flatten(1, 2)

    def forward(self, volumes: Volumes) -> OneLogit:
        """Return one logit per item."""
        logits: Tensor = self.head(self.encode(volumes))
        return logits


def build_image_network(settings: EmbeddingModelSettings, sequences: tuple[str, ...], seed: int) -> ImageNetwork:
    """Return a network for some sequences with its first weights; the same seed gives the same ones.

    Args:
        settings: network, fusion, head.
        sequences: what its channels are; one for the members of a mean of scores.
        seed: of random weights.

    Raises:
        ConfigError: the network or an argument is not accepted.
        InputError: the weights cannot be used.

    Example:
        >>> settings = EmbeddingModelSettings(network="cnn3d", arguments={"widths": [2, 4]}, fusion="late")
        >>> build_image_network(settings, ("t1c", "t2f"), 0)(torch.ones(3, 2, 8, 8, 8)).shape
        torch.Size([3, 1])
    """

    def backbone(channels: int, stream: int) -> Backbone:
        own = int(np.random.SeedSequence([seed, stream]).generate_state(1)[0] % 2**31)
        return load_backbone(
            settings.network, weights=settings.weights, seed=own, channels=channels, **settings.arguments
        )

    whole: Backbone
    if settings.fusion == "late":
        whole = LateFusion({name: backbone(1, stream) for stream, name in enumerate(sequences)})
    else:
        whole = backbone(1 if settings.fusion == "locally-connected" else len(sequences), 0)
    shared = settings.fusion == "locally-connected"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(np.random.SeedSequence([seed, 100]).generate_state(1)[0] % 2**31))
        head = Head(whole.dimension, len(sequences) if shared else 0, settings.hidden, settings.dropout)
    network = ImageNetwork(whole, head, shared=shared)
    if settings.frozen:
        whole.requires_grad_(False)
    for module in whole.modules():
        if settings.norm_momentum is not None and isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.momentum = settings.norm_momentum
    return network.eval()


def input_of(settings: EmbeddingModelSettings, network: ImageNetwork) -> InputSpec:
    """Return what a classifier's volumes are prepared as: the network's own input with the settings' changes.

    Args:
        settings: changes of the input.
        network: whose input it is.

    Raises:
        ConfigError: a change is not accepted.
    """
    return with_input(network.backbone.spec, settings.input)


def with_margin(spec: InputSpec, margin: tuple[int, int, int]) -> InputSpec:
    """Return an input that is larger, so that parts of it can be taken.

    Example:
        >>> with_margin(InputSpec("brain", (1.0, 1.0, 3.0), (112, 112, 48), "video255"), (14, 14, 2)).shape
        (126, 126, 50)
    """
    i, j, k = (n + more for n, more in zip(spec.shape, margin, strict=True))
    return replace(spec, shape=(i, j, k))


@torch.inference_mode()
def mirrored_probability(network: ImageNetwork, volumes: Float[Tensor, "s i j k"], flips: Iterable[str]) -> float:
    """Return the mean probability of a case and its mirror images.

    Args:
        network: in evaluation mode.
        volumes: one case, on the network's device.
        flips: axes: `i`, `j`, `k`.
    """
    images = [volumes, *(volumes.flip(1 + "ijk".index(axis)) for axis in flips)]
    # One by one: what a case gets must not depend on how batches are computed.
    logits = torch.stack([network(image[None])[0, 0] for image in images])
    return float(torch.sigmoid(logits.double()).mean())
