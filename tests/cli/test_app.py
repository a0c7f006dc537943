"""`radiogen app` up to where Streamlit takes over."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from radiogen.cli.app import ADDRESS, page_path, server_options
from radiogen.cli.main import app
from radiogen.config.app import ENVIRONMENT, AppSettings


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["app", *map(str, arguments)])


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((ADDRESS, 0))
        return int(probe.getsockname()[1])


def test_it_listens_on_this_machine_only_and_reports_nothing() -> None:
    options = server_options(8600, 100, True)
    assert {
        "--server.address=127.0.0.1",
        "--server.port=8600",
        "--server.maxUploadSize=100",
        "--server.headless=true",
    } <= set(options)
    assert {
        "--browser.gatherUsageStats=false",
        "--server.showEmailPrompt=false",
        "--client.showErrorDetails=none",
    } <= set(options)
    assert page_path().is_file()


def test_the_page_gets_the_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[list[str]] = []
    web = pytest.importorskip("streamlit.web.cli", reason="Streamlit is not installed: pip install 'radiogen[app]'")
    monkeypatch.setattr(web, "main", lambda arguments, standalone_mode: started.append(arguments))
    monkeypatch.setenv(ENVIRONMENT, "")
    (tmp_path / "card.json").write_text("{}")
    result = run("--port", free_port(), "--max-upload-mb", 7, "--model", tmp_path, "--no-browser")
    assert result.exit_code == 0, result.output
    assert started[0][:2] == ["run", str(page_path())]
    settings = AppSettings.model_validate_json(os.environ[ENVIRONMENT])
    assert (settings.max_upload_mb, settings.model) == (7, str(tmp_path))


def test_without_streamlit_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "streamlit.web.cli", None)
    result = run("--no-browser")
    assert result.exit_code == 2
    assert "pip install 'radiogen[app]'" in result.output


def test_a_folder_that_is_no_model_and_a_port_that_is_taken(tmp_path: Path) -> None:
    result = run("--model", tmp_path, "--no-browser")
    assert result.exit_code == 2
    assert "is not a model of radiogen" in result.output
    with socket.socket() as taken:
        taken.bind((ADDRESS, 0))
        taken.listen()
        port = taken.getsockname()[1]
        result = run("--port", port, "--no-browser")
    assert result.exit_code == 2
    assert f"The port {port} cannot be used" in result.output
