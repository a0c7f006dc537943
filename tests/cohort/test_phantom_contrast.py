"""The made-up scanner: noise, drift and the signs of a tumour."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import binary_erosion

from radiogen.cohort.phantom_contrast import SCANNERS, SIGNAL, Scanner
from radiogen.cohort.phantoms import Phantom, make_phantom
from radiogen.config.phantoms import MOST_SITES, PhantomSettings
from radiogen.errors import ConfigError
from radiogen.types import ED, NCR, SEQUENCES

CLEAN = PhantomSettings(spacing_mm=4.0, noise=0.0, bias_field=0.0)


def patient(settings: PhantomSettings, *, seed: int = 8, idh: int = 0, scanner: Scanner = SCANNERS[0]) -> Phantom:
    return make_phantom(settings, seed=seed, idh=idh, mgmt=0, grade=3, volume_ml=70.0, scanner=scanner)


def test_signal_table_is_physically_ordered() -> None:
    assert SIGNAL["white"]["t1n"] > SIGNAL["grey"]["t1n"] > SIGNAL["fluid"]["t1n"]
    assert SIGNAL["fluid"]["t2w"] > SIGNAL["grey"]["t2w"] > SIGNAL["white"]["t2w"]
    assert SIGNAL["grey"]["t2f"] > SIGNAL["white"]["t2f"] > SIGNAL["fluid"]["t2f"]
    assert SIGNAL["enhancing"]["t1c"] > 1.5 * SIGNAL["white"]["t1c"]


def test_every_site_has_a_scanner_of_its_own() -> None:
    assert len(SCANNERS) == len({scanner.site for scanner in SCANNERS}) == MOST_SITES


def test_noise_has_the_strength_of_the_scanner() -> None:
    """Far above the noise floor, Rician noise is Gaussian with the channels' standard deviation (Gudbjartsson & Patz 1995)."""
    clean, noisy = patient(CLEAN), patient(CLEAN.model_copy(update={"noise": 1.0}))
    bright = clean.images["t1n"] > 0.7 * SCANNERS[0].gain

    difference = (noisy.images["t1n"] - clean.images["t1n"])[bright]

    assert difference.std() == pytest.approx(SCANNERS[0].noise * SCANNERS[0].gain, rel=0.05)


def test_drift_is_slow_and_multiplies() -> None:
    clean, drifting = patient(CLEAN), patient(CLEAN.model_copy(update={"bias_field": 0.2}))
    brain = clean.images["t1n"] > 200
    ratio = np.divide(drifting.images["t1n"], clean.images["t1n"], out=np.ones_like(clean.images["t1n"]), where=brain)

    both = brain[1:] & brain[:-1]
    assert ratio[brain].std() > 0.05
    assert np.abs(np.diff(ratio, axis=0))[both].mean() < 0.02


def test_sites_differ_in_scale_only_mildly_in_contrast() -> None:
    one, other = patient(CLEAN), patient(CLEAN, scanner=SCANNERS[1])

    for name in SEQUENCES:
        brain = one.images[name] > 0
        assert np.corrcoef(one.images[name][brain], other.images[name][brain])[0, 1] > 0.97
    assert other.images["t1n"].max() > 1.2 * one.images["t1n"].max()
    np.testing.assert_array_equal(one.labels, other.labels)


def test_mismatch_core_is_bright_on_t2_and_dark_on_flair() -> None:
    for seed in range(40):
        phantom = patient(CLEAN, seed=seed, idh=1)
        if phantom.truth["mismatch"] and phantom.truth["enhancement"] == "none":
            break
    core, rim = binary_erosion(phantom.labels == NCR), phantom.labels == ED

    assert phantom.truth["mismatch"]
    assert phantom.images["t2w"][core].mean() > phantom.images["t2w"][rim].mean()
    assert phantom.images["t2f"][core].mean() < 0.8 * phantom.images["t2f"][rim].mean()


def test_settings_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(ConfigError, match="smallest_tumour_ml"):
        PhantomSettings.parse({"smallest_tumour_ml": 100, "largest_tumour_ml": 50})
    with pytest.raises(ConfigError, match="spacing_mm"):
        PhantomSettings.parse({"spacing_mm": 0.1})
