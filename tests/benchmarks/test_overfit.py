"""Eight phantoms learned by heart on a CPU: the training stack as a whole."""

from __future__ import annotations

import os
from pathlib import Path

import pandas as pd
import pytest

from radiogen.cohort.table import read_cohort
from radiogen.segment.train_cases import largest_shape, prepare_cases
from radiogen.segment.train_data import patch_of
from radiogen.segment.train_measure import HeldOutDice
from radiogen.segment.train_segmentation import train_segmentation
from radiogen.segment.weights import load_network
from tests.segment.training_data import phantom_cohort, tiny

EPOCHS = int(os.environ.get("RADIOGEN_OVERFIT_EPOCHS", "150"))


@pytest.mark.benchmark
def test_eight_phantoms_are_learned_by_heart(tmp_path: Path) -> None:
    cohort = read_cohort(phantom_cohort(tmp_path / "cohort", 8))
    settings = tiny(
        network={"arguments": {"channels": [16, 32, 64], "strides": [2, 2], "num_res_units": 2}},
        data={"augmentation": "none"},
        # Two of the eight have no enhancing tumour: without smoothing, a few voxels too many there cost as much as many.
        loss={"arguments": {"smooth": 1.0}},
        optimiser={"learning_rate": 0.01, "clip_norm": 5.0},
        epochs=EPOCHS,
        steps_per_epoch=16,
        validate_every=EPOCHS,
    )
    outcome = train_segmentation(cohort, tmp_path / "out", settings)
    network, card = load_network(outcome.weights)
    cases = prepare_cases(cohort, tmp_path / "out" / "cache", settings.data)
    # The windows of the training: instance normalisation sees other numbers in a padded one.
    patch = patch_of(settings.data, largest_shape(list(cases.values()), 4))
    scores = HeldOutDice(list(cases.values()), settings.data, patch)(network)
    log = pd.read_csv(tmp_path / "out" / "log.csv")
    print(f"\n{EPOCHS} epochs, {log['seconds'].sum():.0f} s, loss {log['loss'].iloc[-1]:.3f}, Dice {scores}")
    assert card.training_data.startswith("8 cases")
    assert min(scores[name] for name in ("wt", "tc", "et")) > 0.95
