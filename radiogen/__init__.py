"""Glioma radiogenomics: from MRI to tumour masks, features, classifiers and a verdict that cannot fool anyone."""

from __future__ import annotations

__version__ = "0.1.0"
