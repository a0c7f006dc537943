"""The heads of the fusion networks against their formulas."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from radiogen.config.fusion import FusionNetworkSettings
from radiogen.fusion.layers import HEADS, BranchEmbedding, CrossAttention, LocallyConnected, signs

SMALL = FusionNetworkSettings(positions=3, width=2, hidden=4, dropout=0.0)


def made_up(n: int = 5, branches: int = 2, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    features = torch.from_numpy(np.random.default_rng(seed).normal(size=(n, branches, 3, 2)).astype(np.float32))
    return features, torch.ones(n, branches, dtype=torch.bool)


def test_cross_attention_is_that_of_the_paper() -> None:
    torch.manual_seed(0)
    head = CrossAttention(SMALL, 2)
    features, present = made_up(1)
    first, last = head.score[0], head.score[2]
    values = features[0].numpy().astype(float)

    def direction(queries: np.ndarray, keys: np.ndarray) -> tuple[np.ndarray, float]:
        weight, bias = first.weight.detach().numpy().astype(float), first.bias.detach().numpy().astype(float)
        e = np.array(
            [[np.tanh(weight @ np.r_[q, k] + bias) @ last.weight.detach().numpy()[0] for k in keys] for q in queries]
        )
        e = e + float(last.bias.detach())
        alpha = np.exp(e) / np.exp(e).sum(axis=1, keepdims=True)
        return queries + alpha @ keys, 1 / (1 / (1 + np.exp(-e))).sum()

    (one, r_one), (other, r_other) = direction(*values), direction(*values[::-1])
    fused = (r_one * one + r_other * other) / (r_one + r_other)
    logit = fused.ravel() @ signs(6).numpy()
    found, share = head(features, present)
    assert float(found.detach()[0]) == pytest.approx(logit, abs=1e-5)
    assert share.detach().numpy()[0] == pytest.approx(
        [r_one / (r_one + r_other), r_other / (r_one + r_other)], abs=1e-6
    )


def test_the_locally_connected_layer_starts_as_the_sum_of_the_branches_log_odds() -> None:
    features, present = made_up()
    found = LocallyConnected(SMALL, 2)(features, present)[0]
    alone = features.flatten(2) @ signs(6)
    torch.testing.assert_close(found, alone.sum(1))


@pytest.mark.parametrize("kind", sorted(HEADS))
def test_what_a_row_lacks_cannot_move_it(kind: str) -> None:
    torch.manual_seed(1)
    head = HEADS[kind](SMALL, 3)
    features, present = made_up(4, branches=3)
    present[0, 1] = present[1, 0] = present[1, 2] = False
    other = torch.where(present[..., None, None], features, 7.0)
    (logits, share), (again, share_again) = head(features, present), head(other, present)
    torch.testing.assert_close(logits, again)
    torch.testing.assert_close(share, share_again)
    assert (share[~present] == 0).all()
    torch.testing.assert_close(share.sum(1), torch.ones(4))
    assert share[1].tolist() == [0, 1, 0]
    moved = head(2 * features, present)[0]
    assert not torch.allclose(logits, moved)


@pytest.mark.parametrize("kind", sorted(HEADS))
def test_the_order_of_the_branches_does_not_matter(kind: str) -> None:
    torch.manual_seed(2)
    head = HEADS[kind](SMALL, 3)
    features, present = made_up(4, branches=3)
    present[2, 1] = False
    order = torch.tensor([2, 0, 1])
    (logits, share), (again, turned) = head(features, present), head(features[:, order], present[:, order])
    torch.testing.assert_close(again, logits)
    torch.testing.assert_close(turned, share[:, order])


def test_a_branch_alone_reads_its_vectors_along_the_signs() -> None:
    part = BranchEmbedding(4, SMALL).eval()
    x = torch.randn(5, 4)
    torch.testing.assert_close(part.logits(x), part(x).flatten(1) @ signs(6) + part.offset)
