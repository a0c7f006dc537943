"""What can be chosen by name for training, without importing torch."""

from __future__ import annotations

from radiogen.registry import Registry

LOSSES = Registry(
    "losses",
    {
        "bce": "radiogen.training.losses:bce",
        "ce": "radiogen.training.losses:ce",
        "ce-distance": "radiogen.training.losses:ce_distance",
        "dice": "radiogen.training.losses:dice",
        "dice-bce": "radiogen.training.losses:dice_bce",
        "dice-boundary": "radiogen.training.losses:dice_boundary",
        "dice-ce": "radiogen.training.losses:dice_ce",
        "dice-focal": "radiogen.training.losses:dice_focal",
        "dice-topk": "radiogen.training.losses:dice_topk",
        "generalised-dice": "radiogen.training.losses:generalised_dice",
        "tversky": "radiogen.training.losses:tversky",
    },
)

OPTIMISERS = Registry(
    "optimisers",
    {
        "adam": "radiogen.training.optimisers:adam",
        "adamw": "radiogen.training.optimisers:adamw",
        "adamw-schedulefree": "radiogen.training.optimisers:adamw_schedulefree",
        "sgd-nesterov": "radiogen.training.optimisers:sgd_nesterov",
    },
)
