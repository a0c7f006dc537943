"""A case from its chosen images to the zip, in one go; nothing half-made is left where a step fails."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from radiogen.app.classifier import Prediction
from radiogen.app.download import bundle, write_report
from radiogen.app.identify import Item
from radiogen.app.steps import TRAINING_FREE, Finished, Say, check_method, make_case, prepare, segment

FIRST_CASE = "case-1"
"""The case id that is proposed: it names nobody."""


@dataclass(frozen=True)
class Wishes:
    """What the user asked for.

    Args:
        case: case id.
        method: how the mask is made, one of `steps.methods()`.
        register: bring the images to template space even where they share a grid.
        age: years; None: unknown.
        sex: `F`, `M` or empty.
    """

    case: str = FIRST_CASE
    method: str = TRAINING_FREE
    register: bool = False
    age: float | None = None
    sex: str = ""


def make(
    chosen: Mapping[str, Item], study: Path, wishes: Wishes, *, say: Say = lambda line: None
) -> tuple[Finished, Path]:
    """Return the case with its mask, and the zip of everything.

    Args:
        chosen: role -> image, as `choose` returns it.
        study: folder to write to; what an earlier case left in it is removed.
        wishes: what was asked for.
        say: told what is being done.

    Raises:
        InputError: the method is not installed.
        ImageError: an image cannot be used.
        CaseError: a step did not succeed.
    """
    method = check_method(wishes.method)
    shutil.rmtree(study, ignore_errors=True)
    try:
        raw = make_case(wishes.case, chosen, wishes.age, wishes.sex)
        prepared = prepare(raw, study, register=wishes.register, say=say)
        done = segment(prepared, study, method, say=say)
        say("Writing the report")
        return done, again(done, chosen)
    except BaseException:
        shutil.rmtree(study, ignore_errors=True)
        raise


def again(done: Finished, chosen: Mapping[str, Item], prediction: Prediction | None = None) -> Path:
    """Write the report and the zip, and return the zip.

    Args:
        done: the case with its mask.
        chosen: role -> image.
        prediction: what a model said of it, where one was asked.
    """
    write_report(done, chosen, prediction)
    return bundle(done)
