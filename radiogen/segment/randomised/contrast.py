"""Random contrasts: from tissues and tumour to four sequences, in the order that physics gives them, and as a scanner blurs them."""

from __future__ import annotations

import torch
from torch.nn import functional

from radiogen.segment.randomised.anatomy import Brain
from radiogen.segment.randomised.fields import Draws, Field, blur
from radiogen.segment.randomised.glioma import Glioma

TISSUES = (
    "grey",
    "deep_grey",
    "white",
    "fluid",
    "oedema",
    "solid",
    "necrosis",
    "enhancing",
    "blood",
    "cavity",
    "vessel",
    "old_lesion",
)

SIGNAL: dict[str, dict[str, tuple[float, float]]] = {
    #              grey          deep_grey     white         fluid         oedema        solid         necrosis
    "t1n": dict(zip(TISSUES, [(0.60, 0.96), (0.75, 1.00), (0.97, 1.03), (0.12, 0.45), (0.60, 0.92), (0.48, 0.88), (0.25, 0.70),
    #              enhancing     blood         cavity        vessel        old_lesion
                              (0.55, 1.00), (1.00, 1.70), (0.12, 0.45), (0.40, 1.10), (0.80, 0.98)], strict=True)),
    "t1c": dict(zip(TISSUES, [(0.62, 0.98), (0.77, 1.02), (0.97, 1.03), (0.12, 0.48), (0.60, 0.92), (0.48, 0.90), (0.25, 0.72),
                              (0.90, 1.20), (1.00, 1.70), (0.12, 0.45), (1.10, 2.30), (0.80, 0.98)], strict=True)),
    "t2w": dict(zip(TISSUES, [(0.50, 0.78), (0.36, 0.60), (0.34, 0.55), (1.00, 2.10), (0.75, 1.45), (0.65, 1.50), (0.80, 1.90),
                              (0.50, 1.15), (0.25, 1.20), (1.00, 2.10), (0.20, 0.80), (0.60, 1.00)], strict=True)),
    "t2f": dict(zip(TISSUES, [(0.78, 1.08), (0.68, 0.92), (0.56, 0.85), (0.05, 0.42), (1.12, 2.00), (0.98, 1.90), (0.35, 1.80),
                              (0.85, 1.75), (0.50, 1.60), (0.08, 0.60), (0.40, 1.00), (1.00, 1.60)], strict=True)),
}  # fmt: skip
"""Sequence -> tissue -> limits of the mean signal, T1 white matter = 1: wide enough for field strengths, vendors and pulse sequences."""


def render(draws: Draws, brain: Brain, glioma: Glioma | None, sequences: tuple[str, ...]) -> torch.Tensor:
    """Return the sequences of one patient, (c, i, j, k), before normalisation; values outside the brain are meaningless."""
    shares = _shares(draws, brain, glioma)
    rough, fine = draws.between(0.03, 0.28), draws.field(4.5)
    texture = torch.stack([draws.field(11.0), fine])
    lesion = None if glioma is None else glioma.presence
    first_t1 = {tissue: draws.between(*SIGNAL["t1n"][tissue]) for tissue in TISSUES}
    _fade(draws, "t1n", first_t1)
    images = []
    for name in sequences:
        means = _means(draws, name, first_t1)
        signal = torch.tensordot(torch.tensor([means[tissue] for tissue in TISSUES]), shares, dims=1)
        signal = signal * (1 + draws.between(0.0, 0.06) * draws.field(3.5 + 3 * draws.between(0.0, 1.0)))
        if lesion is not None:
            sign = -1.0 if name.startswith("t1") else 1.0
            grain = sign * draws.between(0.2, 0.9) * texture[0] + draws.between(0.0, 0.7) * texture[1]
            signal = signal * torch.exp(rough * lesion * (grain + 0.4 * draws.field(6.0)))
        images.append(signal)
    return torch.stack(images)


def _means(draws: Draws, name: str, first_t1: dict[str, float]) -> dict[str, float]:
    limits = SIGNAL[name]
    means = dict(first_t1) if name == "t1n" else {tissue: draws.between(*limits[tissue]) for tissue in TISSUES}
    if name != "t1n":
        _fade(draws, name, means)
    if name == "t1c":
        # The same tissues with and without contrast agent, mostly scanned alike; what takes up the agent is brighter by a faint to a strong step.
        alike = 0.0 if draws.chance(0.35) else draws.between(0.6, 1.0)
        for tissue in ("grey", "deep_grey", "fluid", "oedema", "solid", "necrosis", "blood", "cavity", "old_lesion"):
            means[tissue] = alike * first_t1[tissue] + (1 - alike) * means[tissue]
        step = draws.log_between(0.12, 0.45) if draws.chance(0.6) else draws.between(0.35, 1.3)
        means["enhancing"] = max(means["solid"], first_t1["enhancing"]) + step
    if draws.chance(0.04):
        # Rarely the healthy tissues are in any order at all: no rule of thumb about them is safe.
        healthy = ("grey", "deep_grey", "white", "fluid")
        values = draws.rng.permutation([means[tissue] for tissue in healthy])
        means.update(zip(healthy, (float(value) for value in values), strict=True))
    return means


def _fade(draws: Draws, name: str, means: dict[str, float]) -> None:
    """Bring oedema and solid tumour nearer to healthy tissue: oedema can hardly be seen on T1, and tumour without oedema is faint everywhere."""
    faint = draws.between(0.0, 1.0) if name.startswith("t1") else draws.between(0.35, 1.0)
    seen = faint if draws.chance(0.5) else 1.0
    means["oedema"] = means["white"] + seen * (means["oedema"] - means["white"])
    if name.startswith("t1") and draws.chance(0.5):
        # Blood products and protein often make core and cyst as bright as brain before contrast.
        level = draws.between(0.0, 1.0)
        for tissue in ("solid", "necrosis"):
            means[tissue] = means["grey"] + level * (means[tissue] - means["grey"])
    if name == "t2f" and draws.chance(0.5):
        # Fluid in a necrotic core is rarely as clear as that of the ventricles.
        means["necrosis"] = means["oedema"] * draws.between(0.85, 1.3)
    # What is solid differs from what is merely wet: longer T1 and T2, as dense cells and small cysts give.
    step = draws.between(0.0, 0.25)
    if name.startswith("t1"):
        means["solid"] = min(means["solid"], means["oedema"] - step * seen)
    elif name == "t2w" and draws.chance(0.7):
        means["solid"] = max(means["solid"], means["oedema"] + step)


def _shares(draws: Draws, brain: Brain, glioma: Glioma | None) -> torch.Tensor:
    vessel = _vessels(draws, brain)
    old = _old_lesions(draws, brain)
    healthy = torch.stack([brain.grey, brain.deep_grey, brain.white, brain.fluid])
    nothing = torch.zeros_like(brain.grey)
    healthy = healthy * ((1 - vessel) * (1 - old))
    if glioma is None:
        return torch.stack([*healthy, *[nothing] * 6, vessel, old * (1 - vessel)])
    rest = (1 - glioma.presence) * (1 - glioma.cavity)
    core, keep = glioma.core, 1 - glioma.cavity
    oedema = (glioma.presence - core).clamp(min=0) * keep
    live = core * (1 - glioma.blood / core.clamp(min=1e-3)).clamp(0, 1) * keep
    share = live / core.clamp(min=1e-3)
    necrosis, enhancing = glioma.necrotic * share, glioma.enhancing * share
    solid = (live - necrosis - enhancing).clamp(min=0)
    # Cortex and vessels can still be seen inside oedema.
    ghost = draws.between(0.0, 0.3) * oedema
    parts = healthy * (rest + ghost)
    return torch.stack(
        [
            *parts,
            oedema - ghost,
            solid,
            necrosis,
            enhancing,
            glioma.blood * keep,
            glioma.cavity,
            vessel * rest,
            old * (1 - vessel) * rest,
        ]
    )


def _vessels(draws: Draws, brain: Brain) -> Field:
    """Return what takes up contrast agent in a healthy brain: sinus, pial vessels, choroid plexus and dura."""
    wet = (brain.fluid * 1.4).clamp(0, 1)
    tubes = torch.exp(-((draws.field(11.0) / draws.between(0.1, 0.25)) ** 2)) * (
        draws.field(16.0) > draws.between(0.0, 1.2)
    )
    pial = draws.between(0.2, 0.9) * tubes * wet * (brain.depth_mm < 18)
    plexus = draws.between(0.0, 0.8) * (brain.ventricle_mm < 1) * (draws.field(7.0) > draws.between(0.8, 2.0))
    sinus = draws.between(0.0, 1.0) * (brain.midline_mm.abs() < 3) * (brain.depth_mm < 6)
    dura = nothing = torch.zeros_like(wet)
    if draws.chance(0.6):
        reach = draws.between(1.0, 4.0)
        dura = (
            draws.between(0.2, 0.9)
            * torch.sigmoid((reach - brain.depth_mm) / 0.7)
            * (draws.field(25.0) > draws.between(-1.5, 0.8))
        )
    white = nothing
    if draws.chance(0.3):
        white = draws.between(0.1, 0.4) * tubes * (brain.depth_mm < 40) * (1 - wet)
    return torch.maximum(torch.maximum(pial, plexus), torch.maximum(torch.maximum(sinus, dura), white)).clamp(0, 0.9)


def _old_lesions(draws: Draws, brain: Brain) -> Field:
    """Return white-matter lesions of age and caps round the ventricles: bright on FLAIR, no tumour."""
    lesions = torch.zeros_like(brain.white)
    if draws.chance(0.6):
        caps = torch.sigmoid((draws.between(0.5, 5.0) - brain.ventricle_mm) / 0.8) * torch.sigmoid(
            draws.field(20.0) * 3
        )
        lesions = draws.between(0.2, 0.9) * caps * brain.white
    if draws.chance(0.3):
        spots = torch.sigmoid((draws.field(6.0) - draws.between(1.7, 2.6)) / 0.1) * brain.white
        lesions = torch.maximum(lesions, draws.between(0.4, 1.0) * spots)
    return lesions.clamp(0, 1)


def scan(draws: Draws, images: torch.Tensor, inside: Field) -> torch.Tensor:
    """Return the images as a scanner gives them: blurred, in thick slices, shaded and noisy, the signal scaled by a random exponent.

    Args:
        draws: the patient's random numbers.
        images: (c, i, j, k), as `render` gives them.
        inside: the part of each voxel that is imaged, 0 to 1.
    """
    thick_axis = int(draws.rng.choice(3, p=[0.15, 0.15, 0.7])) if draws.chance(0.35) else None
    scanned = []
    for image in images:
        # Blurring inside the brain only: what lies outside must not darken the cortex of a brain-extracted image.
        both = torch.stack([image * inside, inside])
        sigma = [draws.between(0.1, 0.7) for _ in range(3)]
        if thick_axis is not None and draws.chance(0.8):
            sigma[thick_axis] = draws.between(0.6, 1.5)
        both = blur(both, sigma)
        signal = both[0] / both[1].clamp(min=0.1)
        if thick_axis is not None and draws.chance(0.5):
            signal = _thick(draws, signal, thick_axis)
        signal = signal.clamp(min=1e-3) ** draws.between(0.75, 1.3)
        drift = torch.exp(draws.between(0.0, 0.12) * draws.field(90.0) + draws.between(0.0, 0.05) * draws.field(40.0))
        noise = draws.log_between(0.004, 0.06)
        level = float(signal[inside > 0.5].mean())
        signal = signal * drift + noise * level * draws.white()
        if draws.chance(0.4):
            signal = signal + draws.between(0.0, 0.04) * level * draws.field(4.0)
        scanned.append(signal)
    return torch.stack(scanned)


def _thick(draws: Draws, signal: Field, axis: int) -> Field:
    """Return the image as if stored in thick slices and interpolated back."""
    size = list(signal.shape)
    size[axis] = max(4, round(size[axis] / draws.between(1.5, 3.2)))
    stored = functional.interpolate(signal[None, None], size=size, mode="area")
    return functional.interpolate(stored, size=signal.shape, mode="trilinear")[0, 0]
