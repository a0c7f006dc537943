from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from radiogen.cohort.table import read_cohort
from radiogen.errors import ConfigError, InputError
from radiogen.segment import names
from radiogen.segment.train_measure import HeldOutDice, predict_whole
from radiogen.segment.train_segmentation import Snapshot, train_segmentation
from radiogen.segment.train_start import starting_network
from radiogen.segment.weights import load_network
from tests.segment.training_data import TINY_UNET, phantom_cohort, tiny


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    return read_cohort(phantom_cohort(tmp_path_factory.mktemp("cohort"), 3))


@pytest.fixture(scope="module")
def trained(cohort: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("trained")
    train_segmentation(cohort, out, tiny(fold=0, n_folds=3))
    return out / "weights.safetensors"


def test_a_network_learns_three_heads_by_heart(cohort: pd.DataFrame, tmp_path: Path) -> None:
    changes = {"data": {"augmentation": "none"}, "epochs": 15, "steps_per_epoch": 12, "validate_every": 15}
    shown: list[Snapshot] = []
    train_segmentation(cohort, tmp_path, tiny(**changes), on_measured=shown.append)
    log = pd.read_csv(tmp_path / "log.csv")
    assert log["loss"].iloc[-1] < 0.3 * log["loss"].iloc[0]
    assert shown[-1].prediction.shape == shown[-1].truth.shape
    found, truth = shown[-1].prediction > 0, shown[-1].truth > 0
    assert 2 * (found & truth).sum() / (found.sum() + truth.sum()) > 0.8


def test_the_card_says_what_the_network_is_and_what_it_scored(trained: Path, cohort: pd.DataFrame) -> None:
    network, card = load_network(trained)
    assert (card.network, card.arguments, card.spacing_mm) == ("unet", TINY_UNET, 6.0)
    assert (card.outputs, card.activation, card.planes) == (("wt", "tc", "et"), "sigmoid", "volume")
    assert card.licence == "unknown - set by the trainer"
    assert card.training_data.startswith("2 cases of 2 patients")
    assert "fold 0 of 3 (1 cases) was held out" in card.training_data
    log = pd.read_csv(trained.parent / "log.csv")
    held_out = card.measured["held_out"]
    assert held_out["unbiased"]
    assert held_out["dice"] == {name: round(float(log[name].iloc[-1]), 4) for name in ("wt", "tc", "et")}
    assert tuple(network(torch.zeros(1, 4, 16, 16, 16)).shape) == (1, 3, 16, 16, 16)


def test_a_finished_training_is_left_alone(trained: Path, cohort: pd.DataFrame) -> None:
    before = trained.stat().st_mtime_ns
    outcome = train_segmentation(cohort, trained.parent, tiny(fold=0, n_folds=3, workers=1))
    assert trained.stat().st_mtime_ns == before
    assert outcome.held_out
    assert len(outcome.trained_on) == 2


def test_weights_without_their_card_are_written_again(trained: Path, cohort: pd.DataFrame) -> None:
    card = trained.with_suffix(".json")
    text = card.read_text()
    card.unlink()
    train_segmentation(cohort, trained.parent, tiny(fold=0, n_folds=3))
    assert json.loads(card.read_text())["sha256"] == json.loads(text)["sha256"]


def test_other_settings_or_data_for_the_same_folder_are_refused(trained: Path, cohort: pd.DataFrame) -> None:
    with pytest.raises(ConfigError, match="holds a training with other settings") as caught:
        train_segmentation(cohort, trained.parent, tiny(fold=0, n_folds=3, epochs=9, optimiser={"learning_rate": 0.5}))
    assert caught.value.problems == [
        "settings.epochs: 2 there, 9 now",
        "settings.optimiser.learning_rate: 0.01 there, 0.5 now",
    ]
    with pytest.raises(ConfigError, match="cases_sha256"):
        train_segmentation(cohort.iloc[::-1].assign(t1n=None), trained.parent, tiny(fold=0, n_folds=3))


def test_labels_are_learned_with_softmax(cohort: pd.DataFrame, tmp_path: Path) -> None:
    changes = {"data": {"targets": "labels"}, "loss": {"name": "dice-ce"}, "epochs": 1, "steps_per_epoch": 1}
    card = train_segmentation(cohort, tmp_path, tiny(**changes)).card
    assert (card.outputs, card.activation) == (("background", "ncr", "ed", "et"), "softmax")


def test_deep_supervision_reaches_the_network_and_its_card(cohort: pd.DataFrame, tmp_path: Path) -> None:
    small = {"init_filters": 4, "blocks_down": [1, 1], "blocks_bottleneck": 1, "blocks_up": [1, 1]}
    network = {"name": "mednext_s", "arguments": small}
    changes = {"network": network, "loss": {"deep_supervision": True}, "epochs": 1, "steps_per_epoch": 1}
    card = train_segmentation(cohort, tmp_path, tiny(**changes)).card
    assert card.arguments["deep_supervision"] is True
    model, _ = load_network(tmp_path / "weights.safetensors")
    assert isinstance(model(torch.zeros(1, 4, 16, 16, 16)), torch.Tensor)
    with pytest.raises(ConfigError, match="deep_supervision"):
        train_segmentation(cohort, tmp_path / "unet", tiny(loss={"deep_supervision": True}))


def _plane_network(in_channels: int, out_channels: int) -> nn.Module:
    return nn.Sequential(nn.Conv2d(in_channels, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, out_channels, 1))


@pytest.mark.parametrize("plane", ["axial", "sagittal"])
def test_a_plane_trains_a_2d_network(
    cohort: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, plane: str
) -> None:
    monkeypatch.setitem(names.NETWORKS._entries, "plane", f"{__name__}:_plane_network")
    changes = {
        "network": {"name": "plane", "arguments": {}},
        "data": {"planes": plane},
        "fold": 0,
        "n_folds": 3,
        "epochs": 1,
    }
    card = train_segmentation(cohort, tmp_path, tiny(**changes)).card
    assert (card.dimension, card.planes) == (2, plane)
    assert set(card.measured["held_out"]["dice"]) == {"wt", "tc", "et"}


def test_training_goes_on_from_given_weights(trained: Path, cohort: pd.DataFrame, tmp_path: Path) -> None:
    given, _ = load_network(trained)
    start = {"network": {"start_from": str(trained)}}
    network = starting_network(tiny(**start), (16, 16, 16))
    assert all(torch.equal(a, b) for a, b in zip(network.parameters(), given.parameters(), strict=True))
    outcome = train_segmentation(cohort, tmp_path, tiny(**start, epochs=1, steps_per_epoch=1))
    assert outcome.card.training_data.endswith("started from weights.safetensors.")


def test_weights_of_another_network_are_refused(trained: Path) -> None:
    start = {"name": "segresnet", "arguments": {}, "start_from": str(trained)}
    with pytest.raises(ConfigError, match="of the network 'unet', the settings name 'segresnet'"):
        starting_network(tiny(network=start), (16, 16, 16))
    with pytest.raises(ConfigError, match="the settings name t1c"):
        starting_network(tiny(network={"start_from": str(trained)}, data={"sequences": ("t1c",)}), (16, 16, 16))
    wider = {"start_from": str(trained), "arguments": {**TINY_UNET, "channels": [8, 16, 64]}}
    with pytest.raises(ConfigError, match="size mismatch"):
        starting_network(tiny(network=wider), (16, 16, 16))


def test_the_last_layers_alone_learn_after_being_drawn_anew(
    trained: Path, cohort: pd.DataFrame, tmp_path: Path
) -> None:
    given = load_network(trained)[0].state_dict()
    tuned = {"start_from": str(trained), "tune": "last-layers", "last_layers": 2, "reinitialise": 2}
    train_segmentation(cohort, tmp_path, tiny(network=tuned, epochs=1))
    after = load_network(tmp_path / "weights.safetensors")[0].state_dict()
    changed = {name.rpartition(".")[0] for name in given if not torch.equal(given[name], after[name])}
    assert len(changed) == 2
    assert all("model.2" in name for name in changed)


def test_made_up_patients_need_no_cohort(tmp_path: Path) -> None:
    changes = {"data": {"source": "domain-randomised", "spacing_mm": 10.0, "patch_size": (16, 16, 16)}, "epochs": 1}
    shown: list[Snapshot] = []
    outcome = train_segmentation(None, tmp_path, tiny(**changes), on_measured=shown.append)
    assert outcome.card.training_data == "Made-up patients drawn as training went, 2 of them; no real patient."
    assert shown[0].case == "made-up"
    assert shown[0].prediction.shape == (16, 16, 16)
    with pytest.raises(ConfigError, match="Set steps_per_epoch"):
        train_segmentation(None, tmp_path / "endless", tiny(**changes, steps_per_epoch=None))


def test_a_cohort_beside_made_up_patients_is_measured_on(cohort: pd.DataFrame, tmp_path: Path) -> None:
    changes = {"data": {"source": "domain-randomised", "patch_size": (16, 16, 16)}, "epochs": 1}
    outcome = train_segmentation(cohort, tmp_path, tiny(**changes))
    assert outcome.trained_on == []
    assert len(outcome.held_out) == 3
    assert "Measured on 3 cases" in outcome.card.training_data
    with pytest.raises(ConfigError, match="whole cohort is held out"):
        train_segmentation(cohort, tmp_path / "fold", tiny(**changes, fold=0))


def test_a_cohort_is_needed_otherwise(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="A cohort table is needed"):
        train_segmentation(None, tmp_path, tiny())


class _Copy(nn.Module):
    """Says where the first channel is bright."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.scale * (x[:, :1].expand(-1, 3, *[-1] * (x.ndim - 2)) - 0.5)


@pytest.mark.parametrize(
    ("planes", "patch"), [("volume", (8, 8, 8)), ("volume", (32, 32, 32)), ("coronal", (16, 1, 16))]
)
def test_whole_volumes_come_back_in_place(planes: str, patch: tuple[int, int, int]) -> None:
    image = torch.rand(4, 13, 18, 11, generator=torch.Generator().manual_seed(0))
    logits = predict_whole(_Copy().eval(), image, patch, planes)
    assert logits.shape == (3, 13, 18, 11)
    assert torch.allclose(logits[1], image[0] - 0.5, atol=1e-5)


def test_held_out_dice_is_the_mean_over_cases(tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    from radiogen.config.train import DataSettings
    from radiogen.segment.train_cases import TrainingCase

    cases = []
    for number, shift in enumerate((0, 2)):
        labels = np.zeros((12, 12, 12), np.uint8)
        labels[2:6, 2:6, 2:6] = 3
        image = np.roll(labels > 0, shift, axis=0)[None].repeat(4, 0).astype(np.float16)
        path = tmp_path / f"{number}.safetensors"
        save_file({"image": image, "labels": labels}, path)
        cases.append(TrainingCase(str(number), str(path), (12, 12, 12), 1.0, ""))
    scores = HeldOutDice(cases, DataSettings(), (12, 12, 12))(_Copy().eval())
    assert scores == pytest.approx({"wt": 0.75, "tc": 0.75, "et": 0.75, "mean": 0.75})
