"""Trained classifiers on images in files: the networks as safetensors, everything else as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from radiogen.branches.embedding.image_network import build_image_network
from radiogen.branches.embedding.model import ImageClassifier, Member
from radiogen.branches.embedding.weights import arguments_as_built
from radiogen.config.embedding_model import EmbeddingModelSettings
from radiogen.errors import InputError
from radiogen.run.atomic import write_json, writing

CLASSIFIER = "classifier.json"


def save_classifier(folder: str | Path, classifier: ImageClassifier) -> list[Path]:
    """Write a trained classifier; the same classifier gives the same bytes.

    No name of a case is written.

    Args:
        folder: gets `classifier.json` and `network-<number>.safetensors`.
        classifier: trained.

    Returns:
        The files.

    Raises:
        OutputError: the folder cannot be written.
    """
    folder, settings = Path(folder), classifier.settings
    arguments = arguments_as_built(settings.network, settings.weights, settings.arguments)
    # The tensors hold the first weights too, and the device is a matter of whoever applies the model.
    own = settings.model_copy(update={"weights": None, "arguments": arguments, "device": "auto"})
    paths, members = [folder / CLASSIFIER], []
    for number, member in enumerate(classifier.members_):
        path = folder / f"network-{number}.safetensors"
        with writing(path) as beside:
            beside.write_bytes(
                save({name: tensor.cpu().contiguous() for name, tensor in member.network.state_dict().items()})
            )
        paths.append(path)
        members.append(
            {
                "file": path.name, "sequences": list(member.sequences), "best_epoch": member.best_epoch,
                "n_held_out": len(member.held_out), "log": member.log,
            }
        )  # fmt: skip
    write_json(paths[0], {"settings": own.model_dump(mode="json"), "members": members})
    return paths


def load_classifier(
    folder: str | Path, *, device: str = "auto", cache_folder: Path | None = None, jobs: int = 1, progress: bool = False
) -> ImageClassifier:
    """Return a trained classifier that was saved.

    Args:
        folder: as `save_classifier` wrote it.
        device: to predict on.
        cache_folder: where prepared volumes are kept; None: radiogen's cache.
        jobs: cases prepared at the same time.
        progress: show progress bars.

    Raises:
        InputError: a file is missing or is not what it should be.
    """
    folder = Path(folder)
    try:
        found = json.loads((folder / CLASSIFIER).read_text(encoding="utf-8"))
        settings = EmbeddingModelSettings.parse({**found["settings"], "device": device})
        members = [_member(folder, settings, facts) for facts in found["members"]]
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise InputError(
            f"{folder} holds no classifier on images that can be read: {str(error).splitlines()[0]}",
            hint="Copy the whole folder again.",
        ) from error
    classifier = ImageClassifier(settings, cache_folder=cache_folder, jobs=jobs, progress=progress)
    classifier.classes_ = np.array([0, 1])
    classifier.members_ = members
    return classifier


def _member(folder: Path, settings: EmbeddingModelSettings, facts: Mapping[str, Any]) -> Member:
    sequences = tuple(str(name) for name in facts["sequences"])
    network = build_image_network(settings, sequences, settings.seed)
    state = load_file(folder / facts["file"])
    own = network.state_dict()
    if {name: tuple(tensor.shape) for name, tensor in state.items()} != _shapes(own):
        raise ValueError(f"the tensors of {facts['file']} do not fit the network '{settings.network}'")
    network.load_state_dict(state)
    return Member(sequences, network.eval(), list(facts["log"]), int(facts["best_epoch"]), ())


def _shapes(state: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in state.items()}
