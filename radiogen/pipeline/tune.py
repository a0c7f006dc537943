"""`radiogen tune masks`: postprocessing tuned on saved probabilities, and whether it holds on cases that it was not tuned on."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from radiogen.branches.radiomics.branch import STAGE as RADIOMICS_STAGE
from radiogen.config.postprocess import PostprocessSettings
from radiogen.config.tune import TuneSettings
from radiogen.errors import InputError
from radiogen.pipeline.clusters import ClusterModel, fit_clusters
from radiogen.pipeline.folds import patients_of
from radiogen.pipeline.tune_inputs import STAGE, TuneInputs, predicted_radiomics, read_tune_inputs
from radiogen.report.style import save_png
from radiogen.report.tuning import VARIANT_WORDS, tuning_figure
from radiogen.run.atomic import make_folder, write_csv, write_json
from radiogen.run.provenance import RESEARCH_USE, package_versions
from radiogen.run.quarantine import Failure, write_failures
from radiogen.segment.train_folds import assign_folds
from radiogen.segment.tuning import Tuned, tune
from radiogen.stats.resampling import percentile_interval
from radiogen.types import REGIONS

log = logging.getLogger(__name__)

VARIANTS = ("untuned", "tuned", "clustered")
_RESAMPLES = 2000


@dataclass(frozen=True)
class TuneOutcome:
    """What tuning gave.

    Args:
        chosen: the rules written to `postprocess.json`.
        variant: which they are: `untuned`, `tuned` or `clustered`, the one with the best mean out-of-fold score.
        summary: what `tuning.json` holds.
        failures: cases that could not be used.
    """

    chosen: PostprocessSettings
    variant: str
    summary: dict[str, Any]
    failures: list[Failure]


def run_tune(
    probabilities: Path,
    reference: Path,
    out: Path,
    settings: TuneSettings,
    *,
    jobs: int = 1,
    progress: bool = False,
) -> TuneOutcome:
    """Write `postprocess.json`, `scores.csv`, `tuning.json` and `tuning.png`; with rules per cluster also `clusters.json`.

    `scores.csv` has a row per held-out case and region with the score untuned and tuned, each with rules that were tuned without the case's fold. The
    rules written are those with the best mean of these scores: where tuning does not help, what it started from.

    Args:
        probabilities: folder of `<case>.safetensors` (`radiogen segment --save-probabilities`), or the study it lies in.
        reference: cohort table whose column `mask` names the references, or a folder of masks. A column `fold` gives the folds, and must be that of
        the
            networks' cross-validation where they were trained on these cases; -1 (always in training) is left out.
        out: output folder.
        settings: what is tuned and how.
        jobs: cases, later folds, worked on at the same time.
        progress: show progress bars.

    Raises:
        InputError: nothing to tune on, too few patients, or rules per cluster without a cohort table.
    """
    make_folder(out)
    inputs = read_tune_inputs(probabilities, reference, settings, jobs=jobs, progress=progress)
    failures = list(inputs.failures)
    folds = _folds(inputs, settings)
    cases = {case: inputs.cases[case] for case in folds}
    clusters = None
    if settings.per_cluster:
        features, failed = predicted_radiomics(
            inputs.cohort.loc[list(cases)],
            inputs.files,
            settings.start,
            out,
            settings.clustering,
            jobs=jobs,
            progress=progress,
        )
        failures += failed
        clusters = _Clusters(features, patients_of(inputs.cohort), settings)
    write_failures(out / "failed.csv", failures, stages=[STAGE, RADIOMICS_STAGE])
    tuned = tune(cases, folds, settings, cluster_of=clusters, jobs=jobs, progress=progress)
    rules = {"untuned": settings.start, "tuned": tuned.settings, "clustered": tuned.clustered}
    summary = summarise(tuned, patients_of(inputs.cohort), settings)
    variant = summary["chosen"]
    chosen = rules[variant] or settings.start
    if clusters is not None and variant == "clustered":
        model = clusters.model(list(cases)).model_dump(mode="json")
        start = settings.start.model_dump(mode="json", exclude_defaults=True)
        sequences = list(settings.clustering.sequences)
        write_json(out / "clusters.json", {"model": model, "whole_tumour_rules": start, "sequences": sequences})
    _write(out, tuned, summary, rules, chosen)
    return TuneOutcome(chosen, variant, summary, failures)


@dataclass(frozen=True)
class _Clusters:
    """Clusters of the predicted whole tumours, fitted on the cases of the training folds."""

    features: pd.DataFrame
    patient: pd.Series
    settings: TuneSettings

    def model(self, training: Sequence[str]) -> ClusterModel:
        rows = self.features.loc[[case for case in training if case in self.features.index]]
        return fit_clusters(rows, self.settings.clustering, self.patient)

    def __call__(self, training: Sequence[str]) -> Mapping[str, int]:
        found = self.model(training).predict(self.features)
        return {str(case): int(cluster) for case, cluster in found.items()}


def _folds(inputs: TuneInputs, settings: TuneSettings) -> dict[str, int]:
    """Return case -> fold; cases that networks were always trained on are left out."""
    cohort = inputs.cohort.loc[list(inputs.cases)]
    folds = assign_folds(cohort, inputs.wt_ml, settings.n_folds, seed=settings.seed)
    left_out = int((folds < 0).sum())
    if left_out:
        log.warning("%d case(s) with fold -1 are left out: the networks were trained on them.", left_out)
    kept = {str(case): int(fold) for case, fold in folds.items() if fold >= 0}
    if not kept:
        raise InputError(
            "No case has a fold; there is nothing to tune on.", hint="Give cases that were held out in training."
        )
    return kept


def summarise(tuned: Tuned, patient: pd.Series, settings: TuneSettings) -> dict[str, Any]:
    """Return mean out-of-fold scores per region, differences to the untuned ones with intervals, and which rules are best.

    Args:
        tuned: what tuning found.
        patient: per case; patients are resampled for the intervals.
        settings: as they were.

    Source: intervals are 95 % percentile bootstrap over patients, expanded for small samples (Hesterberg 2015).
    """
    scores = tuned.scores
    variants = [name for name in VARIANTS if name in scores.columns]
    regions = [name for name in REGIONS if name in set(scores["region"])]
    by_region = {
        name: _differences(scores[scores["region"] == name], variants, patient, settings.seed) for name in regions
    }
    means = {name: float(np.mean([by_region[region][name] for region in regions])) for name in variants}
    # Of equal ones the simplest, which comes first.
    best = max(variants, key=lambda name: (round(means[name], 6), -variants.index(name)))
    return {
        "metric": settings.metric,
        "n_cases": int(scores["case"].nunique()),
        "n_patients": int(patient.loc[scores["case"].unique()].nunique()),
        "out_of_fold": {"mean_over_regions": means, "regions": by_region},
        "chosen": best,
        "words": _words(best, means, settings),
        "values_by_fold": {str(fold): values for fold, values in sorted(tuned.by_fold.items())},
        "settings": settings.model_dump(mode="json", exclude_defaults=True),
        "versions": package_versions(),
        "notice": RESEARCH_USE,
    }


def _differences(rows: pd.DataFrame, variants: list[str], patient: pd.Series, seed: int) -> dict[str, Any]:
    found: dict[str, Any] = {"n": len(rows), **{name: float(rows[name].mean()) for name in variants}}
    for name in variants[1:]:
        change = (rows[name] - rows["untuned"]).to_numpy(dtype=float)
        low, high = _interval(change, patient.loc[rows["case"]].to_numpy(), seed)
        found[f"{name}_difference"] = {
            "mean": float(change.mean()),
            "ci": [low, high],
            "n_better": int((change > 1e-9).sum()),
            "n_worse": int((change < -1e-9).sum()),
        }
    return found


def _interval(change: np.ndarray, patient: np.ndarray, seed: int) -> tuple[float, float]:
    """Return the interval of a mean over cases when patients are drawn again."""
    codes = np.unique(patient, return_inverse=True)[1]
    sums, sizes = np.bincount(codes, weights=change), np.bincount(codes)
    drawn = np.random.default_rng(seed).integers(0, len(sums), (_RESAMPLES, len(sums)))
    return percentile_interval(sums[drawn].sum(axis=1) / sizes[drawn].sum(axis=1), len(sums))


def _words(best: str, means: Mapping[str, float], settings: TuneSettings) -> str:
    name = {"dice": "Dice", "lesion-dice": "lesion-wise Dice"}[settings.metric]
    scores = ", ".join(f"{VARIANT_WORDS[variant]} {mean:.4f}" for variant, mean in means.items())
    if best == "untuned":
        end = "Tuning does not help cases that it was not tuned on; the rules written are those it started from."
    else:
        end = f"The rules written are {VARIANT_WORDS[best]}; being the best of {len(means)}, their score is slightly optimistic."
    return f"Mean {name} over regions on cases not tuned on: {scores}. {end}"


def _write(
    out: Path,
    tuned: Tuned,
    summary: dict[str, Any],
    rules: Mapping[str, PostprocessSettings | None],
    chosen: PostprocessSettings,
) -> None:
    dumped = {
        name: one.model_dump(mode="json", exclude_defaults=True) for name, one in rules.items() if one is not None
    }
    write_csv(out / "scores.csv", tuned.scores.round(6), index=False)
    write_json(out / "tuning.json", {**summary, "rules": dumped})
    write_json(out / "postprocess.json", chosen.model_dump(mode="json", exclude_defaults=True))
    save_png(tuning_figure(tuned.scores, summary), out / "tuning.png")
    log.info("tune: %s", summary["words"])
