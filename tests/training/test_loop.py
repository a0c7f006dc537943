from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from radiogen.config.train import OptimiserSettings
from radiogen.errors import ConfigError, InputError, RadiogenError
from radiogen.resources import sha256_file
from radiogen.training.checkpoint import checkpoint_path, load_checkpoint
from radiogen.training.loop import FitResult, Plan, fit
from tests.training.toy import BATCH, N_STEPS, Squares, StoppedError, accuracy, network, same, train

ADAMW = OptimiserSettings(learning_rate=0.02, schedule="constant")
OPTIMISERS = {
    "plateau": OptimiserSettings(name="adam", learning_rate=0.01, schedule="plateau", plateau_patience=0),
    "schedule-free": OptimiserSettings(name="adamw-schedulefree", learning_rate=0.01, warmup_steps=4),
    "average": OptimiserSettings(name="sgd-nesterov", learning_rate=0.01, average_decay=0.9, schedule="polynomial"),
}


def test_a_killed_run_reaches_the_same_bytes(tmp_path: Path) -> None:
    root = Path(__file__).resolve().parents[2]

    def start(folder: str, *item: int) -> int:
        command = [sys.executable, "-m", "tests.training.toy", str(tmp_path / folder), *map(str, item)]
        return subprocess.run(command, cwd=root, check=False).returncode

    assert start("undisturbed") == 0
    in_epoch_3 = 2 * N_STEPS * BATCH + 3
    assert start("killed", in_epoch_3) == -signal.SIGKILL
    assert not (tmp_path / "killed" / "weights.safetensors").exists()
    left = load_checkpoint(tmp_path / "killed")
    assert left is not None
    assert left.epoch == 2
    assert start("killed") == 0
    digests = {sha256_file(tmp_path / folder / "weights.safetensors") for folder in ("undisturbed", "killed")}
    assert len(digests) == 1
    logs = [pd.read_csv(tmp_path / folder / "log.csv").drop(columns="seconds") for folder in ("undisturbed", "killed")]
    pd.testing.assert_frame_equal(logs[0], logs[1], check_exact=True)


@pytest.mark.parametrize("kind", OPTIMISERS)
@pytest.mark.parametrize("keep", ["last", "best"])
def test_an_interrupted_training_ends_like_an_undisturbed_one(tmp_path: Path, kind: str, keep: str) -> None:
    whole = train(tmp_path / "whole", Squares(), OPTIMISERS[kind], keep=keep)
    for item in (1, N_STEPS * BATCH + 1, 3 * N_STEPS * BATCH):
        with pytest.raises(StoppedError):
            train(tmp_path / "parts", Squares(item), OPTIMISERS[kind], keep=keep)
    parts = train(tmp_path / "parts", Squares(), OPTIMISERS[kind], keep=keep)
    assert same(whole.state, parts.state)
    assert whole.epoch == parts.epoch


def test_workers_change_nothing(tmp_path: Path) -> None:
    alone = train(tmp_path / "alone", Squares(), ADAMW, epochs=1, measure=None)
    helped = train(tmp_path / "helped", Squares(), ADAMW, epochs=1, measure=None, workers=1)
    assert same(alone.state, helped.state)


def test_two_devices_share_each_batch(tmp_path: Path) -> None:
    root = Path(__file__).resolve().parents[2]
    subprocess.run([sys.executable, "-m", "tests.training.toy", str(tmp_path), "devices"], cwd=root, check=True)
    logs = [pd.read_csv(tmp_path / folder / "log.csv") for folder in ("one", "two")]
    assert logs[1]["mean"].notna().iloc[-1]
    # Dropout differs between the devices, so the losses are near and not equal.
    assert logs[1]["loss"].iloc[-1] == pytest.approx(logs[0]["loss"].iloc[-1], rel=0.2)
    weights = load_file(tmp_path / "two" / "weights.safetensors")
    assert all(torch.isfinite(value).all() for value in weights.values())


def test_another_seed_gives_other_weights(tmp_path: Path) -> None:
    one, other = (train(tmp_path / str(seed), Squares(), ADAMW, epochs=1, measure=None, seed=seed) for seed in (1, 2))
    assert not same(one.state, other.state)


def test_training_leaves_the_global_generator_alone(tmp_path: Path) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    items, model = Squares(), network()
    torch.manual_seed(5)
    plan = Plan(1, 2, 1, ADAMW, device="cpu")
    fit(plan, model, nn.BCEWithLogitsLoss(), items, tmp_path)
    assert torch.equal(torch.rand(3), expected)


def test_loss_falls_and_the_log_says_so(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    result = train(tmp_path, Squares(), ADAMW, epochs=6)
    log = pd.read_csv(tmp_path / "log.csv")
    assert log.columns.tolist() == ["epoch", "step", "learning_rate", "loss", "mean", "seconds"]
    assert log["epoch"].tolist() == [1, 2, 3, 4, 5, 6]
    assert log["step"].tolist() == [N_STEPS * epoch for epoch in range(1, 7)]
    assert log["loss"].iloc[-1] < 0.8 * log["loss"].iloc[0]
    assert log["mean"].notna().tolist() == [False, True] * 3
    assert result.rows[-1]["mean"] == accuracy(_loaded(result.state))["mean"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoints", "log.csv"]
    assert capfd.readouterr() == ("", "")


def test_the_best_epoch_is_kept(tmp_path: Path) -> None:
    scores = iter([0.1, 0.9, 0.3])
    states = []

    def measure(model: nn.Module) -> dict[str, float]:
        states.append({name: value.clone() for name, value in model.state_dict().items()})
        return {"mean": next(scores)}

    result = train(tmp_path, Squares(), ADAMW, measure, epochs=6, keep="best")
    assert result.epoch == 4
    assert same(result.state, states[1])


def test_training_ends_when_nothing_better_comes_and_equals_are_told_apart(tmp_path: Path) -> None:
    given = [(0.5, -3.0), (0.5, -1.0), (0.5, -2.0), (0.4, 0.0), (0.9, 0.0)]

    def train_from(folder: str, start: int = 0, item: int = -1, **changes: object) -> FitResult:
        scores = iter(given[start:])
        return train(tmp_path / folder, Squares(item), ADAMW, lambda _: dict(zip(("mean", "tie_break"), next(scores), strict=True)),
                     epochs=5, measure_every=1, keep="best", **changes)  # fmt: skip

    stopped = train_from("stopped", patience=2)
    assert (stopped.epoch, len(stopped.rows)) == (2, 4)
    assert train_from("all").epoch == 5
    # Killed in the third epoch and started again, it ends at the same place; started once more it trains nothing.
    with pytest.raises(StoppedError):
        train_from("parts", item=2 * N_STEPS * BATCH, patience=2)
    for start in (2, 5):
        parts = train_from("parts", start, patience=2)
        assert (parts.epoch, len(parts.rows)) == (2, 4)
        assert same(parts.state, stopped.state)


def test_bfloat16_trains_too(tmp_path: Path) -> None:
    result = train(tmp_path, Squares(), ADAMW, precision="bfloat16", epochs=6, measure=None)
    assert result.rows[-1]["loss"] < result.rows[0]["loss"]
    assert all(value.dtype != torch.bfloat16 for value in result.state.values())


def test_an_auxiliary_loss_is_added(tmp_path: Path) -> None:
    class Output(tuple):
        logits = property(lambda self: self[0])
        auxiliary_loss = property(lambda self: self[1])

    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.ones(1))

        def forward(self, x: torch.Tensor) -> object:
            return Output((self.scale * x, self.scale.sum() * 0 + 7)) if self.training else self.scale * x

    plan = Plan(1, 1, 1, ADAMW, device="cpu", precision="float32")
    with_it = fit(plan, Network(), nn.BCEWithLogitsLoss(), Squares(), tmp_path)
    plain = nn.BCEWithLogitsLoss()(Squares()[0]["image"], Squares()[0]["target"])
    assert with_it.rows[0]["loss"] == pytest.approx(float(plain) + 7, rel=1e-5)


def test_a_loss_that_is_no_number_stops_the_run(tmp_path: Path) -> None:
    class Broken(nn.Module):
        def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
            return (x - y).mean() * float("nan")

    with pytest.raises(RadiogenError, match="became nan in epoch 1"):
        fit(Plan(1, 2, 1, ADAMW, device="cpu"), network(), Broken(), Squares(), tmp_path)
    assert not checkpoint_path(tmp_path).exists()


def test_bad_plans_and_checkpoints_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be shared"):
        train(tmp_path, Squares(), ADAMW, devices=3)
    with pytest.raises(ConfigError, match="cannot be used"):
        train(tmp_path, Squares(), ADAMW, device="gpu")
    checkpoint_path(tmp_path).parent.mkdir(parents=True)
    checkpoint_path(tmp_path).write_bytes(b"no checkpoint")
    with pytest.raises(InputError, match="cannot be read"):
        train(tmp_path, Squares(), ADAMW)


def _loaded(state: dict[str, torch.Tensor]) -> nn.Module:
    model = network(9)
    model.load_state_dict(state)
    return model.eval()
