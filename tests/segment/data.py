"""Small made-up heads and a tiny network for the tests of segmentation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from radiogen.cohort.case import CaseImages
from radiogen.cohort.nifti import Grid
from radiogen.segment.networks import build_network
from radiogen.segment.weights import WeightsCard, save_weights

SEQUENCES = ("t1n", "t1c", "t2w", "t2f")
TINY = {"init_filters": 8, "blocks_down": [1, 1, 1], "blocks_up": [1, 1], "dropout_prob": None}


def ball(shape: tuple[int, int, int], centre: tuple[float, float, float], radius: float) -> np.ndarray:
    grid = np.indices(shape).reshape(3, -1).T - np.array(centre)
    return (np.linalg.norm(grid, axis=1) <= radius).reshape(shape)


def made_up_case(seed: int = 0, sequences: tuple[str, ...] = SEQUENCES) -> CaseImages:
    """A ball of tissue with a bright ball in it, skull-stripped, 2 mm voxels."""
    rng = np.random.default_rng(seed)
    shape = (34, 40, 30)
    brain = ball(shape, (17, 20, 15), 13)
    tumour = ball(shape, (22, 22, 16), 4)
    images = {
        name: np.where(brain, 100 + 5 * rng.standard_normal(shape) + 150 * tumour, 0).astype(np.float32)
        for name in sequences
    }
    return CaseImages("made-up", images, Grid(shape, np.diag([2.0, 2.0, 2.0, 1.0])))


def tiny_weights(folder: Path, **changes: object) -> Path:
    """Write random weights of a tiny network whose outputs are not all one class."""
    torch.manual_seed(0)
    network = build_network("segresnet", 4, 3, TINY)
    values = {
        "name": "tiny", "network": "segresnet", "arguments": TINY, "sequences": SEQUENCES, "spacing_mm": 2.0,
        "licence": "CC0-1.0", "training_data": "none: random", **changes,
    }  # fmt: skip
    path = folder / "tiny.safetensors"
    save_weights(path, network, WeightsCard.parse(values))
    return path
