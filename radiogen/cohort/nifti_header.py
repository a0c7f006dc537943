"""What a NIfTI header says twice, and contradicts itself in."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
from nibabel.filebasedimages import ImageFileError

from radiogen.errors import ImageError

_TOLERANCE_MM = 1.0


def orientation_problem(path: str | Path) -> str | None:
    """Return how the two orientations that a header can give, sform and qform, contradict each other; None where they agree or one is not set.

    Args:
        path: NIfTI file.

    Raises:
        ImageError: it cannot be read as NIfTI.

    Source: NIfTI-1 standard, `nifti1.h`, section '3D image orientation and location in space', methods 2 and 3.
    """
    try:
        header = nib.load(path).header
    except (ImageFileError, OSError, EOFError, ValueError) as error:
        raise ImageError(f"{Path(path).name} cannot be read as NIfTI.", hint="Export the file again.") from error
    if not isinstance(header, nib.Nifti1Header):
        return None
    (sform, sform_code), (qform, qform_code) = header.get_sform(coded=True), header.get_qform(coded=True)
    if not sform_code or not qform_code or sform is None or qform is None:
        return None
    if np.linalg.det(sform[:3, :3]) * np.linalg.det(qform[:3, :3]) < 0:
        return "sform and qform put left and right on opposite sides"
    far = np.array(header.get_data_shape()[:3], dtype=float) - 1
    corners = np.array([[i, j, k, 1] for i in (0, far[0]) for j in (0, far[1]) for k in (0, far[2])]).T
    apart_mm = float(np.linalg.norm(((sform - qform) @ corners)[:3], axis=0).max())
    return f"sform and qform lie {apart_mm:.1f} mm apart" if apart_mm > _TOLERANCE_MM else None
