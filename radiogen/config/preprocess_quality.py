"""When the quality of a case is flagged."""

from __future__ import annotations

from pydantic import Field

from radiogen.config.base import StageSettings


class QualityThresholds(StageSettings):
    """Limits beyond which a case is flagged; a flag is a reason to look, never a reason to leave a case out.

    Example:
        >>> QualityThresholds(brain_ml_high=2100.0).brain_ml_low
        900.0
    """

    doubled_correlation: float = Field(default=0.999, gt=0, le=1)
    """Two sequences whose voxels in the brain correlate more than this are one file under two names: the two T1 of 29 real cases reach 0.92 at most;
    a copy that was scaled and written again stays above 0.999."""

    cut_border_share: float = Field(default=0.01, ge=0, le=1)
    """Share of the brain's surface that may lie on the border of what was imaged; a brain inside its field of view touches none of it,
    interpolation some."""

    outside_template_share: float = Field(default=0.06, ge=0, le=1)
    """Share of the expected brain (template brain, or the union of what all sequences show) that a sequence may not have imaged."""

    slice_thickness_mm: float = Field(default=6.0, gt=0)
    """Largest voxel edge: RANO-style protocols ask for 4 mm or less in 2-D (Ellingson et al. 2015, doi:10.1093/neuonc/nov095); clinical archives
    go to 5 or 6; beyond, small enhancing parts vanish between slices."""

    anisotropy: float = Field(default=8.0, ge=1)
    """Largest voxel edge over the smallest: beyond this, shape and texture of a region say more of the slicing than of the tumour."""

    snr_low: float = Field(default=5.0, ge=0)
    """Median signal of the brain over the standard deviation of the noise; below 5, noise is a fifth of the signal and biased (Gudbjartsson & Patz
    1995,
    doi:10.1002/mrm.1910340618)."""

    cnr_low: float = Field(default=0.5, ge=0)
    """Grey-white difference over noise: below 0.5, grey and white matter cannot be told apart voxel by voxel."""

    noise_high: float = Field(default=0.12, ge=0)
    """Noise as a share of the brain's intensity width (1st to 99th percentile)."""

    similarity_low: float = Field(default=1.01, ge=1)
    """Normalised mutual information with the reference (Studholme et al. 1999, doi:10.1016/S0031-3203(98)00091-0: 1 is unrelated, 2 identical);
    64 pairs of sequences of 32 real cases have 1.012 or more."""

    brain_ml_low: float = Field(default=900.0, gt=0)
    """Smallest plausible brain with its fluid: adults have about 1000 to 1700 ml inside the skull (Buckner et al. 2004,
    doi:10.1016/j.neuroimage.2004.06.018)."""

    brain_ml_high: float = Field(default=2000.0, gt=0)
    """Largest plausible brain with its fluid; see `brain_ml_low`."""

    inversion: float = Field(default=-0.15, ge=-2, le=2)
    """How far the order of tissues may be against what the sequence must show, in widths of the brain's intensities, before it counts as inverted."""

    ghosting_high: float = Field(default=0.08, ge=0)
    """Signal of the background in line with the head along an axis, beyond that in the corners, over the signal of the head;
    47 real images with air around the head have 0.045 or less."""
