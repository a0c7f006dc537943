"""Every registered network on made-up patients with a planted signal, and with shuffled labels. Writes its sections of `reports/benchmarks.md`.

`RADIOGEN_BENCH_NETWORKS` (all): names with commas.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from radiogen.branches.embedding.names import EMBEDDING_NETWORKS
from tests.benchmarks.sections import write_section
from tests.benchmarks.test_inference import machine
from tests.branches.embedding.planted import (
    INPUTS,
    N_HELD_OUT,
    N_LEARN,
    Found,
    by_a_linear_head,
    by_training,
    planted_cohort,
    vectors_of,
    whole_network,
)

COMMAND = "pytest -m benchmark tests/benchmarks/test_every_network.py"
Try = Callable[[str, pd.DataFrame, Path], Found]

pytestmark = pytest.mark.benchmark


def with_a_head(network: str, cohort: pd.DataFrame, cache: Path) -> Found:
    """Return what a linear classifier finds in the vectors of random weights, over 20 shuffles."""
    return by_a_linear_head(vectors_of(network, cohort, cache), cohort["mgmt"].to_numpy(dtype=np.int64))


def trained_whole(network: str, cohort: pd.DataFrame, cache: Path) -> Found:
    """Return what a network finds whose weights are trained from random ones, with one shuffle."""
    return by_training(whole_network(network), cohort, cache)


# Way -> what it is, how, the networks that it cannot be tried with, and bounds of chance: three standard deviations of one AUC of 12 and 12 cases
# (0.12), or of the mean of 20 shuffles of correlated vectors.
WAYS: dict[str, tuple[str, Try, tuple[str, ...], tuple[float, float]]] = {
    "head": ("a linear classifier on random weights", with_a_head, (), (0.4, 0.6)),
    # C3D is kept as it is, by its design.
    "whole": ("all weights trained, six epochs", trained_whole, ("c3d",), (0.14, 0.86)),
}


@pytest.mark.parametrize("way", WAYS)
def test_every_network_finds_the_planted_signal_and_nothing_in_shuffled_labels(way: str, tmp_path: Path) -> None:
    what, tried, without, chance = WAYS[way]
    asked = [
        name for name in os.environ.get("RADIOGEN_BENCH_NETWORKS", ",".join(INPUTS)).split(",") if name not in without
    ]
    cohort = planted_cohort(tmp_path / "images", N_LEARN + N_HELD_OUT)
    found: dict[str, Found] = {}
    rows = []
    for name in asked:
        start, busy = time.perf_counter(), time.process_time()
        found[name] = tried(name, cohort, tmp_path / "cache")
        taken, busy = time.perf_counter() - start, time.process_time() - busy
        one = found[name]
        rows.append(
            f"| {name} | {parameters(name) / 1e6:.1f} | {taken:.0f} | {busy:.0f} | {one.planted:.3f} | {one.shuffled:.3f} | {one.by_heart:.3f} |"
        )
        print(rows[-1], flush=True)
    write_section(report(what, rows))
    assert {name: one.planted for name, one in found.items() if one.planted <= 0.9} == {}
    assert {name: one.shuffled for name, one in found.items() if not chance[0] < one.shuffled < chance[1]} == {}


def parameters(name: str) -> int:
    """Return how many numbers a network of one sequence has."""
    with torch.device("meta"):
        network = EMBEDDING_NETWORKS.load(name)(channels=1, **INPUTS[name][0])
    return sum(weight.numel() for weight in network.parameters())


def report(what: str, rows: list[str]) -> str:
    """Return a section."""
    return "\n".join(
        [
            f"# Every network on a planted signal: {what}",
            "",
            f"Made by `{COMMAND}`; measured on {machine()}. Made-up patients of 20 x 20 x 20 voxels,",
            f"half of them with a bright ring around the tumour: {N_LEARN} to learn from, {N_HELD_OUT} never seen.",
            "Shuffled labels say nothing of the ring.",
            "Seconds: making the network, learning from the planted labels and from all shuffles; the processor's are those of all cores together.",
            "",
            "| network | million weights | s | s, processor | AUC, planted | AUC, shuffled | AUC, shuffled, of the cases learned from |",
            "|---|---|---|---|---|---|---|",
            *rows,
            "",
        ]
    )
