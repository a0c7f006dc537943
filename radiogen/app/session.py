"""Where the files of one visitor live, and that they are gone afterwards."""

from __future__ import annotations

import shutil
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp
from types import TracebackType

PREFIX = "radiogen-app-"
"""Begins the name of every temporary folder of the app."""


class Workspace:
    """A temporary folder for the files of one session: removed on `close`, when the object is forgotten, and when the program ends.

    Args:
        parent: where the folder is made; the system's temporary folder by default.

    Example:
        >>> with Workspace() as workspace:
        ...     _ = (workspace.fresh() / "scan.nii").write_text("")
        >>> workspace.folder.exists()
        False
    """

    def __init__(self, parent: Path | None = None) -> None:
        self.folder = Path(mkdtemp(prefix=PREFIX, dir=parent))
        self._remove = weakref.finalize(self, shutil.rmtree, self.folder, ignore_errors=True)

    def fresh(self) -> Path:
        """Return the empty folder of a new case; the files of the case before are removed."""
        case = self.folder / "case"
        shutil.rmtree(case, ignore_errors=True)
        case.mkdir(parents=True)
        return case

    def close(self) -> None:
        """Remove the folder and everything in it; calling it again does nothing."""
        self._remove()

    @contextmanager
    def working(self) -> Iterator[Path]:
        """Give the folder to work in, and remove it again where the session ended meanwhile: work that goes on makes its folders anew."""
        try:
            yield self.folder / "case"
        finally:
            if not self._remove.alive:
                shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> Workspace:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
