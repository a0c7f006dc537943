"""Settings of `radiogen evaluate masks`."""

from __future__ import annotations

from pydantic import Field

from radiogen.config.base import StageSettings


class MaskEvaluationSettings(StageSettings):
    """How masks are compared.

    Example:
        >>> MaskEvaluationSettings().tolerance_mm
        1.0
    """

    prediction_labels: str = "auto"
    """Label scheme of the predictions: auto, brats2023, brats2021, brats2013, whole-tumour."""

    reference_labels: str = "auto"
    """Label scheme of the references."""

    tolerance_mm: float = Field(default=1.0, ge=0)
    """Surface distance that counts as agreement in the normalised surface Dice, mm."""

    dilations: int = Field(default=3, ge=0)
    """Lesion-wise rule: dilations of the reference (BraTS: 3 for adult glioma)."""

    smallest_lesion_mm3: float = Field(default=50.0, ge=0)
    """Lesion-wise rule: reference lesions up to this volume are not scored, mm3."""
