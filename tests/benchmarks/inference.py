"""One measurement in a process of its own: `python -m tests.benchmarks.inference {monai,radiogen} WEIGHTS CASE OUT [DEVICE] [REPEATS]`.

Prints one line of JSON; the regions found go to `OUT` as a NumPy archive, so that two tools can be compared.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "0" if "monai" in sys.argv[1:2] else "1")  # as `radiogen segment` does

import numpy as np  # after the environment is set
import torch

from radiogen.cohort.build import read_cohort_or_folder
from radiogen.cohort.case import CaseImages, read_case
from radiogen.cohort.masks import region_masks

ROI, OVERLAP = (240, 240, 160), 0.5
"""Settings of MONAI's BraTS bundle (`brats_mri_segmentation`, `configs/inference.json`)."""


def monai(weights: Path, case: CaseImages, device: torch.device) -> tuple[Callable[[], dict[str, np.ndarray]], str]:
    """Return MONAI's inference on the normalised volume: one window over the whole grid, float32."""
    from monai.inferers import SlidingWindowInferer
    from monai.transforms import NormalizeIntensity

    from radiogen.segment.network import regions_to_labels
    from radiogen.segment.weights import load_network

    network, card = load_network(weights)
    network = network.to(device)
    image = np.stack([case.images[name] for name in card.sequences])
    image = torch.as_tensor(NormalizeIntensity(nonzero=True, channel_wise=True)(image)).float()[None]
    inferer = SlidingWindowInferer(ROI, sw_batch_size=1, overlap=OVERLAP)

    def infer() -> dict[str, np.ndarray]:
        with torch.no_grad():
            probability = torch.sigmoid(inferer(image.to(device), network))[0].cpu().numpy()
        # The same rule as ours makes nested regions of the three maps; what is compared is the network's output, not the rule.
        return dict(region_masks(regions_to_labels(dict(zip(card.outputs, probability, strict=True)), card.thresholds)))

    return infer, "float32"


def radiogen(weights: Path, case: CaseImages, device: torch.device) -> tuple[Callable[[], dict[str, np.ndarray]], str]:
    """Return radiogen's whole method: foreground, normalisation, crop, network, labels put back."""
    from radiogen.config.segment import SegmentSettings
    from radiogen.segment.network import NetworkMethod

    method = NetworkMethod(SegmentSettings(weights=str(weights), device=str(device), smallest_ml=0))
    return lambda: region_masks(method(case).labels), method.description["precision"]


def main(tool: str, weights: str, folder: str, out: str, device: str = "cpu", repeats: str = "3") -> dict[str, Any]:
    """Measure one tool: a first call apart, then the median of the others."""
    torch.set_num_threads(os.cpu_count() or 1)
    _, row = next(read_cohort_or_folder(Path(folder)).iterrows())
    case = read_case(row)
    infer, precision = {"monai": monai, "radiogen": radiogen}[tool](Path(weights), case, torch.device(device))
    seconds = []
    for _ in range(1 + int(repeats)):
        start = time.perf_counter()
        found = infer()
        seconds.append(time.perf_counter() - start)
    np.savez(out, **found)
    gpu = torch.cuda.max_memory_allocated() / 2**30 if device.startswith("cuda") else None
    return {"first_s": seconds[0], "median_s": float(np.median(seconds[1:])), "precision": precision, "gpu_gib": gpu}


if __name__ == "__main__":
    print(json.dumps(main(*sys.argv[1:])))
