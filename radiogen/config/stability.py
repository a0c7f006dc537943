"""Settings of `radiogen stability`."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, StringConstraints, field_validator

from radiogen.config.features import RadiomicsSettings

_SIZE = r"\d+(\.\d+)?"
_SIGNED = rf"-?{_SIZE}"

PerturbationName = Annotated[
    str,
    StringConstraints(
        pattern=rf"^(mask-(erode|dilate|volume)-{_SIZE}|contour-\d+|translate-{_SIGNED}-{_SIGNED}-{_SIGNED}|rotate-{_SIGNED}|noise-\d+)$"
    ),
]
"""A perturbation; the family is what stands before the first dash."""

DEFAULT_PERTURBATIONS: tuple[str, ...] = (
    "mask-erode-1", "mask-dilate-1", "mask-volume-0.85", "mask-volume-1.15",
    "contour-1", "contour-2", "contour-3",
    "translate-0.5-0-0", "translate-0-0.5-0", "translate-0-0-0.5",
    "rotate-3", "rotate--3",
    "noise-1", "noise-2",
)  # fmt: skip


class StabilitySettings(RadiomicsSettings):
    """What is perturbed, and the features that are computed each time: every key of `radiogen features radiomics` is accepted here.

    Every perturbation costs one extraction. Wavelets are four fifths of the images of the features' own default, so the default here is the original
    image and the Laplacian of Gaussian; write `image_types` to have others.

    Source: Zwanenburg et al., Sci Rep 2019;9:614 (which perturbations stand for a test-retest scan: rotation, noise, volume, contour).

    Example:
        >>> len(StabilitySettings().perturbations), list(StabilitySettings().image_types)
        (14, ['Original', 'LoG'])
    """

    image_types: dict[str, dict[str, Any] | None] = Field(
        default={"Original": {}, "LoG": {"sigma": [1.0, 2.0, 3.0]}}, min_length=1
    )
    """(*) Image types and their own settings; LoG sigma in mm."""

    perturbations: tuple[PerturbationName, ...] = DEFAULT_PERTURBATIONS
    """Perturbations: `mask-erode-<mm>`, `mask-dilate-<mm>`, `mask-volume-<times>` (of every region), `contour-<n>` (the n-th draw of supervoxels),
    `translate-<i>-<j>-<k>` (voxels along right, anterior, superior), `rotate-<degrees>` (about the superior axis), `noise-<n>` (the n-th draw)."""

    seed: int = Field(default=0, ge=0)
    """Of contours, noise and the order of voxels at the same depth; each case and perturbation has its own draw of it."""

    @field_validator("perturbations")
    @classmethod
    def _different(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"{', '.join(twice)} stand(s) there twice; name each perturbation once")
        if "mask-volume-0" in names:
            raise ValueError("mask-volume-0 leaves nothing to measure; a number above 0 is accepted")
        return names
