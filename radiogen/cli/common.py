"""What every command shares: the output of errors, options, logging."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from functools import wraps
from pathlib import Path
from typing import Annotated, Any

import typer

from radiogen.errors import IncompleteError, InputError, RadiogenError

Output = Annotated[Path, typer.Option("--output", "-o", help="Where to write.")]
Jobs = Annotated[int, typer.Option("--jobs", "-j", min=1, help="Cases worked on at the same time.")]
Seed = Annotated[int, typer.Option("--seed", help="Seed of everything random; the same seed gives the same bytes.")]
Config = Annotated[
    Path | None,
    typer.Option("--config", "-c", help="YAML with this stage's settings; options on the command line win."),
]
Dask = Annotated[
    str | None, typer.Option("--dask", help="Scheduler address of a Dask cluster, such as tcp://head:8786.")
]
Params = Annotated[Path | None, typer.Option("--params", help="PyRadiomics parameter YAML, unchanged.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Errors only.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Every detail.")]


def reports_errors(command: Callable[..., None]) -> Callable[..., None]:
    """Wrap a command so that radiogen's errors become one clear message and the right exit code."""

    @wraps(command)
    def guarded(*args: Any, **kwargs: Any) -> None:
        with exit_on_error():
            command(*args, **kwargs)

    return guarded


@contextlib.contextmanager
def exit_on_error() -> Iterator[None]:
    """Turn radiogen's errors into a message on standard error and the error's exit code."""
    try:
        yield
    except RadiogenError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(error.exit_code) from error
    except OSError as error:
        _report_os_error(error)
    except KeyboardInterrupt:
        typer.echo("stopped; run the same command again to continue", err=True)
        raise typer.Exit(130) from None


def _report_os_error(error: OSError) -> None:
    import errno

    if error.errno not in {errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS}:
        raise error
    typer.echo(
        f"error: {error.strerror}: {error.filename or 'output'}. Free space or choose another output folder.", err=True
    )
    raise typer.Exit(InputError.exit_code) from error


def prepare_torch() -> None:
    """Set what torch reads once, when it is first imported; what the user has set stays.

    Large pages make a network's big arrays cheap to allocate: a quarter of its time on a CPU. Threads that wait without spinning cost nothing on an
    idle machine, and on a shared one they keep a step from taking several times as long.
    """
    import os

    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")


def start_logging(quiet: bool, verbose: bool, folder: Path | None = None) -> bool:
    """Turn on the console log, and the log file when a study folder is given; return whether progress bars are wanted."""
    from radiogen.run.log import log_to_console, log_to_file

    if quiet and verbose:
        raise InputError("--quiet and --verbose exclude each other.", hint="Give one of them.")
    log_to_console(quiet=quiet, verbose=verbose)
    if folder is not None:
        log_to_file(folder / "logs")
    return not quiet and sys.stderr.isatty()


def fail_if_incomplete(n_failed: int, failed_csv: Path) -> None:
    """Raise when cases were quarantined, so that the exit code says so.

    Raises:
        IncompleteError: some cases failed.
    """
    if n_failed:
        raise IncompleteError(f"{n_failed} case(s) failed; the rest is done.", hint=f"Reasons and fixes: {failed_csv}")
