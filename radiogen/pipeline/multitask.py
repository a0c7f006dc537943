"""Several markers at once: one network, and for each marker the same predictions table, metrics, verdict and report as on its own."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from radiogen.config.classify import ClassifySettings
from radiogen.config.evaluate import EvaluateSettings
from radiogen.config.multitask import MultiTaskSettings
from radiogen.evaluate.audit import evaluate_predictions
from radiogen.fusion.multitask_nested import cross_validate_multitask, multitask_table
from radiogen.pipeline.classify import clinical_facts, table_hash
from radiogen.report.classification import write_classification_report
from radiogen.report.reporting import write_reporting
from radiogen.run.atomic import write_csv, write_json
from radiogen.run.provenance import Provenance

log = logging.getLogger(__name__)


def run_multitask(
    features: Mapping[str, pd.DataFrame],
    cohort: pd.DataFrame,
    targets: tuple[str, ...],
    out: Path,
    settings: ClassifySettings,
    *,
    network: MultiTaskSettings | None = None,
    evaluate: EvaluateSettings | None = None,
    jobs: int = 1,
    progress: bool = False,
    synthetic: bool = False,
) -> dict[str, dict[str, Any]]:
    """Write `OUT/<target>/predictions.csv`, `metrics.json` and `report.html` for every marker, and `OUT/summary.csv`.

    No model is kept: the network is a question to the data (do the markers help one another?), and `radiogen classify` with one target makes models.

    Args:
        features: branch name -> table indexed by case.
        cohort: cohort table indexed by case; blank labels are unknown.
        targets: two or more of `idh`, `mgmt`, `codeletion`, `grade`; whole sites are held out where the first one allows it.
        out: folder for the outputs.
        settings: splits, preparation, decision.
        network: of the network.
        evaluate: how the predictions are judged.
        jobs: folds worked on at the same time; the result does not depend on it.
        progress: show a progress bar.
        synthetic: the patients are made up; the reports say so.

    Returns:
        Marker -> the content of its `metrics.json`.

    Raises:
        InputError: no usable case or column, one class only, or fewer cases than folds.
        ConfigError: a selector looks at one label, or a marker is named twice.
    """
    out, evaluate, network = Path(out), evaluate or EvaluateSettings(), network or MultiTaskSettings()
    table = multitask_table(features, cohort, targets)
    predictions, scheme = cross_validate_multitask(table, settings, network, jobs=jobs, progress=progress)
    chosen = {
        "targets": list(targets),
        "classify": settings.model_dump(mode="json", exclude={"perturbed"}),
        "network": network.model_dump(mode="json"),
        "evaluate": evaluate.model_dump(mode="json"),
    }
    labels = pd.DataFrame(table.labels, index=table.features.index, columns=list(targets))
    provenance = Provenance("classify", chosen, {"features": table_hash(table.features), "labels": table_hash(labels)})
    found = {}
    for target in targets:
        facts = clinical_facts(features, cohort.loc[table.single[target].features.index])
        evaluation = evaluate_predictions(predictions[target], facts, evaluate)
        known = int(np.sum(~np.isnan(labels[target])))
        metrics = {
            **evaluation.metrics,
            "split": scheme,
            "n_features": table.features.shape[1],
            "branches": sorted(set(table.single[target].branch_of.values())),
            "synthetic": synthetic,
            "learned_with": [other for other in targets if other != target],
            "notes": [
                *evaluation.metrics.get("notes", []),
                *table.single[target].notes,
                f"Learned together with {', '.join(other for other in targets if other != target)} from {len(labels)} cases, {known} of which have a"
                f" known {target} label; unknown labels were masked.",
            ],
        }
        folder = out / target
        paths = [folder / name for name in ("predictions.csv", "metrics.json", "report.html")]
        write_csv(paths[0], predictions[target], index=False)
        write_json(paths[1], metrics)
        write_classification_report(
            paths[2], metrics, evaluation.scores, synthetic=synthetic,
            provenance={"stage": provenance.stage, "settings": chosen, "inputs": dict(provenance.inputs)},
        )  # fmt: skip
        provenance.record(paths)
        write_reporting(folder)
        found[target] = metrics
    keys = ("n", "n_positive", "auc", "verdict")
    rows = [{"target": target, **{key: metrics[key] for key in keys}} for target, metrics in found.items()]
    write_csv(out / "summary.csv", pd.DataFrame(rows), index=False)
    return found
