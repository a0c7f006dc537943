from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone

from radiogen.branches.embedding.image_network import Head, build_image_network
from radiogen.branches.embedding.image_training import inner_split
from radiogen.branches.embedding.model import ImageClassifier
from radiogen.config.embedding_model import EmbeddingModelSettings
from radiogen.errors import CaseError, ConfigError, InputError
from radiogen.stats.auc import auc
from tests.branches.embedding.planted import planted_cohort, tiny_model

N_TRAIN = 40


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("planted")


@pytest.fixture(scope="module")
def cohort(folder: Path) -> pd.DataFrame:
    return planted_cohort(folder / "one", 60)


@pytest.fixture(scope="module")
def pairs(folder: Path) -> pd.DataFrame:
    """Cases with two sequences; the label shows in t2f only."""
    return planted_cohort(folder / "two", 40, seed=1, sequences=("t1c", "t2f"))


def labels(table: pd.DataFrame) -> np.ndarray:
    return table["mgmt"].to_numpy(dtype=np.int64)


def fitted(table: pd.DataFrame, folder: Path, **changes: Any) -> ImageClassifier:
    return ImageClassifier(tiny_model(**changes), cache_folder=folder / "cache").fit(table, labels(table))


def weights_of(classifier: ImageClassifier) -> list[np.ndarray]:
    return [tensor.numpy() for member in classifier.members_ for tensor in member.network.state_dict().values()]


def same(first: ImageClassifier, second: ImageClassifier) -> bool:
    pairs = zip(weights_of(first), weights_of(second), strict=True)
    return all(np.array_equal(one, other, equal_nan=True) for one, other in pairs)


ADAM = {"name": "adam", "weight_decay": 0.0, "schedule": "constant"}
FINE = {"centre": "brain", "shape": [32, 32, 32], "voxel_size_mm": [0.6, 0.6, 0.6]}

NETWORKS: dict[str, dict[str, Any]] = {
    "cnn3d": {},
    "efficientnet3d-b0": {
        "arguments": {},
        "input": FINE,
        "batch_size": 7,
        "epochs": 3,
        "norm_momentum": 0.5,
        "validation_share": 0.0,
        "optimiser": {**ADAM, "learning_rate": 3e-3},
    },
    "slice-cnn": {
        "arguments": {},
        "input": {"centre": "tumour", "shape": [48, 48, 1], "voxel_size_mm": [0.4, 0.4, 1.0]},
        "epochs": 8,
        "optimiser": {**ADAM, "learning_rate": 1e-3},
    },
    "c3d": {
        "arguments": {"packing": "grey"},
        "fusion": "locally-connected",
        "input": {**FINE, "shape": [24, 24, 16], "voxel_size_mm": [0.8, 0.8, 1.2]},
        "frozen": True,
        "standardise": True,
        "hidden": [16],
        "epochs": 25,
        "optimiser": {**ADAM, "learning_rate": 1e-3},
    },
}


@pytest.mark.parametrize("network", NETWORKS)
def test_a_network_finds_a_planted_signal_in_cases_it_never_saw(
    network: str, cohort: pd.DataFrame, folder: Path
) -> None:
    classifier = fitted(cohort[:28], folder, network=network, **NETWORKS[network])
    held_out = cohort[44:]
    assert auc(labels(held_out), classifier.predict_proba(held_out)[:, 1]) > 0.9


def test_shuffled_labels_stay_at_chance(cohort: pd.DataFrame, folder: Path) -> None:
    # Half of either kind has the wrong label. 20 held-out cases: an AUC's standard deviation is 0.13, the bounds are two of them.
    wrong = np.tile([0, 0, 1, 1], len(cohort) // 4)
    scores = []
    for seed in range(2):
        settings = tiny_model(seed=seed, epochs=4)
        classifier = ImageClassifier(settings, cache_folder=folder / "cache").fit(cohort[:N_TRAIN], wrong[:N_TRAIN])
        scores.append(auc(wrong[N_TRAIN:], classifier.predict_proba(cohort[N_TRAIN:])[:, 1]))
    assert 0.24 < float(np.mean(scores)) < 0.76


def test_the_same_seed_gives_the_same_weights_and_another_one_others(cohort: pd.DataFrame, folder: Path) -> None:
    changes: dict[str, Any] = {
        "epochs": 2,
        "dropout": 0.3,
        "augmentation": {"flips": "ij", "right_angles": True, "rotation_degrees": 10.0, "brightness": 0.1, "noise_sd": 0.1},
    }  # fmt: skip
    first = fitted(cohort[:N_TRAIN], folder, **changes)
    torch.rand(3)  # what others draw in between must not matter
    assert same(first, fitted(cohort[:N_TRAIN], folder, **changes))
    assert not same(first, fitted(cohort[:N_TRAIN], folder, seed=1, **changes))
    again = clone(first).fit(cohort[:N_TRAIN], labels(cohort[:N_TRAIN]))
    test = cohort[N_TRAIN:]
    np.testing.assert_array_equal(first.predict_proba(test), again.predict_proba(test))


def test_what_a_case_gets_does_not_depend_on_who_else_is_asked(cohort: pd.DataFrame, folder: Path) -> None:
    classifier = fitted(cohort[:N_TRAIN], folder, epochs=1, test_flips="ij")
    together = classifier.predict_proba(cohort[N_TRAIN:])
    alone = np.concatenate([classifier.predict_proba(cohort.iloc[[row]]) for row in range(N_TRAIN, len(cohort))])
    np.testing.assert_array_equal(together, alone)
    np.testing.assert_allclose(together.sum(axis=1), 1)


def test_the_best_epoch_of_an_inner_fold_of_whole_patients_is_kept(cohort: pd.DataFrame, folder: Path) -> None:
    table = cohort[:N_TRAIN].assign(patient=[f"p{number // 4}" for number in range(N_TRAIN)])
    y = np.array([number // 4 % 2 for number in range(N_TRAIN)])  # one label per patient
    classifier = ImageClassifier(tiny_model(epochs=6, patience=2), cache_folder=folder / "cache").fit(table, y)
    member = classifier.members_[0]
    held_out = table.loc[list(member.held_out), "patient"]
    assert 0 < len(held_out) < N_TRAIN
    assert not set(held_out) & set(table.drop(index=held_out.index)["patient"])
    losses = [row["held_out_loss"] for row in member.log]
    assert member.best_epoch == 1 + int(np.argmin(losses))
    assert len(losses) == 6 or len(losses) == member.best_epoch + 2
    probability = classifier.predict_proba(table.loc[held_out.index])[:, 1]
    truth = pd.Series(y, table.index)[held_out.index].to_numpy()
    loss = -np.mean(np.log(np.where(truth == 1, probability, 1 - probability)))
    assert loss == pytest.approx(min(losses), rel=1e-4)


def test_of_epochs_with_the_same_auc_the_one_with_the_lower_loss_is_kept(cohort: pd.DataFrame, folder: Path) -> None:
    member = fitted(cohort[:N_TRAIN], folder, choose_by="auc", epochs=7).members_[0]
    ranks = [(-row["held_out_auc"], row["held_out_loss"]) for row in member.log]
    assert len({row["held_out_auc"] for row in member.log}) < len(ranks)  # there were equals
    assert member.best_epoch == 1 + ranks.index(min(ranks)) != 1 + [auc for auc, _ in ranks].index(min(ranks)[0])
    assert all(row["loss"] > 0 for row in member.log)


@pytest.mark.parametrize("frozen", [False, True])
def test_no_test_case_reaches_the_training(cohort: pd.DataFrame, folder: Path, tmp_path: Path, frozen: bool) -> None:
    changes: dict[str, Any] = {"epochs": 3, "frozen": frozen, "standardise": frozen}
    train, test = cohort[:N_TRAIN], cohort[N_TRAIN:]
    classifier = ImageClassifier(tiny_model(**changes), cache_folder=folder / "cache")
    classifier.prepare(cohort)
    classifier.fit(train, labels(train))
    noise = planted_cohort(tmp_path / "noise", len(test), seed=99).set_axis(test.index).assign(mgmt=0.0)
    other = ImageClassifier(tiny_model(**changes), cache_folder=tmp_path / "cache")
    other.prepare(pd.concat([train, noise]))
    other.fit(train, labels(train))
    assert same(classifier, other)


def test_a_mean_of_scores_leaves_missing_sequences_out(pairs: pd.DataFrame, folder: Path) -> None:
    train, test = pairs[:32], pairs[32:].copy()
    classifier = fitted(train, folder, sequences=["t1c", "t2f"], fusion="score-mean", score_weights=[1, 3], epochs=3)
    whole = classifier.predict_proba(test)[:, 1]
    only_t2f = classifier.predict_proba(test.assign(t1c=None))[:, 1]
    only_t1c = classifier.predict_proba(test.assign(t2f=None))[:, 1]
    np.testing.assert_allclose(whole, (only_t1c + 3 * only_t2f) / 4, rtol=1e-6)
    with pytest.raises(CaseError, match="none of t1c, t2f"):
        classifier.predict_proba(test.assign(t1c=None, t2f=None))


@pytest.mark.parametrize("fusion", ["early", "late", "locally-connected", "score-mean"])
def test_every_fusion_learns_and_takes_a_missing_sequence(fusion: str, pairs: pd.DataFrame, folder: Path) -> None:
    frozen = fusion == "locally-connected"
    classifier = fitted(
        pairs[:32], folder, sequences=["t1c", "t2f"], fusion=fusion, hidden=[8], epochs=25 if frozen else 8,
        frozen=frozen, standardise=frozen,
    )  # fmt: skip
    test = pairs[32:]
    assert auc(labels(test), classifier.predict_proba(test)[:, 1]) > 0.9
    assert np.isfinite(classifier.predict_proba(test.assign(t1c=None))).all()


def test_random_crops_are_of_the_networks_size_and_frozen_copies_are_kept(cohort: pd.DataFrame, folder: Path) -> None:
    changes = {"flips": "ij", "crop_margin": [2, 2, 2], "noise_sd": 0.1}
    classifier = fitted(cohort[:24], folder, frozen=True, copies=2, epochs=2, augmentation=changes)
    assert classifier.spec_.shape == (16, 16, 16)
    kept = {path.parent for path in (folder / "cache").glob("vectors-*/*.npy") if np.load(path).shape[0] == 3}
    assert len(kept) == 1
    assert classifier.predict_proba(cohort[:2]).shape == (2, 2)


def test_balanced_classes_weigh_the_same() -> None:
    from radiogen.branches.embedding.image_training import loss_of

    y = np.array([0, 0, 0, 1])
    loss = loss_of(tiny_model(class_weight="balanced"), y)
    logits = torch.zeros(4, 1, requires_grad=True)
    loss(logits, torch.tensor(y, dtype=torch.float32)[:, None]).backward()
    assert logits.grad is not None
    assert logits.grad.sum().item() == pytest.approx(0, abs=1e-7)


def test_the_head_standardises_by_what_is_there() -> None:
    head = Head(2, 2, (), 0.0)
    vectors = torch.tensor([[[1.0, 5.0], [2.0, 5.0]], [[3.0, 5.0], [0.0, 0.0]]])
    head.standardise(vectors)
    assert head.mean[0].tolist() == [2.0, 5.0]
    assert head.mean[1].tolist() == [2.0, 5.0]  # the zeros of a missing sequence do not count
    assert head.deviation[0, 0].item() == pytest.approx(1.0)
    assert bool(head.deviation[:, 1].isinf().all())


def test_problems_are_said_in_words(cohort: pd.DataFrame, folder: Path) -> None:
    with pytest.raises(InputError, match="smaller class has 1 patient"):
        ImageClassifier(tiny_model(), cache_folder=folder / "cache").fit(cohort[:6], np.array([1, 0, 0, 0, 0, 0]))
    broken = cohort[:8].assign(t2f="nowhere.nii")
    with pytest.raises(CaseError, match="cannot be prepared"):
        fitted(broken, folder)
    with pytest.raises(ConfigError, match="looks at one sequence"):
        tiny_model(sequences=["t1c", "t2f"])
    flat = tiny_model(network="slice-cnn", arguments={}, input={}, augmentation={"rotation_degrees": 5.0})
    with pytest.raises(ConfigError, match="Single slices"):
        fitted(cohort[:8], folder, **flat.model_dump(exclude_unset=True))
    failures = ImageClassifier(tiny_model(), cache_folder=folder / "cache").prepare(cohort[:2].assign(t2f=None))
    assert [failure.case for failure in failures] == list(cohort.index[:2])


def test_the_published_locally_connected_classifier_has_its_size() -> None:
    with torch.device("meta"):
        head = Head(8192, 4, (256, 128), 0.5)
    assert sum(weight.numel() for weight in head.parameters()) == 2_171_393


def test_only_the_head_of_a_frozen_network_can_learn() -> None:
    network = build_image_network(tiny_model(frozen=True), ("t2f",), 0)
    assert not any(weight.requires_grad for weight in network.backbone.parameters())
    assert all(weight.requires_grad for weight in network.head.parameters())


def test_an_inner_fold_holds_both_classes() -> None:
    y = np.array([0] * 30 + [1] * 4)
    learn, held = inner_split(np.array([f"p{row}" for row in range(34)], dtype=object), y, 0.2, 3)
    assert set(y[held]) == {0, 1} == set(y[learn])
    assert not set(learn) & set(held)
    assert inner_split(np.arange(4).astype(object), np.array([0, 1, 0, 1]), 0.0, 0)[1].size == 0


def test_settings_refuse_what_does_nothing() -> None:
    with pytest.raises(ConfigError, match="frozen"):
        EmbeddingModelSettings.parse({"copies": 3})
