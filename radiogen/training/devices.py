"""The machine a training runs on: Lightning's Fabric, silent, with nothing written anywhere."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from lightning.fabric import Fabric
from lightning.fabric.strategies import DDPStrategy, Strategy

from radiogen.errors import ConfigError


def make_fabric(device: str, devices: int, precision: str) -> Fabric:
    """Return Lightning's Fabric for a device.

    Args:
        device: `auto` (cuda, then mps, then cpu) or a torch device such as `cuda:1`.
        devices: how many of its kind share each step; distributed data-parallel where more than one.
        precision: `auto`, `float32` or `bfloat16`; `auto` takes bfloat16 where the device computes it in hardware.

    Raises:
        ConfigError: the device is not known or not there.

    Example:
        >>> make_fabric("cpu", 1, "float32").device.type
        'cpu'
    """
    chosen = _device(device)
    if devices > 1 and chosen.index is not None:
        raise ConfigError(f"{devices} devices were asked for, and one by its number ({device}).", hint="Leave it out.")
    places: list[int] | int = devices if devices > 1 or chosen.type == "cpu" else [chosen.index or 0]
    # Networks may hold parameters that a loss does not reach (deep supervision, a variational branch).
    strategy: str | Strategy = "auto"
    if devices > 1:
        strategy = DDPStrategy(start_method="spawn", find_unused_parameters=True)
    with _silent():
        return Fabric(
            accelerator=chosen.type,
            devices=places,
            strategy=strategy,
            precision="bf16-mixed" if _is_bfloat16(precision, chosen) else "32-true",
        )


@contextmanager
def _silent() -> Iterator[None]:
    """Keep Lightning's tips and notices to itself for a while."""
    loggers = [logging.getLogger(name) for name in ("lightning.fabric", "lightning.pytorch")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*srun.*")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _device(name: str) -> torch.device:
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    # torch raises AssertionError for a build without the device's support.
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ConfigError(
            f"The device '{name}' cannot be used: {str(error).splitlines()[0]}", hint="Use --device auto."
        ) from error
    return device


def _is_bfloat16(precision: str, device: torch.device) -> bool:
    if precision != "auto":
        return precision == "bfloat16"
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported()
    query = getattr(torch.cpu, "get_capabilities", dict)  # torch before 2.10 cannot say; float32 is right everywhere
    capabilities: Mapping[str, object] = query()
    return device.type == "cpu" and bool(capabilities.get("avx512_bf16", False))
