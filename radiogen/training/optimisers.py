"""Optimisers by name, learning-rate schedules as functions of the step, and averages of the weights."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from schedulefree import AdamWScheduleFree
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from radiogen.config.train import OptimiserSettings
from radiogen.errors import ConfigError
from radiogen.training.names import OPTIMISERS

SCHEDULE_FREE = "adamw-schedulefree"
_POWER = 0.9
_LATE_SHARE = 0.2
_SMALLEST_GAIN = 1e-4

Parameters = Iterable[nn.Parameter]


def build_optimiser(settings: OptimiserSettings, parameters: Parameters) -> torch.optim.Optimizer:
    """Return a registered optimiser over the parameters that learn.

    Args:
        settings: name, learning rate, weight decay, momentum.
        parameters: of the network; frozen ones are passed over.

    Raises:
        ConfigError: the name is unknown, a schedule is asked of a schedule-free optimiser, or nothing learns.

    Example:
        >>> type(build_optimiser(OptimiserSettings(name="adam"), nn.Linear(2, 1).parameters())).__name__
        'Adam'
    """
    build = OPTIMISERS.load(settings.name)
    if settings.name == SCHEDULE_FREE and settings.schedule != "constant" and "schedule" in settings.model_fields_set:
        raise ConfigError(
            f"The optimiser '{SCHEDULE_FREE}' has no schedule; '{settings.schedule}' was asked for.",
            hint="Leave schedule out, or set it to constant.",
        )
    learning = [parameter for parameter in parameters if parameter.requires_grad]
    if not learning:
        raise ConfigError("No layer is left to learn.", hint="Raise last_layers, or set tune to all.")
    optimiser: torch.optim.Optimizer = build(learning, settings)
    return optimiser


def adam(parameters: Parameters, settings: OptimiserSettings) -> torch.optim.Optimizer:
    """Return Adam with L2 regularisation.

    Source: Kingma and Ba 2015, arXiv 1412.6980.
    """
    return torch.optim.Adam(
        parameters, lr=settings.learning_rate, betas=settings.betas, weight_decay=settings.weight_decay
    )


def adamw(parameters: Parameters, settings: OptimiserSettings) -> torch.optim.Optimizer:
    """Return Adam with decoupled weight decay.

    Source: Loshchilov and Hutter 2019, arXiv 1711.05101.
    """
    return torch.optim.AdamW(
        parameters, lr=settings.learning_rate, betas=settings.betas, weight_decay=settings.weight_decay
    )


def sgd_nesterov(parameters: Parameters, settings: OptimiserSettings) -> torch.optim.Optimizer:
    """Return stochastic gradient descent with Nesterov momentum.

    Source: Sutskever et al. 2013, ICML; momentum 0.99 as nnU-Net.
    """
    return torch.optim.SGD(
        parameters,
        lr=settings.learning_rate,
        momentum=settings.momentum,
        weight_decay=settings.weight_decay,
        nesterov=settings.momentum > 0,
    )


def adamw_schedulefree(parameters: Parameters, settings: OptimiserSettings) -> torch.optim.Optimizer:
    """Return schedule-free AdamW; what it has learned is an average that `inference_weights` brings out.

    Source: Defazio et al. 2024, arXiv 2405.15682.
    """
    optimiser = AdamWScheduleFree(
        parameters,
        lr=settings.learning_rate,
        weight_decay=settings.weight_decay,
        warmup_steps=settings.warmup_steps,
    )
    optimiser.train()
    made: torch.optim.Optimizer = optimiser
    return made


def learning_rate(settings: OptimiserSettings, step: int, n_steps: int, losses: Sequence[float] = ()) -> float:
    """Return the learning rate of a step: a function of where training stands, so that a resumed run needs no memory of it.

    Args:
        settings: schedule, warm-up.
        step: from 0.
        n_steps: steps of the whole training.
        losses: loss of every finished epoch; `plateau` looks at them.

    Example:
        >>> settings = OptimiserSettings(learning_rate=0.1, schedule="polynomial", warmup_steps=10)
        >>> [round(learning_rate(settings, step, 110), 4) for step in (0, 9, 10, 60, 109)]
        [0.01, 0.1, 0.1, 0.0536, 0.0016]
    """
    highest = settings.learning_rate
    if settings.name == SCHEDULE_FREE:
        return highest  # warms up by itself
    if step < settings.warmup_steps:
        return highest * (step + 1) / settings.warmup_steps
    done = (step - settings.warmup_steps) / max(1, n_steps - settings.warmup_steps)
    if settings.schedule == "cosine":
        return highest * 0.5 * (1 + math.cos(math.pi * done))
    if settings.schedule == "polynomial":
        return float(highest * (1 - done) ** _POWER)
    if settings.schedule == "late":
        return highest * min(1.0, (1 - done) / _LATE_SHARE)
    if settings.schedule == "plateau":
        return float(highest * settings.plateau_factor ** plateaus(losses, settings.plateau_patience))
    return highest


def plateaus(losses: Sequence[float], patience: int) -> int:
    """Return how often a loss has stopped falling for more than `patience` epochs.

    An epoch is better when its loss is below the best so far by more than 0.01 % of it.

    Args:
        losses: one per finished epoch.
        patience: epochs without a better loss that are tolerated.

    Example:
        >>> plateaus([1.0, 0.5, 0.6, 0.6, 0.6, 0.4], patience=2)
        1
    """
    best, waited, found = math.inf, 0, 0
    for loss in losses:
        if loss < best - _SMALLEST_GAIN * (abs(best) if math.isfinite(best) else 0.0):
            best, waited = loss, 0
        else:
            waited += 1
        if waited > patience:
            found, waited = found + 1, 0
    return found


class MovingAverage:
    """An exponential moving average of a network's weights; buffers are those of the network.

    The decay starts low and rises to its value, so that the random start does not linger: `min(decay, (1 + n) / (10 + n))` after `n` updates.

    Args:
        network: whose weights are averaged.
        decay: share of the old average that each update keeps.

    Source: Polyak and Juditsky 1992, SIAM J Control Optim 30:838; the rise as in TensorFlow's `ExponentialMovingAverage`.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.model = AveragedModel(network, multi_avg_fn=_RisingAverage(decay))

    def update(self, network: nn.Module) -> None:
        """Take in the network's weights after a step."""
        self.model.update_parameters(network)


@dataclass(frozen=True)
class _RisingAverage:
    decay: float

    def __call__(self, old: Any, new: Any, n: torch.Tensor | int) -> None:
        """Mix the new weights into the old ones in place, after `n` updates."""
        decay = min(self.decay, (1 + int(n)) / (10 + int(n)))
        get_ema_multi_avg_fn(decay)(old, new, n)


@contextmanager
def inference_weights(
    network: nn.Module, optimiser: torch.optim.Optimizer, average: MovingAverage | None
) -> Iterator[nn.Module]:
    """Yield the network as it is to be measured and saved, in evaluation mode; afterwards training finds every bit as it was.

    This is the moving average where there is one; with the schedule-free optimiser the network while it holds the optimiser's average; otherwise the
    network itself.

    Args:
        network: the trained network.
        optimiser: its optimiser.
        average: its moving average, if any.
    """
    if average is not None:
        yield average.model.module.eval()
        return
    was_training = network.training
    network.eval()
    try:
        if isinstance(optimiser, AdamWScheduleFree) and optimiser.state:
            with _brought_out(network, optimiser):
                yield network
        else:
            yield network
    finally:
        network.train(was_training)


@contextmanager
def _brought_out(network: nn.Module, optimiser: Any) -> Iterator[None]:
    """Hold the average of a schedule-free optimiser in the network for a while."""
    # Going to the average and back again rounds: the weights are kept aside and put back instead.
    kept = [parameter.detach().clone() for parameter in network.parameters()]
    optimiser.eval()
    try:
        yield
    finally:
        optimiser.train()
        with torch.no_grad():
            for parameter, value in zip(network.parameters(), kept, strict=True):
                parameter.copy_(value)
