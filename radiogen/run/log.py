"""Logging: silent as a library; the command line turns on one console line per event and a log file with traces."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from pathlib import Path

from radiogen.errors import OutputError
from radiogen.run.atomic import make_folder


def log_to_console(*, quiet: bool = False, verbose: bool = False) -> None:
    """Send radiogen's log to standard error: errors with `quiet`, details with `verbose`, progress otherwise."""
    from rich.console import Console
    from rich.logging import RichHandler

    level = logging.ERROR if quiet else logging.DEBUG if verbose else logging.INFO
    handler = RichHandler(
        console=Console(stderr=True), show_path=False, show_time=False, show_level=verbose, markup=False
    )
    handler.setLevel(level)
    _use(handler)


class _LogFile(logging.FileHandler):
    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        """Say nothing: on a full disk the failing output is reported once, not every log line again."""

    def close(self) -> None:
        """Close the file; lines that a full disk does not take any more are lost, and must not stop the command that comes next."""
        with contextlib.suppress(OSError):
            super().close()


def log_to_file(folder: str | Path) -> Path:
    """Append radiogen's full log, with traces and times, to `radiogen.log` in `folder` and return its path.

    Raises:
        OutputError: the folder cannot be written.
    """
    path = Path(folder) / "radiogen.log"
    make_folder(path.parent)
    try:
        handler = _LogFile(path, encoding="utf-8")
    except OSError as error:
        raise OutputError(
            f"Cannot write {path}: {error.strerror}.", hint="Choose an output folder that you may write to."
        ) from error
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    _use(handler)
    return path


def _use(handler: logging.Handler) -> None:
    """Take a handler in place of an earlier one of its kind: commands that run one after another must not repeat each other's lines."""
    logger = logging.getLogger("radiogen")
    logger.setLevel(logging.DEBUG)
    for old in [item for item in logger.handlers if type(item) is type(handler)]:
        logger.removeHandler(old)
        old.close()
    logger.addHandler(handler)


@contextlib.contextmanager
def quiet_optuna() -> Iterator[None]:
    """Keep optuna from printing a line per trial, and leave its setting as it was found.

    Example:
        >>> with quiet_optuna():
        ...     pass
    """
    import optuna

    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(before)
