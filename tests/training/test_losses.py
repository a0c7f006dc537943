from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import distance_transform_edt

from radiogen.errors import ConfigError
from radiogen.training.losses import DeepSupervision, build_loss, set_epoch
from radiogen.training.names import LOSSES

SHAPE = (2, 4, 6, 5, 4)
SMOOTH = 1e-5


@pytest.fixture(scope="module")
def logits() -> torch.Tensor:
    return 2 * torch.randn(SHAPE, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def one_hot() -> torch.Tensor:
    labels = torch.randint(0, 4, (SHAPE[0], *SHAPE[2:]), generator=torch.Generator().manual_seed(2))
    return torch.nn.functional.one_hot(labels, 4).movedim(-1, 1).float()


def softmax(x: np.ndarray) -> np.ndarray:
    e = np.exp(x - x.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def dice_by_hand(p: np.ndarray, t: np.ndarray) -> np.ndarray:
    """Per case and channel."""
    axes = (2, 3, 4)
    return 1 - (2 * (p * t).sum(axes) + SMOOTH) / (p.sum(axes) + t.sum(axes) + SMOOTH)


def cross_entropies(p: np.ndarray, t: np.ndarray, *, exclusive: bool) -> np.ndarray:
    return -np.log((p * t).sum(1)) if exclusive else -(t * np.log(p) + (1 - t) * np.log(1 - p))


def value(name: str, x: torch.Tensor, t: torch.Tensor, *, exclusive: bool, **arguments: object) -> float:
    return float(build_loss(name, softmax=exclusive, arguments=arguments)(x, t))


def arrays(x: torch.Tensor, t: torch.Tensor, *, exclusive: bool) -> tuple[np.ndarray, np.ndarray]:
    raw = x.double().numpy()
    return (softmax(raw) if exclusive else sigmoid(raw)), t.double().numpy()


def test_dice_with_cross_entropy_is_what_it_says(logits: torch.Tensor, one_hot: torch.Tensor) -> None:
    p, t = arrays(logits, one_hot, exclusive=True)
    dice = dice_by_hand(p, t)[:, 1:].mean()
    ce = cross_entropies(p, t, exclusive=True).mean()
    assert value("dice", logits, one_hot, exclusive=True) == pytest.approx(dice, rel=1e-5)
    assert value("ce", logits, one_hot, exclusive=True) == pytest.approx(ce, rel=1e-5)
    assert value("dice-ce", logits, one_hot, exclusive=True) == pytest.approx(dice + ce, rel=1e-5)


def test_dice_with_binary_cross_entropy_counts_every_region(logits: torch.Tensor, one_hot: torch.Tensor) -> None:
    p, t = arrays(logits, one_hot, exclusive=False)
    dice, bce = dice_by_hand(p, t).mean(), cross_entropies(p, t, exclusive=False).mean()
    assert value("bce", logits, one_hot, exclusive=False) == pytest.approx(bce, rel=1e-5)
    assert value("dice-bce", logits, one_hot, exclusive=False) == pytest.approx(dice + bce, rel=1e-5)


def test_batch_dice_sums_over_the_batch_first(logits: torch.Tensor, one_hot: torch.Tensor) -> None:
    p, t = arrays(logits, one_hot, exclusive=False)
    whole = dice_by_hand(
        p.transpose(1, 0, 2, 3, 4).reshape(1, 4, 12, 5, 4), t.transpose(1, 0, 2, 3, 4).reshape(1, 4, 12, 5, 4)
    )
    assert value("dice", logits, one_hot, exclusive=False, batch=True) == pytest.approx(whole.mean(), rel=1e-5)


@pytest.mark.parametrize("exclusive", [True, False])
def test_dice_with_focal(logits: torch.Tensor, one_hot: torch.Tensor, exclusive: bool) -> None:
    p, t = arrays(logits, one_hot, exclusive=exclusive)
    if exclusive:
        focal = (-t * (1 - p) ** 2 * np.log(p)).mean()
        expected = dice_by_hand(p, t)[:, 1:].mean() + focal
    else:
        right = np.where(t == 1, p, 1 - p)
        expected = dice_by_hand(p, t).mean() + (-((1 - right) ** 2) * np.log(right)).mean()
    assert value("dice-focal", logits, one_hot, exclusive=exclusive) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("exclusive", [True, False])
def test_topk_takes_the_worst_tenth(logits: torch.Tensor, one_hot: torch.Tensor, exclusive: bool) -> None:
    p, t = arrays(logits, one_hot, exclusive=exclusive)
    losses = cross_entropies(p, t, exclusive=exclusive)
    if exclusive:
        worst = np.sort(losses.ravel())[::-1][: losses.size // 10].mean()
        dice = dice_by_hand(p, t)[:, 1:].mean()
    else:
        rows = np.sort(losses.transpose(1, 0, 2, 3, 4).reshape(4, -1), axis=1)[:, ::-1]
        worst = rows[:, : rows.shape[1] // 10].mean()
        dice = dice_by_hand(p, t).mean()
    assert value("dice-topk", logits, one_hot, exclusive=exclusive) == pytest.approx(dice + worst, rel=1e-5)


def test_topk_refuses_a_share_of_nothing() -> None:
    with pytest.raises(ConfigError, match="share is 0"):
        build_loss("dice-topk", softmax=False, arguments={"share": 0.0})


def test_generalised_dice(logits: torch.Tensor, one_hot: torch.Tensor) -> None:
    p, t = arrays(logits, one_hot, exclusive=False)
    axes = (2, 3, 4)
    weight = 1 / t.sum(axes) ** 2
    expected = 1 - 2 * (weight * (p * t).sum(axes)).sum(1) / (weight * (p.sum(axes) + t.sum(axes))).sum(1)
    assert value("generalised-dice", logits, one_hot, exclusive=False) == pytest.approx(expected.mean(), rel=1e-3)


def test_tversky_weighs_false_negatives_more(logits: torch.Tensor, one_hot: torch.Tensor) -> None:
    p, t = arrays(logits, one_hot, exclusive=False)
    axes = (2, 3, 4)
    hit, false_positive, false_negative = (p * t).sum(axes), (p * (1 - t)).sum(axes), ((1 - p) * t).sum(axes)
    expected = 1 - hit / (hit + 0.3 * false_positive + 0.7 * false_negative)
    assert value("tversky", logits, one_hot, exclusive=False) == pytest.approx(expected.mean(), rel=1e-4)


def test_the_boundary_takes_over_as_epochs_go(logits: torch.Tensor, one_hot: torch.Tensor) -> None:
    p, t = arrays(logits, one_hot, exclusive=True)
    inside = t > 0.5
    distance = np.zeros_like(t)
    for case, channel in np.ndindex(2, 4):
        mask = inside[case, channel]
        distance[case, channel] = np.where(mask, 1 - distance_transform_edt(mask), distance_transform_edt(~mask))
    boundary = (p * distance)[:, 1:].mean()
    dice = dice_by_hand(p, t)[:, 1:].mean()
    loss = build_loss("dice-boundary", softmax=True)
    for epoch, share in ((0, 0.01), (49, 0.5), (500, 1.0)):
        set_epoch(loss, epoch)
        assert float(loss(logits, one_hot)) == pytest.approx((1 - share) * dice + share * boundary, rel=1e-4)


def test_cross_entropy_with_distances(logits: torch.Tensor, one_hot: torch.Tensor) -> None:
    p, t = arrays(logits, one_hot, exclusive=True)
    far = np.stack([[distance_transform_edt(channel < 0.5) for channel in case] for case in t]) * p
    expected = cross_entropies(p, t, exclusive=True).mean() + 0.1 * far.mean() + 0.01 * far.max(axis=(2, 3, 4)).mean()
    assert value("ce-distance", logits, one_hot, exclusive=True) == pytest.approx(expected, rel=1e-5)


def test_class_weights_count(logits: torch.Tensor, one_hot: torch.Tensor) -> None:
    weights = np.array([0.5, 1.0, 2.0, 4.0])
    p, t = arrays(logits, one_hot, exclusive=False)
    bce = (cross_entropies(p, t, exclusive=False) * weights.reshape(1, -1, 1, 1, 1)).mean()
    dice = (dice_by_hand(p, t) * weights).mean()
    got = value("dice-bce", logits, one_hot, exclusive=False, class_weights=weights.tolist())
    assert got == pytest.approx(dice + bce, rel=1e-5)
    q, t = arrays(logits, one_hot, exclusive=True)
    per_voxel = (t * weights.reshape(1, -1, 1, 1, 1)).sum(1)
    ce = (cross_entropies(q, t, exclusive=True) * per_voxel).sum() / per_voxel.sum()
    assert value("ce", logits, one_hot, exclusive=True, class_weights=weights.tolist()) == pytest.approx(ce, rel=1e-5)


def test_deep_supervision_halves_with_every_resolution(logits: torch.Tensor, one_hot: torch.Tensor) -> None:
    loss = build_loss("dice-ce", softmax=True)
    deep = build_loss("dice-ce", softmax=True, deep_supervision=True)
    single = float(loss(logits, one_hot))
    assert isinstance(deep, DeepSupervision)
    assert float(deep(logits, one_hot)) == pytest.approx(single)
    assert float(deep([logits, logits, logits], one_hot)) == pytest.approx(1.75 * single)
    assert float(deep(torch.stack([logits, logits], dim=1), one_hot)) == pytest.approx(1.5 * single)
    coarse, coarse_target = logits[..., ::2], torch.nn.functional.interpolate(one_hot, (6, 5, 2), mode="nearest-exact")
    expected = single + 0.5 * float(loss(coarse, coarse_target))
    assert float(deep([logits, coarse], one_hot)) == pytest.approx(expected)


@pytest.mark.parametrize("name", LOSSES.names())
def test_every_loss_has_finite_gradients_for_an_absent_class(name: str) -> None:
    exclusive = name in {"ce", "dice-ce", "ce-distance"}
    target = torch.zeros(1, 4, 6, 6, 6)
    target[:, 0] = 1
    logits = torch.zeros(1, 4, 6, 6, 6, requires_grad=True)
    build_loss(name, softmax=exclusive)(logits, target).backward()
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()


@pytest.mark.parametrize(("name", "exclusive"), [("dice-ce", False), ("ce", False), ("dice-bce", True), ("bce", True)])
def test_a_loss_of_the_other_kind_names_its_twin(name: str, exclusive: bool) -> None:
    with pytest.raises(ConfigError, match="Use '"):
        build_loss(name, softmax=exclusive)


def test_unknown_losses_and_arguments_are_refused() -> None:
    with pytest.raises(ConfigError, match="Did you mean 'dice-bce'"):
        build_loss("dice-bec", softmax=False)
    with pytest.raises(ConfigError, match="cannot be made with"):
        build_loss("dice-bce", softmax=False, arguments={"gamma": 2})
