"""The cache folder and content hashes."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import platformdirs


def cache_folder() -> Path:
    """Return the folder for things that can be computed again: `$RADIOGEN_CACHE` or the platform's cache folder.

    The folder is not created; whoever writes into it does that.
    """
    return Path(os.environ.get("RADIOGEN_CACHE") or platformdirs.user_cache_dir("radiogen"))


def sha256_file(path: str | Path) -> str:
    """Return the SHA-256 of a file's bytes as 64 hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
