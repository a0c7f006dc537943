from __future__ import annotations

import errno
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from radiogen.errors import OutputError
from radiogen.run.atomic import write_csv, write_json, write_table, write_text, writing


def test_nothing_stands_under_the_final_name_until_the_block_ends(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "out.txt"
    with writing(target) as beside:
        beside.write_text("new")
        assert not target.exists()
    assert target.read_text() == "new"
    assert list(target.parent.iterdir()) == [target]


def test_a_failure_keeps_the_old_file_and_leaves_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "out.txt"
    target.write_text("old")

    def fail() -> None:
        with writing(target) as beside:
            beside.write_text("half")
            raise RuntimeError("power cut")

    with pytest.raises(RuntimeError, match="power cut"):
        fail()
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_full_disk_is_one_clear_error(tmp_path: Path) -> None:
    def fill() -> None:
        with writing(tmp_path / "out.txt"):
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OutputError, match=r"No space left on device.*Free some disk space") as caught:
        fill()
    assert caught.value.exit_code == 2


def test_full_device_for_real() -> None:
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full to write to")

    def fill() -> None:
        with writing("/dev/full/out.txt"):
            raise AssertionError("the folder must not be made")

    with pytest.raises(OutputError):
        fill()


def test_a_file_where_a_folder_is_needed_is_named(tmp_path: Path) -> None:
    (tmp_path / "study").write_text("a file")
    with pytest.raises(OutputError, match="file stands where a folder is needed"):
        write_text(tmp_path / "study" / "out.txt", "x")


def test_json_has_no_nan_and_takes_numpy(tmp_path: Path) -> None:
    write_json(
        tmp_path / "m.json", {"a": np.float32(0.5), "b": float("nan"), "c": np.arange(2), "d": {"e": Path("x/y")}}
    )
    assert json.loads((tmp_path / "m.json").read_text()) == {"a": 0.5, "b": None, "c": [0, 1], "d": {"e": "x/y"}}


def test_feature_table_is_written_as_parquet_and_csv(tmp_path: Path) -> None:
    table = pd.DataFrame({"age": [50.5, np.nan]}, index=pd.Index(["007", "b"], name="case"))
    write_table(tmp_path / "f.parquet", table)
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "f.parquet"), table)
    assert (tmp_path / "f.csv").read_text().splitlines() == ["case,age", "007,50.5", "b,"]


def test_csv_bytes_do_not_depend_on_the_platform(tmp_path: Path) -> None:
    write_csv(tmp_path / "t.csv", pd.DataFrame({"a": [1]}), index=False)
    assert (tmp_path / "t.csv").read_bytes() == b"a\n1\n"
