"""What studies of recipes share, whether their networks look at images or at brain networks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from radiogen.cohort.splits import Split
from radiogen.config.classify import ClassifySettings
from radiogen.errors import RadiogenError
from radiogen.evaluate.audit import Evaluation
from radiogen.run.executor import run_cases
from radiogen.run.quarantine import Failure

Result = TypeVar("Result")

_SPLIT_SETTINGS = ("seed", "sites", "folds", "repeats", "min_site_cases", "max_site_folds")


@dataclass(frozen=True)
class RecipeOutcome:
    """What a study of a recipe gave.

    Args:
        metrics: the content of `metrics.json`.
        failures: cases that could not be prepared; they are left out.
    """

    metrics: dict[str, Any]
    failures: list[Failure]


def split_settings(settings: ClassifySettings) -> dict[str, Any]:
    """Return what of a classifier's settings counts where the recipe brings the classifier: the splits.

    Args:
        settings: of the study.

    Example:
        >>> sorted(split_settings(ClassifySettings()))
        ['folds', 'max_site_folds', 'min_site_cases', 'repeats', 'seed', 'sites']
    """
    return {name: getattr(settings, name) for name in _SPLIT_SETTINGS}


def run_folds(
    fold: Callable[[str, tuple[int, Split]], Result], drawn: Sequence[Split], target: str, *, progress: bool = False
) -> list[Result]:
    """Return what every split gave, one after another: a network takes all cores, or the accelerator, by itself.

    Args:
        fold: name, number and split -> result.
        drawn: the splits.
        target: for messages.
        progress: show a progress bar.

    Raises:
        RadiogenError: a fold failed.
    """
    named = {f"repeat {split.repeat}, {split.name}": (number, split) for number, split in enumerate(drawn)}
    results, failures = run_cases(fold, named, stage=f"classify {target}", progress=progress)
    if failures:
        raise RadiogenError(
            f"Fold '{failures[0].case}' of target {target} failed: {failures[0].cause}", hint=failures[0].fix
        )
    return list(results.values())


def recipe_metrics(
    evaluation: Evaluation,
    scheme: str,
    recipe: str,
    branch: str,
    notes: Sequence[str],
    *,
    synthetic: bool,
    **facts: Any,
) -> dict[str, Any]:
    """Return the content of `metrics.json`.

    Args:
        evaluation: of the out-of-fold predictions.
        scheme: `site-held-out` or `grouped-kfold`.
        recipe: its name.
        branch: what its networks look at.
        notes: what a reader must know beside what the evaluation notes.
        synthetic: the patients are made up.
        facts: further entries.
    """
    return {
        **evaluation.metrics,
        "split": scheme,
        "recipe": recipe,
        "branches": [branch],
        **facts,
        "synthetic": synthetic,
        "notes": [*evaluation.metrics.get("notes", []), *notes],
    }
