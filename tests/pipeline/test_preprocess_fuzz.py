"""Damaged inputs, made at random from sound ones: each comes through with finite images or is quarantined with a cause and a fix."""

from __future__ import annotations

import os
import re
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd

from radiogen.cohort.nifti import read_image
from radiogen.cohort.phantoms import write_phantom_cohort
from radiogen.cohort.table import read_cohort
from radiogen.config.phantoms import PhantomSettings
from radiogen.config.preprocess import PreprocessSettings
from radiogen.errors import CaseError
from radiogen.pipeline.preprocess import run_preprocess
from radiogen.pipeline.raw_cases import find_raw_cases
from tests.cohort.dicom_data import FOUR, Study, tilted, volume, write_series

N = int(os.environ.get("RADIOGEN_FUZZ_CASES", "12"))
"""200 take about half an hour on two cores; the result of such a run is in reports/README.md."""

HEADER_BYTES = 352


def damaged(content: bytes, rng: np.random.Generator, header_bytes: int) -> bytes:
    """Return a file with bytes of its header or its pixels changed, its end cut off, or its middle overwritten."""
    data = bytearray(content)
    kind = rng.integers(4)
    if kind == 3:
        return bytes(data[: int(rng.integers(1, len(data)))])
    low, high = (0, header_bytes) if kind < 2 else (header_bytes, len(data))
    for _ in range(int(rng.integers(1, 30))):
        data[int(rng.integers(low, high))] = int(rng.integers(256))
    return bytes(data)


def write_damaged(root: Path, source: pd.Series, number: int) -> None:
    rng = np.random.default_rng([7, number])
    folder = root / f"case-{number:03d}"
    folder.mkdir(parents=True)
    if number % 2:
        study = Study()
        for at, name in enumerate(("t1c", "t2f")):
            for path in write_series(
                folder / f"S{at}", volume(seed=at), tilted(), FOUR[name], study=study, time=f"10{at}500"
            ):
                if rng.random() < 0.3:
                    path.write_bytes(damaged(path.read_bytes(), rng, 600))
        return
    for name in ("t1c", "t2f"):
        content = Path(source[name]).read_bytes()
        (folder / f"case-{number:03d}_{name}.nii").write_bytes(damaged(content, rng, HEADER_BYTES))


def test_damaged_inputs_come_through_or_are_quarantined_with_a_reason(tmp_path: Path) -> None:
    made = write_phantom_cohort(
        tmp_path / "sound", 1, seed=5, settings=PhantomSettings(spacing_mm=6.0), jobs=1, progress=False
    )
    sound = read_cohort(made).iloc[0]
    for name in ("t1c", "t2f"):
        image = read_image(sound[name])
        plain = Path(sound[name]).with_name(f"plain_{name}.nii")
        nib.save(nib.Nifti1Image(image.data, image.affine), plain)
        sound[name] = str(plain)
    for number in range(N):
        write_damaged(tmp_path / "raw", sound, number)
    raw = find_raw_cases(tmp_path / "raw")
    names = {f"case-{number:03d}" for number in range(N)}
    study = tmp_path / "study"
    try:
        done = set(run_preprocess(raw, study, PreprocessSettings(spacing_mm=4.0)).cohort.index)
    except CaseError:
        done = set()
    failed = pd.read_csv(study / "failed.csv", dtype=str) if (study / "failed.csv").is_file() else pd.DataFrame()
    # A folder in which nothing is a DICOM or NIfTI file any more is no case; it is said once, with the reason.
    # Where the damage changed whose scans they are, the folder is two cases, numbered _1 and _2.
    found = done | set(failed["case"] if len(failed) else [])
    assert {re.sub(r"_[12]$", "", case) for case in found} <= names
    assert not done & set(failed["case"] if len(failed) else [])
    for _, row in failed.iterrows():
        assert row["cause"]
        assert row["fix"]
        assert "Unexpected" not in row["fix"], row["cause"]
    for case in done:
        for path in (study / "preprocessed" / case).glob("*.nii.gz"):
            assert np.isfinite(read_image(path).data).all()
    print(f"{N} damaged cases: {len(done)} came through, {len(failed)} quarantined")
