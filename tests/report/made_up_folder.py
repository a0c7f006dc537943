"""A made-up study folder: the tables, numbers and sidecars that stages leave behind, without the hours that they take."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from radiogen.cohort.table import write_cohort
from radiogen.config.classify import ClassifySettings
from radiogen.config.evaluate import EvaluateSettings
from radiogen.config.features import ClinicalSettings, RadiomicsSettings
from radiogen.config.preprocess import PreprocessSettings
from radiogen.config.segment import SegmentSettings
from radiogen.config.survival import SurvivalSettings
from radiogen.run.atomic import write_json, write_text
from radiogen.run.provenance import Provenance
from tests.report.made_up import made_up_metrics


def classify_settings(**changed: Any) -> dict[str, Any]:
    """What the sidecar of a classifier holds."""
    return {
        "target": "idh",
        "classify": {**ClassifySettings().model_dump(mode="json", exclude={"perturbed"}), **changed},
        "evaluate": EvaluateSettings().model_dump(mode="json"),
        "features": {"clinical": {}, "radiomics": {}},
        "synthetic": False,
    }


def recorded(path: Path, stage: str, settings: dict[str, Any], text: str = "x", **facts: Any) -> None:
    """Write a file and its sidecar."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, text)
    Provenance(stage, settings).record([path], **facts)


def write_classifier(folder: Path, settings: dict[str, Any] | None = None, **metrics: Any) -> None:
    """Write what `radiogen classify` leaves behind."""
    numbers = {"branches": ["clinical", "radiomics"], "n_features": 1163, "permutation_p": 0.001, **metrics}
    write_json_beside(folder / "metrics.json", made_up_metrics(**numbers))
    recorded(folder / "predictions.csv", "classify", settings or classify_settings())
    for name in ("importance.csv", "tuning.csv", "report.html", "model/card.md"):
        (folder / name).parent.mkdir(exist_ok=True)
        write_text(folder / name, "x")


def write_json_beside(path: Path, values: dict[str, Any]) -> None:
    """Write JSON into a folder that may not be there yet."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, values)


def write_survival(
    folder: Path, cox: dict[str, Any] | None = None, follow_up: dict[str, Any] | None = None, **settings: Any
) -> None:
    """Write what `radiogen survival --group-by idh` leaves behind, as far as the methods text reads it."""
    found = {
        "n": 40, "n_events": 22, "group_by": "idh", "group_title": "IDH", "groups": [], "log_rank": {"p": 0.01},
        "input": follow_up or {"time_column": "os_days", "time_unit": "days"}, "restricted_mean": {"horizon_days": 900.0},
        "cox": cox or {"univariable": [{"covariate": "IDH"}, {"covariate": "age"}], "multivariable": None},
    }  # fmt: skip
    write_json_beside(folder / "survival.json", found)
    chosen = {**SurvivalSettings(group_by="idh").model_dump(mode="json"), **settings}
    Provenance("survival", chosen).record([folder / "survival.json"])
    write_text(folder / "report.html", "x")


def write_study(folder: Path, *, given_masks: bool = False, preprocessed: bool = True) -> Path:
    """Write a study of four cases with every stage; return its folder."""
    folder.mkdir()
    n = 4
    cohort = pd.DataFrame(
        {
            "patient": [f"p{i}" for i in range(n)], "site": ["A", "A", "B", "B"], "age": [40.0, 50.0, 60.0, 70.0],
            "sex": ["F", "M", "M", "M"], "idh": [1, 1, 0, 0], "grade": [2, 3, 4, 4],
        },
        index=pd.Index([f"c{i}" for i in range(n)], name="case"),
    )  # fmt: skip
    for name in ("t1c", "t2f"):
        cohort[name] = [str(folder / f"{case}_{name}.nii.gz") for case in cohort.index]
    write_cohort(cohort, folder / "cohort.csv")
    if preprocessed:
        settings = PreprocessSettings().model_dump(mode="json")
        recorded(folder / "preprocessed/c0/brain.nii.gz", "preprocess", settings)
    for case in cohort.index:
        settings = {"method": "given"} if given_masks else SegmentSettings().model_dump(mode="json")
        recorded(
            folder / f"masks/{case}.nii.gz",
            "segment",
            settings,
            method="given" if given_masks else "flair-threshold",
            device="cpu",
        )
    write_text(folder / "volumes.csv", "case\n")
    for branch, chosen in (("clinical", ClinicalSettings()), ("radiomics", RadiomicsSettings())):
        recorded(folder / f"features/{branch}.parquet", f"features-{branch}", chosen.model_dump(mode="json"))
        write_text(folder / f"features/{branch}.csv", "case,a,b\n")
    write_classifier(folder / "classify/idh")
    write_survival(folder / "survival/idh")
    write_text(folder / "report.html", "x")
    return folder
