from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from radiogen.config.recipes import Recipe
from radiogen.errors import ConfigError
from radiogen.segment import recipe_table
from radiogen.segment.names import NETWORKS
from radiogen.segment.networks import build_network
from radiogen.segment.recipe_table import list_recipes, read_recipe, recipe_text
from radiogen.training.losses import build_loss
from radiogen.training.names import LOSSES, OPTIMISERS
from radiogen.training.optimisers import build_optimiser
from tests.segment.small import small_training

CORE = {"mednext-africa", "africa-ensemble", "multiplane-unetpp", "nnunet-regions-topk", "resunet", "residual-unet-localised", "segresnet-vae",
        "swin-unetr", "unet3d", "residual-unet3d"}  # fmt: skip

NAMES = [recipe.name for recipe in list_recipes()]
# Trainings that differ from another only in seed, plane, optimiser or recipe learn the same way: one of them is enough here.
TRAININGS = {
    f"{small.network}{small.loss}{len(small.data.sequences)}{small.data.targets}{small.data.regions}": (
        recipe.name,
        training.name,
    )
    for recipe in list_recipes()
    for training in recipe.trainings
    for small in [small_training(training.settings)]
}
MINIMAL: dict[str, Any] = {
    "name": "mine", "title": "Mine", "kind": "segmentation", "method_entry": "none", "paper": {"title": "none"}, "differs": ["everything"],
    "trainings": [{"name": "a"}], "inference": {"networks": ["a"]},
}  # fmt: skip


def test_the_core_papers_are_there() -> None:
    assert set(NAMES) >= CORE


@pytest.mark.parametrize("name", NAMES)
def test_a_recipe_names_registered_parts_and_says_what_differs(name: str) -> None:
    recipe = read_recipe(name)
    assert recipe.kind == "segmentation"
    ours = (
        recipe.name == "domain-randomised"
    )  # no published segmentation method: it has no entry and no figures of a paper
    assert recipe.method_entry.startswith("none" if ours else "part-")
    assert len(recipe.differs) >= 2
    assert bool(recipe.reported) != ours
    for item in recipe.reported:
        assert any(value is not None for key, value in item.model_dump().items() if key.startswith("dice_"))
    for training in recipe.trainings:
        assert training.settings.network.name in NETWORKS
        assert training.settings.loss.name in LOSSES
        assert training.settings.optimiser.name in OPTIMISERS
        assert training.settings.data.source == ("domain-randomised" if ours else "cohort")
        assert training.settings.network.start_from is None  # a path is the user's to give; a recipe names a training
        supervised = bool(training.settings.network.arguments.get("deep_supervision"))
        assert training.settings.loss.deep_supervision == supervised
        assert training.settings.network.arguments.get("spatial_dims", 3) == (
            3 if training.settings.data.planes == "volume" else 2
        )


@pytest.mark.parametrize(("name", "training"), TRAININGS.values())
def test_every_network_of_every_recipe_learns_its_own_loss(name: str, training: str) -> None:
    given = read_recipe(name).training(training).settings
    settings = small_training(given)
    data = settings.data
    channels = {"regions": len(data.regions), "labels": 5 if data.resection_cavity else 4}[data.targets]
    patch = settings.data.patch_size
    assert patch is not None
    size = patch if data.planes == "volume" else patch[:2]
    torch.manual_seed(0)
    network = build_network(settings.network.name, len(data.sequences), channels, settings.network.arguments)
    loss = build_loss(
        settings.loss.name,
        softmax=data.targets == "labels",
        arguments=settings.loss.arguments,
        deep_supervision=settings.loss.deep_supervision,
    )
    image = torch.randn(2, len(data.sequences), *size)
    target = torch.zeros(2, channels, *size)
    target[:, 0] = 1
    target[:, :, :4, :4] = 0
    target[:, -1, :4, :4] = 1
    with torch.inference_mode():
        logits = network(image)
    assert tuple(logits.shape) == (2, channels, *size)
    assert bool(logits.isfinite().all())
    outputs = network.train()(image)
    total = loss(getattr(outputs, "logits", outputs), target) + getattr(outputs, "auxiliary_loss", 0.0)
    assert bool(total.isfinite())
    optimiser = build_optimiser(settings.optimiser, network.parameters())
    before = [parameter.detach().clone() for parameter in network.parameters()]
    total.backward()
    optimiser.step()
    assert any(not torch.equal(old, new) for old, new in zip(before, network.parameters(), strict=True))


@pytest.mark.parametrize(
    ("name", "multiple_of"), [("mednext-africa", 16), ("nnunet-regions-topk", 32), ("swin-unetr", 32), ("segresnet-vae", 16)]
)  # fmt: skip
def test_patches_fit_the_networks(name: str, multiple_of: int) -> None:
    for training in read_recipe(name).trainings:
        patch = training.settings.data.patch_size
        assert patch is not None
        assert all(side % multiple_of == 0 for side in patch)


@pytest.mark.parametrize(
    ("name", "what", "data", "figures"),
    [  # typed from the notes on published methods: part 2 A5, A1, A6, B13, B10, B3; part 1 entry 23
        ("mednext-africa", "+ thresholds", "SSA validation", {"dice_et": 0.883, "dice_tc": 0.873, "dice_wt": 0.933, "hd95_tc_mm": 21.03}),
        ("multiplane-unetpp", "vote", "test", {"dice_et": 0.79185, "dice_tc": 0.83494, "dice_wt": 0.90638, "hd95_wt_mm": 4.539}),
        ("africa-ensemble", "whole", "validation", {"dice_et": 0.870, "dice_tc": 0.865, "dice_wt": 0.926}),
        ("nnunet-regions-topk", "five-model", "test", {"dice_et": 0.8760, "dice_tc": 0.8843, "dice_wt": 0.9300, "hd95_et_mm": 12.3}),
        ("residual-unet-localised", "+ no ET", "validation", {"dice_et": 0.8022, "dice_tc": 0.8271, "dice_wt": 0.9164, "hd95_wt_mm": 4.35}),
        ("segresnet-vae", "whole", "test", {"dice_et": 0.8145, "dice_tc": 0.8463, "dice_wt": 0.9060, "hd95_tc_mm": 22.32}),
        ("swin-unetr", "ensemble", "validation", {"dice_et": 0.858, "dice_tc": 0.885, "dice_wt": 0.926, "hd95_wt_mm": 5.831}),
        ("unet3d", "epochs", "post-treatment", {"dice_et": 0.095, "dice_ncr": 0.297, "dice_ed": 0.693, "dice_rc": 0.524}),
    ],
)  # fmt: skip
def test_figures_are_those_of_the_notes(name: str, what: str, data: str, figures: dict[str, float]) -> None:
    rows = [row for row in read_recipe(name).reported if row.what.startswith(what) and data in row.data]
    assert len(rows) == 1
    assert {key: getattr(rows[0], key) for key in figures} == figures


def test_settings_of_the_papers() -> None:
    africa = read_recipe("africa-ensemble")
    assert africa.inference.ensemble.weights == {"nnunet-africa": 0.4722, "mednext-africa": 0.5278}
    assert {training.folds for training in africa.trainings} == {"radiomic-clusters"}
    optimiser = africa.training("mednext-africa").settings.optimiser
    assert (optimiser.learning_rate, optimiser.momentum, optimiser.weight_decay) == (0.01, 0.99, 3e-5)
    mednext = read_recipe("mednext-africa")
    tuned = mednext.training("medium-africa")
    assert (tuned.start_from, tuned.settings.network.tune) == ("medium-joint", "last-layers")
    assert (tuned.settings.network.last_layers, tuned.settings.network.reinitialise) == (10, 10)
    assert mednext.inference.thresholds == {"et": 0.7, "tc": 0.7, "wt": 0.5}
    planes = read_recipe("multiplane-unetpp").trainings
    assert [training.settings.data.planes for training in planes] == ["axial", "sagittal", "coronal"]
    localised = read_recipe("residual-unet-localised")
    rates = {training.name: training.settings.optimiser.learning_rate for training in localised.trainings}
    assert rates == {"localiser": 1e-4, "wt": 1e-4, "tc": 3e-5, "et": 3e-3}
    assert localised.training("et").settings.loss.name == "bce"
    topk = read_recipe("nnunet-regions-topk").training("dice-topk").settings.loss
    assert (topk.name, topk.arguments, topk.deep_supervision) == ("dice-topk", {"share": 0.1}, True)


def test_a_recipe_of_ones_own_is_read_from_its_file(tmp_path: Path) -> None:
    path = tmp_path / "other-name.yaml"
    path.write_text(yaml.safe_dump({**MINIMAL, "settings": {"epochs": 7}}))
    assert read_recipe(path).trainings[0].settings.epochs == 7
    assert read_recipe(str(path)).name == "mine"
    assert "title: Mine" in recipe_text(path)


def test_an_unknown_recipe_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match="Did you mean 'resunet'"):
        read_recipe("resunett")
    with pytest.raises(ConfigError, match="cannot be read"):
        recipe_text("nowhere.yaml")


def test_other_packages_add_recipes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "others_recipes"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "mine.yaml").write_text(yaml.safe_dump(MINIMAL))
    (folder / "wrong-name.yaml").write_text(yaml.safe_dump(MINIMAL))
    (folder / "a-list.yaml").write_text("- 1\n")
    (folder / "broken.yaml").write_text("a: [1\n")

    class Point:
        value = "others_recipes"

    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(recipe_table, "entry_points", lambda group: [Point()] if group == "radiogen.recipes" else [])
    assert read_recipe("mine").title == "Mine"
    assert read_recipe("resunet").name == "resunet"
    for name, message in (("wrong-name", "calls itself 'mine'"), ("a-list", "no mapping"), ("broken", "is not YAML")):
        with pytest.raises(ConfigError, match=message):
            read_recipe(name)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"trainings": [{"name": "a"}, {"name": "a"}]}, "two trainings are called 'a'"),
        ({"trainings": [{"name": "a", "start_from": "b"}, {"name": "b"}]}, "no earlier training"),
        ({"trainings": [{"name": "a", "crop_around": "a"}]}, "no earlier training"),
        ({"inference": {"networks": ["b"]}}, "names 'b', which is no training"),
        ({"inference": {"networks": ["a"], "ensemble": {"method": "weighted"}}}, "one weight for each"),
        ({"trainings": []}, "trainings"),
        ({"trainings": "a"}, "trainings"),
        ({"trainings": [{"name": "a", "settings": {"epoch": 2}}]}, "epoch"),
        ({"paper": {"titel": "x", "title": "x"}}, "did you mean 'title'"),
        ({"kind": "cooking"}, "kind"),
    ],
)
def test_a_faulty_recipe_is_refused_with_its_reason(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Recipe.parse({**MINIMAL, **changes})


def test_shared_settings_hold_where_a_training_says_nothing() -> None:
    network, loss = {"name": "unet", "arguments": {"num_res_units": 0}}, {"name": "dice-topk", "deep_supervision": True}
    shared = {"epochs": 5, "network": network, "loss": loss}
    trainings = [
        {"name": "same"},
        {"name": "wider", "settings": {"network": {"arguments": {"channels": [8, 16]}}}},
        {"name": "other", "settings": {"network": {"name": "segresnet"}, "loss": {"name": "dice"}, "epochs": 6}},
    ]
    recipe = Recipe.parse({**MINIMAL, "settings": shared, "trainings": trainings, "inference": {"networks": ["same"]}})
    same, wider, other = (training.settings for training in recipe.trainings)
    assert (same.epochs, same.network.arguments) == (5, {"num_res_units": 0})
    assert wider.network.arguments == {"num_res_units": 0, "channels": [8, 16]}
    assert (other.epochs, other.network.arguments, other.loss.deep_supervision) == (6, {}, False)
