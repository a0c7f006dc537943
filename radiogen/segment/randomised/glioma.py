"""Random gliomas: lobed cores with rings, patches or no enhancement, oedema that follows white matter, cavities and blood."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional

from radiogen.segment.randomised.anatomy import Head
from radiogen.segment.randomised.fields import Draws, Field, blur, length, soft_step

KINDS = {"ring": 0.53, "cystic": 0.06, "solid": 0.17, "patchy": 0.10, "none": 0.14}
"""How the core takes up contrast agent, and how often: a rim round necrosis, a thin rim round a cyst, all of it, in spots, not at all."""

_NO_TUMOUR = 0.03
_FAR_MM = 500.0
_COARSE = 2


@dataclass(frozen=True)
class Plan:
    """What one tumour is like.

    Args:
        kind: one of `KINDS`.
        centre_mm: positions of the foci, world mm, the largest first.
        radius_mm: radius of each focus's core, mm.
        spread_mm: how far oedema or infiltration goes beyond the core along white matter, mm.
        rim_mm: thickness of the enhancing rim, mm.
        lobed: strength of the outline's lobes.
        margin_mm: width of the outer transition, mm.
    """

    kind: str
    centre_mm: list[np.ndarray]
    radius_mm: list[float]
    spread_mm: float
    rim_mm: float
    lobed: float
    margin_mm: float


@dataclass(frozen=True)
class Glioma:
    """Shares of each voxel: what is not in `presence` is healthy.

    Args:
        presence: tumour of any kind or oedema.
        core: tumour core, necrosis included.
        necrotic, enhancing: parts of the core; the rest of it is solid tumour that does not enhance.
        blood: parts of the core that bled.
        cavity: resection cavity; no part of the tumour.
        depth_mm: distance below the core's surface, mm.
    """

    presence: Field
    core: Field
    necrotic: Field
    enhancing: Field
    blood: Field
    cavity: Field
    depth_mm: Field


def draw_plan(draws: Draws, head: Head) -> Plan | None:
    """Draw what the patient's tumour is like and where it starts; None for a healthy brain."""
    if draws.chance(_NO_TUMOUR):
        return None
    kind = str(draws.rng.choice(list(KINDS), p=list(KINDS.values())))
    radius = draws.log_between(4.0, 12.0) if draws.chance(0.25) else draws.between(10.0, 30.0)
    n_foci = 1 + int(draws.rng.choice(3, p=[0.8, 0.14, 0.06]))
    centres = _places(draws, head, n_foci)
    radii = [radius] + [radius * draws.between(0.2, 0.8) for _ in centres[1:]]
    spread = draws.between(5.0, 48.0)
    if kind == "none":
        spread = draws.between(0.0, 8.0)
    elif draws.chance(0.07):
        spread = 0.0
    rim = draws.log_between(1.2, 3.0) if kind == "cystic" else min(draws.log_between(2.0, 12.0), 0.8 * radius)
    return Plan(kind, centres, radii, spread, rim, draws.between(0.06, 0.34), draws.log_between(0.5, 4.5))


def _places(draws: Draws, head: Head, n_foci: int) -> list[np.ndarray]:
    """Return where the foci start: mostly in white matter, sometimes anywhere in the brain; satellites near the first."""
    step = 4
    inside, _, white, depth, ventricle = head.sample(step)
    world = head.world_mm[:, ::step, ::step, ::step].reshape(3, -1).numpy().T
    weight = (inside > 0.5) & (depth > 6) & (ventricle > 4)
    weight = (
        weight
        * (0.15 + white)
        * torch.where(torch.as_tensor(head.template_mm[2, ::step, ::step, ::step]) < -20, 0.25, 1.0)
    )
    chances = weight.reshape(-1).numpy().astype(float)
    first = world[draws.rng.choice(len(chances), p=chances / chances.sum())]
    places = [first]
    apart = np.linalg.norm(world - first, axis=1)
    near = chances * ((apart > 12) & (apart < draws.between(30.0, 80.0)))
    if near.sum() > 0:
        places.extend(world[draws.rng.choice(len(near), size=n_foci - 1, p=near / near.sum())])
    jitter = 0.5 * step * draws.spacing_mm
    return [place + draws.rng.uniform(-jitter, jitter, 3) for place in places]


def core_distance(draws: Draws, head: Head, plan: Plan) -> Field:
    """Return the signed distance from the core's surface, mm, negative inside, before tissue stops it.

    Each focus is an ellipsoid turned at random; smooth fields as large as the focus and smaller ones lobe its surface.
    """
    main = plan.radius_mm[0]
    lobes = (
        0.9 * draws.field(1.3 * main)
        + 0.6 * draws.field(max(0.6 * main, 4.0))
        + 0.3 * draws.field(max(0.3 * main, 4.0))
    )
    stretch = torch.exp(plan.lobed * lobes)
    distance = torch.full(draws.shape, _FAR_MM)
    for place, radius in zip(plan.centre_mm, plan.radius_mm, strict=True):
        away = head.world_mm - torch.tensor(place, dtype=torch.float32).reshape(3, 1, 1, 1)
        axes = draws.rng.standard_normal((3, 3))
        turn, _ = np.linalg.qr(axes)
        squeeze = np.exp(draws.rng.uniform(-0.4, 0.4, 3))
        squeeze /= np.prod(squeeze) ** (1 / 3)
        matrix = torch.tensor(np.diag(squeeze) @ turn, dtype=torch.float32)
        distance = torch.minimum(
            distance, length((matrix @ away.reshape(3, -1)).reshape(away.shape)) * stretch - radius
        )
    return distance


def travel_mm(start: Field, slowness: Field, spacing_mm: float, most_mm: float) -> Field:
    """Return how far a front is from where `start` is negative, measured through tissue that slows it.

    Shortest paths on the 18-neighbourhood by repeated relaxation (Bellman-Ford), which is quick where the reach is a few voxels.

    Args:
        start: signed distance, mm; where negative the front starts at 0.
        slowness: cost of a millimetre, at least 1 where the front is fastest.
        spacing_mm: voxel edge, mm.
        most_mm: reach that is needed, mm.
    """
    times = torch.where(start < spacing_mm, start.clamp(min=0.0) * slowness, torch.full_like(start, _FAR_MM))
    shifts = [(a, b, c) for a in (-1, 0, 1) for b in (-1, 0, 1) for c in (-1, 0, 1) if 0 < abs(a) + abs(b) + abs(c) < 3]
    for _ in range(int(np.ceil(most_mm / spacing_mm)) + 1):
        before = functional.pad(times, (1, 1, 1, 1, 1, 1), value=_FAR_MM)
        for a, b, c in shifts:
            step_mm = spacing_mm * (abs(a) + abs(b) + abs(c)) ** 0.5
            there = before[
                1 + a : 1 + a + times.shape[0], 1 + b : 1 + b + times.shape[1], 1 + c : 1 + c + times.shape[2]
            ]
            times = torch.minimum(times, there + step_mm * slowness)
    return times


def grow(draws: Draws, head: Head, plan: Plan) -> Glioma:
    """Return the tumour of a plan; `head` is pushed aside by its core."""
    surface = core_distance(draws, head, plan)
    _mass_effect(draws, head, plan)
    inside, _, white, depth, ventricle = head.sample()
    barrier = _barriers(draws, head, plan, depth, ventricle)
    surface = surface + barrier * 0.7 * plan.radius_mm[0]
    core = soft_step(surface, draws.between(0.3, 1.0)) * inside
    spread = _spread(draws, plan, surface, white, inside, barrier) * inside
    presence = torch.maximum(core, spread)
    below = (-surface).clamp(min=0.0)
    necrotic, enhancing = _inner(draws, plan, below)
    if plan.kind == "none" and plan.spread_mm > 0 and draws.chance(0.5):
        # Infiltrating, non-enhancing tumour has no oedema of its own: nearly all of it counts as core.
        core = torch.maximum(core, spread * soft_step(surface - plan.spread_mm * 0.6, 1.0))
    necrotic, enhancing = necrotic * core, enhancing * core
    blood = torch.zeros_like(core)
    if draws.chance(0.15):
        blood = core * torch.sigmoid((draws.field(draws.between(6.0, 14.0)) - draws.between(0.8, 2.0)) / 0.15)
    return Glioma(presence, core, necrotic, enhancing, blood, _cavity(draws, head, plan, inside), below)


def _mass_effect(draws: Draws, head: Head, plan: Plan) -> None:
    strength = draws.between(0.0, 0.35)
    for place, radius in zip(plan.centre_mm, plan.radius_mm, strict=True):
        away = head.world_mm - torch.tensor(place, dtype=torch.float32).reshape(3, 1, 1, 1)
        reach = radius * draws.between(1.1, 1.8)
        head.push(away, length(away), reach, min(strength * radius, 0.45 * reach))


def _barriers(draws: Draws, head: Head, plan: Plan, depth_mm: Field, ventricle_mm: Field) -> Field:
    """Return how much tissue stops the tumour, 0 to about 2: ventricles always, the falx where the tumour stays on its side."""
    walls = 1.2 * soft_step(ventricle_mm - 1.5, 0.7) + 0.8 * soft_step(depth_mm - 0.5, 1.0)
    if draws.chance(0.85):
        nearest = length(head.world_mm - torch.tensor(plan.centre_mm[0], dtype=torch.float32).reshape(3, 1, 1, 1))
        side = torch.sign(head.template_mm[0].reshape(-1)[int(nearest.argmin())])
        walls = walls + 1.5 * soft_step(head.template_mm[0] * float(side) - 0.5, 1.2)
    return walls


def _spread(draws: Draws, plan: Plan, surface: Field, white: Field, inside: Field, barrier: Field) -> Field:
    if plan.spread_mm <= 0:
        return torch.zeros_like(surface)
    picky = draws.between(0.5, 4.0)
    lobes = torch.exp(0.5 * draws.field(18.0) + 0.25 * draws.field(8.0))
    slowness = 1 + picky * (1 - white).clamp(0, 1) + 6 * barrier + 20 * (1 - inside)
    coarse = functional.avg_pool3d(torch.stack([surface, slowness * lobes])[None], _COARSE)[0]
    travelled = travel_mm(coarse[0], coarse[1].clamp(min=0.4), _COARSE * draws.spacing_mm, plan.spread_mm)
    fine = functional.interpolate(travelled.clamp(max=80.0)[None, None], size=surface.shape, mode="trilinear")[0, 0]
    # Grey matter between the fingers is spared more sharply than the coarse front can say.
    fine = fine + draws.between(0.0, 0.35) * plan.spread_mm * (1 - white).clamp(0, 1)
    return soft_step(fine - plan.spread_mm, plan.margin_mm)


def _inner(draws: Draws, plan: Plan, below_mm: Field) -> tuple[Field, Field]:
    """Return which parts of the core are necrotic and which enhance."""
    nothing = torch.zeros_like(below_mm)
    main = plan.radius_mm[0]
    patch = 0.8 * draws.field(max(0.5 * main, 5.0)) + 0.6 * draws.field(max(0.25 * main, 4.0))
    if plan.kind == "none":
        return (soft_step(draws.between(1.0, 2.5) - patch, 0.1) if draws.chance(0.2) else nothing), nothing
    if plan.kind == "patchy":
        enhancing = soft_step(draws.between(0.2, 1.5) - patch, 0.12)
        return (soft_step(patch + draws.between(0.8, 2.0), 0.1) if draws.chance(0.5) else nothing), enhancing
    if plan.kind == "solid":
        holes = soft_step(patch + draws.between(1.0, 2.5), 0.15)
        return holes, (1 - holes)
    thick = plan.rim_mm * torch.exp(draws.between(0.1, 0.55) * draws.field(max(0.8 * main, 6.0)))
    shell = 0.0 if draws.chance(0.86) else draws.between(0.5, 0.2 * main + 0.5)
    outside_rim = soft_step(below_mm - shell - 0.4 * shell * patch, 0.4) if shell > 0 else nothing
    inner = below_mm - shell - thick * (1 + draws.between(0.0, 0.6) * patch)
    necrotic = 1 - soft_step(inner, 0.4)
    enhancing = (1 - necrotic) * (1 - outside_rim)
    if draws.chance(0.4):
        # A broken rim: parts of it do not enhance.
        enhancing = enhancing * soft_step(draws.field(max(0.7 * main, 6.0)) - draws.between(0.0, 1.5), 0.1)
    if draws.chance(0.25):
        # Not everything inside the rim is dead.
        necrotic = necrotic * soft_step(draws.field(max(0.6 * main, 6.0)) - draws.between(-0.5, 1.0), 0.15)
    return necrotic, enhancing


def _cavity(draws: Draws, head: Head, plan: Plan, inside: Field) -> Field:
    """Return a resection cavity beside the tumour in a few patients."""
    if not draws.chance(0.04):
        return torch.zeros_like(inside)
    radius = draws.between(6.0, 18.0)
    place = plan.centre_mm[0] + draws.rng.normal(0, 1, 3) * (plan.radius_mm[0] + 0.5 * radius) / 3**0.5
    away = head.world_mm - torch.tensor(place, dtype=torch.float32).reshape(3, 1, 1, 1)
    outline = length(away) * torch.exp(0.15 * draws.field(radius))
    return soft_step(outline - radius, 0.5) * inside


def target(glioma: Glioma | None, brain: Field) -> torch.Tensor:
    """Return the true regions wt, tc, et as 0 or 1, (3, i, j, k).

    What is drawn is what an expert sees: a voxel belongs to a region where that tissue is most of it, after the hand's own smoothing.
    """
    if glioma is None:
        return torch.zeros((3, *brain.shape))
    keep = (1 - glioma.cavity) * (brain > 0.5)
    shares = torch.stack([glioma.presence * keep, glioma.core * keep, glioma.enhancing * keep * (1 - glioma.blood)])
    shares[:2] = blur(shares[:2].contiguous(), (0.5, 0.5, 0.5))
    whole, core, enhancing = shares[0] > 0.5, shares[1] > 0.5, shares[2] > 0.45
    core = core & whole
    return torch.stack([whole, core, enhancing & core]).float()
