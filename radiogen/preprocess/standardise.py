"""One scale for intensities whose unit means nothing: z-score, percentile clip, white stripe; and, fitted on several cases, Nyul landmarks.

Methods of `INTENSITY_METHODS` see one image at a time and learn nothing. `fit_nyul` and `match_histogram` take numbers from other cases: whoever
calls
them must take those from the training side only, inside the fold; nothing here can know which side a case is on.

Own code and not the package intensity-normalization: that one leaves what is outside the brain, evaluates a kernel density over every voxel, and
keeps a
scale as a binary file.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from jaxtyping import Float32
from pydantic import Field, model_validator
from scipy.ndimage import gaussian_filter1d

from radiogen.config.base import StageSettings
from radiogen.errors import ImageError
from radiogen.preprocess.intensity import zscore
from radiogen.registry import Registry
from radiogen.types import Mask, Volume

INTENSITY_METHODS = Registry(
    "intensity_methods",
    {
        "clip": "radiogen.preprocess.standardise:clip_percentiles",
        "none": "radiogen.preprocess.standardise:leave",
        "whitestripe": "radiogen.preprocess.standardise:white_stripe",
        "zscore": "radiogen.preprocess.standardise:standard_score",
    },
)
"""Each is called as `method(image, brain, sequence="t1n")` and returns an image that is 0 outside the brain."""

_CLIP_PERCENTILES = (0.5, 99.5)
_STRIPE_HALF_WIDTH = 0.05
_T1 = ("t1n", "t1c")
_T1_TAIL_PERCENTILE = 96.0
_BINS = 256
_BIN_SMOOTHING = 4.0
_SMALLEST_PEAK = 0.1
_NYUL_PERCENTILES = (1.0, 10.0, 20.0, 30.0, 40.0, 50.0, 60.0, 70.0, 80.0, 90.0, 99.0)
_NYUL_RANGE = (0.0, 100.0)


def leave(image: Volume, brain: Mask, sequence: str = "") -> Volume:
    """Return the intensities as they are inside the brain, and 0 outside.

    Args:
        image: one sequence, any unit.
        brain: on the same voxels.
        sequence: not used.
    """
    return np.where(brain, image, np.float32(0)).astype(np.float32)


def standard_score(image: Volume, brain: Mask, sequence: str = "") -> Volume:
    """Return the image with mean 0 and standard deviation 1 in the brain, and 0 outside.

    Args:
        image: one sequence, any unit.
        brain: on the same voxels.
        sequence: not used.

    Raises:
        ImageError: the brain is empty.
    """
    _values(image, brain)
    return zscore(image, brain)


def clip_percentiles(image: Volume, brain: Mask, sequence: str = "") -> Volume:
    """Return the image clipped at the 0.5th and 99.5th percentile of the brain and scaled to 0..1; 0 outside.

    Args:
        image: one sequence, any unit.
        brain: on the same voxels.
        sequence: not used.

    Raises:
        ImageError: the brain is empty or flat.

    Source: percentiles as nnU-Net clips CT intensities, Isensee et al. 2021, doi:10.1038/s41592-020-01008-z.

    Example:
        >>> image = np.arange(8, dtype=np.float32).reshape(2, 2, 2)
        >>> clip_percentiles(image, image > 3).ravel()[[0, 4, 7]].tolist()
        [0.0, 0.0, 1.0]
    """
    low, high = (float(value) for value in np.percentile(_values(image, brain), _CLIP_PERCENTILES))
    _check_differ(low, high)
    return np.where(brain, np.clip((image - low) / (high - low), 0, 1), 0).astype(np.float32)


def white_stripe(image: Volume, brain: Mask, sequence: str = "") -> Volume:
    """Return the image in standard deviations of normal-appearing white matter from its mean; 0 outside the brain.

    The stripe is the 10 % of brain voxels around the white-matter peak: the rightmost peak of a T1 (white matter is its brightest tissue), the
    highest one
    of any other sequence.

    Args:
        image: one sequence, any unit.
        brain: on the same voxels.
        sequence: `t1n`, `t1c` for the peak of a T1; any other name, or none, for the highest peak.

    Raises:
        ImageError: the brain is empty or flat.

    Source: Shinohara et al. 2014, doi:10.1016/j.nicl.2014.08.008, sections 2.2.1-2.2.2, tau = 0.05.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> grey_white = np.concatenate([rng.normal(60, 4, 5000), rng.normal(100, 4, 3000)]).astype(np.float32)
        >>> scaled = white_stripe(grey_white.reshape(20, 20, 20), np.ones((20, 20, 20), bool), "t1n")
        >>> bool(abs(np.median(scaled.ravel()[5000:])) < 0.5)
        True
    """
    values = _values(image, brain)
    _check_differ(float(values.min()), float(values.max()))
    at = float((values < white_matter_peak(values, sequence)).mean())
    bounds = (max(at - _STRIPE_HALF_WIDTH, 0.0), min(at + _STRIPE_HALF_WIDTH, 1.0))
    low, high = np.quantile(values, bounds)
    stripe = values[(values >= low) & (values <= high)]
    deviation = float(stripe.std())
    if deviation <= 0:
        raise ImageError(
            "White matter has one single value: the white stripe has no width.", hint="Use zscore or clip instead."
        )
    return np.where(brain, (image - float(stripe.mean())) / deviation, 0).astype(np.float32)


def white_matter_peak(values: Float32[np.ndarray, " n"], sequence: str = "") -> float:
    """Return the intensity of the white-matter peak of a brain's histogram.

    Args:
        values: intensities inside the brain, any unit.
        sequence: `t1n`, `t1c`: the rightmost peak below the 96th percentile; otherwise the highest peak.

    Source: Shinohara et al. 2014, doi:10.1016/j.nicl.2014.08.008, section 2.2.1; a peak must be a tenth as high as the highest to count.
    """
    low, high = np.percentile(values, [0.5, _T1_TAIL_PERCENTILE if sequence in _T1 else 99.5])
    kept = values[(values >= low) & (values <= high)]
    counts, edges = np.histogram(kept, _BINS)
    smooth = gaussian_filter1d(counts.astype(float), _BIN_SMOOTHING, mode="constant")
    centres = (edges[:-1] + edges[1:]) / 2
    if sequence not in _T1:
        return float(centres[smooth.argmax()])
    inner = smooth[1:-1]
    peaks = 1 + np.flatnonzero((inner > smooth[:-2]) & (inner >= smooth[2:]) & (inner >= _SMALLEST_PEAK * smooth.max()))
    return float(centres[peaks[-1] if peaks.size else smooth.argmax()])


class NyulScale(StageSettings):
    """A standard scale of intensities, learnt from several images of one sequence.

    `NyulScale.parse` and `model_dump` take it from and to JSON.

    Args:
        percentiles: of the brain's intensities, ascending, %.
        landmarks: where each lies on the standard scale, strictly ascending, 0 to 100.
        cases: images it was learnt from.
    """

    percentiles: tuple[float, ...] = Field(min_length=2)
    landmarks: tuple[float, ...] = Field(min_length=2)
    cases: int = Field(ge=1)

    @model_validator(mode="after")
    def _ascending(self) -> NyulScale:
        if len(self.percentiles) != len(self.landmarks):
            raise ValueError("give one landmark per percentile")
        if (np.diff(self.percentiles) <= 0).any() or (np.diff(self.landmarks) <= 0).any():
            raise ValueError("percentiles and landmarks must ascend")
        return self

    def apply(self, image: Volume, brain: Mask) -> Volume:
        """Return the image on the standard scale; 0 outside the brain.

        Values beyond the outermost landmarks go on with the slope of the outermost pieces, so that a bright lesion is not cut off.

        Args:
            image: one image of the sequence the scale was learnt for.
            brain: on the same voxels.

        Raises:
            ImageError: the brain is empty, or two landmarks of the image coincide.
        """
        own = _landmarks(image, brain, self.percentiles)
        standard = np.array(self.landmarks)
        mapped = np.interp(image, own, standard)
        first, last = np.diff(standard)[[0, -1]] / np.diff(own)[[0, -1]]
        mapped = np.where(image < own[0], standard[0] + first * (image - own[0]), mapped)
        mapped = np.where(image > own[-1], standard[-1] + last * (image - own[-1]), mapped)
        return np.where(brain, mapped, 0).astype(np.float32)


def fit_nyul(cases: Iterable[tuple[Volume, Mask]]) -> NyulScale:
    """Learn a standard scale from images of one sequence; the caller gives the images of the training side only.

    Args:
        cases: image and brain of each.

    Returns:
        The mean landmarks: the 1st, 10th, 20th ... 90th and 99th percentile, after each image was stretched so that its 1st and 99th are 0 and 100.

    Raises:
        ImageError: there is no case, a brain is empty, or two landmarks of an image coincide.

    Source: Nyul & Udupa 1999, doi:10.1002/(SICI)1522-2594(199912)42:6<1072::AID-MRM11>3.0.CO;2-M; Nyul, Udupa & Zhang 2000, doi:10.1109/42.836373;
        percentiles of Shah et al. 2011, doi:10.1016/j.media.2010.12.003.

    Example:
        >>> brain = np.ones((9, 9, 9), bool)
        >>> image = np.random.default_rng(0).normal(50, 9, brain.shape).astype(np.float32)
        >>> scale = fit_nyul([(image, brain), (7 * image + 3, brain)])
        >>> bool(np.allclose(scale.apply(image, brain), scale.apply(7 * image + 3, brain), atol=1e-2))
        True
    """
    stretched = []
    for image, brain in cases:
        own = _landmarks(image, brain, _NYUL_PERCENTILES)
        low, high = _NYUL_RANGE
        stretched.append(low + (own - own[0]) * (high - low) / (own[-1] - own[0]))
    if not stretched:
        raise ImageError("A scale of intensities needs at least one case.", hint="Give the training cases.")
    mean = np.mean(stretched, axis=0)
    return NyulScale(
        percentiles=_NYUL_PERCENTILES, landmarks=tuple(float(value) for value in mean), cases=len(stretched)
    )


def match_histogram(image: Volume, brain: Mask, reference: Volume, reference_brain: Mask) -> Volume:
    """Return the image with the intensity distribution that the reference has in its brain; 0 outside.

    Every value goes to the reference's value of the same rank; equal values stay equal. The caller says which reference: it must not be a test case.

    Args:
        image: one sequence.
        brain: on the same voxels.
        reference: the same sequence of another case; its grid may differ.
        reference_brain: on the reference's voxels.

    Raises:
        ImageError: a brain is empty.

    Source: exact quantile mapping, Gonzalez & Woods, Digital Image Processing, 4th edition 2018, section 3.3 'Histogram matching'.

    Example:
        >>> brain = np.ones((2, 2, 2), bool)
        >>> image = np.arange(8, dtype=np.float32).reshape(2, 2, 2)
        >>> match_histogram(image**3, brain, image, brain).ravel().tolist()
        [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]
    """
    values, wanted = _values(image, brain), np.sort(_values(reference, reference_brain))
    _, which, counts = np.unique(values, return_inverse=True, return_counts=True)
    # The middle of the ranks that a value takes, as a share of all: 0.5/n .. (n - 0.5)/n.
    share = (np.cumsum(counts) - counts / 2) / values.size
    own_share = (np.arange(wanted.size) + 0.5) / wanted.size
    matched = np.zeros(image.shape, dtype=np.float32)
    matched[brain] = np.interp(share, own_share, wanted)[which]
    return matched


def _values(image: Volume, brain: Mask) -> Float32[np.ndarray, " n"]:
    if brain.shape != image.shape:
        raise ImageError(f"The brain mask has shape {brain.shape}, the image {image.shape}.")
    values = image[brain]
    if not values.size:
        raise ImageError("The brain mask is empty.", hint="Look at the brain extraction of this case.")
    return values


def _check_differ(low: float, high: float) -> None:
    if high <= low:
        raise ImageError("The intensities inside the brain do not differ.", hint="Look at the image.")


def _landmarks(image: Volume, brain: Mask, percentiles: tuple[float, ...]) -> np.ndarray:
    found = np.percentile(_values(image, brain).astype(np.float64), percentiles)
    if (np.diff(found) <= 0).any():
        raise ImageError(
            "Two percentiles of the brain's intensities coincide: the image has too few different values.",
            hint="Use zscore or clip for this image.",
        )
    return found
