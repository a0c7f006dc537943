"""The locally connected classifier: what it computes, how many parameters it has, and missing sequences."""

from __future__ import annotations

import pytest
import torch

from radiogen.branches.embedding.locally_connected import LocallyConnectedHead, stack_sequences
from radiogen.errors import ConfigError


@pytest.mark.parametrize(("bias", "biases"), [("per-neuron", 8192), ("scalar", 1)])
def test_it_has_the_published_number_of_parameters(bias: str, biases: int) -> None:
    with torch.device("meta"):
        head = LocallyConnectedHead(4, 8192, bias=bias)
    dense = (8192 * 256 + 256) + (256 * 128 + 128) + (128 + 1)
    count = sum(weight.numel() for weight in head.parameters())
    assert count == 4 * 8192 + biases + dense
    assert count == {8192: 2_171_393, 1: 2_163_202}[biases]


def test_each_value_is_weighed_over_the_sequences_alone() -> None:
    torch.manual_seed(0)
    head = LocallyConnectedHead(3, 5)
    vectors = torch.rand(2, 3, 5)
    with torch.no_grad():
        head.bias.copy_(torch.arange(5.0))
        found = head.fused(vectors)
        for item in range(2):
            for i in range(5):
                expected = sum(float(vectors[item, j, i] * head.weight[j, i]) for j in range(3)) + i
                assert float(found[item, i]) == pytest.approx(expected, abs=1e-5)


def test_the_layers_follow_each_other_as_published() -> None:
    kinds = [type(layer).__name__ for layer in LocallyConnectedHead(4, 6).dense]
    assert kinds == ["Dropout", "ReLU", "Linear", "Dropout", "ReLU", "Linear", "Dropout", "ReLU", "Linear"]


def test_a_missing_sequence_is_a_vector_of_zeros() -> None:
    torch.manual_seed(0)
    head = LocallyConnectedHead(2, 4).eval()
    vectors = {"t1c": torch.rand(2, 4), "t2f": torch.rand(2, 4)}
    vectors["t2f"][1] = torch.nan
    stacked, present = stack_sequences(vectors)
    assert present.tolist() == [[True, True], [True, False]]
    expected = torch.stack([vectors["t1c"][1], torch.zeros(4)])[None]
    torch.testing.assert_close(head(stacked)[1:], head(expected))
    raw = torch.stack(list(vectors.values()), dim=1)
    torch.testing.assert_close(head(raw, present), head(stacked))
    head(raw, present).sum().backward()
    assert all(torch.isfinite(weight.grad).all() for weight in head.parameters() if weight.grad is not None)


def test_dropout_drops_in_training_only() -> None:
    torch.manual_seed(0)
    head = LocallyConnectedHead(2, 64)
    vectors = torch.rand(1, 2, 64)
    assert not torch.equal(head(vectors), head(vectors))
    head.eval()
    assert torch.equal(head(vectors), head(vectors))


def test_all_bad_arguments_are_named() -> None:
    with pytest.raises(ConfigError) as raised:
        LocallyConnectedHead(0, 4, bias="none", hidden=(0,), dropout=1.0)
    assert len(raised.value.problems) == 4
