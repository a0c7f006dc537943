"""One measurement in a process of its own: `python -m tests.benchmarks.embedding TOOL VOLUMES STATE OUT [REPEATS]`.

TOOL: `monai` (float32, as it comes), `monai-channels-last`, `monai-bfloat16` (both changes), `radiogen-float32`, `radiogen`. Prints one line of JSON.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "0" if "monai" in sys.argv[1] else "1")  # as `radiogen features` does

import numpy as np  # after the environment is set
import torch
from safetensors.torch import load_file
from torch import nn

Embed = Callable[[torch.Tensor], torch.Tensor]


def settled_state(volumes: np.ndarray) -> dict[str, torch.Tensor]:
    """Return random weights of MONAI's network with the statistics that training would give: without them a deep network's signal dies."""
    from monai.networks.nets import EfficientNetBN

    torch.manual_seed(0)
    network = EfficientNetBN("efficientnet-b0", pretrained=False, spatial_dims=3, in_channels=1, num_classes=1).eval()
    for norm in network.modules():
        if isinstance(norm, nn.BatchNorm3d):
            norm.train().momentum = None  # the mean over all it sees
            nn.init.uniform_(norm.weight, 0.5, 1.5)
            nn.init.normal_(norm.bias, std=0.2)
    with torch.no_grad():
        network(torch.from_numpy(volumes)[:, None])
    return {name: tensor for name, tensor in network.state_dict().items() if not name.startswith("_fc")}


def monai(state: dict[str, torch.Tensor], layout: bool, half: bool) -> Embed:
    """Return MONAI's EfficientNet3D-B0 with an empty classifier."""
    from monai.networks.nets import EfficientNetBN

    network = EfficientNetBN("efficientnet-b0", pretrained=False, spatial_dims=3, in_channels=1, num_classes=1)
    network._fc = nn.Identity()
    network.load_state_dict(state)
    network.eval()
    if layout:
        network = network.to(memory_format=torch.channels_last_3d)

    def embed(volume: torch.Tensor) -> torch.Tensor:
        ready = volume.contiguous(memory_format=torch.channels_last_3d) if layout else volume
        with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16, enabled=half):
            return network(ready).float()

    return embed


def radiogen(state: dict[str, torch.Tensor], precision: str) -> Embed:
    """Return radiogen's network as its branch asks it."""
    from radiogen.branches.embedding.efficientnet import build_b0
    from radiogen.branches.embedding.fast import Embedder

    backbone = build_b0()
    backbone.network.load_state_dict(state)
    return Embedder(backbone, "cpu", precision)


TOOLS: dict[str, Callable[[dict[str, torch.Tensor]], Embed]] = {
    "monai": lambda state: monai(state, layout=False, half=False),
    "monai-channels-last": lambda state: monai(state, layout=True, half=False),
    "monai-bfloat16": lambda state: monai(state, layout=True, half=True),
    "radiogen-float32": lambda state: radiogen(state, "float32"),
    "radiogen": lambda state: radiogen(state, "auto"),
}


def main(tool: str, volumes: str, state: str, out: str, repeats: str = "15") -> dict[str, Any]:
    """Measure one tool: a first call apart, then the others; one volume a call."""
    torch.set_num_threads(os.cpu_count() or 1)
    given = [torch.from_numpy(volume)[None, None] for volume in np.load(volumes)]
    embed = TOOLS[tool](load_file(state))
    start = time.perf_counter()
    vectors = [embed(given[0])]
    first = time.perf_counter() - start
    seconds = []
    for _ in range(int(repeats)):
        start = time.perf_counter()
        embed(given[0])
        seconds.append(time.perf_counter() - start)
    vectors += [embed(volume) for volume in given[1:]]
    np.save(out, torch.cat(vectors).numpy())
    # Of this process alone: what `getrusage` says begins with the size of the one that started it.
    status = Path("/proc/self/status").read_text().split("VmHWM:")[1]
    peak_gib = int(status.split()[0]) / 2**20
    return {"peak_gib": peak_gib, "first_s": first, "median_s": float(np.median(seconds)), "least_s": min(seconds)}


if __name__ == "__main__":
    print(json.dumps(main(*sys.argv[1:])))
