"""The states of the page, without a browser."""

from __future__ import annotations

from pathlib import Path

import pytest

from radiogen.app.session import PREFIX
from radiogen.cli.app import page_path
from radiogen.config.app import ENVIRONMENT, AppSettings
from tests.app.data import MRI, uploads

streamlit = pytest.importorskip("streamlit", reason="Streamlit is not installed: pip install 'radiogen[app]'")
testing = pytest.importorskip("streamlit.testing.v1")


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> testing.AppTest:
    monkeypatch.setenv(ENVIRONMENT, AppSettings(max_upload_mb=1).model_dump_json())
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    streamlit.cache_resource.clear()  # every AppTest is the same session to Streamlit
    return testing.AppTest.from_file(page_path(), default_timeout=60).run()


def dropped(page: testing.AppTest, files: list[tuple[str, bytes, str]]) -> testing.AppTest:
    page.file_uploader[0].set_value(files)
    return page.run()


def headings(page: testing.AppTest) -> list[str]:
    return [one.value for one in page.header]


def test_it_begins_with_the_banner_and_the_door(page: testing.AppTest) -> None:
    assert (
        page.warning[0].value
        == "**Research use only. Not a medical device; not for diagnosis or treatment decisions.**"
    )
    assert headings(page) == ["1. Images"]
    assert not page.exception


def test_bad_files_are_one_plain_message_and_leave_nothing(page: testing.AppTest, tmp_path: Path) -> None:
    dropped(page, [("a_t1.png", b"\x89PNG", MRI), ("*b*.pdf", b"%PDF", MRI)])
    (error,) = page.error
    assert "2 file\\(s\\) cannot be used" in error.value
    assert "\\*b\\*.pdf\\: it is a PDF document" in error.value
    assert headings(page) == ["1. Images"]
    assert not page.exception
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    dropped(page, [("big_t1.nii", bytes(2 * 1024 * 1024), MRI)])
    assert "2 MB together; up to 1 MB" in page.error[0].value


def test_from_files_over_a_correction_to_the_mask(page: testing.AppTest, tmp_path: Path) -> None:
    dropped(page, [(one.name, one.content, MRI) for one in uploads("t1c", "t2f")])
    assert headings(page) == ["1. Images", "2. Sequences"]
    assert [box.value for box in page.selectbox[:2]] == ["t1c", "t2f"]
    page.selectbox[1].set_value("t1c")
    page.button[0].click()
    page.run()
    assert "t1c is given to 2 images" in page.error[0].value
    page.selectbox[1].set_value("t2f")
    page.text_input[0].set_value("Jane Doe")
    page.button[0].click()
    page.run()
    assert "cannot be a case id" in page.error[0].value
    page.text_input[0].set_value("case-7")
    page.button[0].click()
    page.run()
    assert not page.error
    assert not page.exception
    assert headings(page)[-1] == "8. Download"
    assert any("t1n and t2w missing" in one.value or "missing" in one.value for one in page.warning)
    assert [path.name[: len(PREFIX)] for path in tmp_path.iterdir()] == [PREFIX]
    page.text_input[1].set_value(str(tmp_path))
    page.button[1].click()
    page.run()
    assert "is not a model of radiogen" in page.error[0].value
    dropped(page, [])
    assert headings(page) == ["1. Images"]
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
