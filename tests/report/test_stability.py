from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from radiogen.report.stability import stability_figure, stable_shares, write_stability_page


def made_up() -> pd.DataFrame:
    rows = [
        {"column": f"{filter_}_{kind}_{n}", "filter": filter_, "class": kind, "family": family, "low": low, "cv": 0.1,
         "category": "good"}
        for filter_ in ("original", "log-sigma-1-0-mm-3D")
        for kind in ("shape", "glcm")
        for family in ("noise", "mask", "all")
        for n, low in enumerate((0.9, 0.75, 0.74, np.nan))
        if not (kind == "shape" and filter_ != "original")
    ]  # fmt: skip
    return pd.DataFrame(rows)


def test_shares_count_known_bounds_only_and_keep_one_order() -> None:
    shares = stable_shares(made_up(), "class", 0.75)
    assert shares.columns.tolist() == ["mask", "noise", "all"]
    assert shares.index.tolist() == ["shape", "glcm"]
    assert shares.to_numpy() == pytest.approx(2 / 3)
    unknown = made_up().assign(low=np.nan)
    assert stable_shares(unknown, "class", 0.75).isna().all(axis=None)


def test_the_figure_says_every_share_in_numbers() -> None:
    upper, lower = stability_figure(made_up(), 0.75).axes
    assert [text.get_text() for text in upper.texts] == ["67%"] * 6
    assert [label.get_text() for label in lower.get_yticklabels()] == ["original", "log-sigma-1-0-mm-3D"]


def test_the_page_warns_of_few_cases(tmp_path: Path) -> None:
    write_stability_page(tmp_path / "a.html", made_up(), 0.75, 3, {})
    write_stability_page(tmp_path / "b.html", made_up(), 0.75, 30, {})
    assert "intervals are wide" in (tmp_path / "a.html").read_text()
    assert "intervals are wide" not in (tmp_path / "b.html").read_text()


def test_what_no_bound_says_is_not_called_unstable(tmp_path: Path) -> None:
    unknown = made_up().assign(low=np.nan)
    write_stability_page(tmp_path / "page.html", unknown, 0.75, 1, {})
    page = (tmp_path / "page.html").read_text()
    assert "cannot be said from 1 case(s)" in page
    assert ">0%" not in page
