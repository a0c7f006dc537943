from __future__ import annotations

import logging

import numpy as np
import pandas as pd
import pytest

from radiogen.cohort.labels import VALUE_COLUMNS, normalise_labels, read_label_table, read_labels_file
from radiogen.errors import CohortError


def table(**columns: list[str]) -> pd.DataFrame:
    return pd.DataFrame(columns)


def test_the_table_is_typed_and_keeps_other_columns():
    raw = table(
        ID=["UCSF-PDGM-004", "UCSF-PDGM-005"],
        **{"MGMT status": ["negative", "indeterminate"], "Sex": ["M", ""], "other": ["x", "y"]},
    )
    labels = normalise_labels(raw)
    assert list(labels.table.index) == ["UCSF-PDGM-004", "UCSF-PDGM-005"]
    assert list(labels.table.columns) == ["patient", "site", *VALUE_COLUMNS, "ID", "other"]
    assert labels.table["patient"].tolist() == ["UCSF-PDGM-0004", "UCSF-PDGM-0005"]
    assert labels.table["site"].tolist() == ["UCSF-PDGM"] * 2
    assert labels.table["mgmt"].tolist()[0] == 0.0
    assert np.isnan(labels.table["mgmt"].tolist()[1])
    assert labels.table["sex"].tolist() == ["M", None]
    assert labels.problems == []


def test_every_value_that_is_not_understood_is_reported_at_once_and_unknown():
    raw = table(ID=["a", "b", "c", "d", "e"], idh=["maybe", "maybe", "1", "2", "WT"], age=["60", "200", "x", "", "5"])
    labels = normalise_labels(raw)
    text = "\n".join(labels.problems)
    assert len(labels.problems) == 4
    for expected in ("'maybe' in 'idh' is not understood (a, b)", "'2' in 'idh'", "'200' in 'age'", "'x' in 'age'"):
        assert expected in text
    assert labels.table["idh"].isna().sum() == 3
    assert labels.table["age"].isna().sum() == 3


def test_months_become_days_and_days_stay():
    months = normalise_labels(table(ID=["a"], **{"Survival..months.": ["10"]}))
    assert months.table["os_days"].tolist() == [304.4]
    assert normalise_labels(table(ID=["a"], Survival_days=["10"])).table["os_days"].tolist() == [10]


@pytest.mark.parametrize(
    ("ids", "times", "days"),
    [
        (["UCSF-PDGM-004", "UCSF-PDGM-005"], ["12", "30"], [12, 30]),  # this collection counts days
        (["a", "b"], ["400", "900"], [400, 900]),  # as months these would be decades
        (["a", "b"], ["12", "30"], None),
    ],
)
def test_survival_without_a_unit(ids, times, days):
    labels = normalise_labels(table(ID=ids, OS=times))
    if days is None:
        assert labels.table["os_days"].isna().all()
        assert "has no unit" in labels.problems[0]
    else:
        assert labels.table["os_days"].tolist() == days
        assert labels.problems == []


def test_alive_text_of_brats_2020():
    labels = normalise_labels(
        table(
            Brats20ID=["BraTS20_Training_001", "BraTS20_Training_002"], Survival_days=["ALIVE (361 days later)", "289"]
        )
    )
    assert labels.table["os_days"].tolist() == [361, 289]
    assert labels.table["os_event"].tolist()[0] == 0
    assert np.isnan(labels.table["os_event"].tolist()[1])  # nobody said that this patient died


def test_inverted_event_stays_unknown():
    labels = normalise_labels(table(OS_months=["1", "2"], survived_yes1_no0=["0", "1"]))
    assert labels.table["os_event"].isna().all()
    assert "opposite" in labels.problems[0]


def test_codes_in_headers():
    labels = normalise_labels(table(ID=["a", "b"], sex_male0_female1=["0", "1"], **{"1-dead 0-alive": ["1", "0"]}))
    assert labels.table["sex"].tolist() == ["M", "F"]
    assert labels.table["os_event"].tolist() == [1, 0]


def test_an_inverted_code_in_a_header_is_followed():
    labels = normalise_labels(table(ID=["a", "b"], MGMT_unmethylated1_methylated0=["1", "0"]))
    assert labels.table["mgmt"].tolist() == [0, 1]


def test_high_grade_is_grade_4_only_with_glioblastoma():
    labels = normalise_labels(
        table(ID=list("abc"), Grade=["HGG", "HGG", "LGG"], Histology=["glioblastoma", "", "astrocytoma"])
    )
    assert labels.table["grade"].tolist()[0] == 4
    assert labels.table["grade"].isna().tolist() == [False, True, True]
    assert any("'LGG' (1 row(s))" in note for note in labels.notes)
    assert labels.problems == []


def test_leading_zeros_are_kept():
    labels = normalise_labels(table(BraTS21ID=["00000", "00002"], MGMT_value=["1", "0"]))
    assert list(labels.table.index) == ["00000", "00002"]
    assert labels.table["patient"].tolist() == ["BraTS2021_00000", "BraTS2021_00002"]


def test_the_column_with_most_ids_names_the_cases():
    raw = table(
        TCIA_Subject_ID=["NA", "TCGA-02-0006"],
        BraTS_2020_ID=["BraTS20_Training_001", "BraTS20_Training_158"],
        IDH_status=["NA", "WT"],
    )
    labels = normalise_labels(raw)
    assert list(labels.table.index) == ["BraTS20_Training_001", "BraTS20_Training_158"]
    assert labels.table["patient"].tolist() == ["BraTS20_Training_001", "TCGA-02-0006"]
    assert labels.table["site"].tolist() == [None, "TCGA-02"]


def test_repeated_ids_are_merged_and_contradictions_become_unknown():
    raw = table(ID=["a", "a", "b", "b"], idh=["1", "", "1", "0"], age=["", "60", "50", "50"])
    labels = normalise_labels(raw)
    assert list(labels.table.index) == ["a", "b"]
    assert labels.table.loc["a", ["idh", "age"]].tolist() == [1, 60]
    assert np.isnan(labels.table.at["b", "idh"])
    assert labels.table.at["b", "age"] == 50
    assert "'b' has 2 different values" in labels.problems[0]


def test_rows_without_an_id_are_reported():
    labels = normalise_labels(table(ID=["a", ""], idh=["1", "0"]))
    assert list(labels.table.index) == ["a"]
    assert "1 row(s) have no id" in labels.problems[0]


def test_without_an_id_column_rows_are_numbered():
    labels = normalise_labels(table(age_years=["60", "70"]))
    assert not labels.has_ids
    assert list(labels.table.index) == ["row-0001", "row-0002"]
    assert labels.ids.shape == (2, 0)


def test_follow_up_scans_listed_under_new_numbers_share_a_patient():
    same = {
        "Sex": "F",
        "Age at MRI": "56",
        "WHO CNS Grade": "4",
        "MGMT status": "positive",
        "1p/19q": "intact",
        "IDH": "wildtype",
        "1-dead 0-alive": "0",
        "OS": "1167",
        "EOR": "GTR",
    }
    rows = [
        {"ID": "UCSF-PDGM-181", **same},
        {"ID": "UCSF-PDGM-409", **same},
        {"ID": "UCSF-PDGM-410", **same, "OS": "1168"},
    ]
    labels = normalise_labels(pd.DataFrame(rows))
    assert labels.table["patient"].tolist() == ["UCSF-PDGM-0181", "UCSF-PDGM-0181", "UCSF-PDGM-0410"]
    assert any("UCSF-PDGM-181, UCSF-PDGM-409" in note for note in labels.notes)


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_separators_and_byte_order_mark(tmp_path, separator):
    path = tmp_path / "t.csv"
    path.write_text("\ufeffID,idh,age\na,1,60\n".replace(",", separator), encoding="utf-8")
    read = read_label_table(path)
    assert read.loc["a", ["idh", "age"]].tolist() == [1, 60]


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "cannot be read"), (b"ID,idh\n", "no rows"), (b"\xff\xfe\x00", "cannot be read"), (None, "No such file")],
)
def test_unreadable_tables(tmp_path, content, message):
    path = tmp_path / "t.csv"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(CohortError, match=message):
        read_labels_file(path)


def test_problems_are_logged_when_only_the_table_is_wanted(tmp_path, caplog):
    (tmp_path / "t.csv").write_text("ID,idh\na,maybe\n")
    with caplog.at_level(logging.INFO, logger="radiogen"):
        read_label_table(tmp_path / "t.csv")
    assert "maybe" in caplog.text


@pytest.mark.real_data
def test_ucsf_metadata(shared_data):
    labels = read_labels_file(shared_data / "tables/ucsf-pdgm/UCSF-PDGM-metadata_v2.csv")
    read = labels.table
    assert labels.problems == []
    assert len(read) == 501
    assert read["patient"].nunique() == 495  # six patients have a follow-up scan
    counts = {
        name: (int((read[name] == 1).sum()), int((read[name] == 0).sum()))
        for name in ("idh", "mgmt", "codeletion_1p19q", "os_event")
    }
    assert counts == {"idh": (103, 398), "mgmt": (302, 114), "codeletion_1p19q": (15, 395), "os_event": (251, 250)}
    assert read["grade"].value_counts().to_dict() == {4: 402, 2: 56, 3: 43}
    assert read["eor"].value_counts().to_dict() == {"GTR": 248, "STR": 198, "biopsy": 54}
    assert read.at["UCSF-PDGM-004", "os_days"] == 1303


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("name", "rows", "known"),
    [
        ("brats/train_labels_MGMT_oyesaurav.csv", 585, {"mgmt": 585}),
        ("brats/survival_info_BraTS20_PhoenixKrn.csv", 236, {"age": 236, "os_days": 236, "eor": 129}),
        ("brats/survival_data_BraTS19_nivuTransBTS.csv", 259, {"os_days": 212, "os_event": 2}),
        ("brats/IDH_train_data.csv", 369, {"idh": 148, "grade": 102, "sex": 167}),
        (
            "tcga/lgg_gbm_subtype_TCGAbiolinks.csv",
            1122,
            {"idh": 995, "mgmt": 932, "codeletion_1p19q": 1093, "grade": 1047, "kps": 697, "os_days": 1044},
        ),
        ("ps-net/test_predictions.csv", 240, {"idh": 217, "codeletion_1p19q": 233, "grade": 238}),
        ("gbm-survival/Utrecht2019dataset.csv", 647, {"os_days": 647, "age": 647, "os_event": 0}),
        ("gbm-survival/Munich2019dataset.csv", 60, {"mgmt": 60, "sex": 60, "os_event": 0}),
    ],
)
def test_public_tables(shared_data, name, rows, known):
    read = read_labels_file(shared_data / "tables" / name).table
    assert len(read) == rows
    assert {column: int(read[column].notna().sum()) for column in known} == known
