"""Radiomics of one case, by radiogen and by PyRadiomics' own command line, and of growing cohorts. Writes its section of `reports/benchmarks.md`."""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import psutil
import pytest
import yaml

from radiogen.cohort.masks import region_masks
from tests.benchmarks.sections import write_section
from tests.benchmarks.test_inference import ROOT, machine

pytestmark = [pytest.mark.benchmark, pytest.mark.real_data]

COMMAND = "pytest -m benchmark tests/benchmarks/test_radiomics.py"
CASE = "BraTS-GLI-00000-000"
SEQUENCES = ("t1n", "t1c", "t2w", "t2f")
SECTIONS = {
    "imageType": {"Original": {}, "LoG": {"sigma": [1.0, 2.0, 3.0]}, "Wavelet": {}},
    "featureClass": {name: None for name in ("shape", "firstorder", "glcm", "gldm", "glrlm", "glszm", "ngtdm")},
    "setting": {"binWidth": 25},
}
JOBS = 2


@dataclass(frozen=True)
class Run:
    """A finished process with all it started: seconds from start to end, on processors, and peak memory together."""

    wall_s: float
    cpu_s: float
    peak_gib: float

    def cells(self) -> str:
        return f"{self.wall_s:.1f} | {self.cpu_s:.1f} | {self.peak_gib:.2f} GiB"


def run(*command: object, cwd: Path) -> Run:
    """Run a command, and add up the memory of its processes ten times a second."""
    before, clock = os.times(), os.times().elapsed
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "XDG_CACHE_HOME": str(cwd / "cache")}
    with (cwd / "said.txt").open("w+") as said:
        process = psutil.Popen([str(part) for part in command], cwd=cwd, stdout=said, stderr=said, env=environment)
        peak = 0
        while process.poll() is None:
            peak = max(peak, resident(process))
            try:
                process.wait(0.1)
            except psutil.TimeoutExpired:
                continue
        said.seek(0)
        assert process.returncode == 0, said.read()[-2000:]
    after = os.times()
    spent = after.children_user + after.children_system - before.children_user - before.children_system
    return Run(after.elapsed - clock, spent, peak / 2**30)


def resident(process: psutil.Process) -> int:
    """Return the memory of a process and its descendants, bytes."""
    total = 0
    try:
        for each in (process, *process.children(recursive=True)):
            total += each.memory_info().rss
    except psutil.NoSuchProcess:
        pass
    return total


def settings(folder: Path) -> Path:
    """Write PyRadiomics' parameter file; both tools read it."""
    path = folder / "params.yaml"
    path.write_text(yaml.safe_dump(SECTIONS))
    return path


def ours(cohort: pd.DataFrame, folder: Path) -> tuple[Run, pd.DataFrame]:
    """Run radiogen's whole command with an empty cache."""
    shutil.rmtree(folder / "cache", ignore_errors=True)
    cohort.to_csv(folder / "cohort.csv", index=False)
    command = (sys.executable, "-m", "radiogen", "features", "radiomics", folder / "cohort.csv", "--quiet")
    took = run(*command, "-o", folder / "study", "--params", settings(folder), "--jobs", JOBS, cwd=folder)
    table = pd.read_parquet(folder / "study" / "features" / "radiomics.parquet")
    shutil.rmtree(folder / "study")
    return took, table


def stock(row: dict[str, str], folder: Path) -> tuple[Run, pd.DataFrame]:
    """Run PyRadiomics' command line in batch mode on every pair of sequence and region."""
    image = nib.load(row["mask"])
    pairs = []
    for region, mask in region_masks(np.asarray(image.dataobj).astype(np.uint8)).items():
        path = folder / f"{region}.nii.gz"
        nib.save(nib.Nifti1Image(mask.astype(np.uint8), image.affine), path)
        pairs += [{"Image": row[name], "Mask": str(path), "Sequence": name, "Region": region} for name in SEQUENCES]
    pd.DataFrame(pairs).to_csv(folder / "pairs.csv", index=False)
    command = (Path(sys.executable).parent / "pyradiomics", folder / "pairs.csv", "-p", settings(folder))
    took = run(*command, "--jobs", JOBS, "-o", folder / "stock.csv", "-f", "csv", cwd=folder)
    return took, pd.read_csv(folder / "stock.csv")


def differences(found: pd.Series, expected: pd.DataFrame) -> pd.Series:
    """Return the relative difference of every value of PyRadiomics' table."""
    names = [name for name in expected if name.startswith(("original_", "log-", "wavelet-"))]
    values = {}
    for _, row in expected.iterrows():
        for name in names:
            prefix = f"{row.Region}_" if "_shape_" in name else f"{row.Sequence}_{row.Region}_"
            theirs = complex(str(row[name])).real
            values[prefix + name] = abs(found[prefix + name] - theirs) / max(abs(theirs), np.finfo(float).tiny)
    return pd.Series(values).sort_values(ascending=False)


def copies(source: Path, number: int, folder: Path) -> pd.DataFrame:
    """Return a cohort of rolled copies of one case: other bytes, the same work."""
    rows = []
    for copy in range(number):
        row = {"case": f"copy-{copy}"}
        for role in (*SEQUENCES, "mask"):
            image = nib.load(source / f"{CASE}-{'seg' if role == 'mask' else role}.nii.gz")
            path = folder / f"{copy}-{role}.nii.gz"
            rolled = np.roll(np.asarray(image.dataobj), copy - number // 2, axis=2)
            nib.save(nib.Nifti1Image(rolled.astype(np.int16), image.affine), path)
            row[role] = str(path)
        rows.append(row)
    return pd.DataFrame(rows)


def test_radiomics_of_a_case_beside_pyradiomics(shared_data: Path, tmp_path: Path) -> None:
    source = shared_data / "mri" / CASE
    row = {"case": CASE, **{name: str(source / f"{CASE}-{name}.nii.gz") for name in SEQUENCES}}
    row["mask"] = str(source / f"{CASE}-seg.nii.gz")
    growing = []
    mine, table = ours(pd.DataFrame([row]), tmp_path)
    theirs, expected = stock(row, tmp_path)
    apart = differences(table.loc[CASE], expected)
    for number in (1, 4, 16):
        took, features = ours(copies(source, number, tmp_path), tmp_path)
        assert len(features) == number
        growing.append((number, took))
    first = growing[0][1]
    rows = [
        f"| {number} | {took.cells()} | {took.wall_s / number:.1f} | {took.cpu_s / number:.1f} |"
        for number, took in growing
    ]
    write_section("\n".join([
        "# Radiomics of one case", "",
        f"Made by `{COMMAND}`; measured on {machine()}. Case: {CASE},",
        "240 x 240 x 155 voxels of 1 mm, four sequences, the regions wt, tc and et; original, LoG (1, 2 and 3 mm) and wavelet images, all feature",
        "classes, bin width 25. Both tools read the same parameter file and are timed as whole commands from their start, with",
        f"`--jobs {JOBS}` and nothing cached: `pyradiomics` in batch mode on the 12 pairs of image and mask, and `radiogen features radiomics` on",
        "the case. Memory is that of all processes together.", "",
        "| tool | seconds | processor seconds | peak memory |", "|---|---|---|---|",
        f"| PyRadiomics | {theirs.cells()} |", f"| radiogen | {mine.cells()} |", "",
        f"Ratio of time: {theirs.wall_s / mine.wall_s:.1f}, of processor time: {theirs.cpu_s / mine.cpu_s:.1f}.",
        f"Largest relative difference among {len(apart)} values: {apart.iloc[0]:.1e} ({apart.index[0]}).", "",
        "Cohorts of copies of that case, moved by whole slices:", "",
        "| cases | seconds | processor seconds | peak memory | seconds per case | processor seconds per case |",
        "|---|---|---|---|---|---|", *rows, "",
    ]))  # fmt: skip
    assert apart.iloc[0] < 1e-6
    assert theirs.cpu_s > 10 * mine.cpu_s
    assert mine.peak_gib < 3
    assert growing[-1][1].cpu_s < 16 * first.cpu_s
