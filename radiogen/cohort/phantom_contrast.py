"""From tissues and tumour to four MRI sequences: contrast, contrast agent, texture, drift, blur and noise of a scanner."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32
from scipy.ndimage import binary_dilation, distance_transform_edt, gaussian_filter

from radiogen.cohort.phantom_anatomy import Anatomy
from radiogen.cohort.phantom_fields import smooth_field
from radiogen.cohort.phantom_tumour import Traits, Tumour
from radiogen.types import SEQUENCES, Volume

SIGNAL: dict[str, dict[str, float]] = {
    #            t1n   t1c   t2w   t2f
    "grey":     {"t1n": 0.76, "t1c": 0.82, "t2w": 0.62, "t2f": 0.94},
    "white":    {"t1n": 1.00, "t1c": 0.98, "t2w": 0.44, "t2f": 0.74},
    "fluid":    {"t1n": 0.34, "t1c": 0.38, "t2w": 1.70, "t2f": 0.20},
    "oedema":   {"t1n": 0.74, "t1c": 0.76, "t2w": 0.98, "t2f": 1.52},
    "solid":    {"t1n": 0.64, "t1c": 0.66, "t2w": 1.10, "t2f": 1.48},
    "necrosis": {"t1n": 0.50, "t1c": 0.52, "t2w": 1.35, "t2f": 1.36},
    "enhancing": {"t1n": 0.78, "t1c": 1.70, "t2w": 0.82, "t2f": 1.34},
}  # fmt: skip
"""Tissue -> signal per sequence, white matter on T1n = 1. The order within each sequence is that of 3 T clinical scans: T1 white > grey > fluid, T2
fluid > grey > white, FLAIR grey > white > fluid; oedema and tumour are long in T1 and T2."""

_MISMATCH_T2F = 0.86
_VESSEL_T1C = 1.75


@dataclass(frozen=True)
class Scanner:
    """How one site's scanner differs from the others.

    Args:
        site: name of the site.
        orientation: axis codes in which the site stores its files.
        gain: intensity of T1n white matter, arbitrary unit.
        contrast: exponent on all signals; above 1 spreads tissues apart.
        noise: standard deviation of the noise in each channel, relative to T1n white matter.
        blur_mm: Gaussian sigma of the point spread, mm.
    """

    site: str
    orientation: str
    gain: float
    contrast: float
    noise: float
    blur_mm: float


SCANNERS: tuple[Scanner, ...] = (
    Scanner("site-A", "RAS", 900.0, 1.00, 0.022, 0.8),
    Scanner("site-B", "LPS", 1400.0, 1.06, 0.028, 0.9),
    Scanner("site-C", "LAS", 620.0, 0.95, 0.025, 1.0),
    Scanner("site-D", "RAS", 1100.0, 1.03, 0.032, 0.9),
    Scanner("site-E", "LPS", 800.0, 0.97, 0.020, 1.1),
)


@dataclass(frozen=True)
class Look:
    """Strengths of the artefacts.

    Args:
        noise: multiplier of the scanner's noise.
        bias_field: standard deviation of the drift, as a fraction.
        skull: draw skull and scalp too.
    """

    noise: float = 1.0
    bias_field: float = 0.06
    skull: bool = False


def render(
    anatomy: Anatomy, tumour: Tumour, traits: Traits, scanner: Scanner, look: Look, rng: np.random.Generator
) -> dict[str, Volume]:
    """Return the four sequences, float32, whole numbers as a scanner stores them, zero outside the head.

    Args:
        anatomy: the patient's tissues.
        tumour: the tumour in them.
        traits: what the tumour looks like.
        scanner: the site's scanner.
        look: strengths of noise, drift and whether there is a skull.
        rng: generator for texture, drift and noise.
    """
    head, shells = _shells(anatomy, rng) if look.skull else (anatomy.brain, None)
    spacing = anatomy.spacing_mm
    vessels = _vessels(anatomy, rng)
    textures = _textures(anatomy, traits, rng)
    # Blurring inside the head only: what lies outside must not darken the cortex of a brain-extracted image.
    sigma = scanner.blur_mm / spacing
    weight = np.maximum(gaussian_filter(head.astype(np.float32), sigma)[head], 0.2)
    images: dict[str, Volume] = {}
    for name in SEQUENCES:
        signal = _signal(name, anatomy, tumour, traits, vessels, textures, rng)
        if shells is not None:
            signal = np.where(anatomy.brain, signal, shells[name])
        drift = np.exp(look.bias_field * smooth_field(rng, head.shape, spacing, 90.0))
        signal = gaussian_filter(signal * head, sigma)[head] / weight
        clean = (signal**scanner.contrast) * drift[head]
        images[name] = _measured(clean, head, scanner, look.noise, rng)
    return images


def _measured(clean: np.ndarray, head: np.ndarray, scanner: Scanner, noise: float, rng: np.random.Generator) -> Volume:
    """Return magnitude images: the length of a complex signal with Gaussian noise in both channels (Rice distribution)."""
    channels = rng.standard_normal((2, clean.size), dtype=np.float32) * (noise * scanner.noise)
    magnitude = np.hypot(clean + channels[0], channels[1])
    image = np.zeros(head.shape, dtype=np.float32)
    # At least 1, so that every brain voxel of a brain-extracted image is told from the background.
    image[head] = np.maximum(np.rint(magnitude * scanner.gain), 1)
    return image


def _signal(
    name: str,
    anatomy: Anatomy,
    tumour: Tumour,
    traits: Traits,
    vessels: Volume,
    textures: Float32[np.ndarray, "two i j k"],
    rng: np.random.Generator,
) -> Volume:
    grain = smooth_field(rng, anatomy.brain.shape, anatomy.spacing_mm, 5.0)
    healthy = sum(getattr(anatomy, tissue) * SIGNAL[tissue][name] for tissue in ("grey", "white", "fluid"))
    healthy = healthy * (1 + 0.018 * grain)
    if name == "t1c":
        healthy = healthy + vessels * (_VESSEL_T1C - healthy)
    coarse, fine = textures
    sign = -1.0 if name in ("t1n", "t1c") else 1.0
    rough = np.exp(traits.roughness * (0.65 * sign * coarse + 0.6 * fine + 0.4 * grain))
    jitter = np.exp(0.06 * rng.standard_normal(4))
    oedema = SIGNAL["oedema"][name] * jitter[0] * rough**0.7
    solid = SIGNAL["solid"][name] * jitter[1] * (traits.t2_gain if name == "t2w" else 1.0) * rough
    if traits.mismatch and name == "t2f":
        solid = solid * (1 - _dark_core(tumour, anatomy.spacing_mm) * (1 - _MISMATCH_T2F / SIGNAL["solid"]["t2f"]))
    necrosis = SIGNAL["necrosis"][name] * jitter[2] * rough
    enhancing = SIGNAL["enhancing"][name] * jitter[3] * np.maximum(rough, 0.75)
    core = solid + tumour.necrotic * (necrosis - solid)
    core = core + tumour.enhancing * (enhancing - core)
    # Cortex is swollen less than white matter by oedema; the core replaces whatever was there.
    swelling = tumour.presence * (1 - 0.3 * anatomy.grey) * (1 - 0.5 * anatomy.fluid)
    signal = healthy + swelling * (oedema - healthy)
    return (signal + tumour.core * (core - signal)).astype(np.float32)


def _dark_core(tumour: Tumour, spacing_mm: float) -> Volume:
    """Return where the T2-FLAIR mismatch sign darkens FLAIR: the core, but for a rim that is bright all round."""
    inside = 1 / (1 + np.exp(np.clip((tumour.depth_in_core - 0.9) / 0.05, -30, 30)))
    rim_free = np.clip((gaussian_filter(tumour.presence, 4.0 / spacing_mm) - 0.75) / 0.2, 0, 1)
    return (inside * rim_free).astype(np.float32)


def _textures(anatomy: Anatomy, traits: Traits, rng: np.random.Generator) -> Float32[np.ndarray, "two i j k"]:
    shape, spacing = anatomy.brain.shape, anatomy.spacing_mm
    return np.stack([smooth_field(rng, shape, spacing, 9.0), smooth_field(rng, shape, spacing, 4.5)])


def _vessels(anatomy: Anatomy, rng: np.random.Generator) -> Volume:
    """Return the share of each voxel that is vessel: the sagittal sinus, pial vessels and choroid plexus."""
    spacing = anatomy.spacing_mm
    sinus = (np.abs(anatomy.midline_mm) < 3.0) & (anatomy.depth_mm < 5.0) & (anatomy.height_mm > 5)
    tubes = np.exp(-((smooth_field(rng, anatomy.brain.shape, spacing, 11.0) / 0.22) ** 2))
    tubes *= smooth_field(rng, anatomy.brain.shape, spacing, 16.0) > 0.5
    wet = np.clip(anatomy.fluid * 1.4, 0, 1)
    plexus = (wet > 0.9) & (anatomy.depth_mm > 30) & (tubes > 0.4)
    pial = tubes * wet * (anatomy.depth_mm < 14)
    return np.where(sinus, 0.85, np.clip(0.55 * pial + 0.5 * plexus, 0, 0.9)).astype(np.float32) * anatomy.brain


def _shells(anatomy: Anatomy, rng: np.random.Generator) -> tuple[np.ndarray, dict[str, Volume]]:
    """Return the head mask and, per sequence, the signal outside the brain: fluid, dark bone, bright scalp."""
    spacing = anatomy.spacing_mm
    near = binary_dilation(anatomy.brain, iterations=max(1, round(14 / spacing)))
    outside = distance_transform_edt(~anatomy.brain, sampling=spacing).astype(np.float32)
    outside += 0.8 * smooth_field(rng, outside.shape, spacing, 25.0)
    head = near & (outside < 12)
    scalp = {"t1n": 1.35, "t1c": 1.4, "t2w": 0.9, "t2f": 0.8}
    shells = {
        name: np.select([outside < 2.5, outside < 7], [SIGNAL["fluid"][name], 0.08], scalp[name]).astype(np.float32)
        for name in SEQUENCES
    }
    return head | anatomy.brain, shells
