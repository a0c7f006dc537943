"""The radiomics branch: PyRadiomics over sequences and regions. PyRadiomics is used nowhere else."""

from __future__ import annotations

from radiogen.branches.radiomics.branch import RadiomicsBranch, extract_cohort
from radiogen.branches.radiomics.dictionary import data_dictionary

__all__ = ["RadiomicsBranch", "data_dictionary", "extract_cohort"]
