"""One measurement in a process of its own: `python -m tests.benchmarks.network DENSITY CASE [REPEATS]`.

Builds the template with this share of all pairs (geometric regions, corridors), then measures one case that already lies in the template's world.
Prints one line of JSON; seconds and processor seconds of each step.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from radiogen.branches.network.branch import measure_case
from radiogen.branches.network.disconnection import whole_network
from radiogen.branches.network.space import brain_space
from radiogen.branches.network.template import build_template
from radiogen.cohort.build import read_cohort_or_folder
from radiogen.config.network import CorridorSettings, NetworkSettings, NetworkTemplateSettings


def timed(work: Callable[[], Any]) -> tuple[Any, float, float]:
    """Return what the work returns, its seconds and its processor seconds."""
    start, busy = time.perf_counter(), time.process_time()
    found = work()
    return found, time.perf_counter() - start, time.process_time() - busy


def peak_gib() -> float:
    """Return the largest size of this process so far."""
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) / 2**20


def main(density: str, case: str, repeats: str = "3") -> dict[str, Any]:
    """Measure template and case; of the repeats of the case the least is told."""
    brain_space(2)  # the template brain is read once per process and not counted
    settings = NetworkTemplateSettings(nodes="geometric", corridors=CorridorSettings(density=float(density)))
    template, build_s, build_cpu_s = timed(lambda: build_template(settings))
    build_gib = peak_gib()
    whole, whole_s, _ = timed(lambda: whole_network(template))
    row: pd.Series = read_cohort_or_folder(Path(case)).iloc[0]
    runs = [timed(lambda: measure_case(row, NetworkSettings(), whole)) for _ in range(int(repeats))]
    return {
        "n_edges": template.n_edges,
        "edge_voxels": len(template.roi_voxels),
        "build_s": build_s,
        "build_cpu_s": build_cpu_s,
        "build_gib": build_gib,
        "whole_s": whole_s,
        "case_s": min(seconds for _, seconds, _ in runs),
        "case_cpu_s": min(seconds for _, _, seconds in runs),
        "peak_gib": peak_gib(),
        "columns": len(runs[0][0].values),
    }


if __name__ == "__main__":
    print(json.dumps(main(*sys.argv[1:])))
