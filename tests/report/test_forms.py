"""Reporting forms: complete as published, answered only by what exists, blanks left blank."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd
import pytest

from radiogen.errors import ConfigError
from radiogen.report.forms import (
    ANSWERED,
    BLANK,
    FORMS,
    NOT_APPLICABLE,
    NOT_MET,
    FilledForm,
    Form,
    fill_form,
    read_form,
)
from radiogen.report.methods import methods_statements
from radiogen.report.reporting import reporting_sections, write_reporting
from radiogen.report.run_record import read_record
from radiogen.report.statement import Statement
from tests.report.made_up_folder import classify_settings, write_classifier, write_study


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_study(tmp_path_factory.mktemp("forms") / "study")
    write_reporting(folder)
    return folder


def filled(name: str, folder: Path) -> FilledForm:
    return fill_form(name, methods_statements(read_record(folder)), folder)


def status(form: FilledForm) -> dict[str, str]:
    return {answer.item.number: answer.status for answer in form.answers}


def test_forms_are_complete_as_published() -> None:
    # Kocak et al. 2023: 58 items; Kocak et al. 2024: 30 items, 9 categories, 5 conditions, weights that sum to 1; Collins et al. 2024: 27 items,
    # 52 parts.
    clear, metrics, tripod = (read_form(name) for name in FORMS)
    assert [item.number for item in clear.items] == [str(number) for number in range(1, 59)]
    assert [item.number for item in metrics.items] == [str(number) for number in range(1, 31)]
    assert len({item.section for item in metrics.items}) == 9
    assert [condition.number for condition in metrics.conditions] == ["1", "2", "3", "4", "5"]
    assert sum(item.weight for item in metrics.items) == pytest.approx(1.0, abs=5e-4)  # published with four digits
    assert len(tripod.items) == len({item.number for item in tripod.items}) == 52
    whole = [int(re.sub(r"\D", "", item.number)) for item in tripod.items]
    assert sorted(set(whole)) == list(range(1, 28))
    assert whole == sorted(whole)
    assert {item.applies for item in tripod.items} == {"D", "E", "D;E"}


def test_weights_of_metrics_are_those_of_its_table() -> None:
    # Kocak et al. 2024, table 1: the heaviest and the lightest, and sums of categories that the paper ranks.
    weight = {item.number: item.weight for item in read_form("metrics").items}
    assert weight["3"] == 0.0919
    assert weight["27"] == 0.0749
    assert weight["28"] == weight["29"] == weight["30"] == 0.0075
    sums: dict[str, float] = {}
    for item in read_form("metrics").items:
        sums[item.section] = sums.get(item.section, 0.0) + item.weight
    assert sorted(sums, key=lambda name: -sums[name]) == [
        "Study design", "Imaging data", "Image processing and feature extraction", "Metrics and comparison", "Testing", "Feature processing",
        "Preparation for modelling", "Segmentation", "Open science",
    ]  # fmt: skip


def keys_of(form: Form) -> set[str]:
    lists = [
        key
        for item in form.items
        for key in (*item.any_of, *item.all_of, *item.quotes, *item.hints, *item.not_met_if, *item.not_applicable_if)
    ]
    return {*lists, *(key for condition in form.conditions for key in (*condition.yes_if, *condition.no_if))}


@pytest.mark.parametrize("name", FORMS)
def test_forms_ask_for_statements_that_can_be_made(name: str) -> None:
    import radiogen.report as package

    code = "".join(path.read_text() for path in Path(package.__file__).parent.glob("methods*.py"))
    assert {key for key in keys_of(read_form(name)) if f'"{key}"' not in code} == set()
    numbers = {item.number for item in read_form(name).items}
    assert all(set(condition.items) <= numbers for condition in read_form(name).conditions)


def test_an_unknown_key_in_a_form_is_refused() -> None:
    with pytest.raises(ConfigError, match="anyof"):
        Form.parse(
            {
                "name": "x",
                "title": "x",
                "source": "x",
                "doi": "x",
                "licence": "x",
                "items": [{"number": "1", "anyof": []}],
            }
        )


def test_what_a_study_knows_is_answered_and_the_rest_is_blank(study: Path) -> None:
    clear, metrics, tripod = (status(filled(name, study)) for name in FORMS)
    assert {clear[n] for n in ("15", "17", "19", "20", "21", "22", "23", "24", "27", "33", "35", "44", "47")} == {
        ANSWERED
    }
    assert {clear[n] for n in ("1", "2", "8", "10", "16", "45", "49", "53", "57")} == {BLANK}
    assert {metrics[n] for n in ("4", "8", "10", "11", "12", "13", "15", "18", "21", "22", "24", "25")} == {ANSWERED}
    assert metrics["14"] == NOT_MET
    assert metrics["17"] == NOT_APPLICABLE
    assert {metrics[n] for n in ("1", "2", "3", "6", "16", "26", "27", "30")} == {BLANK}
    assert {tripod[n] for n in ("7", "9b", "11", "12a", "12c", "20a", "22", "23a")} == {ANSWERED}
    assert {tripod[n] for n in ("12f", "13", "24")} == {NOT_APPLICABLE}
    assert {tripod[n] for n in ("3a", "5b", "6c", "8c", "17", "18a", "19", "25", "27c")} == {BLANK}


@pytest.mark.parametrize("name", FORMS)
def test_nothing_is_answered_without_an_artefact_that_exists(name: str, study: Path) -> None:
    for answer in filled(name, study).answers:
        assert all((study / link).is_file() for link in answer.links)
        if answer.status in {ANSWERED, NOT_MET}:
            assert answer.links, answer.item
            assert answer.text


def test_an_artefact_that_goes_takes_its_answers_with_it(tmp_path: Path) -> None:
    write_classifier(tmp_path)
    before = status(filled("tripod-ai", tmp_path))
    (tmp_path / "model/card.md").unlink()
    after = status(filled("tripod-ai", tmp_path))
    assert {number for number in before if before[number] != after[number]} == {"22"}
    statements = [Statement("model.scaling", "Scaled.", ("gone.json#settings",))]
    assert set(status(fill_form("clear", statements, tmp_path)).values()) <= {BLANK, ANSWERED}
    assert status(fill_form("clear", statements, tmp_path))["32"] == BLANK
    assert status(fill_form("clear", statements, tmp_path, promised=["gone.json"]))["32"] == ANSWERED


def test_one_site_is_not_several(tmp_path: Path) -> None:
    write_classifier(tmp_path, n_sites=1, split="grouped-kfold")
    metrics, tripod = filled("metrics", tmp_path), filled("tripod-ai", tmp_path)
    assert status(metrics)["4"] == NOT_MET
    assert status(tripod)["12d"] == status(tripod)["23b"] == NOT_APPLICABLE


def test_given_masks_are_the_authors_to_describe(tmp_path: Path) -> None:
    folder = write_study(tmp_path / "study", given_masks=True)
    clear, metrics = status(filled("clear", folder)), filled("metrics", folder)
    assert clear["19"] == clear["20"] == BLANK
    assert metrics.conditions["1"] == "yes"
    assert metrics.conditions["2"] == "no"
    assert status(metrics)["9"] == NOT_APPLICABLE
    assert status(metrics)["8"] == status(metrics)["10"] == BLANK


def test_a_network_end_to_end_has_no_hand_crafted_features(tmp_path: Path) -> None:
    recipe = {"name": "ours", "title": "Ours", "paper": {"title": "x"}, "settings": {"epochs": 7}}
    write_classifier(
        tmp_path,
        {"target": "idh", "recipe": recipe, "evaluate": classify_settings()["evaluate"], "splits": {"seed": 0}},
    )
    metrics = filled("metrics", tmp_path)
    assert metrics.conditions == {"1": BLANK, "2": BLANK, "3": "no", "4": "no", "5": "yes"}
    assert {status(metrics)[n] for n in ("12", "14", "15", "16")} == {NOT_APPLICABLE}
    assert {status(filled("clear", tmp_path))[n] for n in ("23", "24", "26", "32", "33")} == {NOT_APPLICABLE}


def test_the_score_is_a_range_that_the_blanks_leave_open(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("x")
    statements = [
        Statement(key, "x", ("x",)) for key in ("evaluate.intervals", "model.not-robust", "features.no-radiomics")
    ]
    form = fill_form("metrics", statements, tmp_path)
    applicable = 1.0001 - 0.0311  # weights sum to 1.0001; item 12 falls with condition 3
    low, high = form.score_range or (0.0, 0.0)
    assert low == pytest.approx(100 * 0.0234 / applicable, abs=0.02)
    assert high == pytest.approx(100 * (1 - 0.02 / applicable), abs=0.02)
    assert fill_form("clear", statements, tmp_path).score_range is None


def test_files_hold_every_item_and_links_that_resolve(study: Path) -> None:
    folder = study / "reporting"
    assert sorted(path.name for path in folder.iterdir()) == [
        "clear.csv", "clear.md", "metrics-form.csv", "metrics-form.md", "tripod-ai.csv", "tripod-ai.md",
    ]  # fmt: skip
    for stem, n in (("clear", 58), ("metrics-form", 30), ("tripod-ai", 52)):
        text = (folder / f"{stem}.md").read_text()
        table = pd.read_csv(folder / f"{stem}.csv", dtype=str, keep_default_na=False)
        assert len(table) == n
        rows = re.findall(r"^\| (\d+[a-g]?) \|[^|]+\|[^|]*\|[^|]*\|$", text, flags=re.MULTILINE)
        assert sorted(rows) == sorted(table["item"])
        links = {*re.findall(r"\]\(<([^>]+)>\)", text), *" ".join(table["artefacts"]).split()}
        assert links
        assert [link for link in links if not (folder / link).is_file()] == []
        assert str(study.parent) not in text
    assert "weight" in pd.read_csv(folder / "metrics-form.csv").columns
    assert "weight" not in pd.read_csv(folder / "clear.csv").columns
    assert "Score: between" in (folder / "metrics-form.md").read_text()


def test_the_same_folder_gives_the_same_bytes_and_an_empty_one_nothing(study: Path, tmp_path: Path) -> None:
    paths = write_reporting(study)
    before = [path.read_bytes() for path in paths]
    assert [path.read_bytes() for path in write_reporting(study)] == before
    assert write_reporting(tmp_path) == []
    assert list(tmp_path.iterdir()) == []


def test_the_section_of_a_page_lists_all_items_with_links(tmp_path: Path) -> None:
    write_classifier(tmp_path)
    *_, forms = reporting_sections(read_record(tmp_path))
    assert [len(table.frame) for table in forms.tables] == [58, 30, 52]
    assert forms.folded
    counts = filled("clear", tmp_path).counts
    assert f"CLEAR: of 58 items {counts[ANSWERED]} answered, {counts[BLANK]} blank." in forms.text
    assert sum(counts.values()) == 58
    cell = str(forms.tables[0].frame["where"].iloc[14])
    assert cell == '<a href="metrics.json">metrics.json</a><br><a href="predictions.json">predictions.json</a>'
