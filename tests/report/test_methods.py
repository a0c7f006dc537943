"""The methods text says what was run, all of it that is known, and nothing else."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from radiogen.report.citations import bibtex, citation, how_to_cite, known_works, reference
from radiogen.report.methods import (
    methods_bibtex,
    methods_markdown,
    methods_statements,
    paragraphs,
    references,
    works_of,
)
from radiogen.report.run_record import read_record, unfinished_record
from radiogen.report.statement import Statement
from radiogen.run.quarantine import Failure, write_failures
from tests.report.made_up_folder import classify_settings, recorded, write_classifier, write_study, write_survival


def by_key(folder: Path, **options: Any) -> dict[str, str]:
    found: dict[str, str] = {}
    for statement in methods_statements(read_record(folder, **options)):
        found[statement.key] = f"{found.get(statement.key, '')} {statement.text}".strip()
    return found


def of_classifier(folder: Path, settings: dict[str, Any], **metrics: Any) -> dict[str, str]:
    write_classifier(folder, settings, **metrics)
    return by_key(folder)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_study(tmp_path_factory.mktemp("methods") / "study")


@pytest.fixture(scope="module")
def usual(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return of_classifier(tmp_path_factory.mktemp("usual"), classify_settings())


def test_a_study_is_told_from_cohort_to_software(study: Path) -> None:
    text = "\n".join(paragraphs(methods_statements(read_record(study))))
    for said in (
        "4 cases of 4 patients", "2 sites (A: 2, B: 2)", "median 55 years, range 40 to 70", "1 female, 3 male", "2 IDH-mutated, 2 IDH wild-type",
        "1.0 mm isotropic voxels by linear interpolation", "corrected with N4 for registration only", "(4 cases). No mask was drawn",
        "from contrast-enhanced T1-weighted and T2-FLAIR images", "sigma 1, 2 and 3 mm", "32 bins", "Whole sites were held out", "exceeded 0.95",
        "elastic-net logistic regression and gradient-boosted trees", "2000 resamples of patients", "2000 permutations", "age and sex",
        "40 patients with 22 deaths", "log-rank", "radiogen 0.1.0", "seed 0",
    ):  # fmt: skip
        assert said in text, said
    assert "native T1" not in text  # no case has one


@pytest.mark.parametrize(
    ("changed", "key", "said", "cited"),
    [
        ({"harmonise": "combat"}, "model.harmonised", "ComBat (age and sex kept)", "johnson2007"),
        (
            {"harmonise": "combat", "unseen_site": "reference-batch"},
            "model.harmonised",
            "moved to the largest",
            "zhang2018",
        ),
        (
            {"selection": ["mrmr", "icc"]},
            "model.selected",
            "at least 0.75, then 50 columns were chosen by minimum",
            "ding2005",
        ),
        (
            {"selection": ["stability"], "stability_threshold": 0.7},
            "model.selected",
            "at least 0.7 of random halves",
            "meinshausen2010",
        ),
        ({"max_correlation": 0.8}, "model.selected", "exceeded 0.8", None),
        ({"classifiers": ["svm"]}, "model.classifier", "were a support vector machine.", "cortes1995"),
        ({"combine": "best"}, "model.classifier", "lowest inner log loss answered", None),
        ({"fusion": "stacking"}, "model.fusion", "(stacking)", "wolpert1992"),
        ({"fusion": "gated-attention"}, "model.fusion", "gated-attention network", None),
        ({"search": "bayesian", "trials": 33}, "model.tuning", "33 trials", "optuna"),
        ({"inner_folds": 4}, "model.tuning", "4 inner folds", None),
        ({"class_weight": "balanced"}, "model.class-weight", "weighed the same", None),
        ({"calibrate": "beta"}, "model.recalibrated", "beta calibration", "kull2017"),
        ({"threshold": "sensitivity", "wanted": 0.85}, "model.threshold", "sensitivity of 85 %", None),
        ({"coverage": 0.8}, "model.conformal", "80 % coverage", "vovk2015"),
        ({"clip_z": 3.0}, "model.scaling", "limited to 3 robust", None),
        ({"reduce": "pls", "components": 6}, "model.reduced", "6 partial least squares", "scikit-learn"),
        ({"permutations_refit": 99}, "model.permutations", "99 permutations", "phipson2010"),
        ({"min_site_cases": 7}, "model.splits-sites", "fewer than 7 cases", None),
    ],
)
def test_another_setting_gives_another_sentence(
    changed: dict[str, Any], key: str, said: str, cited: str | None, usual: dict[str, str], tmp_path: Path
) -> None:
    found = of_classifier(tmp_path, classify_settings(**changed))
    assert said in found[key]
    assert said not in usual.get(key, "")
    if cited:
        assert cited in works_of(methods_statements(read_record(tmp_path)))


def test_what_is_switched_off_is_not_told(tmp_path: Path, usual: dict[str, str]) -> None:
    found = of_classifier(tmp_path, classify_settings(coverage=None, selection=[], fusion="gated-attention"))
    assert {"model.conformal", "model.selected", "model.classifier", "model.tuning"} & set(found) == set()
    assert {"model.conformal", "model.selected", "model.classifier", "model.tuning"} <= set(usual)
    assert not any("XGBoost" in text for text in found.values())


def test_how_cases_were_held_out_is_told_as_it_was(tmp_path: Path) -> None:
    found = of_classifier(tmp_path, classify_settings(folds=4, repeats=2), split="grouped-kfold", n_sites=1)
    assert "into 4 folds, all scans of a patient in the same one, twice" in found["model.splits-patients"]
    assert "model.splits-sites" not in found
    assert found["model.sites-one"]


def test_evaluation_and_measures_follow_settings_and_numbers(tmp_path: Path) -> None:
    settings = classify_settings()
    settings["evaluate"] |= {"bootstrap_resamples": 777, "interval": "bca", "alpha": 0.01, "confidence": 0.9}
    found = of_classifier(tmp_path, settings, brier=None, baselines=[], calibration_slope=None)
    assert "90 % bias-corrected and accelerated bootstrap intervals over 777 resamples" in found["evaluate.intervals"]
    assert "below 0.01" in found["evaluate.rule"]
    assert {"evaluate.calibration", "evaluate.decision", "evaluate.baselines", "evaluate.clinical-baselines"} & set(
        found
    ) == set()


def test_stages_that_were_not_run_are_not_mentioned(tmp_path: Path) -> None:
    folder = write_study(tmp_path / "study", preprocessed=False, given_masks=True)
    statements = methods_statements(read_record(folder, skipped=["classify idh", "survival by idh"]))
    assert {statement.part for statement in statements} == {"cohort", "segment", "features", "software"}
    text, bib = methods_markdown(statements), methods_bibtex(statements)
    assert "masks of 4 cases were given with the images" in text
    for word in ("N4", "tustison2010", "flair", "varma2006", "kaplan1958"):
        assert word not in text + bib


def test_cases_that_failed_are_counted_once(tmp_path: Path) -> None:
    folder = write_study(tmp_path / "study")
    assert by_key(folder)["cohort.exclusions"] == "The program left no case out."
    failures = [
        Failure(case, stage, "why", "how") for case, stage in (("x", "segment"), ("y", "features"), ("x", "features"))
    ]
    write_failures(folder / "failed.csv", failures)
    assert (
        "2 cases could not be processed and went without that step (2 at features and 1 at segment)"
        in by_key(folder)["cohort.exclusions"]
    )


def test_targets_with_other_settings_are_told_apart(tmp_path: Path) -> None:
    folder = write_study(tmp_path / "study")
    write_classifier(folder / "classify/mgmt", classify_settings(classifiers=["svm"]), target="mgmt")
    told = [item.text for item in methods_statements(read_record(folder)) if item.key == "model.classifier"]
    assert [text.partition("]")[0] for text in told] == ["[IDH mutation", "[MGMT promoter methylation"]


def test_an_audit_trained_nothing_and_says_so(tmp_path: Path) -> None:
    write_classifier(tmp_path)
    (tmp_path / "predictions.json").unlink()
    settings = {**classify_settings()["evaluate"], "target": None, "model": None, "columns": {}}
    numbers = (tmp_path / "metrics.json").read_text()
    recorded(tmp_path / "metrics.json", "audit", settings, numbers)
    found = by_key(tmp_path)
    assert "Predictions of IDH mutation were audited on 80 cases" in found["evaluate.cases"]
    assert not any(key.startswith("model.") and key != "model.sites-several" for key in found)


def test_masks_by_a_network_name_weights_and_device(tmp_path: Path) -> None:
    for case in ("a", "b"):
        facts = {"method": "network:mine", "device": "cuda", "weights_sha256": "ab" * 32}
        recorded(tmp_path / f"masks/{case}.nii.gz", "segment", {"tta": True, "uncertainty": "flips"}, **facts)
    found = by_key(tmp_path)
    assert "the network mine (2 cases)" in found["segment.automatic"]
    assert "abababababab" in found["segment.weights"]
    assert "ran on cuda" in found["segment.weights"]
    assert {"segment.tta", "segment.uncertainty"} <= set(found)


def test_deep_features_name_network_and_weights_without_folders(tmp_path: Path) -> None:
    chosen = {
        "network": "c3d",
        "weights": "/home/somebody/c3d.safetensors",
        "weights_sha256": "cd" * 32,
        "arithmetic": "bfloat16 on cuda",
    }
    recorded(tmp_path / "features/embedding.parquet", "features-embedding", chosen)
    found = by_key(tmp_path)
    assert "network c3d (weights c3d.safetensors, SHA-256 cdcdcdcdcdcd..., bfloat16 on cuda)" in found["features.deep"]
    assert "features.no-radiomics" in found


def test_radiomics_of_a_parameter_file_and_of_another_version(tmp_path: Path) -> None:
    settings = classify_settings()
    settings["features"] = {"radiomics": {"params": {"file": "mine.yaml", "sha256": "x"}, "unheard_of": 1}}
    found = of_classifier(tmp_path, settings)
    assert "parameter file given by the user" in found["features.parameters"]
    assert "features.bins" not in found


def test_a_recipe_brings_its_paper(tmp_path: Path) -> None:
    paper = {
        "title": "A network of ours",
        "authors": "Roe et al.",
        "year": 2020,
        "doi": "10.1000/xyz",
        "venue": "not given",
    }
    recipe = {"name": "ours", "title": "Our network", "paper": paper, "differs": ["a", "b"], "settings": {"epochs": 7}}
    settings = {
        "target": "idh",
        "recipe": recipe,
        "evaluate": classify_settings()["evaluate"],
        "splits": {"seed": 3, "folds": 5, "repeats": 1},
    }
    found = of_classifier(tmp_path, settings)
    statements = methods_statements(read_record(tmp_path))
    assert "in 2 points" in found["model.networks"]
    assert "epochs 7" in found["model.network-training"]
    assert {"model.selected", "model.classifier", "model.scaling"} & set(found) == set()
    assert "author = {Roe and others}" in methods_bibtex(statements)
    assert any(line.endswith("2020. doi:10.1000/xyz") for line in references(statements))
    assert "seed 3" in found["software.seed"]


def test_survival_settings_are_told(tmp_path: Path) -> None:
    write_survival(tmp_path, cut="best", where=["grade=4"], n_bootstrap=321)
    found = by_key(tmp_path)
    assert "corrected for that search" in found["survival.groups"]
    assert "only grade=4" in found["survival.groups"]
    assert "321 resamples" in found["survival.cox"]
    assert "Cox models (Efron's ties) took IDH and age alone;" in found["survival.cox"]


def test_special_survival_models_are_told(tmp_path: Path) -> None:
    cox = {"univariable": [{"covariate": "age"}], "strata": {"by": "site", "n": 3}, "robust": {"by": "patient"}}
    write_survival(
        tmp_path,
        cox=cox,
        follow_up={"time_column": "t", "time_unit": "months", "entry_column": "entry_days", "n_late": 3},
    )
    found = by_key(tmp_path)
    assert "Cox models (Efron's ties; stratified by site, robust errors by patient) took age" in found["survival.cox"]
    assert "the column entry_days (left truncation)" in found["survival.groups"]


def test_a_page_in_the_making_tells_what_its_folder_tells_afterwards(tmp_path: Path) -> None:
    write_classifier(tmp_path)
    read = read_record(tmp_path)
    provenance = {"stage": "classify", "settings": classify_settings(), "inputs": {}}
    making = unfinished_record(tmp_path, read.models[0].results, provenance)
    assert methods_statements(making) == methods_statements(read)


def test_marks_references_and_bibliography_agree(study: Path) -> None:
    statements = methods_statements(read_record(study))
    text, listed = " ".join(paragraphs(statements)), references(statements)
    numbers = {int(number) for group in re.findall(r"\[([\d, ]+)\]", text) for number in group.split(",")}
    assert numbers == set(range(1, len(listed) + 1))
    keys = re.findall(r"^@\w+\{([^,]+),", methods_bibtex(statements), flags=re.MULTILINE)
    assert keys == list(works_of(statements))
    assert set(re.findall(r"@([\w-]+)", methods_markdown(statements).partition("## References")[0])) == set(keys)


def test_every_sentence_names_a_source_that_exists(study: Path) -> None:
    for statement in methods_statements(read_record(study)):
        files = [source.partition("#")[0] for source in statement.sources]
        assert files
        assert [name for name in files if not (study / name).is_file()] == []


def test_what_the_list_of_works_holds_is_sound_and_used() -> None:
    import radiogen.report as package

    code = "".join(path.read_text() for path in Path(package.__file__).parent.glob("methods*.py"))
    for key in known_works():
        work = citation(key)
        assert key == "radiogen" or f'"{key}"' in code, f"{key} is never cited"
        assert re.fullmatch(r"10\.\d{4,5}/\S+", work["doi"]) if "doi" in work else work.get("note"), key
        assert bibtex({key: work}).count("{") == bibtex({key: work}).count("}")
        assert "{" not in reference(work)


def test_radiogen_says_how_to_cite_it() -> None:
    text, entry = how_to_cite()
    assert text.startswith("The radiogen developers. radiogen:")
    assert "doi" not in entry  # it has none


def test_a_citation_mark_stands_before_the_full_stop() -> None:
    assert paragraphs([Statement("model.nested", "Done.", (), ("varma2006", "delong1988"))]) == ["Models. Done [1, 2]."]
