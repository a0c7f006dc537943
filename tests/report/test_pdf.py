from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from radiogen.errors import CaseError, InputError
from radiogen.report import pdf
from radiogen.report.page import Section, write_page
from radiogen.report.pdf import find_browser, write_pdf

if TYPE_CHECKING:
    from playwright.sync_api import Browser


@pytest.fixture
def page(tmp_path: Path) -> Path:
    path = tmp_path / "pages" / "report.html"
    hidden = Section("Hidden", ["What is folded away."], folded=True, links={"Case": "cases/7.html"})
    write_page(path, "A report", [Section("First", ["Some words."]), hidden])
    return path


def program(folder: Path, body: str) -> Path:
    """A stand-in for a browser, which does what `body` says with the last two arguments."""
    path = folder / "browser"
    path.write_text(
        f"#!{sys.executable}\nimport sys\nout = next(a.split('=', 1)[1] for a in sys.argv if a.startswith('--print-to-pdf='))\n{body}\n"
    )
    path.chmod(0o755)
    return path


def test_a_real_browser_prints_the_page_without_paths_and_dates(browser: Browser, page: Path, tmp_path: Path) -> None:
    target = tmp_path / "out" / "report.pdf"
    write_pdf(page, target)
    content = target.read_bytes()
    assert content.startswith(b"%PDF-")
    assert b"file:" not in content
    assert str(tmp_path).encode() not in content
    assert set(re.findall(rb"Date \(D:(\d{14})", content)) == {b"20000101000000"}
    assert [path.name for path in target.parent.iterdir()] == ["report.pdf"]


def test_without_a_browser_the_message_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", os.devnull)
    monkeypatch.setattr(pdf, "_USUAL_PLACES", ())
    with pytest.raises(InputError, match=r"none of them is installed.*print it to a PDF"):
        find_browser()


def test_a_browser_in_its_usual_place_is_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "chrome").touch()
    monkeypatch.setenv("PATH", os.devnull)
    monkeypatch.setattr(pdf, "_USUAL_PLACES", (str(tmp_path / "absent"), str(tmp_path / "chrome")))
    assert find_browser() == tmp_path / "chrome"


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("sys.exit('no display')", "exit code 1, 0 bytes.*no display"),
        ("", "exit code 0, 0 bytes"),
        ("open(out, 'wb').write(b'%PDF-1.4 cut' * 200)", "exit code 0, 2400 bytes"),
    ],
)
def test_a_browser_that_fails_leaves_nothing_behind(page: Path, tmp_path: Path, body: str, said: str) -> None:
    target = tmp_path / "out" / "report.pdf"
    with pytest.raises(CaseError, match=said):
        write_pdf(page, target, browser=program(tmp_path, body))
    assert not list(target.parent.iterdir())


def test_the_printed_copy_is_open_and_leads_nowhere_else(page: Path, tmp_path: Path) -> None:
    body = (
        "text = open(sys.argv[-1].removeprefix('file://')).read()\n"
        "good = '<details open>' in text and '<details>' not in text and 'cases/7.html' not in text\n"
        "open(out, 'wb').write(b'%PDF-1.4' + b' ' * 1000 + (b'good' if good else b'bad') + b'%%EOF')"
    )
    write_pdf(page, tmp_path / "a.pdf", browser=program(tmp_path, body))
    assert b"good%%EOF" in (tmp_path / "a.pdf").read_bytes()


def test_a_missing_page_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no page .*report\.html"):
        write_pdf(tmp_path / "report.html", tmp_path / "a.pdf", browser=tmp_path)
