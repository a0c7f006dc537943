from __future__ import annotations

import itertools
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from radiogen.report import style
from radiogen.report.page import STATUS_WORDS, Box, Figure, Picture, Section, Table, inline_svg, write_page
from radiogen.run.provenance import RESEARCH_USE
from tests.report.html_check import Page

NASTY = '<img src=x onerror="alert(1)">&\'"'


def chart(width_in: float = 4.0) -> Figure:
    figure = style.new_figure(width_in, 2.5)
    axes = figure.add_subplot()
    axes.plot([0, 1], [0, 1])
    axes.set_xlabel(NASTY, parse_math=False)
    return Figure(figure, f"A caption with {NASTY}")


def picture() -> Figure:
    figure = style.new_figure(2.0, 2.0, dark=True)
    figure.add_subplot().imshow(np.arange(12.0).reshape(3, 4))
    return Figure(figure, "An image")


def sections() -> list[Section]:
    table = pd.DataFrame({NASTY: [NASTY, "b"], "number": [0.123456, np.nan], "yes": [True, False], "none": [None, 3]})
    small = Picture(style.png(picture().svg_or_png), NASTY, "qc/a b&c#1.png")
    box = Box(NASTY, NASTY, "beats-baselines", {NASTY: NASTY}, {NASTY: "classify/idh/report.html"})
    return [
        Section("First", [NASTY], [chart(), chart(), picture(), chart(9.0)], [Table(table, NASTY)]),
        Section("Second", pictures=[small, Picture(small.content, "unlinked")], boxes=[box]),
        Section("Third", ["folded text"], folded=True),
    ]


def page(path: Path, **changed: object) -> str:
    given: dict[str, object] = {
        "lead": NASTY,
        "status": "undetermined",
        "provenance": {"settings": {"a": NASTY}},
    } | changed
    write_page(path, NASTY, sections(), **given)  # type: ignore[arg-type]
    return path.read_text(encoding="utf-8")


def test_the_page_is_sound_html_and_needs_nothing_from_elsewhere(tmp_path: Path) -> None:
    text = page(tmp_path / "p.html", synthetic=True)
    assert Page(text).problems == []
    assert text.startswith("<!doctype html>")


def test_the_checker_itself_finds_what_is_wrong() -> None:
    wrong = '<p id="a"><b></p><i id="a"></i><img src="https://x/y.png"><a href="#gone">x</a>'
    found = " ".join(Page(wrong).problems)
    assert "closes" in found
    assert "twice" in found
    assert "fetches" in found
    assert "gone" in found


def test_everything_given_is_escaped(tmp_path: Path) -> None:
    text = page(tmp_path / "p.html")
    assert "<img src=x" not in text
    assert not [values for _, values in Page(text).tags if "onerror" in values]
    assert NASTY in " ".join(Page(text).text)


def test_same_arguments_give_same_bytes(tmp_path: Path) -> None:
    assert page(tmp_path / "a.html", synthetic=True) == page(tmp_path / "b.html", synthetic=True)


@pytest.mark.parametrize("status", STATUS_WORDS)
def test_the_lead_names_its_status_in_words_and_comes_first(tmp_path: Path, status: str) -> None:
    words = Page(page(tmp_path / "p.html", status=status, lead="The verdict sentence.")).words
    assert STATUS_WORDS[status] in words
    assert words.index("The verdict sentence.") < words.index("First")


def test_an_unknown_status_is_shown_in_its_own_words(tmp_path: Path) -> None:
    assert "Rather good" in Page(page(tmp_path / "p.html", status="rather-good")).words


def test_research_use_and_the_synthetic_banner(tmp_path: Path) -> None:
    real, made_up = page(tmp_path / "a.html"), page(tmp_path / "b.html", synthetic=True)
    assert RESEARCH_USE in real
    assert "SYNTHETIC DATA - made-up patients" not in real
    assert made_up.index("SYNTHETIC DATA - made-up patients") < made_up.index("<main>")


def test_headings_figures_and_tables_serve_readers_who_cannot_see(tmp_path: Path) -> None:
    parsed = Page(page(tmp_path / "p.html"))
    levels = [int(tag[1]) for tag, _ in parsed.tags if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(later - earlier <= 1 for earlier, later in itertools.pairwise(levels))
    assert all(values.get("alt") for values in parsed.all_of("img"))
    assert all(values.get("role") == "img" and values.get("aria-label") for values in parsed.all_of("svg"))
    assert all(values.get("scope") in {"col", "row"} for values in parsed.all_of("th"))
    assert parsed.all_of("html")[0]["lang"] == "en"
    assert (
        "width=device-width"
        in next(values for values in parsed.all_of("meta") if values.get("name") == "viewport")["content"]
    )


def test_drawings_become_svg_and_images_become_png(tmp_path: Path) -> None:
    parsed = Page(page(tmp_path / "p.html"))
    assert len(parsed.all_of("svg")) == 3
    assert sum(values["src"].startswith("data:image/png;base64,") for values in parsed.all_of("img")) == 3


def test_a_wide_drawing_scrolls_instead_of_shrinking(tmp_path: Path) -> None:
    text = page(tmp_path / "p.html")
    assert text.count('<figure class="alone">') == 1
    assert text.count('class="scroll drawn"') == text.count("--drawn:")


def test_links_are_quoted(tmp_path: Path) -> None:
    links = [values["href"] for values in Page(page(tmp_path / "p.html")).all_of("a")]
    assert "classify/idh/report.html" in links
    assert "qc/a%20b%26c%231.png" in links


def test_no_absolute_path_of_the_machine_is_printed(tmp_path: Path) -> None:
    facts = {
        "inputs": {
            "cohort": "/home/me/study/cohort.csv",
            "win": "C:\\data\\x.csv",
            "path": Path("/home/me/a.csv"),
            "many": ["/home/me/b.csv", 1],
        }
    }
    text = page(tmp_path / "p.html", provenance=facts)
    assert "/home/me" not in text
    assert "C:\\data" not in text
    assert all(name in text for name in ("cohort.csv", "x.csv", "a.csv", "b.csv"))


def test_unknown_cells_are_dashes_and_numbers_short(tmp_path: Path) -> None:
    words = Page(page(tmp_path / "p.html")).words
    assert "0.123 yes" in words
    assert "\u2013 no 3" in words


def test_a_page_without_anything(tmp_path: Path) -> None:
    write_page(tmp_path / "p.html", "Empty", [])
    assert Page((tmp_path / "p.html").read_text(encoding="utf-8")).problems == []


def test_ids_of_two_drawings_do_not_meet() -> None:
    text = style.svg(chart().svg_or_png)
    one, two = inline_svg(text, prefix="a-"), inline_svg(text, prefix="b-")
    assert not set(re.findall(r'id="([^"]+)"', one)) & set(re.findall(r'id="([^"]+)"', two))
    assert Page(f"<svg{one}<svg{two}").problems == []
