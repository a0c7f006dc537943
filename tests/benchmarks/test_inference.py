"""The same network on the same case on the same machine: MONAI's bundle settings against radiogen. Writes `reports/benchmarks.md`.

`RADIOGEN_BENCH_WEIGHTS` names weights to use (trained at 1 mm on four sequences); otherwise the network of MONAI's BraTS bundle with random numbers,
which is right for time and memory, but says little of how far the masks agree. `RADIOGEN_BENCH_REPEATS` (3) is how often each is timed.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from radiogen.segment.networks import build_network
from radiogen.segment.weights import WeightsCard, read_card, save_weights
from radiogen.stats.overlap import dice
from radiogen.types import SEQUENCES
from tests.benchmarks.sections import write_section

ROOT = Path(__file__).resolve().parents[2]

COMMAND = "pytest -m benchmark tests/benchmarks/test_inference.py"
CASE = "BraTS-GLI-00000-000"
LEAST_RATIO, LEAST_DICE, LARGEST_GIB = 12.0, 0.995, 2.0

pytestmark = [pytest.mark.benchmark, pytest.mark.real_data]


@dataclass(frozen=True)
class Run:
    """A finished process: what it printed, how long it took from start to end, and its peak memory."""

    facts: dict[str, Any]
    wall_s: float
    peak_gib: float


def run(*arguments: object) -> Run:
    """Run Python in a process of its own and measure it."""
    start = time.perf_counter()
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen([sys.executable, *map(str, arguments)], cwd=ROOT, stdout=output, stderr=errors)
        _, status, usage = os.wait4(process.pid, 0)  # unlike `subprocess.run`, says how much memory this one child took
        process.returncode = os.waitstatus_to_exitcode(status)
        wall_s = time.perf_counter() - start
        output.seek(0)
        errors.seek(0)
        lines, problems = output.read().splitlines(), errors.read()
    assert process.returncode == 0, problems[-2000:]
    facts = json.loads(lines[-1]) if lines and lines[-1].startswith("{") else {}
    return Run(facts, wall_s, usage.ru_maxrss * 1024 / 2**30)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    given = os.environ.get("RADIOGEN_BENCH_WEIGHTS")
    if given:
        card = read_card(given)
        if card.spacing_mm != 1.0 or set(card.sequences) != set(SEQUENCES):
            pytest.skip("RADIOGEN_BENCH_WEIGHTS must be of a network for four sequences at 1 mm")
        return Path(given).resolve()
    torch.manual_seed(0)
    network = build_network("segresnet", 4, 3)
    with torch.no_grad():
        # Logits large enough that regions are neither empty nor everything.
        for parameter in network.conv_final.parameters():
            parameter.mul_(4.0)
    card = WeightsCard(
        name="random",
        network="segresnet",
        sequences=SEQUENCES,
        multiple=8,
        grid_voxels=(240, 240, 160),
        licence="CC0-1.0",
        training_data="none: random numbers",
    )
    path = tmp_path_factory.mktemp("weights") / "random.safetensors"
    save_weights(path, network, card)
    return path


@pytest.fixture(scope="module")
def folder(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The case's four sequences without its mask."""
    copy = tmp_path_factory.mktemp("case") / CASE
    copy.mkdir()
    for name in SEQUENCES:
        (copy / f"{CASE}-{name}.nii.gz").symlink_to(shared_data / "mri" / CASE / f"{CASE}-{name}.nii.gz")
    return copy


def measure(tool: str, weights: Path, folder: Path, out: Path, device: str) -> Run:
    repeats = os.environ.get("RADIOGEN_BENCH_REPEATS", "3")
    return run("-m", "tests.benchmarks.inference", tool, weights, folder, out, device, repeats)


def test_inference_is_many_times_faster_than_the_bundle_and_finds_the_same(
    weights: Path, folder: Path, tmp_path: Path
) -> None:
    trained = bool(os.environ.get("RADIOGEN_BENCH_WEIGHTS"))
    devices = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
    rows, agreement, ratios = [], {}, {}
    for device in devices:
        runs = {
            tool: measure(tool, weights, folder, tmp_path / f"{tool}-{device}.npz", device)
            for tool in ("monai", "radiogen")
        }
        ratios[device] = runs["monai"].facts["median_s"] / runs["radiogen"].facts["median_s"]
        found = {tool: np.load(tmp_path / f"{tool}-{device}.npz") for tool in runs}
        agreement[device] = {name: dice(found["monai"][name], found["radiogen"][name]) for name in ("wt", "tc", "et")}
        rows += [_row(tool, device, made) for tool, made in runs.items()]
        if device == "cpu":
            assert runs["radiogen"].peak_gib < LARGEST_GIB
    whole = {
        device: run(
            "-m",
            "radiogen",
            "segment",
            folder,
            "-o",
            tmp_path / device,
            "--weights",
            weights,
            "--device",
            device,
            "--quiet",
        )
        for device in devices
    }
    write_section(_report(weights, trained, rows, ratios, agreement, whole))
    assert whole["cpu"].peak_gib < LARGEST_GIB
    assert ratios["cpu"] >= LEAST_RATIO
    if trained:
        assert min(agreement["cpu"].values()) >= LEAST_DICE


def _row(tool: str, device: str, made: Run) -> str:
    facts = made.facts
    name = {"monai": "MONAI, bundle settings", "radiogen": "radiogen"}[tool]
    gpu = "" if facts["gpu_gib"] is None else f", {facts['gpu_gib']:.2f} GiB on the GPU"
    return f"| {name} | {device} | {facts['precision']} | {facts['median_s']:.2f} | {facts['first_s']:.2f} | {made.peak_gib:.2f} GiB{gpu} |"


def _report(
    weights: Path,
    trained: bool,
    rows: list[str],
    ratios: dict[str, float],
    agreement: dict[str, dict[str, float]],
    whole: dict[str, Run],
) -> str:
    card = read_card(weights)
    lines = [
        "# Speed and memory of inference",
        "",
        f"Made by `{COMMAND}`; measured on {machine()}. Case: {CASE}, 240 x 240 x 155 voxels of 1 mm, four sequences.",
        f"Network: {card.network}" + (f", weights '{card.name}'." if trained else " of MONAI's BraTS bundle with random numbers as weights."),
        "",
        "Times are seconds per case, median after a first call; each tool runs in its own process, with all cores. MONAI is timed from the",
        "normalised volume to the regions (SlidingWindowInferer, window 240 x 240 x 160, overlap 0.5, float32); radiogen from the images as read",
        "to the mask on their grid: foreground, normalisation, crop, network and labels are in its time.",
        "",
        "| tool | device | arithmetic | seconds | first call | peak memory of the process |",
        "|---|---|---|---|---|---|",
        *rows,
        "",
        *(f"- {device}: radiogen is {ratio:.1f} times as fast." for device, ratio in ratios.items()),
        *(
            f"- {device}: Dice between the two outputs: " + ", ".join(f"{name} {value:.4f}" for name, value in found.items())
            + ("." if trained else " (random weights: noise, of little meaning).")
            for device, found in agreement.items()
        ),
        *(
            f"- {device}: the whole command `radiogen segment`, from start of the program to mask, sidecar, table and picture: "
            f"{made.wall_s:.1f} s, peak {made.peak_gib:.2f} GiB."
            for device, made in whole.items()
        ),
        "",
    ]  # fmt: skip
    return "\n".join(lines)


def machine() -> str:
    """Return the machine in words: processor, cores, GPU, versions."""
    model = platform.processor() or platform.machine()
    if Path("/proc/cpuinfo").is_file():
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
        model = names[0] if names else model
    gpu = f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""
    return f"{os.cpu_count()} cores of an {model}{gpu}, PyTorch {torch.__version__}"
