"""Importing torch-geometric: optional, and noisy with the torch of today."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from radiogen.errors import MissingDependencyError


@contextmanager
def importing_geometric() -> Iterator[None]:
    """Let torch-geometric be imported without its warnings.

    Raises:
        MissingDependencyError: it is not installed.

    Example:
        >>> with importing_geometric():
        ...     import torch_geometric
    """
    with warnings.catch_warnings():
        # It scripts some of its classes as it is imported, which torch calls deprecated.
        warnings.filterwarnings("ignore", message=".*torch.jit.*", category=FutureWarning)
        warnings.filterwarnings("ignore", message=".*torch.jit.*", category=DeprecationWarning)
        try:
            yield
        except ModuleNotFoundError as error:
            raise MissingDependencyError(error.name or "torch_geometric", "network") from error
