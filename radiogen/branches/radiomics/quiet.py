"""PyRadiomics without side effects: its log becomes notes, its arithmetic warnings and global settings stay inside."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import SimpleITK as sitk  # noqa: N813 - the name everyone gives it
from threadpoolctl import threadpool_limits

_LOGGERS = ("radiomics", "pykwalify")
_ROUTINE = ("GLCM is symmetrical", "Fixed bin Count enabled")
"""Remarks that are true of every extraction with a symmetrical matrix, or with the usual choice for MRI."""


class _Notes(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.notes: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        # A failed feature is logged with its trace; the last line says why.
        line = record.getMessage().strip().splitlines()[-1]
        if line not in self.notes and not line.startswith(_ROUTINE):
            self.notes.append(line)


@contextmanager
def contained() -> Iterator[list[str]]:
    """Yield a list that PyRadiomics' warnings are added to, once each, while nothing of it reaches the screen or the process.

    Inside, numpy and SimpleITK use one thread: the last bit of a sum depends on how many add it up, and features must not depend on `--jobs`.
    """
    handler = _Notes()
    before = {}
    for name in _LOGGERS:
        logger = logging.getLogger(name)
        before[name] = (logger.handlers[:], logger.propagate, logger.level)
        logger.handlers[:] = [handler]
        logger.propagate = False
        logger.setLevel(logging.WARNING)
    threads = sitk.ProcessObject.GetGlobalDefaultNumberOfThreads()
    coordinates = sitk.ProcessObject.GetGlobalDefaultCoordinateTolerance()
    directions = sitk.ProcessObject.GetGlobalDefaultDirectionTolerance()
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    try:
        with threadpool_limits(1), np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield handler.notes
    finally:
        sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(threads)
        sitk.ProcessObject.SetGlobalDefaultCoordinateTolerance(coordinates)
        sitk.ProcessObject.SetGlobalDefaultDirectionTolerance(directions)
        for name, (handlers, propagate, level) in before.items():
            logger = logging.getLogger(name)
            logger.handlers[:] = handlers
            logger.propagate = propagate
            logger.setLevel(level)
