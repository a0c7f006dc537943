"""nnU-Net v2 results folders as weights: plans, data set and checkpoints become safetensors files with cards."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from radiogen.cohort.sequence_names import read_name
from radiogen.config.base import StageSettings
from radiogen.errors import InputError
from radiogen.resources import cache_folder, sha256_file
from radiogen.segment.external import load_state, read_state
from radiogen.segment.networks import build_network
from radiogen.segment.nnunet_network import ARCHITECTURES, read_axes, training_axes
from radiogen.segment.weights import WeightsCard, save_weights
from radiogen.types import SEQUENCES

CHECKPOINT = "checkpoint_final.pth"
UNSTATED = "not stated in the results folder: ask whoever trained it"

_ISOTROPIC = 1.01
_REGION_WORDS: Mapping[str, tuple[str, ...]] = {
    "wt": ("wt", "whole", "whole tumor"),
    "tc": ("tc", "core", "tumor core"),
    "et": ("et", "enhancing", "enhancing tumor", "gd enhancing tumor"),
    "rc": ("rc", "cavity", "resection cavity"),
}
_CLASS_WORDS: Mapping[str, tuple[str, ...]] = {
    "background": ("background",),
    "ncr": (
        "ncr", "net", "netc", "ncr net", "necrosis", "necrotic", "necrotic core", "necrotic tumor core", "non enhancing tumor",
        "nonenhancing tumor", "non enhancing tumor core", "necrotic and non enhancing tumor core", "necrotic non enhancing tumor",
    ),
    "ed": ("ed", "edema", "peritumoral edema", "peritumoral edematous tissue", "snfh"),
    "et": _REGION_WORDS["et"],
    "rc": _REGION_WORDS["rc"],
}  # fmt: skip


class NNUNetOptions(StageSettings):
    """What a results folder does not say, or says in words of its own.

    Example:
        >>> NNUNetOptions().orientation
        'LPS'
    """

    name: str = ""
    """Name of the imported weights; empty: made from data set and configuration."""

    sequences: tuple[str, ...] = ()
    """Sequences in the order of the channels; empty: read from the names in dataset.json."""

    outputs: tuple[str, ...] = ()
    """Regions or classes in the order of the outputs; empty: read from the labels in dataset.json."""

    orientation: str = "LPS"
    """Orientation in which the training images were stored; nnU-Net does not write it down. BraTS files are LPS."""

    licence: str = ""
    """Licence of the weights; empty: what dataset.json says."""

    training_data: str = ""
    """What they were trained on; empty: name and description in dataset.json."""


def is_nnunet_folder(folder: str | Path) -> bool:
    """Return whether a folder is one that nnU-Net v2 trained into (`.../nnUNetTrainer__nnUNetPlans__3d_fullres`)."""
    return (Path(folder) / "plans.json").is_file() and (Path(folder) / "dataset.json").is_file()


def import_nnunet(folder: str | Path, options: NNUNetOptions | None = None) -> list[Path]:
    """Turn every fold of an nnU-Net v2 results folder into weights in the cache folder; works offline and runs no code from the files.

    Intensities are normalised over each sequence's own brain instead of the brain common to all; images of another voxel size are resampled linearly
    instead of by splines; the folds' probabilities are averaged instead of their logits.

    Args:
        folder: holds `plans.json`, `dataset.json` and `fold_*/checkpoint_final.pth`.
        options: what the folder does not say.

    Returns:
        One safetensors file per fold, for one `--weights` each.

    Raises:
        InputError: the folder cannot be used; lists everything that stands against it.
        MissingDependencyError: the package that builds nnU-Net's networks is not installed.

    Source: Isensee et al. 2021, Nat Methods 18:203; file formats of MIC-DKFZ/nnUNet v2.
    """
    root, options = Path(folder), options or NNUNetOptions()
    plans, dataset = _read_json(root / "plans.json"), _read_json(root / "dataset.json")
    checkpoints = sorted(root.glob(f"fold_*/{CHECKPOINT}"))
    if not checkpoints:
        raise InputError(f"{root} has no fold_*/{CHECKPOINT}.", hint="Give the folder that nnU-Net v2 trained into.")
    configuration, setup = _configuration(root, plans)
    card = _card(root, plans, dataset, setup, options)
    name = options.name or _plain(f"nnunet-{plans.get('dataset_name', root.parent.name)}-{configuration}")
    written = []
    for checkpoint in checkpoints:
        fold = checkpoint.parent.name.removeprefix("fold_")
        source = (
            f"nnU-Net v2, {root.parent.name}/{root.name}, fold {fold}, checkpoint of sha256 {sha256_file(checkpoint)}"
        )
        own = card.model_copy(update={"name": f"{name}-fold{fold}", "source": source})
        network = build_network(own.network, len(own.sequences), len(own.outputs), dict(own.arguments))
        with torch.serialization.safe_globals(_numbers()):
            state = read_state(checkpoint)
        load_state(
            network,
            {
                f"network.{key.removeprefix('module.').removeprefix('_orig_mod.')}": value
                for key, value in state.items()
            },
            f"architecture in {root.name}/plans.json",
        )
        target = cache_folder() / "weights" / f"{own.name}.safetensors"
        save_weights(target, network, own)
        written.append(target)
    return written


def _card(
    root: Path, plans: Mapping[str, Any], dataset: Mapping[str, Any], setup: Mapping[str, Any], options: NNUNetOptions
) -> WeightsCard:
    """Return the card common to all folds, or raise with everything that stands against the folder."""
    problems: list[str] = []
    sequences = options.sequences or _sequences(dataset, problems)
    outputs, by_region = _outputs(dataset, options.outputs, problems)
    spacing, patch = [float(mm) for mm in setup["spacing"]], [int(n) for n in setup["patch_size"]]
    problems += _refusals(setup, spacing, patch)
    architecture, arguments = _architecture(setup)
    if architecture not in ARCHITECTURES:
        problems.append(f"the architecture '{architecture}' is not one of {', '.join(ARCHITECTURES)}")
    if problems:
        raise InputError(f"{root} cannot be imported:", problems=problems)
    axes = training_axes(options.orientation, plans.get("transpose_forward", [0, 1, 2]))
    order = read_axes(axes)[0]
    stated = " ".join(str(dataset[key]) for key in ("name", "description", "reference") if dataset.get(key))
    return WeightsCard.parse(
        {
            "name": "nnunet",
            "network": "nnunet",
            "arguments": {"architecture": architecture, "axes": axes, "arguments": arguments},
            "sequences": sequences,
            "outputs": outputs,
            "activation": "sigmoid" if by_region else "softmax",
            "spacing_mm": float(np.mean(spacing)),
            "multiple": 1,
            "window": [patch[order.index(axis)] for axis in range(3)],
            "licence": options.licence or str(dataset.get("licence") or dataset.get("license") or UNSTATED),
            "training_data": options.training_data or stated or str(plans.get("dataset_name") or UNSTATED),
        }
    )


def _refusals(setup: Mapping[str, Any], spacing: Sequence[float], patch: Sequence[int]) -> list[str]:
    problems = []
    if len(patch) != 3:
        return ["it is a 2D configuration; 3d_fullres and 3d_lowres are accepted"]
    if setup.get("previous_stage"):
        problems.append(f"it is the second stage of a cascade and needs the masks of '{setup['previous_stage']}'")
    if max(spacing) > _ISOTROPIC * min(spacing):
        problems.append(
            f"its voxels are {' x '.join(f'{mm:g}' for mm in spacing)} mm; only isotropic ones are accepted"
        )
    schemes = sorted(set(setup["normalization_schemes"]))
    if schemes != ["ZScoreNormalization"]:
        problems.append(f"its normalisation is {', '.join(schemes)}; only ZScoreNormalization is accepted")
    elif not all(setup["use_mask_for_norm"]):
        problems.append("its images were normalised over everything (use_mask_for_norm is false), not over the brain")
    return problems


def _sequences(dataset: Mapping[str, Any], problems: list[str]) -> tuple[str, ...]:
    channels = dataset.get("channel_names") or dataset.get("modality") or {}
    names = [str(channels[key]) for key in sorted(channels, key=int)]
    roles = tuple(read_name(name).role for name in names)
    unknown = [name for name, role in zip(names, roles, strict=True) if role not in SEQUENCES]
    if unknown or len(set(roles)) < len(roles) or not roles:
        problems.append(
            f"its channels are called {', '.join(names) or 'nothing'}; say which of {', '.join(SEQUENCES)} they are (--sequences)"
        )
    return roles


def _outputs(dataset: Mapping[str, Any], given: tuple[str, ...], problems: list[str]) -> tuple[tuple[str, ...], bool]:
    """Return the names of the outputs, and whether they are regions that may overlap."""
    labels = {name: value for name, value in dataset.get("labels", {}).items() if name != "ignore"}
    by_region = any(isinstance(value, list) and len(value) > 1 for value in labels.values())
    if by_region:
        members = {name: set(value if isinstance(value, list) else [value]) for name, value in labels.items()}
        names = [name for name, values in members.items() if values != {0}]
    else:
        names = sorted(labels, key=lambda name: int(np.ravel(labels[name])[0]))
    words = _REGION_WORDS if by_region else _CLASS_WORDS
    found = given or tuple(next((key for key, said in words.items() if _words(name) in said), "") for name in names)
    if len(found) != len(names) or "" in found or len(set(found)) < len(found):
        problems.append(
            f"its outputs are called {', '.join(names) or 'nothing'}; say which of {', '.join(words)} they are (--outputs)"
        )
    elif by_region:
        sets = {own: members[name] for own, name in zip(found, names, strict=True)}
        for inner, outer in (("et", "tc"), ("tc", "wt"), ("et", "wt")):
            if inner in sets and outer in sets and not sets[inner] <= sets[outer]:
                problems.append(f"its region '{inner}' is no part of '{outer}'")
    return found, by_region


def _configuration(root: Path, plans: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return the configuration that the folder's name ends with, with what it inherits."""
    known = plans.get("configurations", {})
    name = root.resolve().name.rpartition("__")[2]
    if name not in known:
        raise InputError(
            f"'{name}', the end of the folder's name, is no configuration of its plans: {', '.join(known) or 'none'}.",
            hint="Keep nnU-Net's own name, such as nnUNetTrainer__nnUNetPlans__3d_fullres.",
        )
    setup: dict[str, Any] = {}
    at, seen = name, set()
    while at in known and at not in seen:
        seen.add(at)
        setup = {**known[at], **setup}
        at = known[at].get("inherits_from", "")
    missing = [
        key for key in ("spacing", "patch_size", "normalization_schemes", "use_mask_for_norm") if key not in setup
    ]
    if missing:
        raise InputError(f"The configuration '{name}' in {root.name}/plans.json has no {', '.join(missing)}.")
    return name, setup


def _architecture(setup: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return class name and arguments, also of plans written before nnU-Net 2.5."""
    if "architecture" in setup:
        stated = setup["architecture"]
        return str(stated["network_class_name"]).rpartition(".")[2], dict(stated["arch_kwargs"])
    name = str(setup.get("UNet_class_name", "unknown"))
    if name not in ARCHITECTURES:
        return name, {}
    blocks = setup["n_conv_per_stage_encoder"]
    features = [
        min(setup["UNet_base_num_features"] * 2**stage, setup["unet_max_num_features"]) for stage in range(len(blocks))
    ]
    return name, {
        "n_stages": len(blocks),
        "features_per_stage": features,
        "conv_op": "Conv3d",
        "kernel_sizes": setup["conv_kernel_sizes"],
        "strides": setup["pool_op_kernel_sizes"],
        "n_conv_per_stage" if name == "PlainConvUNet" else "n_blocks_per_stage": blocks,
        "n_conv_per_stage_decoder": setup["n_conv_per_stage_decoder"],
        "conv_bias": True,
        "norm_op": "InstanceNorm3d",
        "norm_op_kwargs": {"eps": 1e-5, "affine": True},
        "nonlin": "LeakyReLU",
        "nonlin_kwargs": {"inplace": True},
    }


def _numbers() -> list[Any]:
    """Return the NumPy types that nnU-Net's checkpoints hold in their training logs; they carry numbers, not code."""
    scalar = np._core.multiarray.scalar  # type: ignore[attr-defined]
    kinds = [type(np.dtype(kind)) for kind in (np.float64, np.float32, np.int64, np.int32, np.bool_)]
    return [(scalar, "numpy.core.multiarray.scalar"), (scalar, "numpy._core.multiarray.scalar"), np.dtype, *kinds]


def _read_json(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read: {error}", hint="Give a results folder of nnU-Net v2.") from error
    if not isinstance(values, dict):
        raise InputError(f"{path} holds a {type(values).__name__}; an object of names and values is accepted.")
    return values


def _words(name: str) -> str:
    plain = " ".join(re.findall(r"[a-z0-9]+", name.lower()))
    return plain.replace("tumour", "tumor").replace("oedema", "edema")


def _plain(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).lower()
