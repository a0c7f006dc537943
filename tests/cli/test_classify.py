"""`radiogen classify` as a user types it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from radiogen.cli.main import app
from tests.fusion.data import made_up


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["classify", *map(str, arguments)])


@pytest.fixture
def tables(tmp_path: Path) -> tuple[Path, Path]:
    features, cohort = made_up(40, noise=4, strength=3.0)
    features["radiomics"].rename_axis("ID").to_csv(tmp_path / "radiomics.csv")
    labels = cohort[["idh", "age", "sex"]].rename(columns={"idh": "IDH"})
    labels["IDH"] = np.where(labels["IDH"] == 1, "mutated", "wildtype")
    labels.rename_axis("Patient").to_csv(tmp_path / "labels.csv")
    return tmp_path / "radiomics.csv", tmp_path / "labels.csv"


FAST = ("--classifiers", "elastic-net", "--folds", 3, "--repeats", 1, "--quiet")


def test_from_tables_to_verdict(tables: tuple[Path, Path], tmp_path: Path) -> None:
    result = run("--target", "idh", "--features", tables[0], "--labels", tables[1], "-o", tmp_path / "out", *FAST)
    assert result.exit_code == 0, result.output
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert metrics["verdict"] in result.output
    assert metrics["branches"] == ["clinical", "radiomics"]
    assert metrics["n"] == 40
    assert (tmp_path / "out" / "report.html").is_file()


def test_fusion_search_and_classifier_reach_the_model(tables: tuple[Path, Path], tmp_path: Path) -> None:
    result = run(
        "-t", "idh", "-f", tables[0], "-l", tables[1], "-o", tmp_path, "--fusion", "weighted", "--missing-branch", "impute",
        "--class-weight", "balanced", "--classifiers", "logistic", "--search", "bayesian", "--trials", 2, "--folds", 2, "--repeats", 1, "--quiet",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    card = json.loads((tmp_path / "model" / "card.json").read_text())
    assert card["model"] == "weighted of logistic"
    chosen = {name: card["settings"][name] for name in ("missing_branch", "class_weight", "search", "trials")}
    assert chosen == {"missing_branch": "impute", "class_weight": "balanced", "search": "bayesian", "trials": 2}


def test_branches_can_be_chosen(tables: tuple[Path, Path], tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = run("-t", "idh", "-f", tables[0], "-l", tables[1], "-o", out, "--branches", "radiomics", *FAST)
    assert result.exit_code == 0, result.output
    assert json.loads((out / "metrics.json").read_text())["branches"] == ["radiomics"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("-t", "idhh", "-f", "RADIOMICS", "-l", "LABELS"), "Did you mean 'idh'?"),
        (("-t", "idh"), "Nothing to learn from"),
        (("-t", "idh", "-f", "RADIOMICS"), "needs labels"),
        (("-t", "idh", "-f", "nowhere.csv", "-l", "LABELS"), "does not exist"),
        (("-t", "idh", "nowhere.csv"), "does not exist"),
        (
            ("-t", "mgmt", "-f", "RADIOMICS", "-l", "LABELS"),
            "None of the 40 cases with features has a known mgmt label",
        ),
        (
            ("-t", "idh", "-f", "RADIOMICS", "-l", "LABELS", "--folds", "30"),
            "Fewer cases than folds: the smaller class has 20",
        ),
        (("-t", "idh", "-f", "RADIOMICS", "-l", "LABELS", "--sites", "both"), "sites"),
        (("-t", "idh", "-f", "RADIOMICS", "-l", "LABELS", "--classifiers", "forest"), "random-forest"),
        (("-t", "idh", "-f", "RADIOMICS", "-l", "LABELS", "--classifiers", "nowhere:Tree"), "cannot be imported"),
        (("-t", "idh", "-f", "RADIOMICS", "-l", "LABELS", "--fusion", "stack"), "Did you mean 'stacking'?"),
        (("-t", "idh", "-f", "RADIOMICS", "-l", "LABELS", "--search", "random"), "bayesian"),
    ],
)
def test_bad_usage_is_one_clear_message_and_two(
    tables: tuple[Path, Path], tmp_path: Path, arguments: tuple[str, ...], words: str
) -> None:
    named = {"RADIOMICS": tables[0], "LABELS": tables[1]}
    result = run(*[named.get(argument, argument) for argument in arguments], "-o", tmp_path / "out", "--quiet")
    assert result.exit_code == 2, result.output
    assert words in result.output
    assert not (tmp_path / "out").exists()


def test_help_has_an_example() -> None:
    result = run("--help")
    assert result.exit_code == 0
    assert "Example: radiogen classify" in result.output


def test_permutations_frozen_splits_and_calibration(tables: tuple[Path, Path], tmp_path: Path) -> None:
    cases = [f"case-{number:03d}" for number in range(40)]
    folds = tmp_path / "folds.csv"
    folds.write_text("case,fold\n" + "".join(f"{case},{at // 2 % 2}\n" for at, case in enumerate(cases)))
    out = tmp_path / "out"
    result = run(
        "-t", "idh", "-f", tables[0], "-l", tables[1], "-o", out, "--splits", folds, "--permute", 3, "--permutation-method", "fast",
        "--threshold", "sensitivity", "--wanted", 0.8, "--coverage", 0.8, "--no-random-split", *FAST,
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    metrics = json.loads((out / "metrics.json").read_text())
    assert len(metrics["permutation_fast_aucs"]) == 3
    header = (out / "predictions.csv").read_text().splitlines()[0]
    assert "threshold,prediction_set,out_of_distribution" in header
    card = json.loads((out / "model" / "card.json").read_text())
    assert card["decision"]["rule"] == "sensitivity"
    assert card["decision"]["coverage"] == 0.8
    folds.write_text(folds.read_text().replace("case-007", "case-008"))
    result = run("-t", "idh", "-f", tables[0], "-l", tables[1], "-o", out, "--splits", folds, *FAST)
    assert result.exit_code == 2
    assert "case-007 in no fold" in result.output


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("-t", "idh,grad"), "Did you mean 'grade'?"),
        (("-t", "idh,idh"), "Several different markers"),
        (("-t", "idh,mgmt", "--permute", "3"), "not permuted"),
        (("-t", "idh", "--calibrate", "platt"), "calibrate"),
        (("-t", "idh", "--coverage", "1.5"), "coverage"),
        (("-t", "idh", "--permute", "3", "--permutation-method", "fast", "--calibrate", "beta", *map(str, FAST)), "knows fusion early without"),
    ],
)  # fmt: skip
def test_what_cannot_be_asked_for(
    tables: tuple[Path, Path], tmp_path: Path, arguments: tuple[str, ...], words: str
) -> None:
    result = run(*arguments, "-f", tables[0], "-l", tables[1], "-o", tmp_path / "out", "--quiet")
    assert result.exit_code == 2, result.output
    assert words in " ".join(result.output.split())
