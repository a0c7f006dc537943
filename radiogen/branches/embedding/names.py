"""Embedding networks that can be chosen by name, without importing torch."""

from __future__ import annotations

from radiogen.registry import Registry

EMBEDDING_NETWORKS = Registry("embedding_networks", {})
"""Name -> a function `build(channels: int = 1, **arguments) -> Backbone` with random weights; weights are loaded by `embedding.weights`."""
