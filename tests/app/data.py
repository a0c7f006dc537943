"""Made-up patients as the browser sends them."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from radiogen.app.files import Upload
from radiogen.cohort.nifti import Grid, write_image
from radiogen.cohort.phantoms import Phantom, make_phantom
from radiogen.config.phantoms import PhantomSettings

MRI = "application/octet-stream"


@cache
def phantom() -> Phantom:
    """One patient on 4 mm voxels."""
    return make_phantom(PhantomSettings(spacing_mm=4.0), seed=3, idh=0, mgmt=0, grade=4)


@cache
def phantom_files() -> dict[str, bytes]:
    """Sequence -> compressed NIfTI of the phantom."""
    with TemporaryDirectory() as folder:
        made = {}
        for name, image in phantom().images.items():
            path = Path(folder) / f"{name}.nii.gz"
            write_image(path, image, phantom().grid)
            made[name] = path.read_bytes()
        return made


def uploads(*sequences: str) -> list[Upload]:
    """Return the named sequences of the phantom, or all four, under names that say which is which."""
    return [Upload(f"x_{name}.nii.gz", phantom_files()[name]) for name in sequences or phantom_files()]


def nifti_bytes(data: np.ndarray, affine: np.ndarray | None = None) -> bytes:
    """Return a compressed NIfTI file."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "x.nii.gz"
        i, j, k = data.shape
        write_image(path, data.astype(np.float32), Grid((i, j, k), np.eye(4) if affine is None else affine))
        return path.read_bytes()


def zipped(files: Mapping[str, bytes]) -> bytes:
    """Return a zip of files by their names in it."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return packed.getvalue()
