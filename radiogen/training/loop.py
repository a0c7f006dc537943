"""The training loop: epochs of steps, checkpoints, a log; killed and started again it ends with the same bytes.

What is random is a function of the seed and of the number of the step: the data (see `fit`), and the generators of torch, which are set before every
step. So nothing random needs to be remembered, and on one machine an interrupted training is the same as an undisturbed one.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.fabric import Fabric
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bar
from torch import nn
from torch.utils.data import DataLoader, Dataset

from radiogen.config.train import OptimiserSettings
from radiogen.errors import ConfigError, RadiogenError
from radiogen.training.checkpoint import Progress, State, load_checkpoint, save_checkpoint
from radiogen.training.devices import make_fabric
from radiogen.training.log import write_log
from radiogen.training.losses import set_epoch
from radiogen.training.optimisers import MovingAverage, build_optimiser, inference_weights, learning_rate

Batch = dict[str, torch.Tensor]

MEAN = "mean"
"""Key of the score that the best epoch is chosen by."""

TIE = "tie_break"
"""Key of the score that decides where two epochs have the same `mean`; without it the earlier one stays."""

Measure = Callable[[nn.Module], Mapping[str, float]]
"""Scores of a network on what is held out; larger is better. `mean` is what the best epoch is chosen by, `tie_break` (if it is there) where that is
the same."""

AfterMeasure = Callable[[nn.Module, list[dict[str, Any]]], None]
"""Called with the network and the log whenever it is due: pictures, curves."""


@dataclass(frozen=True)
class Plan:
    """How a network is trained, whatever it is for.

    Args:
        epochs: epochs.
        steps_per_epoch: optimiser steps of each.
        batch_size: items of a step, shared by the devices.
        optimiser: how the weights move.
        measure_every: epochs between measurements; the last epoch is always measured.
        keep: `last` or `best`: whose weights are the result.
        patience: the training ends when for so many epochs none measured better; 0: never.
        precision: `auto`, `float32` or `bfloat16`.
        device: `auto` or a torch device.
        devices: devices that share each step.
        workers: processes that prepare data.
        seed: of everything random.
    """

    epochs: int
    steps_per_epoch: int
    batch_size: int
    optimiser: OptimiserSettings
    measure_every: int = 5
    keep: str = "last"
    precision: str = "auto"
    device: str = "auto"
    devices: int = 1
    workers: int = 0
    seed: int = 0
    patience: int = 0

    @property
    def n_steps(self) -> int:
        """Return the steps of the whole training."""
        return self.epochs * self.steps_per_epoch

    @property
    def n_items(self) -> int:
        """Return the items that the whole training takes."""
        return self.n_steps * self.batch_size


@dataclass(frozen=True)
class FitResult:
    """What a training gave.

    Args:
        state: the weights to keep, on the CPU.
        rows: the log, one row per epoch.
        epoch: after how many epochs the weights were taken.
    """

    state: State
    rows: list[dict[str, Any]]
    epoch: int


def fit(
    plan: Plan,
    network: nn.Module,
    loss: nn.Module,
    items: Dataset[Batch],
    folder: Path,
    *,
    measure: Measure | None = None,
    after_measure: AfterMeasure | None = None,
    progress: bool = False,
) -> FitResult:
    """Train a network, going on from the checkpoint in `folder` where there is one.

    Args:
        plan: epochs, steps, optimiser, device.
        network: to train, with its first weights; those of the checkpoint replace them. In training it returns logits, a list of them (deep
            supervision), or something with the attributes `logits` and `auxiliary_loss`, which is added to the loss.
        loss: of outputs and targets.
        items: dicts of `image` and `target`. Item `i` is the `i`-th item of the whole training (`plan.n_items` of them), and must depend on nothing
            but `i`; neither order nor process in which items are asked for may matter.
        folder: gets `checkpoints/last.pt` after every epoch and `log.csv`.
        measure: scores the network on what is held out, every `measure_every` epochs and after the last.
        after_measure: called at the same times.
        progress: show a progress bar.

    Raises:
        ConfigError: optimiser, device or batch size are not accepted.
        InputError: the checkpoint cannot be read.
        RadiogenError: the loss is no longer a number.
    """
    if plan.batch_size % plan.devices:
        raise ConfigError(f"A batch of {plan.batch_size} cannot be shared by {plan.devices} devices evenly.")
    job = _Job(plan, network, loss, items, Path(folder), measure, after_measure, progress)
    fabric = make_fabric(plan.device, plan.devices, plan.precision)
    state, rows, epoch = fabric.launch(_run, job)  # type: ignore[arg-type]
    return FitResult({name: torch.from_numpy(array) for name, array in state.items()}, rows, epoch)


class _Job:
    """What every process of a training gets. It is no data class: Lightning takes those apart on their way to another process."""

    def __init__(
        self,
        plan: Plan,
        network: nn.Module,
        loss: nn.Module,
        items: Dataset[Batch],
        folder: Path,
        measure: Measure | None,
        after_measure: AfterMeasure | None,
        progress: bool,
    ) -> None:
        self.plan, self.network, self.loss, self.items, self.folder = plan, network, loss, items, folder
        self.measure, self.after_measure, self.progress = measure, after_measure, progress


_Result = tuple[dict[str, np.ndarray], list[dict[str, Any]], int]
"""Weights, log and epoch; arrays, because a tensor does not outlive the process that it comes from."""


def _run(fabric: Fabric, job: _Job) -> _Result:
    cuda = [fabric.device] if fabric.device.type == "cuda" else []
    with torch.random.fork_rng(devices=cuda), torch.backends.cudnn.flags(enabled=True, benchmark=True):
        result = _Trainer(fabric, job).run()
    _leave_group(fabric)
    return result


def _leave_group(fabric: Fabric) -> None:
    """Leave the group of processes in order; one that ends with its threads still talking is aborted by the C++ run time."""
    if fabric.world_size > 1 and torch.distributed.is_initialized():
        fabric.barrier()
        torch.distributed.destroy_process_group()


class _Trainer:
    """One process of a training."""

    def __init__(self, fabric: Fabric, job: _Job) -> None:
        self.fabric, self.job, self.plan = fabric, job, job.plan
        # A copy: processes started together would otherwise share the memory of one network.
        self.network = with_channels_last(copy.deepcopy(job.network).to(fabric.device))
        self.loss = job.loss.to(fabric.device)
        self.optimiser = build_optimiser(self.plan.optimiser, self.network.parameters())
        decay = self.plan.optimiser.average_decay
        self.average = MovingAverage(self.network, decay) if decay else None
        self.progress = self._resume()
        self.wrapped, self.stepper = fabric.setup(self.network, self.optimiser)

    def run(self) -> _Result:
        """Train what is left, and return the weights to keep."""
        batches = self._batches()
        with _bar(self.job.progress and self.fabric.is_global_zero, self.plan, self.progress.epoch) as tick:
            for epoch in range(self.progress.epoch, self.plan.epochs):
                if self._waited_enough():
                    break
                started = time.monotonic()
                row = self._epoch(epoch, batches, tick)
                self._after(row, started)
        state, epoch = self.progress.best, self.progress.best_epoch
        if self.plan.keep == "last":
            with inference_weights(self.network, self.optimiser, self.average) as network:
                state, epoch = state_on_cpu(network), self.progress.epoch
        return {name: tensor.numpy() for name, tensor in state.items()}, self.progress.rows, epoch

    def _resume(self) -> Progress:
        progress = load_checkpoint(self.job.folder)
        if progress is None:
            return Progress()
        self.network.load_state_dict(progress.network)
        self.optimiser.load_state_dict(progress.optimiser)
        if self.average is not None:
            self.average.model.load_state_dict(progress.average)
        if self.fabric.is_global_zero:
            write_log(self.job.folder, progress.rows)
        return progress

    def _batches(self) -> Iterator[Batch]:
        """Yield this process's share of every batch that is left."""
        first = self.progress.epoch * self.plan.steps_per_epoch * self.plan.batch_size
        mine = range(first + self.fabric.global_rank, self.plan.n_items, self.fabric.world_size)
        loader = DataLoader(
            self.job.items,
            batch_size=self.plan.batch_size // self.fabric.world_size,
            sampler=mine,
            num_workers=self.plan.workers,
            pin_memory=self.fabric.device.type == "cuda",
            generator=torch.Generator().manual_seed(self.plan.seed),
        )
        return iter(loader)

    def _epoch(self, epoch: int, batches: Iterator[Batch], tick: Callable[[], None]) -> dict[str, Any]:
        set_epoch(self.loss, epoch)
        self.wrapped.train()
        past = [float(row["loss"]) for row in self.progress.rows]
        losses, rate = [], 0.0
        for step in range(epoch * self.plan.steps_per_epoch, (epoch + 1) * self.plan.steps_per_epoch):
            rate = learning_rate(self.plan.optimiser, step, self.plan.n_steps, past)
            losses.append(self._step(step, rate, next(batches)))
            tick()
        mean = float(torch.as_tensor(self.fabric.all_reduce(torch.stack(losses).mean(), reduce_op="mean")))
        if not math.isfinite(mean):
            raise RadiogenError(
                f"The loss became {mean} in epoch {epoch + 1}.", hint="Lower learning_rate, or set clip_norm."
            )
        return {
            "epoch": epoch + 1,
            "step": (epoch + 1) * self.plan.steps_per_epoch,
            "learning_rate": rate,
            "loss": mean,
        }

    def _step(self, step: int, rate: float, batch: Batch) -> torch.Tensor:
        torch.manual_seed(step_seed(self.plan.seed, step, self.fabric.global_rank))
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        batch = self.fabric.to_device(batch)
        image = batch["image"]
        if image.ndim in (4, 5) and not getattr(self.network, "channels_first", False):
            image = image.contiguous(memory_format=torch.channels_last if image.ndim == 4 else torch.channels_last_3d)
        outputs = self.wrapped(image)
        auxiliary = getattr(outputs, "auxiliary_loss", None)
        logits = outputs if auxiliary is None else outputs.logits
        loss: torch.Tensor = self.loss(_in_float32(logits), batch["target"])
        if auxiliary is not None:
            loss = loss + auxiliary
        self.fabric.backward(loss)
        if self.plan.optimiser.clip_norm:
            self.fabric.clip_gradients(
                self.wrapped, self.stepper, max_norm=self.plan.optimiser.clip_norm, error_if_nonfinite=False
            )
        self.stepper.step()
        self.stepper.zero_grad(set_to_none=True)
        if self.average is not None:
            self.average.update(self.network)
        return loss.detach()

    def _after(self, row: dict[str, Any], started: float) -> None:
        """Measure where it is due, then keep everything; the first process does it, the others wait."""
        epoch = int(row["epoch"])
        due = epoch % self.plan.measure_every == 0 or epoch == self.plan.epochs
        self.progress.epoch = epoch
        self.progress.rows = [*self.progress.rows, row]
        if self.fabric.is_global_zero:
            with inference_weights(self.network, self.optimiser, self.average) as network:
                row.update(self.job.measure(network) if due and self.job.measure else {})
                row["seconds"] = round(time.monotonic() - started, 3)
                self._keep_best(row, network)
                if due and self.job.after_measure:
                    self.job.after_measure(network, self.progress.rows)
            self._save()
        # Only the first process measures; all of them have to stop at the same time.
        self.progress.best_epoch = self.fabric.broadcast(self.progress.best_epoch)

    def _waited_enough(self) -> bool:
        """Return whether nothing better came for long enough.

        Source: Prechelt, Early stopping - but when?, Neural Networks: Tricks of the Trade, 1998 (patience in epochs).
        """
        measured, waited = self.progress.best_epoch > 0, self.progress.epoch - self.progress.best_epoch
        return measured and 0 < self.plan.patience <= waited

    def _keep_best(self, row: Mapping[str, Any], network: nn.Module) -> None:
        score = float(row.get(MEAN, -math.inf)), float(row.get(TIE, -math.inf))
        if score > (self.progress.best_score, self.progress.best_tie):
            self.progress.best_score, self.progress.best_tie = score
            self.progress.best_epoch = int(row["epoch"])
            if self.plan.keep == "best":
                self.progress.best = state_on_cpu(network)

    def _save(self) -> None:
        self.progress.network = self.network.state_dict()
        self.progress.optimiser = self.optimiser.state_dict()
        self.progress.average = self.average.model.state_dict() if self.average else {}
        save_checkpoint(self.job.folder, self.progress)
        write_log(self.job.folder, self.progress.rows)


def step_seed(seed: int, step: int, rank: int = 0) -> int:
    """Return the seed of everything random inside a step; it depends on nothing else.

    Example:
        >>> step_seed(0, 1) == step_seed(0, 1), step_seed(0, 1) == step_seed(0, 2)
        (True, False)
    """
    return int(np.random.SeedSequence([seed, step, rank]).generate_state(1, np.uint32)[0])


def with_channels_last(network: nn.Module) -> nn.Module:
    """Return the network with its convolutions' weights stored channels last: blocked convolutions of a CPU and tensor cores both want them so.

    A network that says `channels_first = True` (one that looks at its maps with `view`, say) stays as it is.
    """
    if getattr(network, "channels_first", False):
        return network
    for parameter in network.parameters():
        if parameter.ndim in (4, 5):
            form = torch.channels_last if parameter.ndim == 4 else torch.channels_last_3d
            parameter.data = parameter.data.contiguous(memory_format=form)
    return network


def state_on_cpu(network: nn.Module) -> State:
    """Return a copy of a network's state that later steps do not change."""
    return {
        name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
        for name, tensor in network.state_dict().items()
    }


def _in_float32(outputs: Any) -> Any:
    """Return logits in float32, so that sums over millions of voxels keep their digits."""
    return outputs.float() if isinstance(outputs, torch.Tensor) else [output.float() for output in outputs]


@contextmanager
def _bar(enabled: bool, plan: Plan, first_epoch: int) -> Iterator[Callable[[], None]]:
    columns = (TextColumn("training"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Bar(*columns, console=Console(stderr=True), disable=not enabled) as bar:
        task = bar.add_task("training", total=plan.n_steps, completed=first_epoch * plan.steps_per_epoch)
        yield lambda: bar.advance(task)
