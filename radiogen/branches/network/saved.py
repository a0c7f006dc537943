"""Trained graph networks in files: tensors as safetensors, everything else as JSON, and the template they learned on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save

from radiogen.branches.network.autoencoder import SparseAutoencoder, SparseLayers
from radiogen.branches.network.base import NetworkTemplate
from radiogen.branches.network.classifier import PARTS, GraphClassifier
from radiogen.branches.network.gnn import GraphNetwork
from radiogen.branches.network.template import save_template, template_digest
from radiogen.config.network import NetworkSettings
from radiogen.config.network_model import GraphNetworkSettings
from radiogen.config.network_recipes import GraphModelSettings
from radiogen.errors import InputError, RadiogenError
from radiogen.run.atomic import write_json, writing
from radiogen.training.devices import make_fabric

CLASSIFIER = "graph-classifier.json"
NETWORK = "graph-network.safetensors"
TEMPLATE = "template.npz"
FILES = (CLASSIFIER, NETWORK, TEMPLATE)

_PATHS = ("template", "preprocessed", "graphs", "tracts", "tract_names")


def save_graph_classifier(
    folder: str | Path, classifier: GraphClassifier, settings: GraphModelSettings, template: NetworkTemplate
) -> list[Path]:
    """Write a trained graph classifier; the same classifier gives the same bytes.

    No name of a case and no path is written.

    Args:
        folder: gets `graph-classifier.json`, `graph-network.safetensors` and `template.npz`.
        classifier: trained.
        settings: what its graphs are.
        template: what they lie on.

    Returns:
        The files.

    Raises:
        OutputError: the folder cannot be written.
    """
    folder = Path(folder)
    own = settings.model_copy(
        update={
            # Files are the user's, the device is a matter of whoever applies the model.
            "graphs": settings.graphs.model_copy(update=dict.fromkeys(_PATHS)),
            "network": classifier.chosen_.model_copy(update={"device": "cpu"}),
        }
    )
    facts: dict[str, Any] = {
        "settings": own.model_dump(mode="json"),
        "seed": classifier.seed,
        "sizes": list(classifier.sizes_),
        "template": template_digest(template),
        "best_epoch": classifier.best_epoch_,
        "history": classifier.history_,
        "encoders": {part: encoder.n_features_in_ for part, encoder in classifier.encoders_.items()},
    }
    save_template(folder / TEMPLATE, template)
    with writing(folder / NETWORK) as beside:
        beside.write_bytes(save(_tensors(classifier)))
    write_json(folder / CLASSIFIER, facts)
    return [folder / name for name in FILES]


def _tensors(classifier: GraphClassifier) -> dict[str, torch.Tensor]:
    found = {f"network.{name}": tensor for name, tensor in classifier.network_.state_dict().items()}
    found["reference"] = torch.tensor(classifier.reference_)
    for part in PARTS:
        found |= {
            f"scale.{part}.{what}": torch.tensor(values)
            for what, values in zip(("mean", "spread"), classifier.scales_[part], strict=True)
        }
    for coded, encoder in classifier.encoders_.items():
        found |= {f"encoder.{coded}.{name}": tensor for name, tensor in encoder.layers_.state_dict().items()}
        found[f"encoder.{coded}.lowest"] = torch.tensor(encoder.lowest_)
        found[f"encoder.{coded}.range"] = torch.tensor(encoder.range_)
    return {name: tensor.detach().cpu().contiguous() for name, tensor in found.items()}


def load_graph_classifier(folder: str | Path, *, device: str = "cpu") -> tuple[GraphClassifier, GraphModelSettings]:
    """Return a trained graph classifier that was saved, and the settings of its graphs, whose template is that of the folder.

    Args:
        folder: as `save_graph_classifier` wrote it.
        device: to predict on.

    Raises:
        InputError: a file is missing or is not what it should be.
    """
    folder = Path(folder)
    try:
        facts = json.loads((folder / CLASSIFIER).read_text(encoding="utf-8"))
        settings = GraphModelSettings.parse(facts["settings"])
        classifier = _rebuilt(facts, settings, load_file(folder / NETWORK), device)
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError, RadiogenError) as error:
        raise InputError(
            f"{folder} holds no classifier on brain networks that can be read: {str(error).splitlines()[0]}",
            hint="Copy the whole folder again.",
        ) from error
    graphs: NetworkSettings = settings.graphs.model_copy(update={"template": folder / TEMPLATE})
    return classifier, settings.model_copy(update={"graphs": graphs})


def _rebuilt(
    facts: dict[str, Any], settings: GraphModelSettings, tensors: dict[str, torch.Tensor], device: str
) -> GraphClassifier:
    network_settings: GraphNetworkSettings = settings.network.model_copy(update={"device": device})
    autoencoder = settings.autoencoder if facts["encoders"] else None
    classifier = GraphClassifier(network_settings, autoencoder, int(facts["seed"]))
    classifier.chosen_ = network_settings
    classifier.classes_ = np.array([0, 1])
    classifier.device_ = make_fabric(device, 1, "float32").device
    classifier.best_epoch_, classifier.history_ = int(facts["best_epoch"]), [float(loss) for loss in facts["history"]]
    n_node, n_edge, degree = facts["sizes"]
    classifier.sizes_ = int(n_node), int(n_edge), float(degree)
    network = GraphNetwork(*classifier.sizes_, network_settings)
    network.load_state_dict(_named(tensors, "network."))
    classifier.network_ = network.to(classifier.device_).eval()
    classifier.reference_ = tensors["reference"].numpy()
    classifier.scales_ = {
        part: (tensors[f"scale.{part}.mean"].numpy(), tensors[f"scale.{part}.spread"].numpy()) for part in PARTS
    }
    classifier.encoders_ = {
        part: _encoder(_named(tensors, f"encoder.{part}."), int(n), settings) for part, n in facts["encoders"].items()
    }
    return classifier


def _encoder(tensors: dict[str, torch.Tensor], n_values: int, settings: GraphModelSettings) -> SparseAutoencoder:
    encoder = SparseAutoencoder(settings.autoencoder)
    encoder.n_features_in_ = n_values
    encoder.lowest_, encoder.range_ = tensors.pop("lowest").numpy(), tensors.pop("range").numpy()
    encoder.layers_ = SparseLayers(n_values, settings.autoencoder.latents)
    encoder.layers_.load_state_dict(tensors)
    return encoder


def _named(tensors: dict[str, torch.Tensor], start: str) -> dict[str, torch.Tensor]:
    return {name.removeprefix(start): tensor for name, tensor in tensors.items() if name.startswith(start)}
