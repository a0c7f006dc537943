"""Random changes of prepared volumes for training; everything random comes from the generator that is given."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import numpy as np
from jaxtyping import Float32
from scipy import ndimage

from radiogen.errors import ConfigError
from radiogen.registry import did_you_mean

Stack = Float32[np.ndarray, "c i j k"]
"""The prepared volumes of one case's sequences, RAS; all of them are moved alike."""

Cropped = Float32[np.ndarray, "c _i _j _k"]
"""A part of a stack."""

AXIAL = (0, 1)
"""Axes within an axial slice: left to right, back to front."""


def flip(volumes: Stack, rng: np.random.Generator, axes: tuple[int, ...] = AXIAL) -> Stack:
    """Return the volumes mirrored along each of some axes with probability 0.5.

    Args:
        volumes: one case.
        rng: source of the random numbers.
        axes: spatial axes; as published for films left to right (sagittal plane) and back to front (coronal plane).

    Source: Lang et al., BrainLes 2021, see `radiogen.branches.embedding.c3d`.
    """
    turned = [1 + axis for axis in axes if rng.random() < 0.5]
    return np.ascontiguousarray(np.flip(volumes, turned))


def quarter_turns(volumes: Stack, rng: np.random.Generator) -> Stack:
    """Return the volumes turned in the axial plane by 0, 90, 180 or 270 degrees, by 0 or 180 where slices are no squares.

    Source: Lang et al., BrainLes 2021, see `radiogen.branches.embedding.c3d`.
    """
    square = volumes.shape[1] == volumes.shape[2]
    turns = int(rng.integers(4)) if square else 2 * int(rng.integers(2))
    return np.ascontiguousarray(np.rot90(volumes, turns, axes=(1, 2)))


def rotate(volumes: Stack, rng: np.random.Generator, degrees: float = 10.0) -> Stack:
    """Return the volumes turned about each axis through their middle by up to some degrees, interpolated linearly; 0 comes in from outside.

    Args:
        volumes: one case.
        rng: source of the random numbers.
        degrees: largest angle.
    """
    return affine(volumes, rng, degrees=degrees)


def scale(volumes: Stack, rng: np.random.Generator, share: float = 0.1) -> Stack:
    """Return the volumes made larger or smaller about their middle, alike along all axes.

    Args:
        volumes: one case.
        rng: source of the random numbers.
        share: largest difference of the factor from 1.
    """
    return affine(volumes, rng, scaling=share)


def shear(volumes: Stack, rng: np.random.Generator, slope: float = 0.1) -> Stack:
    """Return the volumes sheared about their middle: what is in them is slanted, and keeps its volume.

    Args:
        volumes: one case.
        rng: source of the random numbers.
        slope: most voxels sideways for each voxel along another axis.
    """
    return affine(volumes, rng, shearing=slope)


def affine(
    volumes: Stack, rng: np.random.Generator, degrees: float = 0.0, scaling: float = 0.0, shearing: float = 0.0
) -> Stack:
    """Return the volumes turned, sheared and scaled about their middle, interpolated once and linearly; 0 comes in from outside.

    Axial slices move within themselves by shearing along i and j, so that a single slice may be sheared and scaled, but not turned freely.

    Args:
        volumes: one case.
        rng: source of the random numbers; what is 0 draws none of them, the angles apart.
        degrees: largest angle about each axis.
        scaling: largest difference of the one factor for all axes from 1.
        shearing: most voxels sideways for each voxel: of i along j, of i along k, of j along k.

    Source: scaling, rotation and shearing as augmentation: the chapter on multi-modal fusion for radiogenomics classification of the BraTS 2021
        volume (BrainLes 2021, Springer LNCS 12962 and 12963), which gives no ranges.

    Example:
        >>> dot = np.zeros((1, 5, 5, 5), np.float32); dot[0, 2, 2, 2] = 1
        >>> float(affine(dot, np.random.default_rng(0), degrees=9.0, scaling=0.1, shearing=0.1)[0, 2, 2, 2])
        1.0
    """
    i, j, k = np.radians(rng.uniform(-degrees, degrees, 3))
    change = _about(0, i) @ _about(1, j) @ _about(2, k)
    if shearing:
        slant = np.eye(3)
        slant[np.triu_indices(3, 1)] = rng.uniform(-shearing, shearing, 3)
        change = change @ slant
    if scaling:
        # Where each voxel's value is fetched from: what becomes larger is fetched from nearer the middle.
        change = change / (1 + rng.uniform(-scaling, scaling))
    middle = ((np.array(volumes.shape[1:]) - 1) / 2)[:, None, None, None]
    return _sampled(volumes, np.tensordot(change, _grid(volumes) - middle, axes=1) + middle)


def elastic(volumes: Stack, rng: np.random.Generator, spacing_voxels: float = 24.0, size_voxels: float = 3.0) -> Stack:
    """Return the volumes bent smoothly: displacements on a coarse grid, interpolated by cubic splines in between.

    Args:
        volumes: one case.
        rng: source of the random numbers.
        spacing_voxels: distance of the coarse grid's points.
        size_voxels: standard deviation of a point's displacement along each axis.

    Source: Ronneberger et al., MICCAI 2015, arXiv:1505.04597, section 3.1 (random displacements on a coarse grid, bicubic between them).
    """
    shape = volumes.shape[1:]
    coarse = tuple(max(4, int(np.ceil(n / spacing_voxels)) + 1) for n in shape)
    points = rng.normal(0.0, size_voxels, (3, *coarse))
    zoomed = [np.linspace(0, m - 1, n) for n, m in zip(shape, coarse, strict=True)]
    at = np.stack(np.meshgrid(*zoomed, indexing="ij"))
    bent = np.stack([ndimage.map_coordinates(axis, at, order=3, mode="nearest") for axis in points])
    return _sampled(volumes, _grid(volumes) + bent)


def brightness(volumes: Stack, rng: np.random.Generator, gain: float = 0.1, offset: float = 0.1) -> Stack:
    """Return each sequence times a random gain plus a random offset; what is 0 stays 0.

    Args:
        volumes: one case.
        rng: source of the random numbers.
        gain: largest difference of the factor from 1.
        offset: largest addition, in standard deviations of a sequence's values other than 0.
    """
    found = volumes.copy()
    for volume in found:
        factor, addition = 1 + rng.uniform(-gain, gain), rng.uniform(-offset, offset)
        inside = volume != 0
        if inside.any():
            volume[inside] = volume[inside] * factor + addition * volume[inside].std()
    return found


def noise(volumes: Stack, rng: np.random.Generator, sd: float = 5.0) -> Stack:
    """Return the volumes plus Gaussian noise in every voxel.

    Args:
        volumes: one case.
        rng: source of the random numbers.
        sd: standard deviation, in grey values; as published for the range of films, 0 to 255.

    Source: Lang et al., BrainLes 2021, see `radiogen.branches.embedding.c3d`.
    """
    return volumes + rng.normal(0.0, sd, volumes.shape).astype(np.float32)


def random_crop(volumes: Stack, rng: np.random.Generator, shape: tuple[int, int, int]) -> Cropped:
    """Return a part of the volumes at a random place, one for all sequences.

    Raises:
        ConfigError: the volumes are smaller than that.
    """
    _check_crop(volumes, shape)
    return _cut(volumes, [int(rng.integers(n - m + 1)) for n, m in zip(volumes.shape[1:], shape, strict=True)], shape)


def centre_crop(volumes: Stack, shape: tuple[int, int, int]) -> Cropped:
    """Return the middle of the volumes.

    Raises:
        ConfigError: the volumes are smaller than that.

    Example:
        >>> centre_crop(np.arange(5, dtype=np.float32).reshape(1, 5, 1, 1), (3, 1, 1)).ravel().tolist()
        [1.0, 2.0, 3.0]
    """
    _check_crop(volumes, shape)
    return _cut(volumes, [(n - m) // 2 for n, m in zip(volumes.shape[1:], shape, strict=True)], shape)


def equalise(volumes: Stack, clip_limit: float = 0.01) -> Stack:
    """Return each sequence with its local contrast equalised (CLAHE, in 3D), in the range it had; what is 0 stays 0. Nothing is random here.

    Args:
        volumes: one case.
        clip_limit: the higher, the more contrast, 0 to 1.

    Source: Pizer et al., Comput Vis Graph Image Process 1987;39:355-368; scikit-image's `equalize_adapthist`.
    """
    # Imported here: nothing else in this module needs it.
    from skimage.exposure import equalize_adapthist

    found = np.zeros_like(volumes)
    for before, after in zip(volumes, found, strict=True):
        low, high = float(before.min()), float(before.max())
        if high > low:
            equal = equalize_adapthist((before - low) / (high - low), clip_limit=clip_limit)
            after[...] = np.where(before != 0, equal * (high - low) + low, 0)
    return found


AUGMENTATIONS: Mapping[str, Callable[[Stack, np.random.Generator], Stack]] = {
    "flip": flip,
    "quarter-turns": quarter_turns,
    "rotate": rotate,
    "scale": scale,
    "shear": shear,
    "elastic": elastic,
    "brightness": brightness,
    "noise": noise,
}
"""Random changes by name, as strong as their defaults say. N4 is no random change: it is done once for every image, by
`radiogen preprocess` or by a classifier's setting `correct`."""

FILMS = ("flip", "quarter-turns", "noise")
"""As published for C3D. Source: Lang et al., BrainLes 2021."""


def augmented(volumes: Stack, names: Iterable[str], rng: np.random.Generator) -> Stack:
    """Return the volumes after random changes, in the order of the names; the same state of the generator gives the same bytes.

    Raises:
        ConfigError: a name is not known.

    Example:
        >>> stack = np.ones((2, 4, 4, 3), np.float32)
        >>> augmented(stack, FILMS, np.random.default_rng(1)).shape
        (2, 4, 4, 3)
    """
    names = list(names)
    unknown = [name for name in names if name not in AUGMENTATIONS]
    if unknown:
        raise ConfigError(
            f"'{unknown[0]}' is not one of the augmentations: {', '.join(AUGMENTATIONS)}.",
            hint=did_you_mean(unknown[0], list(AUGMENTATIONS)),
        )
    for name in names:
        volumes = AUGMENTATIONS[name](volumes, rng)
    return volumes


def _about(axis: int, angle: float) -> np.ndarray:
    turn = np.eye(3)
    first, second = (other for other in range(3) if other != axis)
    turn[first, first] = turn[second, second] = np.cos(angle)
    turn[first, second], turn[second, first] = -np.sin(angle), np.sin(angle)
    return turn


def _grid(volumes: Stack) -> np.ndarray:
    return np.indices(volumes.shape[1:]).astype(np.float64)


def _sampled(volumes: Stack, at: np.ndarray) -> Stack:
    return np.stack([ndimage.map_coordinates(volume, at, order=1, mode="constant") for volume in volumes])


def _cut(volumes: Stack, first: list[int], shape: tuple[int, int, int]) -> Cropped:
    i, j, k = (slice(start, start + n) for start, n in zip(first, shape, strict=True))
    return np.ascontiguousarray(volumes[:, i, j, k])


def _check_crop(volumes: Stack, shape: tuple[int, int, int]) -> None:
    if any(n < m for n, m in zip(volumes.shape[1:], shape, strict=True)):
        raise ConfigError(
            f"A part of {shape} voxels cannot be cut from {volumes.shape[1:]}.",
            hint="Prepare the input with at least as many voxels.",
        )
