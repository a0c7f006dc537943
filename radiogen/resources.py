"""The cache folder and content hashes."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

import platformdirs

from radiogen.errors import InputError

_TIMEOUT_S = 60


def cache_folder() -> Path:
    """Return the folder for things that can be computed again: `$RADIOGEN_CACHE` or the platform's cache folder.

    The folder is not created; whoever writes into it does that.
    """
    return Path(os.environ.get("RADIOGEN_CACHE") or platformdirs.user_cache_dir("radiogen"))


def sha256_file(path: str | Path) -> str:
    """Return the SHA-256 of a file's bytes as 64 hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def download(urls: Iterable[str], file: str | Path, check: Callable[[Path], object]) -> list[str]:
    """Fetch a file from the first address that gives the right one; it gets its name only once it was checked.

    Args:
        urls: addresses, tried in turn.
        file: where to put it.
        check: called with the fetched file; raises InputError where it is not the right one.

    Returns:
        Why addresses failed, one line each; empty once the file is there.
    """
    # Imported here: few runs of the program fetch anything.
    from http.client import HTTPException
    from urllib.request import urlopen

    from radiogen.run.atomic import writing

    problems = []
    for url in urls:
        try:
            with writing(file) as beside:
                with urlopen(url, timeout=_TIMEOUT_S) as answer, open(beside, "wb") as out:
                    shutil.copyfileobj(answer, out)
                check(beside)
            return []
        except (HTTPException, OSError) as error:  # URLError and time-outs are OSErrors
            problems.append(f"{url}: {error}")
        except InputError as error:
            problems.append(f"{url}: {' '.join([error.message, *error.problems])}")
    return problems
