from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from radiogen.config.train import OptimiserSettings
from radiogen.errors import ConfigError
from radiogen.training.names import OPTIMISERS
from radiogen.training.optimisers import MovingAverage, build_optimiser, inference_weights, learning_rate, plateaus


def trained(
    settings: OptimiserSettings, steps: int = 20
) -> tuple[nn.Module, torch.optim.Optimizer, list[torch.Tensor]]:
    torch.manual_seed(0)
    network = nn.Linear(3, 1)
    optimiser = build_optimiser(settings, network.parameters())
    x, y = torch.randn(16, 3), torch.randn(16, 1)
    seen = []
    for _ in range(steps):
        optimiser.zero_grad()
        ((network(x) - y) ** 2).mean().backward()
        optimiser.step()
        seen.append(network.weight.detach().clone())
    return network, optimiser, seen


@pytest.mark.parametrize("name", OPTIMISERS.names())
def test_every_optimiser_moves_the_weights(name: str) -> None:
    _, _, seen = trained(OptimiserSettings(name=name, learning_rate=0.01))
    assert not torch.equal(seen[0], seen[-1])


def test_schedule_free_weights_are_the_average_and_training_goes_on_untouched() -> None:
    settings = OptimiserSettings(name="adamw-schedulefree", learning_rate=0.05, weight_decay=0.0)
    network, optimiser, _ = trained(settings)
    before = network.weight.detach().clone()
    with inference_weights(network, optimiser, None) as shown:
        assert not shown.training
        average = shown.weight.detach().clone()
    assert torch.equal(network.weight, before)
    assert network.training
    assert optimiser.param_groups[0]["train_mode"]
    z = optimiser.state[network.weight]["z"]
    # The optimiser holds y = (1 - beta1) z + beta1 x; x is the average.
    assert torch.allclose(0.1 * z + 0.9 * average, before, atol=1e-6)
    assert not torch.allclose(average, before, atol=1e-4)


def test_schedule_free_average_is_the_mean_of_the_fast_weights() -> None:
    torch.manual_seed(0)
    network = nn.Linear(2, 1, bias=False)
    settings = OptimiserSettings(name="adamw-schedulefree", learning_rate=0.1, weight_decay=0.0)
    optimiser = build_optimiser(settings, network.parameters())
    fast = []
    for _ in range(12):
        optimiser.zero_grad()
        (network(torch.tensor([[1.0, -2.0]])) - 3).square().sum().backward()
        optimiser.step()
        fast.append(optimiser.state[network.weight]["z"].clone())
    with inference_weights(network, optimiser, None) as shown:
        assert torch.allclose(shown.weight, torch.stack(fast).mean(0), atol=1e-5)


def test_nothing_to_bring_out_before_the_first_step() -> None:
    network = nn.Linear(2, 1)
    optimiser = build_optimiser(OptimiserSettings(name="adamw-schedulefree"), network.parameters())
    with inference_weights(network, optimiser, None) as shown:
        assert torch.isfinite(shown.weight).all()


def test_the_moving_average_follows_by_hand() -> None:
    network = nn.Linear(1, 1, bias=False)
    average = MovingAverage(network, decay=0.5)
    expected = None
    for n, weight in enumerate([1.0, 2.0, 4.0, 8.0]):
        nn.init.constant_(network.weight, weight)
        average.update(network)
        decay = min(0.5, (1 + n) / (10 + n))
        expected = weight if expected is None else decay * expected + (1 - decay) * weight
    optimiser = build_optimiser(OptimiserSettings(), network.parameters())
    with inference_weights(network, optimiser, average) as shown:
        assert shown.weight.item() == pytest.approx(expected)
    assert network.weight.item() == 8.0


def test_frozen_parameters_are_left_out() -> None:
    network = nn.Linear(2, 1)
    network.bias.requires_grad_(False)
    optimiser = build_optimiser(OptimiserSettings(), network.parameters())
    assert sum(len(group["params"]) for group in optimiser.param_groups) == 1
    network.weight.requires_grad_(False)
    with pytest.raises(ConfigError, match="No layer is left"):
        build_optimiser(OptimiserSettings(), network.parameters())


def test_a_schedule_for_the_schedule_free_is_refused() -> None:
    with pytest.raises(ConfigError, match="has no schedule"):
        build_optimiser(OptimiserSettings(name="adamw-schedulefree", schedule="cosine"), nn.Linear(1, 1).parameters())


@given(
    schedule=st.sampled_from(["constant", "cosine", "polynomial"]),
    warmup=st.integers(0, 40),
    n_steps=st.integers(50, 200),
)
def test_rates_rise_through_the_warm_up_and_never_rise_after_it(schedule: str, warmup: int, n_steps: int) -> None:
    settings = OptimiserSettings.parse({"learning_rate": 0.1, "schedule": schedule, "warmup_steps": warmup})
    rates = [learning_rate(settings, step, n_steps) for step in range(n_steps)]
    assert all(later >= earlier for earlier, later in pairwise(rates[:warmup]))
    assert all(later <= earlier + 1e-12 for earlier, later in pairwise(rates[warmup:]))
    assert max(rates) == pytest.approx(0.1)
    assert min(rates) > 0


def test_plateau_acts_after_more_than_two_epochs_without_a_better_loss() -> None:
    settings = OptimiserSettings(learning_rate=1.0, schedule="plateau", plateau_factor=0.1, plateau_patience=2)
    losses = [1.0, 0.9, 0.9, 0.95, 0.91, 0.5, 0.6, 0.6, 0.6]
    rates = [learning_rate(settings, 0, 100, losses[:n]) for n in range(len(losses) + 1)]
    assert rates == pytest.approx([1, 1, 1, 1, 1, 0.1, 0.1, 0.1, 0.1, 0.01])
    assert plateaus([], 2) == 0
