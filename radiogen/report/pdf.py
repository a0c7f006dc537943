"""Pages on paper: an installed browser prints them, because nothing else lays out a page as it does."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from radiogen.errors import CaseError, InputError, RadiogenError
from radiogen.run.atomic import write_text, writing

BROWSERS = (
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
    "chrome",
    "microsoft-edge",
    "microsoft-edge-stable",
    "msedge",
)
"""Names that a browser which can print has on the PATH."""

_USUAL_PLACES = (
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    "/Applications/Microsoft Edge.app/Contents/MacOS/Microsoft Edge",
    "C:/Program Files/Google/Chrome/Application/chrome.exe",
    "C:/Program Files (x86)/Google/Chrome/Application/chrome.exe",
    "C:/Program Files (x86)/Microsoft/Edge/Application/msedge.exe",
    "C:/Program Files/Microsoft/Edge/Application/msedge.exe",
    "/snap/bin/chromium",
)
_PATIENCE_S = 180
_LEAST_BYTES = 1000


def find_browser() -> Path:
    """Return the program of an installed Chromium, Chrome or Edge.

    Raises:
        InputError: there is none.
    """
    named = (shutil.which(name) for name in BROWSERS)
    found = next((Path(path) for path in named if path), None)
    found = found or next((Path(place) for place in _USUAL_PLACES if Path(place).is_file()), None)
    if found is None:
        raise InputError(
            "A PDF is printed by Chromium, Chrome or Edge, and none of them is installed.",
            hint="Install one (such as chromium) so that it is on the PATH, or open the HTML page in any browser and print it to a PDF file.",
        )
    return found


def write_pdf(page: str | Path, pdf: str | Path, *, browser: Path | None = None) -> None:
    """Print one of radiogen's pages into a PDF file, atomically; folded parts are opened.

    Links to other files are left out, because a browser would turn them into paths of this machine; dates are blanked, so that the same page gives
    the same content.

    Args:
        page: an HTML page that needs nothing beside it.
        pdf: the file.
        browser: program to print with; found by `find_browser` by default.

    Raises:
        InputError: there is no browser, or no page.
        CaseError: the browser failed; what it said is in the message.
        OutputError: the file cannot be written.
    """
    page, pdf = Path(page), Path(pdf)
    if not page.is_file():
        raise InputError(f"There is no page {page}.", hint="Make it first with `radiogen run` or `radiogen report`.")
    program = find_browser() if browser is None else browser
    with tempfile.TemporaryDirectory(prefix="radiogen-print-") as folder:
        copy = Path(folder) / "page.html"
        write_text(copy, printable(page.read_text(encoding="utf-8")))
        with writing(pdf) as beside:
            content = _printed(program, copy, Path(folder))
            beside.write_bytes(without_dates(content))


def printable(text: str) -> str:
    """Return a page as it is printed: folded parts open, no links to files beside it.

    Args:
        text: an HTML page.

    Example:
        >>> printable('<details><a href="qc/1.png">case</a> <a href="#made">how</a></details>')
        '<details open><a>case</a> <a href="#made">how</a></details>'
    """
    text = text.replace("<details>", "<details open>")
    return re.sub(r'<a href="(?!#|https?://)[^"]*">', "<a>", text)


def without_dates(content: bytes) -> bytes:
    """Return a PDF with its dates of creation and change replaced by a fixed one of the same length.

    Args:
        content: bytes of a PDF file.

    Example:
        >>> without_dates(b"/CreationDate (D:20261121181500+00'00')")
        b"/CreationDate (D:20000101000000+00'00')"
    """
    return re.sub(rb"(/(?:CreationDate|ModDate)\s*\(D:)\d{14}", rb"\g<1>20000101000000", content)


def _printed(program: Path, page: Path, folder: Path) -> bytes:
    printed = folder / "page.pdf"
    command = [
        str(program), "--headless", "--disable-gpu", "--no-first-run", "--disable-extensions", "--hide-scrollbars",
        "--disable-dev-shm-usage", "--no-pdf-header-footer", f"--user-data-dir={folder / 'profile'}", f"--print-to-pdf={printed}",
    ]  # fmt: skip
    if sys.platform == "linux" and os.geteuid() == 0:
        command.append(
            "--no-sandbox"
        )  # the sandbox refuses to run as root, as in containers; the page is our own and fetches nothing
    try:
        done = subprocess.run([*command, page.as_uri()], capture_output=True, timeout=_PATIENCE_S, check=False)
    except subprocess.TimeoutExpired as error:
        raise _failure(f"{program.name} did not print the page within {_PATIENCE_S} s.") from error
    except OSError as error:
        raise _failure(f"{program.name} cannot be started: {error.strerror}.") from error
    content = printed.read_bytes() if printed.is_file() else b""
    whole = content.startswith(b"%PDF-") and b"%%EOF" in content[-64:] and len(content) >= _LEAST_BYTES
    if done.returncode != 0 or not whole:
        said = done.stderr.decode("utf-8", errors="replace").strip().splitlines()
        last = f" It said: {said[-1][:200]}" if said else ""
        raise _failure(
            f"{program.name} failed to print the page (exit code {done.returncode}, {len(content)} bytes).{last}"
        )
    return content


def _failure(message: str) -> RadiogenError:
    return CaseError(message, hint="Open the HTML page in a browser and print it to a PDF file instead.")
