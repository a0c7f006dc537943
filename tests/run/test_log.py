from __future__ import annotations

import errno
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from radiogen.errors import OutputError
from radiogen.run.log import log_to_console, log_to_file


@pytest.fixture(autouse=True)
def _handlers_as_before() -> Iterator[None]:
    logger = logging.getLogger("radiogen")
    before = list(logger.handlers)
    yield
    for handler in [item for item in logger.handlers if item not in before]:
        logger.removeHandler(handler)
        handler.close()


def test_the_log_file_holds_details_and_times(tmp_path: Path) -> None:
    path = log_to_file(tmp_path / "logs")
    logging.getLogger("radiogen.somewhere").debug("a detail")
    assert path.read_text().rstrip().endswith("DEBUG a detail")


def test_a_second_command_does_not_repeat_lines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for folder in ("first", "second"):
        log_to_file(tmp_path / folder)
        log_to_console()
    logging.getLogger("radiogen").info("said once")
    assert (tmp_path / "first" / "radiogen.log").read_text() == ""
    assert (tmp_path / "second" / "radiogen.log").read_text().count("said once") == 1
    assert capsys.readouterr().err.count("said once") == 1


def test_a_log_on_a_full_disk_does_not_stop_the_next_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log_to_file(tmp_path / "full")
    (handler,) = [item for item in logging.getLogger("radiogen").handlers if isinstance(item, logging.FileHandler)]

    def flush() -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(handler, "flush", flush)
    path = log_to_file(tmp_path / "next")
    logging.getLogger("radiogen").info("goes on")
    assert "goes on" in path.read_text()


def test_quiet_shows_errors_only(capsys: pytest.CaptureFixture[str]) -> None:
    log_to_console(quiet=True)
    logging.getLogger("radiogen").info("progress")
    logging.getLogger("radiogen").error("trouble")
    shown = capsys.readouterr().err
    assert "trouble" in shown
    assert "progress" not in shown


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="file stands where a folder is needed"):
        log_to_file(tmp_path / "file")
