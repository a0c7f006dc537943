"""Classifiers on images in files: they come back as they were, and name nobody."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file, save_file
from torchvision import models

from radiogen.branches.embedding.image_network import build_image_network
from radiogen.branches.embedding.image_summary import MEASURES, summary_of
from radiogen.branches.embedding.model import ImageClassifier, Member
from radiogen.branches.embedding.saved import load_classifier, save_classifier
from radiogen.errors import InputError
from radiogen.resources import sha256_file
from tests.branches.embedding.planted import planted_cohort, tiny_model


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    return planted_cohort(tmp_path_factory.mktemp("two"), 12, seed=1, sequences=("t1c", "t2f"))


KINDS: dict[str, dict[str, Any]] = {
    "score-mean": {"score_weights": [1, 3], "test_flips": "i"},
    "locally-connected": {"frozen": True, "standardise": True, "hidden": [4]},
}


@pytest.mark.parametrize("fusion", KINDS)
def test_a_classifier_comes_back_as_it_was(fusion: str, pairs: pd.DataFrame, tmp_path: Path) -> None:
    settings = tiny_model(fusion=fusion, sequences=["t1c", "t2f"], epochs=1, arguments={"widths": [4]}, **KINDS[fusion])
    cache = tmp_path / "cache"
    classifier = ImageClassifier(settings, cache_folder=cache).fit(pairs, pairs["mgmt"].to_numpy(dtype=np.int64))
    files = save_classifier(tmp_path / "one", classifier)
    again = load_classifier(tmp_path / "one", device="cpu", cache_folder=cache)
    table = pairs.copy()
    table.loc["case003", "t1c"] = None
    np.testing.assert_array_equal(classifier.predict_proba(table), again.predict_proba(table))
    assert [member.best_epoch for member in again.members_] == [member.best_epoch for member in classifier.members_]
    for file, copy in zip(files, save_classifier(tmp_path / "two", classifier), strict=True):
        assert sha256_file(file) == sha256_file(copy)
        assert b"case0" not in file.read_bytes()
    shown = classifier.intensities(table)
    assert shown.columns.tolist() == [f"{name}_{measure}" for name in ("t1c", "t2f") for measure in MEASURES]
    assert shown.loc["case003"].isna().tolist() == [True] * len(MEASURES) + [False] * len(MEASURES)


def test_inflated_weights_are_not_needed_again(tmp_path: Path) -> None:
    torch.manual_seed(0)
    save_file(models.efficientnet_b0(weights=None).state_dict(), tmp_path / "flat.safetensors")
    settings = tiny_model(
        network="efficientnet3d-b0", arguments={"inflation": "mean"}, weights=str(tmp_path / "flat.safetensors")
    )
    classifier = ImageClassifier(settings)
    network = build_image_network(settings, ("t2f",), 0)
    classifier.members_ = [Member(("t2f",), network, [], 1, ())]
    save_classifier(tmp_path / "model", classifier)
    (tmp_path / "flat.safetensors").unlink()
    again = load_classifier(tmp_path / "model", device="cpu").members_[0].network
    volumes = torch.rand(1, 1, 32, 32, 16)
    with torch.no_grad():
        torch.testing.assert_close(network(volumes), again(volumes), rtol=0, atol=0)


def test_what_is_not_whole_is_refused(pairs: pd.DataFrame, tmp_path: Path) -> None:
    settings = tiny_model(arguments={"widths": [4]})
    classifier = ImageClassifier(settings)
    classifier.members_ = [Member(("t2f",), build_image_network(settings, ("t2f",), 0), [], 1, ())]
    save_classifier(tmp_path / "whole", classifier)
    shutil.copytree(tmp_path / "whole", tmp_path / "lacks")
    (tmp_path / "lacks" / "network-0.safetensors").unlink()
    shutil.copytree(tmp_path / "whole", tmp_path / "other")
    state = load_file(tmp_path / "other" / "network-0.safetensors")
    state.pop(next(iter(state)))
    save_file(state, tmp_path / "other" / "network-0.safetensors")
    (tmp_path / "whole" / "classifier.json").write_text("{")
    for folder in ("whole", "lacks", "other", "nowhere"):
        with pytest.raises(InputError, match="no classifier on images that can be read"):
            load_classifier(tmp_path / folder)


def test_the_summary_of_a_case_has_the_numbers_of_its_voxels() -> None:
    rng = np.random.default_rng(0)
    volume = np.zeros((10, 10, 10), np.float32)
    volume[2:8, 2:8, 2:8] = rng.normal(5, 2, (6, 6, 6))
    found = summary_of(np.stack([volume, np.zeros_like(volume)]), ("t1c", "t2f"))
    inside = volume[volume != 0].astype(float)
    assert found["t1c_mean"] == pytest.approx(inside.mean())
    assert found["t1c_high"] == pytest.approx(np.percentile(inside, 95))
    assert found["t1c_filled"] == pytest.approx(0.216)
    assert np.isnan([found[f"t2f_{measure}"] for measure in MEASURES]).all()
    smooth = np.broadcast_to(np.linspace(1, 2, 10, dtype=np.float32), (10, 10, 10))
    ramp = summary_of(np.ascontiguousarray(smooth)[None], ("t1c",))
    assert ramp["t1c_roughness"] == pytest.approx((1 / 9 / 3) / smooth.std(), rel=1e-5)
