"""`radiogen app`: one case in the browser."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from radiogen.cli.common import prepare_torch, reports_errors

ADDRESS = "127.0.0.1"
"""The only address that the app listens on: nobody else reaches it."""


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command("app", epilog="Example: radiogen app --model out/model --max-upload-mb 300")(reports_errors(start))


def start(
    port: Annotated[int, typer.Option("--port", min=1024, max=65535, help="Port of the page on this machine.")] = 8501,
    max_upload_mb: Annotated[
        int, typer.Option("--max-upload-mb", min=1, help="Largest size of one case's files together, MB.")
    ] = 512,
    model: Annotated[
        Path | None, typer.Option("--model", help="The folder `model` that `radiogen classify` wrote.")
    ] = None,
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Do not open a browser; print the address.")] = False,
) -> None:
    """One case in the browser, on this machine only: drop scans; see sequences, quality, mask, volumes, a probability and its doubts.

    Nothing leaves the machine; what is made of the files is removed when the page is closed. Ends with Ctrl-C.
    """
    import os

    from radiogen.config.app import ENVIRONMENT, AppSettings
    from radiogen.errors import InputError, MissingDependencyError

    try:
        from streamlit.web.cli import main as streamlit
    except ImportError as error:
        raise MissingDependencyError("streamlit", "app") from error
    if model is not None and not (model / "card.json").is_file():
        raise InputError(
            f"{model} is not a model of radiogen: card.json missing.",
            hint="Give the folder `model` that `radiogen classify` wrote.",
        )
    _check_port(port)
    prepare_torch()
    settings = AppSettings(max_upload_mb=max_upload_mb, model="" if model is None else str(model.resolve()))
    os.environ[ENVIRONMENT] = settings.model_dump_json()
    streamlit(["run", str(page_path()), *server_options(port, max_upload_mb, no_browser)], standalone_mode=False)


def page_path() -> Path:
    """Return the file that Streamlit runs."""
    return Path(__file__).resolve().parents[1] / "app" / "page.py"


def server_options(port: int, max_upload_mb: int, no_browser: bool) -> list[str]:
    """Return Streamlit's options: this machine only, nothing reported, nothing watched.

    Args:
        port: of the page.
        max_upload_mb: largest file, MB.
        no_browser: do not open one.

    Example:
        >>> "--browser.gatherUsageStats=false" in server_options(8501, 512, True)
        True
    """
    options = {
        "server.address": ADDRESS,
        "server.port": port,
        "server.headless": no_browser,
        "server.maxUploadSize": max_upload_mb,
        "server.fileWatcherType": "none",
        "server.showEmailPrompt": False,
        "server.disconnectedSessionTTL": 30,
        "browser.gatherUsageStats": False,
        "browser.serverAddress": ADDRESS,
        "theme.primaryColor": "#0072B2",
        "client.toolbarMode": "minimal",
        "client.showErrorDetails": "none",
    }
    named = [f"--server.allowedHosts={host}" for host in (ADDRESS, "localhost")]
    # Another page that gets its name to point at this machine is not let in.
    return named + [
        f"--{name}={str(value).lower() if isinstance(value, bool) else value}" for name, value in options.items()
    ]


def _check_port(port: int) -> None:
    import socket

    from radiogen.errors import InputError

    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((ADDRESS, port))
        except OSError as error:
            raise InputError(
                f"The port {port} cannot be used: {error.strerror}.", hint="Give another one with --port."
            ) from error
