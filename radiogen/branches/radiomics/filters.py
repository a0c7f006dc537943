"""PyRadiomics' image types of one frame: each filter once for all regions, on no more voxels than its result depends on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pywt
import SimpleITK as sitk  # noqa: N813 - the name everyone gives it
from jaxtyping import Float, Shaped
from radiomics import imageoperations

from radiogen.branches.radiomics.images import Box, Frame, crop
from radiogen.branches.radiomics.plan import Plan

_FEWEST_VOXELS = 4
"""The recursive Gaussian filters no shorter line."""


def filtered_images(
    frame: Frame, image_type: str, settings: Mapping[str, Any]
) -> Iterator[tuple[Shaped[np.ndarray, "k j i"], str, dict[str, Any]]]:
    """Yield the images of one pass in the box of a frame's masks: intensities with axes (k, j, i), PyRadiomics' name, settings.

    The values are those of filtering the whole image, and do not depend on which regions the frame has.

    Args:
        frame: the image, and where its masks lie.
        image_type: PyRadiomics' image type.
        settings: PyRadiomics settings for it.
    """
    if image_type == "LoG":
        yield from _laplacians(frame, settings)
        return
    whole = Box.of(frame.image)
    reach = filter_reach(image_type, settings)
    seen = whole if reach is None else frame.inner.grown((reach,) * 3, whole, periodic=image_type == "Wavelet")
    part = frame.image if seen == whole else crop(frame.image, seen)
    inner = frame.inner.seen_from(seen)
    make = getattr(imageoperations, f"get{image_type}Image")
    for filtered, name, used in make(part, _union(frame, inner, part), **settings):
        yield sitk.GetArrayViewFromImage(filtered)[inner.slices[::-1]], name, used


def passes(plan: Plan) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield every filter to be applied: its name, PyRadiomics' image type, settings; each sigma of the Laplacian of Gaussian is one.

    Example:
        >>> from radiogen.config.features import RadiomicsSettings
        >>> from radiogen.branches.radiomics.plan import make_plan
        >>> [name for name, _, _ in passes(make_plan(RadiomicsSettings()))]
        ['Original', 'LoG 1.0', 'LoG 2.0', 'LoG 3.0', 'Wavelet']
    """
    for image_type, own in plan.image_types.items():
        settings = {**plan.setting, **own}
        if image_type == "LoG":
            for sigma in settings.get("sigma", []):
                yield f"LoG {sigma}", "LoG", {**settings, "sigma": [sigma]}
        else:
            yield image_type, image_type, settings


def filter_reach(image_type: str, settings: Mapping[str, Any]) -> int | None:
    """Return how many voxels around a region change its filtered values; None where the whole image does.

    Example:
        >>> filter_reach("Wavelet", {"wavelet": "coif1"})
        6
    """
    if image_type == "Original":
        return 0
    if image_type == "Gradient":
        return 2
    if image_type == "Wavelet":
        length: int = pywt.Wavelet(settings.get("wavelet", "coif1")).dec_len
        # Each level's filter has twice as many holes as the one before; PyRadiomics applies the first level's again and again.
        return length * (int(settings.get("start_level", 0)) + int(settings.get("level", 1)))
    return None  # the others scale by the largest value of the whole image


def _union(frame: Frame, inner: Box, part: sitk.Image) -> sitk.Image:
    # Only the local-binary-pattern filters look at the mask.
    union = np.zeros(part.GetSize()[::-1], dtype=np.uint8)
    inside = union[inner.slices[::-1]]
    for mask in frame.masks.values():
        inside |= sitk.GetArrayViewFromImage(mask).astype(np.uint8)
    image = sitk.GetImageFromArray(union)
    image.CopyInformation(part)
    return image


def _laplacians(frame: Frame, settings: Mapping[str, Any]) -> Iterator[tuple[np.ndarray, str, dict[str, Any]]]:
    (sigma_mm,) = settings["sigma"]
    name = f"log-sigma-{str(sigma_mm).replace('.', '-')}-mm-3D"
    size, spacing = np.array(frame.image.GetSize()), np.array(frame.image.GetSpacing())
    if sigma_mm > 0 and size.min() >= _FEWEST_VOXELS and np.all(size >= np.ceil(sigma_mm / spacing) + 1):
        yield laplacian_of_gaussian(frame.image, frame.inner, float(sigma_mm)), name, dict(settings)
    else:  # PyRadiomics says why it yields nothing
        list(imageoperations.getLoGImage(frame.image, None, **settings))


def laplacian_of_gaussian(image: sitk.Image, inner: Box, sigma_mm: float) -> Float[np.ndarray, "k j i"]:
    """Return the scale-normalised Laplacian of Gaussian of an image inside a box, as ITK's filter gives it, to the last bit.

    ITK filters along one axis after the other, so what lies outside the box along an axis is dropped as soon as that axis is done. Before the
    first, the empty borders are dropped: a line that starts with equal values gives what it would give if it started with the last of them.

    Args:
        image: the whole image.
        inner: the box.
        sigma_mm: width of the Gaussian.

    Source: ITK, LaplacianRecursiveGaussianImageFilter (Deriche, INRIA RR-1893, 1993); PyRadiomics, `getLoGImage`.
    """
    seen = _without_empty_borders(image, inner)
    part, inner = crop(image, seen), inner.seen_from(seen)
    total = np.zeros([high - low for low, high in zip(inner.low, inner.high, strict=True)][::-1], dtype=np.float32)
    for axis in range(3):
        done = part
        for direction in (axis, *(other for other in range(3) if other != axis)):
            done = _along(done, direction, 2 if direction == axis else 0, sigma_mm)
            start, size = [0, 0, 0], list(done.GetSize())
            start[direction], size[direction] = inner.low[direction], inner.high[direction] - inner.low[direction]
            done = sitk.RegionOfInterest(done, size, start)
        # ITK adds in double precision and keeps the sum in single precision.
        scaled = sitk.GetArrayViewFromImage(done) * np.float64(1.0 / image.GetSpacing()[axis] ** 2)
        total = (total + scaled).astype(np.float32)
    return total


def _without_empty_borders(image: sitk.Image, inner: Box) -> Box:
    # One voxel of border stays, so that a line still starts with the empty value; and enough voxels for the filter.
    data = sitk.GetArrayViewFromImage(image)
    low, high = [], []
    for axis in range(3):
        others = tuple(2 - other for other in range(3) if other != axis)
        filled = np.flatnonzero((data != data[0, 0, 0]).any(axis=others))
        first, last = (int(filled[0]), int(filled[-1])) if filled.size else (0, 0)
        low.append(max(min(first - 1, inner.low[axis]), 0))
        high.append(min(max(last + 2, inner.high[axis], low[-1] + _FEWEST_VOXELS), image.GetSize()[axis]))
        low[-1] = min(low[-1], max(high[-1] - _FEWEST_VOXELS, 0))
    return Box((low[0], low[1], low[2]), (high[0], high[1], high[2]))


def _along(image: sitk.Image, direction: int, order: int, sigma_mm: float) -> sitk.Image:
    gaussian = sitk.RecursiveGaussianImageFilter()
    gaussian.SetDirection(direction)
    gaussian.SetOrder(order)
    gaussian.SetSigma(sigma_mm)
    gaussian.SetNormalizeAcrossScale(True)
    return gaussian.Execute(image)
