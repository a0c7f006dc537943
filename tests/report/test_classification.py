from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from radiogen.config.evaluate import EvaluateSettings
from radiogen.evaluate.audit import evaluate_predictions
from radiogen.report.classification import write_classification_report
from radiogen.run.provenance import RESEARCH_USE
from tests.report.html_check import Page
from tests.report.made_up import bare_metrics, made_up_importance, made_up_metrics, made_up_scores


def report(path: Path, metrics: dict[str, Any], scores: pd.DataFrame | None = None, **more: Any) -> Page:
    write_classification_report(path, metrics, made_up_scores() if scores is None else scores, **more)
    return Page(path.read_text(encoding="utf-8"))


def test_a_full_report_is_sound_and_leads_with_the_verdict(tmp_path: Path) -> None:
    settings = {"evaluate": EvaluateSettings().model_dump(mode="json")}
    page = report(
        tmp_path / "r.html", made_up_metrics(), importance=made_up_importance(), provenance={"settings": settings}
    )
    assert page.problems == []
    assert page.words.index("Beats the baselines In 80 cases the IDH model reaches AUC 0.912.") < page.words.index(
        "The race"
    )
    assert RESEARCH_USE in page.words
    for part in (
        "0.912",
        "0.834\u00a0to\u00a00.967",
        "above 0.5",
        "useful AUC (0.75)",
        "p below 0.05",
        "fewer than 10",
        "too few",
    ):
        assert part in " ".join(page.text), part
    assert len(page.all_of("svg")) == 2 + 1 + 3 + 2 + 1


def test_case_and_site_names_are_escaped(tmp_path: Path) -> None:
    page = report(tmp_path / "r.html", made_up_metrics())
    assert not page.all_of("b")
    assert "A<b>" in page.words
    assert "Sites were mixed <b>." in page.words


def test_the_least_that_can_come_is_still_a_report(tmp_path: Path) -> None:
    scores = made_up_scores()[["y_true", "y_prob"]]
    page = report(tmp_path / "r.html", bare_metrics(), scores)
    assert page.problems == []
    assert "nothing here shows that the model is more" in page.words
    assert "could not be looked at inside strata" in page.words


def test_an_empty_metrics_table_and_one_class_only(tmp_path: Path) -> None:
    page = report(tmp_path / "r.html", {}, made_up_scores().query("y_true == 0"))
    assert page.problems == []
    assert "No verdict was reached." in page.words
    assert "belong to one class" in page.words


KEYS = sorted(set(made_up_metrics()) - {"target"})


@pytest.mark.parametrize("number", range(_PAGES := (len(KEYS) + 2) // 3))
def test_any_key_may_be_missing_or_null(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    monkeypatch.setattr(
        "radiogen.report.page.svg", lambda figure: "<svg></svg>"
    )  # the figures are made, only not written
    metrics = made_up_metrics()
    # Every page takes half a second: three keys that stand far apart are missing or null together.
    for place, key in enumerate(KEYS[number::_PAGES]):
        if (number + place) % 2:
            metrics[key] = None
        else:
            del metrics[key]
    assert report(tmp_path / "a.html", metrics, made_up_scores(40)).problems == []


def test_everything_null(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("radiogen.report.page.svg", lambda figure: "<svg></svg>")
    page = report(tmp_path / "a.html", dict.fromkeys(made_up_metrics()), made_up_scores(40))
    assert page.problems == []


def inside_splits() -> dict[str, Any]:
    """Metrics of held-out sites with all that an evaluation can hold."""
    metrics = made_up_metrics(
        verdict_auc="within-split",
        within_split={"auc": 0.871, "auc_ci": [0.8, 0.93], "n_pairs": 321, "n_splits": 2},
        permutation_histogram={"edges": [0.0, 0.4, 0.6, 1.0], "counts": [10.0, 80.0, 10.0]},
        random_split={"auc": 0.95, "auc_ci": [0.9, 0.98], "optimism": 0.079},
        sites_pooled={"n_sites": 2, "n_left_out": 1, "auc": 0.83, "auc_ci": [0.6, 0.94], "prediction_interval": [0.4, 0.97], "tau2": 0.1, "i2": 0.3},
        conformal={"n": 80, "coverage": 0.91, "coverage_ci": [0.83, 0.96], "no_call": 0.2, "accuracy_of_calls": 0.9},
        out_of_distribution={"n_flagged": 4, "n_inside": 76, "auc_inside": 0.915},
        reclassification={
            "baseline": "age", "n": 72, "categories": [0.5], "nri": 0.25, "nri_ci": [0.1, 0.4], "nri_p": 0.004, "idi": 0.12, "idi_ci": [0.05, 0.2],
            "table": {"positive": {"up": 7, "down": 2, "same": 20}, "negative": {"up": 3, "down": 6, "same": 34}},
        },
        threshold_from="fold",
    )  # fmt: skip
    metrics["strata"] += [
        {"stratum": "site", "value": "C&D", "n": 39, "n_positive": 17, "auc": 0.8, "auc_ci": [0.6, 0.9], "note": ""}
    ]
    inner = {
        "within_auc": 0.701,
        "within_auc_ci": [0.6, 0.8],
        "within_delta": 0.17,
        "within_delta_ci": [0.05, 0.29],
        "within_p": 0.006,
    }
    metrics["baselines"] = [row | inner for row in metrics["baselines"]]
    return metrics


def test_what_is_compared_inside_splits_is_shown_everywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("radiogen.report.page.svg", lambda figure: "<svg></svg>")
    page = report(tmp_path / "a.html", inside_splits())
    assert page.problems == []
    words = " ".join(page.text).replace("\u00a0", " ")
    for part in (
        "Only cases of the same test split are compared",
        "AUC 0.871 (0.800 to 0.930) over 321 pairs",
        "optimistic by +0.079",
        "At one more site of this kind an AUC from 0.400 to 0.970 is expected",
        "1 site(s) with too few cases",
        "Who is reclassified, compared with age",
        "4 case(s) were flagged as unlike the training cases",
        "sets that hold the truth",
        "at thresholds chosen inside the training folds",
        "The hardest trivial baseline, age alone, reached 0.701 (95 % CI 0.600 to 0.800); the model's lead over it was +0.170",
        "Verdict by a rule fixed beforehand: beats the baselines",
    ):
        assert part in words, part


def test_same_input_same_bytes_and_no_banner(tmp_path: Path) -> None:
    for name in ("a", "b"):
        report(tmp_path / f"{name}.html", made_up_metrics(), importance=made_up_importance())
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()
    assert b"SYNTHETIC DATA" not in (tmp_path / "a.html").read_bytes()


def test_made_up_patients_are_called_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("radiogen.report.page.svg", lambda figure: "<svg></svg>")
    assert "SYNTHETIC DATA" in report(tmp_path / "c.html", made_up_metrics(), synthetic=True).words
    assert "SYNTHETIC DATA" in report(tmp_path / "d.html", made_up_metrics(synthetic=True)).words


def test_leakage_stands_before_everything_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("radiogen.report.page.svg", lambda figure: "<svg></svg>")
    notes = ["LEAKAGE: 3 patient(s) are in several folds.", "Sites are unknown."]
    words = report(tmp_path / "r.html", made_up_metrics(notes=notes)).words
    assert words.index("LEAKAGE") < words.index("The race") < words.index("Sites are unknown.")


def test_the_rule_is_printed_without_numbers_where_the_settings_are_not_known(tmp_path: Path) -> None:
    words = report(tmp_path / "r.html", made_up_metrics()).words
    assert "too few cases of either class" in words
    assert "useful AUC," in words


def test_unknown_folds_are_never_called_held_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("radiogen.report.page.svg", lambda figure: "<svg></svg>")
    assert "never saw its patient or its site" in report(tmp_path / "a.html", made_up_metrics()).words
    for split in ("unknown", "odd"):
        words = report(tmp_path / "b.html", made_up_metrics(split=split)).words
        assert "does not say whether the model had seen these cases" in words
        assert "never saw" not in words


def test_scores_that_are_no_probabilities_get_no_calibration_curve(tmp_path: Path) -> None:
    page = report(tmp_path / "r.html", made_up_metrics(brier=None))
    assert "What the probabilities are worth" not in page.words
    assert "no probabilities" in page.words


def test_the_real_evaluation_fits_before_and_after_json(tmp_path: Path) -> None:
    scores = made_up_scores(90, effect=0.8)
    table = scores.reset_index().assign(target="idh", split="site=" + scores["site"].to_numpy(), repeat=0, model="m")
    table = table[["case", "patient", "site", "target", "y_true", "y_prob", "split", "repeat", "model"]]
    clinical = pd.DataFrame({"age": np.linspace(20, 80, 90), "grade": 2.0 + np.arange(90) % 3}, index=scores.index)
    settings = EvaluateSettings(bootstrap_resamples=200, permutations=199)
    found = evaluate_predictions(table, clinical, settings)
    page = report(tmp_path / "r.html", found.metrics, found.scores)
    assert page.problems == []
    assert found.metrics["verdict_text"] in " ".join(page.text)
    assert {f"over {row['name']}" for row in found.metrics["baselines"]}
    read_back = json.loads(json.dumps(found.metrics))
    report(tmp_path / "again.html", read_back, found.scores)
    assert (tmp_path / "again.html").read_bytes() == (tmp_path / "r.html").read_bytes()
