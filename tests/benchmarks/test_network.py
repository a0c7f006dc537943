"""Brain networks: time and memory of template and case, growth with the number of connections. Writes its section of `reports/benchmarks.md`.

`RADIOGEN_BENCH_REPEATS` (3) is how often the case is measured.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.benchmarks.sections import write_section
from tests.benchmarks.test_inference import CASE, Run, machine, run

COMMAND = "pytest -m benchmark tests/benchmarks/test_network.py"
DENSITIES = ("0.1", "0.3", "0.5765", "1.0")
MOST_BUILD_CPU_S, MOST_CASE_CPU_S = 240.0, 20.0
"""Two minutes on two cores; 20 s for a case that lies in the template's world."""

pytestmark = [pytest.mark.benchmark, pytest.mark.real_data]


def test_a_graph_takes_seconds(shared_data: Path) -> None:
    repeats = os.environ.get("RADIOGEN_BENCH_REPEATS", "3")
    case = shared_data / "mri" / CASE
    runs = {density: run("-m", "tests.benchmarks.network", density, case, repeats) for density in DENSITIES}
    write_section(_report(runs))
    for density, made in runs.items():
        assert made.facts["build_cpu_s"] < MOST_BUILD_CPU_S
        # All pairs of regions are more than any template has; that row shows the growth.
        assert made.facts["case_cpu_s"] < MOST_CASE_CPU_S or density == "1.0"
        assert made.facts["columns"] > 180


def _report(runs: dict[str, Run]) -> str:
    rows = []
    for made in runs.values():
        facts = made.facts
        case_s = f"{facts['case_s']:.1f} ({facts['case_cpu_s']:.1f})"
        rows.append(
            f"| {facts['n_edges']} | {facts['edge_voxels'] / 1e6:.2f} | {facts['build_s']:.1f} ({facts['build_cpu_s']:.1f}) | "
            f"{facts['build_gib']:.2f} GiB | {facts['whole_s']:.2f} | {case_s} | {facts['peak_gib']:.2f} GiB |"
        )
    return "\n".join(
        [
            "# Brain networks: template and one case",
            "",
            f"Made by `{COMMAND}`; measured on {machine()}. Template: corridors between 90",
            "geometric regions on voxels of 2 mm, built from nothing, with 10, 30, 57.65 (the default) and 100 % of all pairs; built once and kept.",
            f"Case: {CASE}, four sequences of 240 x 240 x 155 voxels, on SRI24's grid, so nothing is registered; its seconds hold reading, placing,",
            "the graph and the network's measures before and after. Each row is a process of its own, in brackets processor seconds. On a machine",
            "that others use as well, processor seconds are the ones to compare.",
            "",
            "| connections | their voxels, millions | template, s | peak after it | measures of the whole, s | case, s | peak after all |",
            "|---|---|---|---|---|---|---|",
            *rows,
            "",
        ]
    )
