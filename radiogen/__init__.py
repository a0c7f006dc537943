"""Glioma radiogenomics: from MRI to tumour masks, features, classifiers and a verdict that cannot fool anyone."""

from __future__ import annotations

import logging

__version__ = "0.1.0"

# Silent as a library, whichever module is imported first.
logging.getLogger(__name__).addHandler(logging.NullHandler())
