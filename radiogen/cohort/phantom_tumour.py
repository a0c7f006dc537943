"""A made-up glioma: traits drawn from a hidden phenotype, then a shape that grows along white matter."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from jaxtyping import Float32, Integer
from scipy.ndimage import gaussian_filter, zoom
from scipy.sparse import coo_array
from scipy.sparse.csgraph import dijkstra

from radiogen.cohort.phantom_anatomy import Anatomy
from radiogen.cohort.phantom_fields import smooth_field
from radiogen.config.phantoms import PhantomSettings
from radiogen.types import ED, ET, NCR, LabelVolume, Mask, Volume

GROWTH_GRID_MM = 2.0
"""Tumours grow on a grid no finer than this; finer phantoms interpolate."""

_REACH_MM = 62.0
_OPEN_FLUID = 0.55
_FAR_MM = 1e3


@dataclass(frozen=True)
class Traits:
    """What makes one tumour look the way it does.

    Args:
        mutant_like: hidden phenotype, 0 (like wild type) to 1 (like IDH-mutant).
        enhancement: `ring`, `patchy` or `none`.
        enhancing_fraction: share of the core that takes up contrast agent where enhancement is patchy.
        necrosis_fraction: share of the core that is necrotic where enhancement forms a ring.
        core_fraction: share of the whole tumour that is core.
        mismatch: whether the T2-FLAIR mismatch sign is there.
        roughness: strength of the texture inside the tumour.
        irregularity: how lobulated the outline is.
        margin_mm: width of the transition to healthy tissue, mm.
        t2_gain: brightness of the core on T2w, as a factor.
        n_foci: separate seeds.
        volume_ml: whole-tumour volume aimed at, ml.
    """

    mutant_like: float
    enhancement: str
    enhancing_fraction: float
    necrosis_fraction: float
    core_fraction: float
    mismatch: bool
    roughness: float
    irregularity: float
    margin_mm: float
    t2_gain: float
    n_foci: int
    volume_ml: float

    def facts(self) -> dict[str, Any]:
        """Return the traits as JSON-able facts."""
        return asdict(self)


def draw_traits(
    rng: np.random.Generator, *, idh: int, grade: int, idh_effect: float, multifocal_fraction: float, volume_ml: float
) -> Traits:
    """Draw a tumour's traits; the same generator state with the other IDH status gives the same patient's other tumour.

    The planted signs are those of the field: wild-type tumours enhance as rings around necrosis, are rough, infiltrate and have wide oedema;
    mutated ones enhance less or not at all, are homogeneous, T2-bright and sharp, some with T2-FLAIR mismatch. All depend on the hidden
    phenotype only, which overlaps between the two classes.

    Args:
        rng: generator; always advanced by the same number of draws.
        idh: 1 mutated, 0 wild type.
        grade: WHO grade; grade 4 enhances a little more often.
        idh_effect: distance of the two classes on the phenotype scale, in standard deviations.
        multifocal_fraction: share of wild-type-looking tumours with two foci.
        volume_ml: whole-tumour volume aimed at, ml.

    Source: Patel et al., T2-FLAIR mismatch, an imaging biomarker for IDH and 1p/19q status, Clin Cancer Res 23(20), 2017; Carrillo et al.,
    Relationship between tumor enhancement, edema, IDH1 mutational status, AJNR 33(7), 2012.
    """
    z = rng.standard_normal(8)
    u = rng.random(6)
    m = float(1 / (1 + np.exp(-(idh_effect * (idh - 0.5) + z[0]))))
    enhances = u[0] < 0.99 - 0.62 * m + (0.12 if grade == 4 else -0.06)
    enhancement = "none" if not enhances else "ring" if u[1] < 0.95 - 0.75 * m else "patchy"
    return Traits(
        mutant_like=m,
        enhancement=enhancement,
        enhancing_fraction=float(np.clip(0.45 - 0.2 * m + 0.08 * z[1], 0.12, 0.7)),
        necrosis_fraction=float(np.clip(0.50 - 0.15 * m + 0.10 * z[2], 0.18, 0.75)),
        core_fraction=float(np.clip(0.38 + 0.22 * m + 0.07 * z[3], 0.2, 0.75)),
        mismatch=bool(m > 0.5 and u[2] < 0.4),
        roughness=float(0.05 + 0.17 * (1 - m) * np.exp(0.15 * z[4])),
        irregularity=float(0.16 + 0.16 * (1 - m) * np.exp(0.15 * z[5])),
        margin_mm=float(1.2 + 2.2 * (1 - m) * np.exp(0.2 * z[6])),
        t2_gain=float(1 + 0.22 * m + 0.05 * z[7]),
        n_foci=2 if u[3] < multifocal_fraction * (1 - m) else 1,
        volume_ml=float(volume_ml),
    )


def volume_quantile(settings: PhantomSettings, share: float) -> float:
    """Return the whole-tumour volume (ml) below which `share` of the phantoms lie: log-uniform between the settings' limits.

    Example:
        >>> round(volume_quantile(PhantomSettings(smallest_tumour_ml=10, largest_tumour_ml=90), 0.5))
        30
    """
    low, high = np.log([settings.smallest_tumour_ml, settings.largest_tumour_ml])
    return float(np.exp(low + share * (high - low)))


@dataclass(frozen=True)
class Tumour:
    """One tumour on the phantom's grid.

    Args:
        presence: share of each voxel that tumour of any kind takes, 0 to 1; soft at an infiltrating margin.
        core: share that belongs to the core.
        depth_in_core: 0 at the centre to 1 at the border of the core, larger outside.
        enhancing: share that enhances.
        necrotic: share that is necrosis.
        labels: the true mask (1 NCR or non-enhancing core, 2 ED, 3 ET).
    """

    presence: Volume
    core: Volume
    depth_in_core: Volume
    enhancing: Volume
    necrotic: Volume
    labels: LabelVolume


def grow_tumour(
    anatomy: Anatomy, traits: Traits, seeds: Integer[np.ndarray, "foci 3"], rng: np.random.Generator
) -> Tumour:
    """Grow a tumour of the given traits from its seeds.

    Arrival times of a front that runs fast along white matter, slowly in grey matter and never through fluid give the whole tumour; rounder,
    separately disturbed distances give the core and what lies inside it.

    Args:
        anatomy: the patient's tissues.
        traits: what the tumour is like.
        seeds: voxel indices of the foci on the phantom's grid, the largest first.
        rng: generator for the shape.

    Source: Konukoglu et al., Extrapolating glioma invasion margin in brain MR images, Med Image Anal 14(2), 2010 (anisotropic travel times).
    """
    shape, spacing = anatomy.brain.shape, anatomy.spacing_mm
    voxel_ml = spacing**3 / 1000
    wide = _wide_fluid(anatomy)
    arrival, radial = _times(anatomy, wide, traits, seeds, rng)
    reached = arrival < _FAR_MM
    limit = _rank_value(arrival[reached], traits.volume_ml / voxel_ml)
    presence = _soft(arrival, limit, traits.margin_mm) * anatomy.brain
    presence = gaussian_filter(presence, 0.9 / spacing)
    presence[~anatomy.brain | (wide > _OPEN_FLUID)] = 0
    whole = presence > 0.5
    c = _rank_value(radial[whole], traits.core_fraction * whole.sum())
    depth = np.where(whole, radial, _FAR_MM) / c
    core_mask = whole & (depth <= 1)
    core = np.minimum(gaussian_filter(core_mask.astype(np.float32), 0.7 / spacing), presence)
    wobble = smooth_field(rng, shape, spacing, 11.0)
    patch = smooth_field(rng, shape, spacing, 9.0)
    enhancing, necrotic = _inside(traits, core_mask, depth, wobble, patch)
    labels = np.zeros(shape, dtype=np.uint8)
    labels[whole] = ED
    labels[core_mask] = NCR
    labels[enhancing] = ET
    sharp = 0.5 / spacing
    return Tumour(
        presence=presence.astype(np.float32),
        core=core.astype(np.float32),
        depth_in_core=depth.astype(np.float32),
        enhancing=gaussian_filter(enhancing.astype(np.float32), sharp),
        necrotic=gaussian_filter(necrotic.astype(np.float32), sharp),
        labels=labels,
    )


def _inside(traits: Traits, core: Mask, depth: Volume, wobble: Volume, patch: Volume) -> tuple[Mask, Mask]:
    nothing = np.zeros(core.shape, dtype=bool)
    if traits.enhancement == "none":
        return nothing, nothing
    if traits.enhancement == "ring":
        inner = depth * np.exp(0.16 * wobble + 0.10 * patch)
        necrotic = core & (inner <= _rank_value(inner[core], traits.necrosis_fraction * core.sum()))
        # A rim too thin to be seen would be a label without an image.
        return core & ~necrotic, necrotic
    hot = patch - 0.4 * depth
    enhancing = core & (hot >= -_rank_value(-hot[core], traits.enhancing_fraction * core.sum()))
    return enhancing, nothing


def _rank_value(values: np.ndarray, count: float) -> float:
    rank = int(np.clip(round(count), 1, values.size)) - 1
    return float(np.partition(values, rank)[rank])


def _soft(arrival: Volume, limit: float, width_mm: float) -> Volume:
    return (1 / (1 + np.exp(np.clip((arrival - limit) / (0.35 * width_mm), -30, 30)))).astype(np.float32)


def _times(
    anatomy: Anatomy, wide: Volume, traits: Traits, seeds: Integer[np.ndarray, "foci 3"], rng: np.random.Generator
) -> tuple[Volume, Volume]:
    """Return arrival times along tissue and roundish distances from the seeds, both in mm."""
    step = max(1, round(GROWTH_GRID_MM / anatomy.spacing_mm))
    coarse = (slice(None, None, step),) * 3
    spacing = anatomy.spacing_mm * step
    fluid, white = wide[coarse], anatomy.white[coarse]
    shape = (fluid.shape[0], fluid.shape[1], fluid.shape[2])
    lobes = smooth_field(rng, shape, spacing, 22.0) + 0.6 * smooth_field(rng, shape, spacing, 10.0)
    speed = (0.25 + 0.75 * white) * np.exp(1.6 * traits.irregularity * lobes)
    open_tissue = anatomy.brain[coarse] & (fluid <= _OPEN_FLUID)
    bumps = 0.8 * smooth_field(rng, shape, spacing, 18.0) + 0.5 * smooth_field(rng, shape, spacing, 8.0)
    bumps = np.exp(1.3 * traits.irregularity * bumps)
    arrival, radial = np.full(shape, 2 * _FAR_MM, dtype=np.float32), np.full(shape, _FAR_MM, dtype=np.float32)
    for order, seed in enumerate(seeds // step):
        # A satellite started later: it is smaller than the first focus.
        delay = order * 0.45 * (traits.volume_ml * 1000 * 0.24) ** (1 / 3)
        travel, distance = travel_time(open_tissue, speed, seed, spacing)
        arrival = np.minimum(arrival, travel + delay)
        radial = np.minimum(radial, distance * bumps + 0.35 * np.minimum(travel, 4 * distance) + delay)
    arrival, radial = _rounded(arrival), _rounded(radial)
    if step > 1:
        arrival, radial = (_refine(part, step, anatomy.brain.shape) for part in (arrival, radial))
    return arrival, radial


def _wide_fluid(anatomy: Anatomy) -> Volume:
    """Return how fluid the neighbourhood is: ventricles and fissures stop a tumour, a narrow sulcus is effaced."""
    return gaussian_filter(anatomy.fluid, 2.0 / anatomy.spacing_mm)


def _rounded(times: Volume) -> Volume:
    """Blur reached voxels: a front on a lattice has facets (unreached voxels are left alone, or they would eat the border)."""
    known = (times < _FAR_MM).astype(np.float32)
    blurred = gaussian_filter(times * known, 1.2) / np.maximum(gaussian_filter(known, 1.2), 1e-3)
    return np.where(known > 0, blurred, times).astype(np.float32)


def _refine(part: Volume, step: int, shape: tuple[int, int, int]) -> Float32[np.ndarray, "a b c"]:
    capped = np.minimum(part, _FAR_MM)
    fine = zoom(capped, step, order=1, grid_mode=False, mode="nearest")
    pads = [(0, max(0, size - have)) for size, have in zip(shape, fine.shape, strict=True)]
    return np.pad(fine, pads, mode="edge")[tuple(slice(size) for size in shape)]


def travel_time(
    tissue: Mask, speed: Volume, seed: Integer[np.ndarray, " three"], spacing_mm: float
) -> tuple[Volume, Volume]:
    """Return how long a front from `seed` takes to each voxel, and the straight distance.

    Args:
        tissue: where the front can go at all.
        speed: mm per unit of time in each voxel.
        seed: voxel index; the nearest tissue voxel is used where it is not tissue.
        spacing_mm: voxel edge, mm.

    Returns:
        Travel time through tissue (a very large number where the front does not come) and straight distance, mm.

    Source: Dijkstra, A note on two problems in connexion with graphs, Numerische Mathematik 1, 1959, on the 26-neighbourhood.
    """
    axes = np.ogrid[tuple(slice(0, size) for size in tissue.shape)]
    straight = spacing_mm * np.sqrt(sum((axis - int(at)) ** 2 for axis, at in zip(axes, seed, strict=True)))
    ball = tissue & (straight < _REACH_MM)
    number = np.full(tissue.shape, -1, dtype=np.int32)
    number[ball] = np.arange(ball.sum())
    slowness = 1 / np.maximum(speed, 1e-3)
    heads, tails, costs = [], [], []
    for shift in _half_neighbourhood():
        here = tuple(slice(max(0, -s), size - max(0, s)) for s, size in zip(shift, tissue.shape, strict=True))
        there = tuple(slice(max(0, s), size - max(0, -s)) for s, size in zip(shift, tissue.shape, strict=True))
        both = ball[here] & ball[there]
        heads.append(number[here][both])
        tails.append(number[there][both])
        length = spacing_mm * float(np.linalg.norm(shift))
        costs.append(0.5 * length * (slowness[here][both] + slowness[there][both]))
    size = int(ball.sum())
    graph = coo_array((np.concatenate(costs), (np.concatenate(heads), np.concatenate(tails))), shape=(size, size))
    start = int(number[_nearest(ball, straight)])
    times = dijkstra(graph.tocsr(), directed=False, indices=start)
    travel = np.full(tissue.shape, 2 * _FAR_MM, dtype=np.float32)
    travel[ball] = np.minimum(times, 2 * _FAR_MM)
    return travel, straight.astype(np.float32)


def _nearest(ball: Mask, straight: np.ndarray) -> tuple[int, ...]:
    where = np.argmin(np.where(ball, straight, np.inf))
    return tuple(int(index) for index in np.unravel_index(where, ball.shape))


def _half_neighbourhood() -> list[tuple[int, int, int]]:
    steps = (-1, 0, 1)
    return [(a, b, c) for a in steps for b in steps for c in steps if (a, b, c) > (0, 0, 0)]
