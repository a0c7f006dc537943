"""A slice viewer that lives inside one HTML page: three planes, every sequence, masks and maps over it, without network.

Every sequence is one mosaic of axial slices (WebP), from which the page's own script rebuilds the volume, so the other two planes cost nothing. Masks
and maps are packed bytes: what a number means must not change by the compression of pictures.
"""

from __future__ import annotations

import base64
import io
import json
import math
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Shaped, UInt8
from matplotlib import colormaps
from matplotlib.colors import to_hex
from PIL import Image
from scipy.ndimage import gaussian_filter, zoom

from radiogen.report.page import Widget, data_uri, render_template, template_text
from radiogen.report.slices import VoxelSize, head_box, intensity_window, slices_to_show
from radiogen.report.style import SEQUENCE_WORDS, SKY, VERMILLION, YELLOW
from radiogen.types import ED, ET, NCR, RC, SEQUENCES, LabelVolume, Volume

MOST_VOXELS_A_SIDE = 160
"""A longer side is resampled to this many voxels; the page shows, it does not measure."""

LABEL_WORDS = {
    NCR: "necrotic or non-enhancing core",
    ED: "oedema or infiltration",
    ET: "enhancing tumour",
    RC: "resection cavity",
}
LABEL_COLOURS = {NCR: YELLOW, ED: SKY, ET: VERMILLION, RC: "#FFFFFF"}
"""Colour of every label of a tumour mask on a dark picture."""

_QUALITY = 82
_BLOCK = 16  # a tile that ends with a block of the compression does not bleed into the next one
_HEADROOM = 1.3  # brighter than the window's end by this factor is kept: enhancement lies there
_HEAT_LEVELS = 51
_FAINTEST = 0.02
_FIRST_SHOWN = {"t1c": 0, "t2f": 1, "t2w": 2, "t1n": 3}


@dataclass(frozen=True)
class LabelLayer:
    """Regions in colours: a mask, or habitats.

    Args:
        title: what it is, for the check box.
        labels: 0 outside, on the voxels of the case's images.
        colours: label -> colour, as `#rrggbb`.
        words: label -> what it means.
        shown: at first.
    """

    title: str
    labels: LabelVolume
    colours: Mapping[int, str]
    words: Mapping[int, str]
    shown: bool = False


@dataclass(frozen=True)
class HeatLayer:
    """A map of amounts: attention, disconnected weight, uncertainty.

    Args:
        title: what it is, for the check box.
        values: 0 and above, on the voxels of the case's images.
        measure: what the largest value is, with its unit, for the scale.
    """

    title: str
    values: Volume
    measure: str


@dataclass(frozen=True)
class ViewerContent:
    """What a viewer shows.

    Args:
        images: sequence -> intensities, RAS, all on the same voxels.
        voxel_size_mm: size of the voxels along the RAS axes, mm.
        mask: labels of the tumour on the same voxels, or None.
        labels: further regions.
        heats: maps of amounts.
        still: a picture of the same (PNG or JPEG), for paper and for readers without scripts.
        still_words: what the still picture shows.
        whole_only: the mask marks the whole tumour and does not tell its parts.
    """

    images: Mapping[str, Volume]
    voxel_size_mm: VoxelSize
    mask: LabelVolume | None = None
    labels: Sequence[LabelLayer] = ()
    heats: Sequence[HeatLayer] = ()
    still: bytes = b""
    still_words: str = field(default="Three planes of every sequence with the outline of the mask.")
    whole_only: bool = False


def viewer(content: ViewerContent) -> Widget:
    """Return the viewer as a part of a page; the same content gives the same bytes.

    The part that holds head or tumour is shown. Directions are radiological and lettered: the patient's right (R) is on the left.

    Args:
        content: what it shows.

    Example:
        >>> brain = np.random.default_rng(0).random((12, 14, 10), dtype=np.float32)
        >>> "T1 contrast" in viewer(ViewerContent({"t1c": brain}, (1.0, 1.0, 1.0))).markup
        True
    """
    box = head_box(content.images, content.mask, content.voxel_size_mm)
    size_mm = shown_voxel_mm(box, content.voxel_size_mm)
    names = [*(name for name in SEQUENCES if name in content.images), *sorted(set(content.images) - set(SEQUENCES))]
    volumes = [_bytes_of_image(content.images[name], box, content.voxel_size_mm, size_mm) for name in names]
    layers = _layers(content, box, size_mm)
    shape = volumes[0].shape
    start = [
        min(int((index - part.start) * own / size_mm), count - 1)
        for index, part, own, count in zip(
            slices_to_show(content.images, content.mask), box, content.voxel_size_mm, reversed(shape), strict=True
        )
    ]
    first = min(range(len(names)), key=lambda number: _FIRST_SHOWN.get(names[number], len(names)))
    data = {
        "shape": [shape[2], shape[1], shape[0]],
        "voxel_mm": round(size_mm, 3),
        "first": first,
        "start": [shape[2] - 1 - start[0], shape[1] - 1 - start[1], start[2]],
        "sequences": [
            {"name": name, **mosaic(volume), "mean": round(float(volume.mean()), 2)}
            for name, volume in zip(names, volumes, strict=True)
        ],
        "layers": layers,
    }
    markup = render_template(
        "viewer.html",
        sequences=[(name, SEQUENCE_WORDS.get(name, name)) for name in names],
        layers=layers,
        first=first,
        counts={"axial": shape[0], "coronal": shape[1], "sagittal": shape[2]},
        widths={"axial": shape[2], "coronal": shape[2], "sagittal": shape[1]},
        data=json.dumps(data, separators=(",", ":")).replace("</", "<\\/"),
        still=content.still,
        still_words=content.still_words,
    )
    return Widget(markup, template_text("viewer.css"), template_text("viewer.js"))


def shown_voxel_mm(box: tuple[slice, slice, slice], voxel_size_mm: VoxelSize) -> float:
    """Return the size of the cubes that are shown, mm: the finest voxel's, or larger where a side would have too many.

    Args:
        box: part of the volume that is shown.
        voxel_size_mm: size of the voxels along the RAS axes, mm.

    Example:
        >>> shown_voxel_mm((slice(0, 320), slice(0, 100), slice(0, 20)), (0.5, 1.0, 5.0))
        1.0
    """
    longest_mm = max((part.stop - part.start) * size for part, size in zip(box, voxel_size_mm, strict=True))
    return max(float(min(voxel_size_mm)), longest_mm / MOST_VOXELS_A_SIDE)


def mosaic(volume: UInt8[np.ndarray, "slices rows columns"]) -> dict[str, Any]:
    """Return the axial slices side by side in one picture, and where each lies.

    Args:
        volume: slices as they are looked at.

    Returns:
        `src` (data address), `tile` (width and height of a tile, pixels), `across` (tiles in a row).

    Example:
        >>> mosaic(np.zeros((5, 20, 30), np.uint8))["tile"]
        [32, 32]
    """
    n, rows, columns = volume.shape
    height, width = (math.ceil(side / _BLOCK) * _BLOCK for side in (rows, columns))
    across = math.ceil(math.sqrt(n * height / width))
    sheet = np.zeros((math.ceil(n / across) * height, across * width), np.uint8)
    for index, pixels in enumerate(volume):
        top, left = index // across * height, index % across * width
        sheet[top : top + rows, left : left + columns] = pixels
    buffer = io.BytesIO()
    Image.fromarray(sheet).save(buffer, format="WEBP", quality=_QUALITY, method=4)
    return {"src": data_uri(buffer.getvalue()), "tile": [width, height], "across": across}


def _layers(content: ViewerContent, box: tuple[slice, slice, slice], size_mm: float) -> list[dict[str, Any]]:
    masks = list(content.labels)
    if content.mask is not None:
        words = {**LABEL_WORDS, ED: "whole tumour; its parts are not marked"} if content.whole_only else LABEL_WORDS
        masks.insert(0, LabelLayer("Tumour mask", content.mask, LABEL_COLOURS, words, shown=True))
    return [
        *(_label_layer(layer, box, content.voxel_size_mm, size_mm) for layer in masks),
        *(_heat_layer(layer, box, content.voxel_size_mm, size_mm) for layer in content.heats),
    ]


def _label_layer(
    layer: LabelLayer, box: tuple[slice, slice, slice], voxel_size_mm: VoxelSize, size_mm: float
) -> dict[str, Any]:
    labels = as_looked_at(_resampled(layer.labels[box], voxel_size_mm, size_mm, order=0))
    present = [label for label in layer.colours if (layer.labels == label).any()]
    return {
        "kind": "labels",
        "title": layer.title,
        "shown": layer.shown,
        "regions": [{"label": label, "colour": layer.colours[label], "words": layer.words[label]} for label in present],
        "bytes": _packed(labels),
    }


def _heat_layer(
    layer: HeatLayer, box: tuple[slice, slice, slice], voxel_size_mm: VoxelSize, size_mm: float
) -> dict[str, Any]:
    most = float(layer.values.max(initial=0.0))
    share = np.clip(_resampled(layer.values[box], voxel_size_mm, size_mm, order=1) / (most or 1.0), 0.0, 1.0)
    steps = np.where(share < _FAINTEST, 0.0, np.ceil(share * _HEAT_LEVELS)) * (255 // _HEAT_LEVELS)
    return {
        "kind": "heat",
        "title": layer.title,
        "shown": False,
        "measure": layer.measure,
        "most": f"{most:.3g}",
        "colours": [to_hex(colormaps["inferno"](place)) for place in np.linspace(0.15, 1.0, 9)],
        "bytes": _packed(as_looked_at(steps.astype(np.uint8))),
    }


def _bytes_of_image(
    image: Volume, box: tuple[slice, slice, slice], voxel_size_mm: VoxelSize, size_mm: float
) -> UInt8[np.ndarray, "slices rows columns"]:
    low, high = intensity_window(image)
    scaled = (_resampled(image[box], voxel_size_mm, size_mm, order=1) - low) / (_HEADROOM * (high - low))
    return as_looked_at(np.round(np.clip(scaled, 0.0, 1.0) * 255).astype(np.uint8))


def _resampled(
    volume: Shaped[np.ndarray, "i j k"], voxel_size_mm: VoxelSize, size_mm: float, *, order: int
) -> Shaped[np.ndarray, "a b c"]:
    factors = [
        max(1, round(count * own / size_mm)) / count for count, own in zip(volume.shape, voxel_size_mm, strict=True)
    ]
    if order:
        # Where voxels are put together they are smoothed first; otherwise single ones would be picked out.
        widths = [0.5 / factor if factor < 0.7 else 0.0 for factor in factors]
        volume = gaussian_filter(volume, widths) if any(widths) else volume
    return np.asarray(zoom(volume, factors, order=order, mode="nearest", grid_mode=True))


def as_looked_at(volume: Shaped[np.ndarray, "i j k"]) -> Shaped[np.ndarray, "k j i"]:
    """Return a RAS volume as axial slices from below, the front of the head on top and the patient's right on the left.

    Example:
        >>> volume = np.zeros((2, 3, 4), dtype=np.uint8)
        >>> volume[1, 2, 0] = 9  # right, front, lowest
        >>> int(as_looked_at(volume)[0, 0, 0])
        9
    """
    return np.ascontiguousarray(volume[::-1, ::-1].transpose(2, 1, 0))


def _packed(volume: UInt8[np.ndarray, "slices rows columns"]) -> str:
    return base64.b64encode(zlib.compress(volume.tobytes(), 9)).decode("ascii")
