"""One raw case from its own voxels to the template, by radiogen and by brainles-preprocessing. Writes its section of `reports/benchmarks.md`.

`RADIOGEN_BENCH_BRAINLES` names a Python that has brainles-preprocessing and radiogen; without it radiogen alone is measured.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from radiogen.cohort.nifti import read_image, read_labels
from radiogen.preprocess.register import normalised_mutual_information
from radiogen.preprocess.template import load_template
from tests.benchmarks.sections import write_section
from tests.benchmarks.test_inference import ROOT, machine

pytestmark = [pytest.mark.benchmark, pytest.mark.real_data]

COMMAND = "pytest -m benchmark tests/benchmarks/test_preprocessing.py"
CASE = "TCGA-FG-6692_raw"
OTHERS = ("t1n", "t2w", "t2f")


@dataclass(frozen=True)
class Run:
    """A finished process: time from start to end, time on processors, peak memory."""

    wall_s: float
    cpu_s: float
    peak_gib: float

    def cells(self) -> str:
        return f"{self.wall_s:.0f} | {self.cpu_s:.0f} | {self.peak_gib:.2f} GiB"


def run(*command: object, cwd: Path) -> Run:
    start = time.perf_counter()
    with tempfile.TemporaryFile("w+") as said:
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        process = subprocess.Popen([str(part) for part in command], cwd=cwd, stdout=said, stderr=said, env=environment)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        said.seek(0)
        assert process.returncode == 0, said.read()[-2000:]
    return Run(time.perf_counter() - start, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024 / 2**30)


def test_a_raw_case_is_brought_to_the_template(shared_data: Path, tmp_path: Path) -> None:
    source, study, neighbour = shared_data / "mri" / CASE, tmp_path / "study", tmp_path / "neighbour"
    neighbour.mkdir()
    ours = run(sys.executable, "-m", "radiogen", "preprocess", source, "-o", study, "--quiet", cwd=tmp_path)
    folder = study / "preprocessed" / CASE
    brain = (read_labels(folder / "brain.nii.gz")[0] > 0) & load_template().brain
    rows = [f"| radiogen, everything | {ours.cells()} | {overlaps(folder, brain)} |"]
    ratio = "brainles-preprocessing was not there to be measured."
    other = os.environ.get("RADIOGEN_BENCH_BRAINLES")
    if other:
        template = load_template().image
        nib.save(nib.Nifti1Image(template.data, template.affine), tmp_path / "template.nii.gz")
        theirs = run(
            other, "-m", "tests.benchmarks.preprocessing", source, tmp_path / "template.nii.gz", neighbour, cwd=tmp_path
        )
        rows.append(f"| brainles-preprocessing, registrations only | {theirs.cells()} | {overlaps(neighbour, brain)} |")
        ratio = f"Ratio of processor time: {theirs.cpu_s / ours.cpu_s:.1f}, of time: {theirs.wall_s / ours.wall_s:.1f}."
    facts = json.loads((folder / "transforms.json").read_text())["sequences"]
    assert all(one["similarity_after"] > one["similarity_before"] for one in facts.values())
    write_section("\n".join([
        "# Preprocessing one raw case", "",
        f"Made by `{COMMAND}`; measured on {machine()}. Case: {CASE}, four sequences on three grids,",
        "0.9 x 0.9 x 5.5 mm, with skull, to MNI152 at 1 mm. radiogen: the whole command - registration, N4 for it, brain extraction, quality,",
        "pictures. brainles-preprocessing: co-registration and atlas registration with its ANTs registrator; its brain extraction fetches weights",
        "and is left out. Overlap: normalised mutual information of each sequence with t1c, in the same brain.", "",
        "| tool | seconds | processor seconds | peak memory | t1n, t2w, t2f overlap |", "|---|---|---|---|---|", *rows, "", ratio, "",
    ]))  # fmt: skip


def overlaps(folder: Path, brain: np.ndarray) -> str:
    """Return how well each sequence overlaps with t1c."""
    images = {name: read_image(folder / f"{name}.nii.gz").data for name in ("t1c", *OTHERS)}
    return ", ".join(f"{normalised_mutual_information(images['t1c'], images[name], brain):.4f}" for name in OTHERS)
