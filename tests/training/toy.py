"""A small training: `python -m tests.training.toy OUT [ITEM]` is killed at an item; `OUT devices` trains on one device and on two."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import torch
from torch import nn
from torch.utils.data import Dataset

from radiogen.config.train import OptimiserSettings
from radiogen.training.checkpoint import State
from radiogen.training.loop import FitResult, Measure, Plan, fit
from radiogen.training.losses import build_loss

N_STEPS, BATCH = 5, 2


class StoppedError(RuntimeError):
    pass


class Squares(Dataset[dict[str, torch.Tensor]]):
    """Noise with a bright square; at item `stop_at` the process is killed, or an error is raised."""

    def __init__(self, stop_at: int = -1, *, kill: bool = False) -> None:
        self.stop_at, self.kill = stop_at, kill

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        if index == self.stop_at:
            if self.kill:
                os.kill(os.getpid(), signal.SIGKILL)
            raise StoppedError
        noise = torch.Generator().manual_seed(index)
        image, target = torch.randn(1, 12, 12, generator=noise), torch.zeros(1, 12, 12)
        row, column = torch.randint(0, 8, (2,), generator=noise).tolist()
        target[:, row : row + 4, column : column + 4] = 1
        return {"image": image + 3 * target, "target": target}


def network(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Dropout2d(0.3), nn.Conv2d(8, 1, 3, padding=1)
    )


def accuracy(model: nn.Module) -> dict[str, float]:
    with torch.no_grad():
        items = [Squares()[index] for index in range(10_000, 10_004)]
        right = [((model(item["image"][None]) > 0) == (item["target"] > 0)).float().mean() for item in items]
    return {"mean": float(torch.stack(right).mean())}


def train(
    out: Path, items: Squares, optimiser: OptimiserSettings, measure: Measure | None = accuracy, **changes: object
) -> FitResult:
    values = {
        "epochs": 4,
        "steps_per_epoch": N_STEPS,
        "batch_size": BATCH,
        "measure_every": 2,
        "device": "cpu",
        "precision": "float32",
        "seed": 3,
    }
    plan = Plan(**{**values, "optimiser": optimiser, **changes})  # type: ignore[arg-type]
    return fit(plan, network(), build_loss("dice-bce", softmax=False), items, out, measure=measure)


def same(a: State, b: State) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def _main(folder: Path, what: str) -> None:
    from safetensors.torch import save_file

    settings = OptimiserSettings(name="adamw", learning_rate=0.01, warmup_steps=3, average_decay=0.9, clip_norm=1.0)
    if what == "devices":
        for name, devices in (("one", 1), ("two", 2)):
            result = train(folder / name, Squares(), settings, devices=devices)
            save_file(result.state, folder / name / "weights.safetensors")
        return
    result = train(folder, Squares(int(what), kill=True), settings)
    save_file(result.state, folder / "weights.safetensors")


if __name__ == "__main__":
    _main(Path(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else "-1")
