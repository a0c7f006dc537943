"""What selection and harmonisation inside the fold do to the held-out AUC, on the UCSF-PDGM table and the LGG images. Writes `reports/selection.md`.

`RADIOGEN_LGG_STUDY` names a folder made by the two commands in the report; without it only the table is measured.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from radiogen.cohort.table import read_cohort
from radiogen.config.classify import ClassifySettings
from radiogen.fusion.join import FusionTable, fusion_table
from radiogen.fusion.nested import cross_validate
from radiogen.fusion.perturbed import read_perturbed, variance_shares, with_perturbed
from radiogen.fusion.tables import read_feature_table
from radiogen.pipeline.inputs import from_tables, read_labels
from radiogen.run.atomic import write_text
from radiogen.stats.auc import auc, delong_test
from radiogen.stats.resampling import bootstrap_auc_interval, bootstrap_difference

pytestmark = [pytest.mark.benchmark, pytest.mark.real_data]

REPORT = Path(__file__).resolve().parents[2] / "reports" / "selection.md"
COMMAND = "RADIOGEN_LGG_STUDY=OUT/lgg pytest -m benchmark tests/benchmarks/test_selection.py"
SELECTORS = (
    "correlation",
    "none",
    "correlation-clusters",
    "univariate",
    "mrmr",
    "l1",
    "stability",
    "boruta",
    "correlation-clusters,mrmr",
)


@dataclass(frozen=True)
class Scored:
    """Out-of-fold probabilities of one choice, one per case: the mean over repeats."""

    name: str
    y: np.ndarray
    probability: np.ndarray
    patient: np.ndarray
    columns: float
    variance: dict[str, Any]


def scored(name: str, table: FusionTable, settings: ClassifySettings) -> Scored:
    result = cross_validate(table, settings, jobs=2)
    cases = result.predictions.groupby("case", sort=True).agg(
        y=("y_true", "first"), p=("y_prob", "mean"), patient=("patient", "first")
    )
    share = variance_shares(result.perturbed) if len(result.perturbed) else {}
    used = float(result.importance["selected_share"].sum())
    return Scored(
        name,
        cases["y"].to_numpy(dtype=np.int64),
        cases["p"].to_numpy(dtype=float),
        cases["patient"].to_numpy(),
        used,
        share,
    )


def row(one: Scored, default: Scored) -> str:
    patient, rng = np.unique(one.patient, return_inverse=True)[1], np.random.default_rng(0)
    low, high = bootstrap_auc_interval(one.y, one.probability, groups=patient, rng=rng)
    start = f"| {one.name} | {auc(one.y, one.probability):.3f} [{low:.3f}, {high:.3f}] | {one.columns:.0f} |"
    if one is default:
        return f"{start} |"
    low, high = bootstrap_difference(
        one.y, one.probability, default.probability, groups=patient, rng=np.random.default_rng(0)
    )
    test = delong_test(one.y, one.probability, default.probability, groups=patient)
    return f"{start} {test.difference:+.3f} [{low:+.3f}, {high:+.3f}], p {test.p:.2f} |"


def compared(table: FusionTable, choices: dict[str, dict[str, Any]]) -> list[str]:
    """Return the rows of one table of the report; the first choice is what the others are compared with."""
    each = [scored(name, table, ClassifySettings.parse(chosen)) for name, chosen in choices.items()]
    return [*HEAD, *(row(one, each[0]) for one in each)]


HEAD = [
    "| choice | held-out AUC [95 % CI] | columns used per model | difference to the first row |",
    "|---|---|---|---|",
]


def published_table(shared_data: Path, target: str) -> FusionTable:
    folder = shared_data / "tables" / "ucsf-pdgm"
    inputs = from_tables(
        [folder / "radiomic_features_T1gad_bias.csv"], read_labels(folder / "UCSF-PDGM-metadata_v2.csv")
    )
    return fusion_table(inputs.features, inputs.cohort, target)


def lgg_table(study: Path) -> FusionTable:
    cohort = read_cohort(study / "cohort.csv")
    table = fusion_table({"radiomics": read_feature_table(study / "features" / "radiomics.parquet")}, cohort, "idh")
    perturbed = study / "features" / "radiomics_perturbed.parquet"
    return with_perturbed(table, read_perturbed(perturbed)) if perturbed.is_file() else table


def test_selection_and_harmonisation(shared_data: Path) -> None:
    lines = ["# Selection and harmonisation inside the fold", "", f"Made by `{COMMAND}`.", ""]
    for target in ("idh", "mgmt"):
        lines += [f"## UCSF-PDGM table, {target.upper()}, default classifiers, 5 folds of patients drawn once", ""]
        lines += [
            *compared(
                published_table(shared_data, target), {name: {"selection": name, "repeats": 1} for name in SELECTORS}
            ),
            "",
        ]
    study = os.environ.get("RADIOGEN_LGG_STUDY")
    if study:
        lines += ["## 26 TCGA-LGG images, IDH, whole sites held out, elastic net", "", *LGG]
        table = lgg_table(Path(study))
        plain = {"classifiers": ("elastic-net",)}
        choices = {
            "no harmonisation": plain,
            "ComBat, identity": {**plain, "harmonise": "combat", "covariates": ("age",)},
            "ComBat, reference batch": {
                **plain,
                "harmonise": "combat",
                "covariates": ("age",),
                "unseen_site": "reference-batch",
            },
        }
        if table.context is not None and table.context.perturbed is not None:
            chain = {"selection": ("icc", "correlation"), "perturbed": "radiomics_perturbed.parquet"}
            choices |= {
                "stable columns (ICC)": {**plain, **chain},
                "stable columns, ComBat, identity": {**choices["ComBat, identity"], **chain},
            }
            share = scored("variance", table, ClassifySettings.parse(plain)).variance
            lines += [
                *compared(table, choices),
                "",
                "Variance of the log-odds within cases measured again, without selection:",
                "",
                *shares(share),
                "",
            ]
        else:
            lines += [*compared(table, choices), ""]
    write_text(REPORT, "\n".join(lines))


def shares(found: dict[str, Any]) -> list[str]:
    head = [
        "| family | share within cases | sd within | sd between | calls that flip | cases |",
        "|---|---|---|---|---|---|",
    ]
    return head + [
        f"| {name} | {one['share_within']:.3f} | {one['sd_log_odds_within']:.3f} | {one['sd_log_odds_between']:.3f} |"
        f" {one['share_of_calls_that_flip']:.3f} | {one['n_cases']} |"
        for name, one in found.items()
    ]


LGG = [
    "```bash",
    "radiogen cohort ../shared/data/mri/lgg --labels ../shared/data/mri/lgg/labels.csv -o OUT/lgg/cohort.csv",
    "radiogen features radiomics OUT/lgg/cohort.csv -o OUT/lgg --config lgg.yaml --jobs 2   # lgg.yaml: regions [wt], original and LoG (1, 2, 3 mm)",
    "radiogen stability OUT/lgg/cohort.csv -o OUT/lgg --config stability.yaml --jobs 2      # stability.yaml: sequences [t1c, t2f], regions [wt]",
    "```",
    "",
]
