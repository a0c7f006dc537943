"""Where a classifier on images looks: maps on the case's own voxels, and whether such a map depends on what was learned at all."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np
import torch
from jaxtyping import Float32
from scipy.stats import spearmanr
from torch import Tensor

from radiogen.branches.embedding.base import InputSpec
from radiogen.branches.embedding.image_network import ImageNetwork, with_margin
from radiogen.branches.embedding.inputs import back_to_case, box_of, coarser
from radiogen.branches.embedding.training_items import middle, prepare_images
from radiogen.cohort.case import CaseImages
from radiogen.config.embedding_model import EmbeddingModelSettings
from radiogen.errors import ConfigError
from radiogen.registry import did_you_mean
from radiogen.types import Affine, LabelVolume, Volume

CaseStack = Float32[Tensor, "s i j k"]
"""The prepared sequences of one case."""

Map = Float32[np.ndarray, "_x _y _z"]
"""How much each voxel matters, on the prepared voxels or on coarser ones that cover the same box."""

Method = Callable[[ImageNetwork, CaseStack], Map]
"""A way of explaining: a network and a case to a map."""

_STEPS = 32
_TOLERANCE = 1e-4


def grad_cam(network: ImageNetwork, volumes: CaseStack) -> Map:
    """Return where the last feature maps speak for the positive class, on their own coarse voxels; 0 where they do not.

    Args:
        network: in evaluation mode; its vector has to be the mean of its last maps.
        volumes: one case.

    Raises:
        ConfigError: the vector is not the mean of the maps (C3D, the small slice network, a maximum over slices).

    Source: Selvaraju et al., ICCV 2017, arXiv:1610.02391, equations 1 and 2.
    """
    with torch.no_grad():
        maps = network.maps(volumes[None])
        encoded = network.encode(volumes[None])
    maps = maps.requires_grad_()
    pooled = maps.mean(dim=(2, 3, 4))
    alike = pooled.numel() == encoded.numel() and torch.allclose(
        pooled.reshape(encoded.shape), encoded, rtol=_TOLERANCE, atol=_TOLERANCE * float(encoded.abs().max())
    )
    if not alike:
        raise ConfigError(
            "Grad-CAM is for networks whose vector is the mean of their last maps, and this one's is not.",
            hint="Ask for integrated gradients.",
        )
    (slopes,) = torch.autograd.grad(network.head(pooled.reshape(encoded.shape)).sum(), maps)
    weights = slopes.mean(dim=(2, 3, 4), keepdim=True)
    found: Map = torch.relu((weights * maps).sum(dim=1))[0].detach().numpy()
    return found


def attributions(
    network: ImageNetwork, volumes: CaseStack, steps: int = _STEPS
) -> tuple[Float32[np.ndarray, "s i j k"], float]:
    """Return how much each voxel of each sequence adds to the logit, against a case of zeros, and what is not accounted for.

    Args:
        network: in evaluation mode.
        volumes: one case.
        steps: points of the path, the middles of as many equal parts.

    Returns:
        Signed shares, which sum to the difference of the logits but for the second value: that gap, as a share of the difference.

    Source: Sundararajan et al., ICML 2017, arXiv:1703.01365, equation 1 and the completeness axiom.

    Example:
        >>> from radiogen.branches.embedding.image_network import build_image_network
        >>> settings = EmbeddingModelSettings(network="cnn3d", arguments={"widths": [2, 4]}, fusion="early", sequences=("t1c", "t2f"))
        >>> shares, gap = attributions(build_image_network(settings, ("t1c", "t2f"), 0), torch.rand(2, 8, 8, 8))
        >>> shares.shape, gap < 0.2
        ((2, 8, 8, 8), True)
    """
    total = torch.zeros_like(volumes)
    for step in range(steps):
        point = (volumes * ((step + 0.5) / steps)).requires_grad_()
        (slopes,) = torch.autograd.grad(network(point[None]).sum(), point)
        total += slopes
    shares = (volumes * total / steps).detach()
    with torch.no_grad():
        difference = float(network(volumes[None])) - float(network(torch.zeros_like(volumes)[None]))
    gap = abs(float(shares.double().sum()) - difference) / max(abs(difference), 1e-12)
    return shares.numpy(), gap


def integrated_gradients(network: ImageNetwork, volumes: CaseStack) -> Map:
    """Return the size of each voxel's share of the logit, summed over the sequences; see `attributions`.

    Args:
        network: in evaluation mode.
        volumes: one case.

    Source: Sundararajan et al., ICML 2017, arXiv:1703.01365.
    """
    shares, _ = attributions(network, volumes)
    return np.asarray(np.abs(shares).sum(axis=0), dtype=np.float32)


METHODS: dict[str, Method] = {"grad-cam": grad_cam, "integrated-gradients": integrated_gradients}
"""Ways of explaining by name."""


def check_method(method: str) -> None:
    """Raise where a way of explaining is not known.

    Args:
        method: `grad-cam` or `integrated-gradients`.

    Raises:
        ConfigError: with what is accepted.
    """
    if method not in METHODS:
        raise ConfigError(
            f"'{method}' is not a way of explaining: {', '.join(METHODS)}.", hint=did_you_mean(method, list(METHODS))
        )


@dataclass(frozen=True)
class Shown:
    """What a network is shown of a case, and where that lies.

    Args:
        volumes: prepared sequences.
        affine_to_case: 4 x 4, prepared voxel of the first sequence that is there -> canonical voxel of the case. With `brain` every sequence is cut
            around its own brain: in aligned and brain-extracted images that is one place.
        case_shape: voxels of the case, canonical.
    """

    volumes: CaseStack
    affine_to_case: Affine
    case_shape: tuple[int, int, int]


def shown_of(
    case: CaseImages, labels: LabelVolume | None, sequences: tuple[str, ...], spec: InputSpec, settings: EmbeddingModelSettings
) -> Shown:  # fmt: skip
    """Return what a network sees of a case at prediction.

    Args:
        case: its images.
        labels: its mask on the same voxels; needed where the input is centred on the tumour.
        sequences: the network's channels.
        spec: the network's input, without the margin of random crops.
        settings: corrections and margin.

    Raises:
        CaseError: the case has none of the sequences, or no mask where one is needed.
    """
    margin = settings.augmentation.crop_margin
    wide = with_margin(spec, margin)
    volumes = middle(prepare_images(case, labels, sequences, wide, settings.correct), settings.augmentation)
    first = next(name for name in sequences if name in case.images)
    box = box_of(case.images[first], case.grid.voxel_size_mm, labels, wide)
    inner = np.eye(4)
    inner[:3, 3] = [more // 2 for more in margin]
    return Shown(torch.from_numpy(volumes), box.affine_to_case @ inner, case.grid.canonical_shape)


def on_case(found: Map, shown: Shown) -> Volume:
    """Return a map on the case's canonical voxels; 0 outside of what the network saw.

    Args:
        found: on the prepared voxels or coarser ones.
        shown: where those lie.
    """
    affine = coarser(shown.affine_to_case, shown.volumes.shape[1:], found.shape)
    return back_to_case(found, affine, shown.case_shape)


@dataclass(frozen=True)
class Sanity:
    """How alike a case's map is to maps that know less: rank correlations of all voxels, 1 for the same order.

    A map that stays the same when the network forgets what it learned shows the image, not the network.

    Args:
        head_forgotten: the head's weights are shuffled.
        all_forgotten: all weights are shuffled.
        labels_shuffled: a network of the same kind was trained with shuffled labels; None where there is none.
    """

    head_forgotten: float
    all_forgotten: float
    labels_shuffled: float | None = None

    def words(self) -> str:
        """Return the numbers in one line, to be printed beside the picture.

        Example:
            >>> Sanity(0.1, -0.02, 0.3).words()
            'rank correlation with the map after forgetting: head 0.10, all weights -0.02; trained on shuffled labels 0.30'
        """
        shuffled = "not tried" if self.labels_shuffled is None else f"{self.labels_shuffled:.2f}"
        return (
            f"rank correlation with the map after forgetting: head {self.head_forgotten:.2f}, all weights {self.all_forgotten:.2f}; "
            f"trained on shuffled labels {shuffled}"
        )

    def as_dict(self) -> dict[str, float | None]:
        """Return the numbers for a JSON file."""
        return asdict(self)


def sanity_checks(
    network: ImageNetwork, volumes: CaseStack, method: Method, *, seed: int, shuffled: ImageNetwork | None = None
) -> Sanity:
    """Return how much a case's map depends on the network's weights, and on the labels it was trained with.

    Args:
        network: in evaluation mode.
        volumes: one case.
        method: way of explaining.
        seed: of the shuffled weights.
        shuffled: a network of the same kind that was trained with shuffled labels.

    Source: Adebayo et al., NeurIPS 2018, arXiv:1810.03292, sections 3.1 and 3.2 (weights drawn anew; here the values of every tensor are shuffled,
        which keeps their distribution).
    """
    own = method(network, volumes)
    head = copy.deepcopy(network)
    _forget(head.head, seed)
    everything = copy.deepcopy(network)
    _forget(everything, seed)
    return Sanity(
        rank_correlation(own, method(head, volumes)),
        rank_correlation(own, method(everything, volumes)),
        None if shuffled is None else rank_correlation(own, method(shuffled, volumes)),
    )


def rank_correlation(first: np.ndarray, second: np.ndarray) -> float:
    """Return Spearman's correlation of two maps over the voxels where either is not 0; 0 where one of them is constant there.

    Example:
        >>> rank_correlation(np.array([0.0, 1.0, 2.0, 3.0]), np.array([0.0, 10.0, 30.0, 20.0]))
        0.5
    """
    there = (first != 0) | (second != 0)
    one, other = first[there], second[there]
    if one.size < 2 or np.ptp(one) == 0 or np.ptp(other) == 0:
        return 0.0
    return round(float(spearmanr(one, other).statistic), 12)


@torch.no_grad()
def _forget(module: torch.nn.Module, seed: int) -> None:
    """Shuffle the values of every weight."""
    generator = torch.Generator().manual_seed(seed)
    for parameter in module.parameters():
        order = torch.randperm(parameter.numel(), generator=generator)
        parameter.copy_(parameter.flatten()[order].reshape(parameter.shape))
