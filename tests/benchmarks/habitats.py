"""One measurement in a process of its own: `python -m tests.benchmarks.habitats ENCODER [PATIENTS]`.

Makes up a cohort as large as the paper's (117 patients, 11 million voxels, four maps), fits four habitats and divides everybody.
"""

from __future__ import annotations

import json
import resource
import sys
import time

import numpy as np

from radiogen.branches.habitats.fit import fit_habitats
from radiogen.branches.habitats.learn import TrainingData
from radiogen.branches.habitats.voxels import CaseVoxels
from radiogen.cohort.nifti import Grid
from radiogen.config.habitats import HabitatSettings

SIDES = (42, 48, 47)
"""94,752 voxels a patient."""

CENTRES = np.array([[0, 0, 0, 0], [4, 0, 4, 0], [0, 4, 4, 4], [4, 4, 0, 4]], dtype=np.float32)


def peak_gib() -> float:
    """Return the largest size of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def made_up(number: int) -> CaseVoxels:
    """Return a box of four slabs."""
    rng = np.random.default_rng(number)
    edges = np.cumsum(rng.dirichlet(np.full(4, 6.0)))[:-1]
    slab = np.searchsorted(edges, np.arange(SIDES[0]) / SIDES[0])
    label = np.repeat(slab, SIDES[1] * SIDES[2])
    values = CENTRES[label] + rng.standard_normal((len(label), 4), dtype=np.float32)
    return CaseVoxels(f"case{number:03d}", values, np.ones(SIDES, dtype=bool), (0, 0, 0), Grid(SIDES, np.eye(4)))


def main(encoder: str, patients: str = "117") -> dict[str, float]:
    """Fit and apply."""
    cases = {case.case: case for case in map(made_up, range(int(patients)))}
    data = TrainingData(cases, {name: name for name in cases}, ("t1n", "t1c", "t2w", "t2f"), None)
    settings = HabitatSettings.parse({"encoder": encoder, "clusters": (4, 4), "quantile": (0.05, 0.05), "n_refits": 1})
    made_gib, start, busy = peak_gib(), time.perf_counter(), time.process_time()
    model = fit_habitats(data, settings).model
    fit_s, fit_cpu_s, fit_gib = time.perf_counter() - start, time.process_time() - busy, peak_gib()
    start, busy = time.perf_counter(), time.process_time()
    columns = 0 if model is None else min(len(model.features(case)) for case in cases.values())
    return {
        "voxels": sum(len(case.values) for case in cases.values()), "habitats": 0 if model is None else model.k, "columns": columns,
        "made_gib": made_gib, "fit_s": fit_s, "fit_cpu_s": fit_cpu_s, "fit_gib": fit_gib,
        "apply_s": time.perf_counter() - start, "apply_cpu_s": time.process_time() - busy, "peak_gib": peak_gib(),
    }  # fmt: skip


if __name__ == "__main__":
    print(json.dumps(main(*sys.argv[1:])))
