"""`radiogen controls`: what a model should not be able to do."""

from __future__ import annotations

import json
import logging
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from radiogen.config.classify import ClassifySettings
from radiogen.config.controls import ControlsSettings
from radiogen.errors import InputError, RadiogenError
from radiogen.evaluate.controls import (
    ControlResult,
    judge_image,
    judge_model,
    judge_probe,
    judge_shuffles,
    not_done,
)
from radiogen.evaluate.predictions import per_case
from radiogen.fusion.join import FusionTable, fusion_table
from radiogen.fusion.nested import cross_validate
from radiogen.fusion.permutations import permuted_labels
from radiogen.fusion.refit import refitted_auc
from radiogen.fusion.site_probe import probed_sites, site_probabilities
from radiogen.pipeline.classify import table_hash
from radiogen.pipeline.control_images import ALGORITHM, control_cohort
from radiogen.pipeline.features import run_features
from radiogen.report.controls import write_controls_page
from radiogen.run.atomic import write_csv, write_json
from radiogen.run.executor import run_cases
from radiogen.run.provenance import Provenance
from radiogen.run.quarantine import Failure, write_failures
from radiogen.types import Labels01

log = logging.getLogger(__name__)

RADIOMICS = "radiomics"
_SHAPE = re.compile(r"(^|_)original_shape")
_STREAM = 4177


@dataclass(frozen=True)
class ControlsOutcome:
    """What the controls gave.

    Args:
        results: the content of controls.json.
        failures: cases that a control had to leave out.
    """

    results: dict[str, Any]
    failures: list[Failure]


@dataclass(frozen=True)
class _Work:
    target: str
    out: Path
    settings: ControlsSettings
    classify: ClassifySettings
    cohort: pd.DataFrame
    jobs: int
    progress: bool

    def scores(self, table: FusionTable) -> pd.DataFrame:
        """Return one row per case: patient, y_true and the mean out-of-fold probability."""
        found = cross_validate(table, self.classify, jobs=self.jobs, progress=self.progress).predictions
        return per_case(found)[["patient", "y_true", "y_prob"]]


def run_controls(
    features: dict[str, pd.DataFrame],
    cohort: pd.DataFrame,
    target: str,
    out: Path,
    settings: ControlsSettings,
    *,
    with_images: bool = False,
    jobs: int = 1,
    progress: bool = False,
) -> ControlsOutcome:
    """Write `controls.json`, `controls.csv` and `controls.html`; skipped where they are still true.

    Args:
        features: branch name -> table indexed by case, as for `radiogen classify`.
        cohort: labels, patients and sites; images and masks too, for the image controls.
        target: `idh`, `mgmt`, `codeletion` or `grade`.
        out: folder for the outputs; the controls' masks, images and features go into `contralateral/` and `blanked/` in it.
        settings: which controls, and how models are fitted.
        with_images: the cohort has images and masks, and `features` its radiomics.
        jobs: cases, folds or shuffles worked on at the same time; the result does not depend on it.
        progress: show progress bars.

    Raises:
        InputError: no usable case or column, one class only, or fewer cases than folds.
        OutputError: the folder cannot be written.
    """
    classify = settings.classify.model_copy(update={"seed": settings.seed})
    table = fusion_table(features, cohort, target)
    outputs = [out / f"controls.{kind}" for kind in ("json", "csv", "html")]
    provenance = _provenance(table, cohort, target, settings, with_images)
    if provenance.is_current(outputs) and not json.loads(outputs[0].read_text(encoding="utf-8"))["left_out"]:
        log.info("controls %s: unchanged, kept", target)
        return ControlsOutcome(json.loads(outputs[0].read_text(encoding="utf-8")), [])
    work = _Work(target, out, settings, classify, cohort, jobs, progress)
    scores = work.scores(table)
    rows = [judge_model(*_arrays(scores), settings)]
    failures: list[Failure] = []
    for name in settings.controls:
        log.info("control: %s", name)
        if name == "shuffled-labels":
            rows.append(_shuffled(work, table))
        elif name == "site-probe":
            rows.append(_probe(work, table))
        else:
            result, failed = _image(work, name, features) if with_images else (_no_images(name), [])
            rows.append(result)
            failures += failed
    results = {
        "target": target,
        "branches": sorted(set(table.branch_of.values())),
        "n": len(table.y),
        "n_positive": int(table.y.sum()),
        "failed": [row.name for row in rows if row.verdict == "failed"],
        "controls": [row.as_dict() for row in rows],
        "left_out": sorted({f"{failure.stage}: {failure.case}" for failure in failures}),
        "notes": list(table.notes),
    }
    _write(outputs, results, provenance)
    write_failures(
        out / "failed.csv", failures, stages=["controls-contralateral", "controls-blanked", "features-radiomics"]
    )
    return ControlsOutcome(json.loads(outputs[0].read_text(encoding="utf-8")), failures)


def _provenance(
    table: FusionTable, cohort: pd.DataFrame, target: str, settings: ControlsSettings, with_images: bool
) -> Provenance:
    content = pd.concat([table.features, table.cohort, pd.Series(table.y, table.features.index, name="y")], axis=1)
    masks = cohort[["mask"]].map(lambda path: Path(path).name if isinstance(path, str) else "") if with_images else None
    inputs = {"table": table_hash(content)} | ({"masks": table_hash(masks)} if masks is not None else {})
    kept = {"target": target, **settings.model_dump(mode="json"), "images": with_images, "algorithm": ALGORITHM}
    return Provenance("controls", kept, inputs)


def _write(outputs: list[Path], results: dict[str, Any], provenance: Provenance) -> None:
    write_json(outputs[0], results)
    columns = ["name", "verdict", "n", "auc", "p", "reference_auc", "delta", "text", "meaning"]
    write_csv(outputs[1], pd.DataFrame(results["controls"])[columns], index=False)
    kept = json.loads(outputs[0].read_text(encoding="utf-8"))
    facts = {"stage": provenance.stage, "settings": dict(provenance.settings), "inputs": dict(provenance.inputs)}
    write_controls_page(outputs[2], kept, provenance=facts)
    provenance.record(outputs)


@dataclass(frozen=True)
class _Shuffle:
    table: FusionTable
    settings: ClassifySettings

    def __call__(self, name: str, number: int) -> float:
        rng = np.random.default_rng([self.settings.seed, _STREAM, number])
        patient = self.table.cohort["patient"].to_numpy(dtype=object)
        everyone = np.full(len(patient), "all", dtype=object)
        labels: Labels01 = permuted_labels(self.table.y, patient, everyone, rng) if number else self.table.y
        return refitted_auc(replace(self.table, y=labels), self.settings)


def _shuffled(work: _Work, table: FusionTable) -> ControlResult:
    """Shuffle labels over all patients (not within sites: what a model learns of sites must not pass for a link with the label)."""
    # Number 0 is no shuffle: the true labels under the same splits.
    items = {f"shuffle {number}": number for number in range(work.settings.shuffles + 1)}
    results, failures = run_cases(
        _Shuffle(table, work.classify), items, stage="shuffled labels", jobs=work.jobs, progress=work.progress
    )
    if failures:
        raise RadiogenError(f"{failures[0].case} failed: {failures[0].cause}", hint=failures[0].fix)
    aucs = [results[name] for name in items]
    return judge_shuffles(aucs[0], aucs[1:], len(table.y), work.settings)


def _probe(work: _Work, table: FusionTable) -> ControlResult:
    least = work.settings.least_site_patients
    sites = probed_sites(table, least)
    if len(sites) < 2:
        known = ", ".join(
            f"{name} ({count})" for name, count in table.cohort["site"].value_counts().sort_index().items()
        )
        return not_done("site-probe", f"Two sites with {least} patients or more are needed; there are: {known}.")
    found = site_probabilities(
        table, work.classify, least_patients=least, jobs=work.jobs, progress=work.progress
    )  # fmt: skip
    rows = table.cohort.loc[found.index]
    return judge_probe(found, rows["site"].astype(str), rows["patient"], work.settings)


def _no_images(name: str) -> ControlResult:
    return not_done(name, "It needs images and masks; give a cohort.csv instead of feature tables.")


def _image(
    work: _Work, name: Literal["contralateral", "blanked"], features: dict[str, pd.DataFrame]
) -> tuple[ControlResult, list[Failure]]:
    settings, folder = work.settings, work.out / name
    made = control_cohort(
        work.cohort, name, folder, least_mirrored=settings.least_mirrored, seed=settings.seed,
        jobs=work.jobs, progress=work.progress,
    )  # fmt: skip
    if made.table.empty:
        return not_done(name, "No case has a healthy side to compare with."), made.failures
    found, failed = run_features(
        RADIOMICS, made.table, folder, settings.radiomics, jobs=work.jobs, progress=work.progress
    )
    tumour = features[RADIOMICS]
    # A mirrored mask has the tumour's own shape, so shape would make the control as good as the model.
    columns = [one for one in tumour.columns if one in found.columns and (name == "blanked" or not _SHAPE.search(one))]
    cases = [case for case in found.index if case in set(tumour.index)]
    failures = made.failures + [replace(one, stage=f"controls-{name}") for one in failed]
    try:
        scores = [
            work.scores(fusion_table({RADIOMICS: one.loc[cases, columns]}, work.cohort, work.target))
            for one in (tumour, found)
        ]
    except InputError as error:
        return not_done(name, f"Too little is left: {error.message}"), failures
    model, control = scores
    y, probability, patient = _arrays(model)
    other = control["y_prob"].reindex(model.index).to_numpy(dtype=np.float64)
    result = judge_image(name, y, probability, other, patient, settings)
    return replace(result, facts={"cases": made.facts, "n_columns": len(columns)}), failures


def _arrays(scores: pd.DataFrame) -> tuple[Labels01, np.ndarray, np.ndarray]:
    return (
        scores["y_true"].to_numpy(dtype=np.int64),
        scores["y_prob"].to_numpy(dtype=np.float64),
        scores["patient"].to_numpy(dtype=object),
    )
