"""`radiogen evaluate masks`: predictions paired with references by case, scored, summarised."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from radiogen.cohort.table import read_cohort
from radiogen.config.masks import MaskEvaluationSettings
from radiogen.errors import InputError
from radiogen.evaluate.masks import evaluate_pair, summarise
from radiogen.run.atomic import make_folder, write_csv, write_json
from radiogen.run.executor import run_cases
from radiogen.run.provenance import RESEARCH_USE
from radiogen.run.quarantine import Failure, write_failures

log = logging.getLogger(__name__)

STAGE = "evaluate-masks"
_ENDINGS = ("-seg", "_seg", "-mask", "_mask", "-prediction", "_prediction", "-automatic-mask")


@dataclass(frozen=True)
class MaskPair:
    """What is compared for one case.

    Args:
        prediction: predicted mask.
        reference: reference mask.
        reference_labels: the reference's label scheme where a cohort table names it.
    """

    prediction: Path
    reference: Path
    reference_labels: str = ""


def run_evaluate_masks(
    prediction: Path,
    reference: Path,
    out: Path,
    settings: MaskEvaluationSettings,
    *,
    jobs: int = 1,
    progress: bool = False,
) -> tuple[pd.DataFrame, dict[str, Any], list[Failure]]:
    """Write `cases.csv` and `metrics.json`; cases that cannot be scored go to `failed.csv`.

    Args:
        prediction: one mask, or a folder of masks.
        reference: one mask, a folder of masks (searched with everything below it), or a cohort table whose column `mask` names them.
        out: output folder.
        settings: label schemes and tolerances.
        jobs: cases worked on at the same time.
        progress: show a progress bar.

    Returns:
        One row per case and region, the summary per region, and the failures.

    Raises:
        InputError: nothing to compare, or nothing could be compared.
    """
    pairs = pair_masks(prediction, reference)
    make_folder(out)
    scored, failures = run_cases(_Scorer(settings), pairs, stage=STAGE, jobs=jobs, progress=progress)
    write_failures(out / "failed.csv", failures, stages=[STAGE])
    if not scored:
        raise InputError(
            "No case could be compared:",
            problems=[f"{item.case}: {item.cause}" for item in failures],
            hint=failures[0].fix,
        )
    cases = pd.DataFrame([{"case": case, **row} for case, rows in scored.items() for row in rows])
    metrics = {
        "n_cases": len(scored),
        "n_failed": len(failures),
        "regions": summarise(cases),
        "settings": settings.model_dump(mode="json"),
        "notice": RESEARCH_USE,
    }
    write_csv(out / "cases.csv", cases.round(6), index=False)
    write_json(out / "metrics.json", metrics)
    return cases, metrics, failures


@dataclass(frozen=True)
class _Scorer:
    settings: MaskEvaluationSettings

    def __call__(self, case: str, pair: MaskPair) -> list[dict[str, Any]]:
        known = pair.reference_labels and self.settings.reference_labels == "auto"
        settings = (
            self.settings.model_copy(update={"reference_labels": pair.reference_labels}) if known else self.settings
        )
        return evaluate_pair(pair.prediction, pair.reference, settings)


def pair_masks(prediction: Path, reference: Path) -> dict[str, MaskPair]:
    """Return case -> prediction and reference; the case id is the file's name without `-seg`, `_mask` and the like.

    Raises:
        InputError: a path is missing, no name matches, or predictions have no reference.
    """
    missing = [str(path) for path in (prediction, reference) if not path.exists()]
    if missing:
        raise InputError(f"{' and '.join(missing)} do(es) not exist.", hint="Give two mask files or two folders.")
    if prediction.is_file() and reference.is_file() and reference.suffix != ".csv":
        return {_case(prediction): MaskPair(prediction, reference)}
    references, schemes = _cohort_masks(reference) if reference.suffix == ".csv" else (_masks(reference), {})
    found = [_masks(prediction), references]
    common = sorted(found[0].keys() & found[1].keys())
    if not common:
        raise InputError(
            f"No mask of {prediction} ({_some(found[0])}) has the name of one of {reference} ({_some(found[1])}).",
            hint="Masks are paired by file name without -seg, _seg, -mask, _mask.",
        )
    for name, others in (
        ("prediction", found[0].keys() - found[1].keys()),
        ("reference", found[1].keys() - found[0].keys()),
    ):
        if others:
            log.warning(
                "%d %s(s) have no partner and are left out: %s", len(others), name, _some(dict.fromkeys(others))
            )
    return {case: MaskPair(found[0][case], found[1][case], schemes.get(case, "")) for case in common}


def _cohort_masks(path: Path) -> tuple[dict[str, Path], dict[str, str]]:
    cohort = read_cohort(path)
    masks = {str(case): Path(mask) for case, mask in cohort["mask"].items() if isinstance(mask, str)}
    schemes = cohort["mask_labels"].to_dict() if "mask_labels" in cohort.columns else {}
    return masks, {str(case): str(scheme) for case, scheme in schemes.items() if isinstance(scheme, str)}


def _masks(path: Path) -> dict[str, Path]:
    files = [path] if path.is_file() else sorted([*path.rglob("*.nii.gz"), *path.rglob("*.nii")])
    masks = [file for file in files if path.is_file() or any(_stem(file).endswith(end) for end in _ENDINGS)]
    return {_case(file): file for file in masks or files}


def _stem(path: Path) -> str:
    return path.name.removesuffix(".gz").removesuffix(".nii")


def _case(path: Path) -> str:
    stem = _stem(path)
    for end in _ENDINGS:
        stem = stem.removesuffix(end)
    return stem


def _some(names: dict[str, Any]) -> str:
    shown = sorted(names)
    return f"{len(shown)}: {', '.join(shown[:3])}{', ...' if len(shown) > 3 else ''}" if shown else "none"
