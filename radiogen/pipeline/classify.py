"""From feature tables and labels to predictions, a verdict, a model and a report in one folder; skipped where they are still true."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from radiogen.cohort.table import CLINICAL_COLUMNS, LABEL_COLUMNS
from radiogen.config.classify import ClassifySettings
from radiogen.config.evaluate import EvaluateSettings
from radiogen.evaluate.audit import Evaluation, evaluate_predictions
from radiogen.evaluate.verdict import judge
from radiogen.fusion.bundle import FAMILIARITY_FILE, FILES, ModelBundle, save_model, training_hashes
from radiogen.fusion.card import model_card
from radiogen.fusion.frozen import read_splits
from radiogen.fusion.inner_scores import with_inner_scores
from radiogen.fusion.join import FusionTable, fusion_table
from radiogen.fusion.nested import NestedResult, cross_validate, fit_all, fit_doubts
from radiogen.fusion.perturbed import read_perturbed, variance_shares, with_perturbed
from radiogen.fusion.reference import fit_reference
from radiogen.fusion.shares import branch_shares, share_notes
from radiogen.fusion.tables import with_volume
from radiogen.pipeline.classify_checks import permutations, random_split
from radiogen.report.classification import SCORES_FILE, write_classification_report
from radiogen.report.reporting import write_reporting
from radiogen.run.atomic import write_csv, write_json
from radiogen.run.provenance import Provenance, hash_inputs

log = logging.getLogger(__name__)


def run_classify(
    features: Mapping[str, pd.DataFrame],
    cohort: pd.DataFrame,
    target: str,
    out: Path,
    settings: ClassifySettings,
    *,
    evaluate: EvaluateSettings | None = None,
    feature_settings: Mapping[str, Any] | None = None,
    jobs: int = 1,
    progress: bool = False,
    synthetic: bool = False,
    scores: Mapping[str, pd.DataFrame] | None = None,
    notes: Sequence[str] = (),
    splits: Path | None = None,
) -> dict[str, Any]:
    """Write `predictions.csv`, `importance.csv`, `tuning.csv`, `metrics.json`, `model/` and `report.html`.

    With a table of perturbed features also `perturbed_predictions.csv`, and in the metrics how much of the predictions' variance is segmentation.

    Args:
        features: branch name -> table indexed by case.
        cohort: cohort table indexed by case; its labels, age, sex and site are used.
        target: `idh`, `mgmt`, `codeletion` or `grade`.
        out: folder for the outputs.
        settings: splits, preparation, classifiers.
        evaluate: how the predictions are judged.
        feature_settings: branch -> settings with which its features were made; kept in the model card, so that new cases get the same ones.
        jobs: folds worked on at the same time; the result does not depend on it.
        progress: show a progress bar.
        synthetic: the patients are made up; the report and the card say so.
        scores: for columns that are predictions: their values for every training side, see `radiogen.fusion.inner_scores`.
        notes: what else a reader of metrics, report and card must know.
        splits: folds from a file instead of drawn ones, see `radiogen.fusion.frozen`.

    Returns:
        The content of `metrics.json`.

    Raises:
        InputError: no usable case or column, one class only, or fewer cases than folds.
        OutputError: the folder cannot be written.
    """
    out, evaluate = Path(out), evaluate or EvaluateSettings()
    table = with_inner_scores(fusion_table(features, cohort, target), scores or {}, notes)
    if settings.perturbed is not None:
        table = with_perturbed(table, read_perturbed(settings.perturbed))
    clinical = clinical_facts(features, cohort.loc[table.features.index])
    salt = table_hash(
        pd.concat([table.features, table.cohort, pd.Series(table.y, table.features.index, name="y")], axis=1)
    )
    chosen = {
        "classify": settings.model_dump(mode="json", exclude={"perturbed"}),
        "evaluate": evaluate.model_dump(mode="json"),
    }
    made = {"features": dict(feature_settings or {}), "synthetic": synthetic}
    frozen = None if splits is None else read_splits(splits, table)
    seen = {"table": salt, **_also_seen(table, clinical), **hash_inputs({"splits": splits})}
    provenance = Provenance("classify", {"target": target, **chosen, **made}, seen)
    main = [out / name for name in ("predictions.csv", "importance.csv", "tuning.csv", "metrics.json", "report.html")]
    more = [out / "perturbed_predictions.csv"] if settings.perturbed is not None else []
    outputs = [*main, out / SCORES_FILE, *more, *(out / "model" / name for name in (*FILES, FAMILIARITY_FILE))]
    if provenance.is_current(outputs):
        log.info("classify %s: unchanged, kept", target)
        write_reporting(out)
        return _read_metrics(out)
    nested = cross_validate(table, settings, splits=frozen, jobs=jobs, progress=progress)
    evaluation = evaluate_predictions(nested.predictions, clinical, evaluate)
    metrics = _all_metrics(evaluation.metrics, table, nested, synthetic=synthetic)
    mixed = random_split(table, settings, nested, evaluate, jobs=jobs, progress=progress)
    if mixed is not None:
        metrics |= {"random_split": mixed, "notes": [*metrics["notes"], mixed["text"]]}
    kept = out / f"permutations-{provenance.fingerprint[:16]}"
    metrics |= permutations(table, settings, kept, splits=frozen, jobs=jobs, progress=progress)
    if "permutation_refit_p" in metrics:
        metrics |= judge(metrics, evaluate)  # the exact p counts in the place of that of fixed predictions
    # The page's reporting forms link to the model, so it comes first.
    _write_model(out / "model", table, settings, metrics, salt, feature_settings, synthetic=synthetic)
    _write_results(main, nested, metrics, evaluation, provenance)
    for path in more:
        write_csv(path, nested.perturbed, index=False)
    provenance.record(outputs)
    write_reporting(out)
    return _read_metrics(out)


def _also_seen(table: FusionTable, clinical: pd.DataFrame) -> dict[str, str]:
    context = table.context
    seen = {"clinical": table_hash(clinical)}
    seen |= {f"scores/{key[:16]}": table_hash(values) for key, values in table.scores.items()}
    if context is not None:
        seen["covariates"] = table_hash(context.covariates)
        if context.perturbed is not None:
            seen["perturbed"] = table_hash(context.perturbed.reset_index())
    return seen


def _write_results(
    paths: list[Path], nested: NestedResult, metrics: dict[str, Any], evaluation: Evaluation, provenance: Provenance
) -> None:
    write_csv(paths[0], nested.predictions, index=False)
    write_csv(paths[1], nested.importance, index=False)
    write_csv(paths[2], nested.choices, index=False)
    write_csv(paths[0].with_name(SCORES_FILE), evaluation.scores)
    write_json(paths[3], metrics)
    write_classification_report(
        paths[4],
        metrics,
        evaluation.scores,
        importance=nested.importance,
        provenance={
            "stage": provenance.stage,
            "settings": dict(provenance.settings),
            "inputs": dict(provenance.inputs),
        },
        synthetic=bool(metrics["synthetic"]),
    )


def clinical_facts(features: Mapping[str, pd.DataFrame], cohort: pd.DataFrame) -> pd.DataFrame:
    """Return what the trivial baselines need: labels, age, sex and the tumour's volume, where known.

    Args:
        features: branch name -> table indexed by case; searched for a volume.
        cohort: cohort rows.

    Returns:
        Index `case`, columns `age, sex, kps, ...` as in the cohort and `wt_ml`.
    """
    cohort = cohort if "wt_ml" in cohort.columns else with_volume(cohort, features)
    names = [name for name in (*LABEL_COLUMNS, *CLINICAL_COLUMNS, "wt_ml") if name in cohort.columns]
    facts = cohort[names].copy()
    facts.index = pd.Index(cohort.index.to_numpy(dtype=object), name="case")
    return facts


def table_hash(table: pd.DataFrame) -> str:
    """Return the SHA-256 over a table's index, columns and values."""
    digest = hashlib.sha256(json.dumps([str(name) for name in table.columns]).encode())
    text = table.astype({name: str for name in table.columns if table[name].dtype == object})
    digest.update(pd.util.hash_pandas_object(text).to_numpy().tobytes())
    return digest.hexdigest()


def _all_metrics(
    metrics: Mapping[str, Any], table: FusionTable, nested: NestedResult, *, synthetic: bool
) -> dict[str, Any]:
    used = nested.importance["selected_share"] > 0
    return {
        **metrics,
        "split": nested.scheme,
        "n_features": table.features.shape[1],
        "n_features_used": int(used.sum()),
        "branches": sorted(set(table.branch_of.values())),
        "synthetic": synthetic,
        "branch_shares": branch_shares(nested.predictions),
        "segmentation_variance": variance_shares(nested.perturbed) if len(nested.perturbed) else {},
        "notes": [*metrics.get("notes", []), *table.notes, *share_notes(nested.predictions), *_variance_notes(nested)],
    }


def _variance_notes(nested: NestedResult) -> list[str]:
    shares = variance_shares(nested.perturbed) if len(nested.perturbed) else {}
    words = {
        "sample": "sampled masks",
        "mask": "changed masks",
        "noise": "added noise",
        "translate": "shifts",
        "rotate": "rotations",
    }
    return [
        f"{words.get(family, family)}: {share['share_within']:.1%} of the log-odds' variance lies within cases measured again ({share['n_cases']}"
        f" cases, {share['n_perturbations']} perturbations); {share['share_of_calls_that_flip']:.1%} of the calls flip."
        for family, share in shares.items()
        if share["share_within"] is not None
    ]


def _write_model(
    folder: Path,
    table: FusionTable,
    settings: ClassifySettings,
    metrics: Mapping[str, Any],
    salt: str,
    feature_settings: Mapping[str, Any] | None,
    *,
    synthetic: bool,
) -> None:
    ids = training_hashes(table.features.index.astype(str), table.cohort["patient"].astype(str), salt)
    card = model_card(
        table, settings, metrics, training_ids=ids, salt=salt, feature_settings=feature_settings, synthetic=synthetic
    )
    reference = fit_reference(table.features, dict(table.branch_of))
    model = fit_all(table, settings)
    doubt = fit_doubts(table, np.arange(len(table.y)), model, settings)
    save_model(folder, ModelBundle(model, reference, card, doubt))


def _read_metrics(out: Path) -> dict[str, Any]:
    return dict(json.loads((out / "metrics.json").read_text(encoding="utf-8")))
