"""The pieces of a case on disk, each under the hash of everything it depends on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from radiogen.branches.base import read_entry
from radiogen.branches.radiomics.extract import SHAPE, CaseFeatures, Piece
from radiogen.branches.radiomics.filters import passes
from radiogen.branches.radiomics.plan import Plan
from radiogen.run.atomic import write_json
from radiogen.run.provenance import content_hash

ALGORITHM = 2
"""Raised when this package computes a feature in another way, so that cached values are made again."""
_PACKAGES = ("pyradiomics-bhklab", "SimpleITK", "PyWavelets", "numpy", "scipy")


@dataclass(frozen=True)
class PieceCache:
    """What is known of one case.

    A piece is one filter of one sequence in one region (or a region's shape), so a changed setting costs only what it touches.

    Args:
        folder: where entries are kept; None: nowhere.
        inputs: SHA-256 of the case's sequences and of its `mask`.
        scheme: label scheme of the mask; blank: detected.
    """

    folder: Path | None
    inputs: Mapping[str, str]
    scheme: str

    def read(self, piece: Piece, plan: Plan) -> CaseFeatures | None:
        """Return a piece; None where it is not there, or damaged."""
        if self.folder is None:
            return None
        stored = read_entry(self._entry(self.folder, piece, plan))
        return None if stored is None else CaseFeatures(*stored)

    def write(self, piece: Piece, plan: Plan, found: CaseFeatures) -> None:
        """Keep a piece."""
        if self.folder is not None:
            write_json(self._entry(self.folder, piece, plan), {"values": found.values, "notes": found.notes})

    def _entry(self, folder: Path, piece: Piece, plan: Plan) -> Path:
        key = content_hash(self._depends_on(piece, plan))
        return folder / key[:2] / f"{key}.json"

    def _depends_on(self, piece: Piece, plan: Plan) -> dict[str, object]:
        shape = piece.source == SHAPE
        own = {} if shape else next(settings for name, _, settings in passes(plan) if name == piece.source)
        # Where voxels are selected by intensity, a shape that serves all sequences is that of the first with enough of them.
        looks_at_all = piece.region.startswith("ring") or (shape and plan.setting.get("resegmentRange") is not None)
        seen = {"mask", piece.sequence} | (set(self.inputs) if looks_at_all else set())
        return {
            "algorithm": ALGORITHM,
            "versions": {name: version(name) for name in _PACKAGES},
            "piece": list(piece),
            "settings": {**plan.setting, **own},
            "classes": {
                name: wanted for name, wanted in plan.feature_classes.items() if name.startswith(SHAPE) == shape
            },
            "normalisation": plan.normalisation,
            "inputs": {role: sha256 for role, sha256 in self.inputs.items() if role in seen},
            "scheme": self.scheme,
        }
