"""Reading feature tables."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from radiogen.errors import CohortError
from radiogen.fusion.tables import id_column, read_feature_table


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_ids_keep_their_zeros(tmp_path: Path, separator: str) -> None:
    path = tmp_path / "features.csv"
    path.write_text(f"x{separator}BraTS21ID\n1.5{separator}00097\n2.5{separator}00100\n")
    table = read_feature_table(path)
    assert table.index.tolist() == ["00097", "00100"]
    assert table.index.name == "case"
    assert table["x"].tolist() == [1.5, 2.5]


@pytest.mark.parametrize("indexed", [True, False])
def test_parquet(tmp_path: Path, indexed: bool) -> None:
    table = pd.DataFrame({"case": ["a", "b"], "x": [1.0, 2.0]})
    (table.set_index("case") if indexed else table).to_parquet(tmp_path / "f.parquet")
    assert read_feature_table(tmp_path / "f.parquet").to_dict() == {"x": {"a": 1.0, "b": 2.0}}


@pytest.mark.parametrize(
    ("columns", "expected"),
    [(["Unnamed: 0", "x"], "Unnamed: 0"), (["x", "Patient ID"], "Patient ID"), (["x", "patient", "case"], "case")],
)
def test_id_column(columns: list[str], expected: str) -> None:
    assert id_column(pd.DataFrame([["a"] * len(columns)], columns=columns)) == expected


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("case,x\na,1\na,2\n", "'a' occurs 2 times"),
        ("case,x\na,1\n,2\n", "blank id"),
        ("case\na\n", "an id and features are needed"),
        ("case,x\n", "0 rows"),
        ("x,y\n1,2\n", "No id column"),
        ("", "cannot be read"),
    ],
)
def test_bad_tables_say_why(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "features.csv"
    path.write_text(text)
    with pytest.raises(CohortError, match=words):
        read_feature_table(path)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(CohortError, match="does not exist"):
        read_feature_table(tmp_path / "none.csv")
    (tmp_path / "broken.parquet").write_bytes(b"no")
    with pytest.raises(CohortError, match="cannot be read"):
        read_feature_table(tmp_path / "broken.parquet")
