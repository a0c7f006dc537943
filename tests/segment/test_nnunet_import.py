"""A made-up results folder of nnU-Net v2 gives the numbers of nnU-Net's own network."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from radiogen.config.segment import SegmentSettings
from radiogen.errors import InputError
from radiogen.segment.inputs import prepare_channels
from radiogen.segment.names import NETWORKS
from radiogen.segment.network import NetworkMethod
from radiogen.segment.nnunet_import import NNUNetOptions, import_nnunet, is_nnunet_folder
from radiogen.segment.weights import find_weights, load_network
from tests.segment.data import made_up_case

unet = pytest.importorskip(
    "dynamic_network_architectures.architectures.unet", reason="needs the extra: pip install 'radiogen[nnunet]'"
)

REGIONS = {"background": 0, "whole tumor": [1, 2, 3], "tumor core": [2, 3], "enhancing tumor": [3]}
CLASSES = {"background": 0, "peritumoral edema": 1, "necrotic core": 2, "enhancing tumor": 3}
PATCH = (32, 40, 48)
"""In nnU-Net's axes, here S P L."""


def architecture(kind: str = "PlainConvUNet") -> dict[str, Any]:
    blocks = {"n_conv_per_stage": [1, 1, 1]} if kind == "PlainConvUNet" else {"n_blocks_per_stage": [1, 1, 1]}
    return {
        "network_class_name": f"dynamic_network_architectures.architectures.unet.{kind}",
        "arch_kwargs": {
            "n_stages": 3, "features_per_stage": [4, 6, 8], "conv_op": "torch.nn.modules.conv.Conv3d",
            "kernel_sizes": [[1, 3, 3], [3, 3, 3], [3, 3, 3]], "strides": [[1, 1, 1], [1, 2, 2], [2, 2, 2]], **blocks,
            "n_conv_per_stage_decoder": [1, 1], "conv_bias": True, "norm_op": "torch.nn.modules.instancenorm.InstanceNorm3d",
            "norm_op_kwargs": {"eps": 1e-05, "affine": True}, "dropout_op": None, "dropout_op_kwargs": None,
            "nonlin": "torch.nn.LeakyReLU", "nonlin_kwargs": {"inplace": True},
        },
        "_kw_requires_import": ["conv_op", "norm_op", "dropout_op", "nonlin"],
    }  # fmt: skip


def network_of(stated: dict[str, Any], heads: int, seed: int) -> torch.nn.Module:
    """The network as nnU-Net's trainer builds it, deep supervision and all."""
    parts = {"conv_op": torch.nn.Conv3d, "norm_op": torch.nn.InstanceNorm3d, "nonlin": torch.nn.LeakyReLU}
    kind = getattr(unet, stated["network_class_name"].rpartition(".")[2])
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network: torch.nn.Module = kind(
            input_channels=4, num_classes=heads, deep_supervision=True, **{**stated["arch_kwargs"], **parts}
        )
    return network


def results_folder(
    root: Path,
    labels: dict[str, Any] = REGIONS,
    folds: tuple[str, ...] = ("0",),
    kind: str = "PlainConvUNet",
    **setup: Any,
) -> tuple[Path, list[torch.nn.Module]]:
    folder = root / "Dataset137_BraTS" / "nnUNetTrainer__nnUNetPlans__3d_fullres"
    configuration = {
        "patch_size": list(PATCH), "spacing": [2.0, 2.0, 2.0], "normalization_schemes": ["ZScoreNormalization"] * 4,
        "use_mask_for_norm": [True] * 4, "architecture": architecture(kind), **setup,
    }  # fmt: skip
    plans = {
        "dataset_name": "Dataset137_BraTS", "plans_name": "nnUNetPlans", "transpose_forward": [0, 1, 2],
        "configurations": {"3d_fullres": configuration},
    }  # fmt: skip
    dataset = {
        "channel_names": {"0": "T1", "1": "T1ce", "2": "T2", "3": "FLAIR"}, "labels": labels, "numTraining": 3,
        "regions_class_order": [1, 2, 3], "file_ending": ".nii.gz", "licence": "CC-BY-4.0", "name": "made up",
    }  # fmt: skip
    networks = []
    for fold in folds:
        (folder / f"fold_{fold}").mkdir(parents=True)
        networks.append(network_of(architecture(kind), 3 if labels is REGIONS else 4, seed=len(networks)))
        checkpoint = {
            "network_weights": networks[-1].state_dict(), "optimizer_state": {}, "grad_scaler_state": None, "current_epoch": 1000,
            "logging": {"mean_fg_dice": [np.float64(0.5), np.float32(0.4)], "epoch_end_timestamps": [1.0]}, "_best_ema": np.float64(0.9),
            "init_args": {"configuration": "3d_fullres", "fold": 0, "device": torch.device("cpu")},
            "trainer_name": "nnUNetTrainer", "inference_allowed_mirroring_axes": (0, 1, 2),
        }  # fmt: skip
        torch.save(checkpoint, folder / f"fold_{fold}" / "checkpoint_final.pth")
    (folder / "plans.json").write_text(json.dumps(plans))
    (folder / "dataset.json").write_text(json.dumps(dataset))
    return folder, networks


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RADIOGEN_CACHE", str(tmp_path / "cache"))
    if "nnunet" not in NETWORKS:
        monkeypatch.setitem(NETWORKS._entries, "nnunet", "radiogen.segment.nnunet_network:NNUNet")


def direct(network: torch.nn.Module, box: torch.Tensor) -> torch.Tensor:
    """The network on arrays as SimpleITK reads a file that is stored L P S, padded evenly to the patch (an odd voxel in front where mirrored)."""
    array = torch.flip(box, [1, 2]).permute(0, 3, 2, 1)  # R A S -> L P S -> S P L
    mirrored = (0, 1, 1)
    before = [(full - side + odd) // 2 for full, side, odd in zip(PATCH, array.shape[1:], mirrored, strict=True)]
    padded = torch.zeros(len(box), *PATCH)
    place = tuple(slice(start, start + side) for start, side in zip(before, array.shape[1:], strict=True))
    padded[(slice(None), *place)] = array
    with torch.inference_mode():
        logits = network.eval()(padded[None])[0][0]
    return torch.flip(logits[(slice(None), *place)].permute(0, 3, 2, 1), [1, 2])


@pytest.mark.parametrize("kind", ["PlainConvUNet", "ResidualEncoderUNet"])
def test_regions_of_a_folder_are_those_of_its_own_network(tmp_path: Path, kind: str) -> None:
    folder, networks = results_folder(tmp_path, kind=kind)
    assert is_nnunet_folder(folder)
    (path,) = import_nnunet(folder)
    assert path == find_weights("nnunet-dataset137_brats-3d_fullres-fold0")
    card = load_network(path)[1]
    assert (card.sequences, card.outputs, card.activation) == (
        ("t1n", "t1c", "t2w", "t2f"),
        ("wt", "tc", "et"),
        "sigmoid",
    )
    assert (card.window, card.spacing_mm, card.licence) == ((48, 40, 32), 2.0, "CC-BY-4.0")
    case = made_up_case()
    settings = SegmentSettings(weights=str(path), device="cpu", precision="float32", save_probabilities=True)
    found = NetworkMethod(settings)(case).probabilities
    item = prepare_channels(case, card.sequences, 2.0)
    expected = direct(networks[0], item.channels).sigmoid().numpy()
    for region, own in zip(card.outputs, expected, strict=True):
        assert np.abs(found[region][item.box] - own).max() < 1e-5
        assert own.std() > 1e-3  # the comparison is about something


def test_classes_become_softmax_and_folds_become_several_weights(tmp_path: Path) -> None:
    folder, networks = results_folder(tmp_path, labels=CLASSES, folds=("0", "1"))
    paths = import_nnunet(folder, NNUNetOptions(name="mine", licence="CC0-1.0"))
    assert [path.stem for path in paths] == ["mine-fold0", "mine-fold1"]
    card = load_network(paths[0])[1]
    assert (card.outputs, card.activation) == (("background", "ed", "ncr", "et"), "softmax")
    case = made_up_case()
    settings = SegmentSettings(
        weights=tuple(str(path) for path in paths), device="cpu", precision="float32", save_probabilities=True
    )
    found = NetworkMethod(settings)(case).probabilities
    item = prepare_channels(case, card.sequences, 2.0)
    both = [direct(network, item.channels).softmax(0).numpy() for network in networks]
    assert np.abs(found["tc"][item.box] - np.mean([p[2] + p[3] for p in both], axis=0)).max() < 1e-5


def test_everything_that_stands_against_a_folder_is_said_at_once(tmp_path: Path) -> None:
    folder, _ = results_folder(
        tmp_path,
        spacing=[3.0, 1.0, 1.0],
        previous_stage="3d_lowres",
        normalization_schemes=["CTNormalization"] * 4,
        architecture={"network_class_name": "somewhere.Else", "arch_kwargs": {}},
    )
    with pytest.raises(InputError) as caught:
        import_nnunet(folder)
    for word in ("cascade", "isotropic", "CTNormalization", "'Else'"):
        assert word in str(caught.value)
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize(
    ("changes", "said"),
    [({"use_mask_for_norm": [False] * 4}, "use_mask_for_norm"), ({"patch_size": [64, 64], "spacing": [1, 1]}, "2D")],
)
def test_configurations_that_are_fed_otherwise_are_refused(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    folder, _ = results_folder(tmp_path, **changes)
    with pytest.raises(InputError, match=said):
        import_nnunet(folder)


def test_names_of_ones_own_are_asked_for_and_taken(tmp_path: Path) -> None:
    folder, _ = results_folder(tmp_path, labels={"background": 0, "a": 1, "b": 2, "c": 3})
    dataset = json.loads((folder / "dataset.json").read_text())
    (folder / "dataset.json").write_text(json.dumps({**dataset, "channel_names": {str(n): f"x{n}" for n in range(4)}}))
    with pytest.raises(InputError, match=r"x0, x1, x2, x3.*--sequences(.|\n)*--outputs"):
        import_nnunet(folder)
    given = NNUNetOptions(sequences=("t2f", "t1n", "t1c", "t2w"), outputs=("background", "ncr", "ed", "et"))
    card = load_network(import_nnunet(folder, given)[0])[1]
    assert card.sequences == given.sequences
    assert card.outputs == given.outputs


def test_regions_that_do_not_nest_are_refused(tmp_path: Path) -> None:
    folder, _ = results_folder(tmp_path)
    dataset = json.loads((folder / "dataset.json").read_text())
    dataset["labels"]["tumor core"] = [1, 2]
    (folder / "dataset.json").write_text(json.dumps(dataset))
    with pytest.raises(InputError, match="'et' is no part of 'tc'"):
        import_nnunet(folder)


def test_folders_without_checkpoints_or_with_others_tensors_are_refused(tmp_path: Path) -> None:
    folder, _ = results_folder(tmp_path)
    checkpoint = folder / "fold_0" / "checkpoint_final.pth"
    torch.save({"network_weights": {"encoder.weight": torch.ones(1)}}, checkpoint)
    with pytest.raises(InputError, match="do not fit"):
        import_nnunet(folder)
    checkpoint.unlink()
    with pytest.raises(InputError, match="fold_"):
        import_nnunet(folder)
    (folder / "plans.json").write_text("{")
    with pytest.raises(InputError, match=r"plans\.json cannot be read"):
        import_nnunet(folder)


def test_plans_of_older_versions_give_the_same_network(tmp_path: Path) -> None:
    folder, _ = results_folder(tmp_path)
    plans = json.loads((folder / "plans.json").read_text())
    setup = plans["configurations"]["3d_fullres"]
    stated = setup.pop("architecture")["arch_kwargs"]
    setup |= {
        "UNet_class_name": "PlainConvUNet", "UNet_base_num_features": 4, "unet_max_num_features": 6,
        "n_conv_per_stage_encoder": [1, 1, 1], "n_conv_per_stage_decoder": [1, 1],
        "conv_kernel_sizes": stated["kernel_sizes"], "pool_op_kernel_sizes": stated["strides"],
    }  # fmt: skip
    stated["features_per_stage"] = [4, 6, 6]
    (folder / "plans.json").write_text(json.dumps(plans))
    old = network_of({**architecture(), "arch_kwargs": stated}, 3, seed=5)
    torch.save({"network_weights": old.state_dict()}, folder / "fold_0" / "checkpoint_final.pth")
    ours = load_network(import_nnunet(folder)[0])[0]
    image = torch.randn(4, 16, 16, 16, generator=torch.Generator().manual_seed(0))
    array = torch.flip(image, [1, 2]).permute(0, 3, 2, 1)
    with torch.inference_mode():
        expected = torch.flip(old.eval()(array[None])[0][0].permute(0, 3, 2, 1), [1, 2])
        assert torch.allclose(ours(image[None])[0], expected, atol=1e-6)
