"""The integrated diagnosis: the definitions of WHO CNS5 (Louis et al., Neuro-Oncology 2021, 23:1231) hold where the markers are known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from radiogen.errors import InputError
from radiogen.fusion.diagnosis import DIAGNOSES, diagnose

CHANCE = st.floats(0, 1)


@pytest.mark.parametrize(
    ("idh", "codeletion", "grade", "diagnosis"),
    [
        (1.0, 0.0, 0.0, "astrocytoma, IDH-mutant"),
        (1.0, 0.0, 1.0, "astrocytoma, IDH-mutant"),  # grade 4, no longer "glioblastoma, IDH-mutant"
        (1.0, 1.0, 0.0, "oligodendroglioma, IDH-mutant and 1p/19q-codeleted"),
        (0.0, 0.0, 1.0, "glioblastoma, IDH-wildtype"),
        (0.0, 0.0, 0.0, "other"),
        (0.0, 1.0, 1.0, "glioblastoma, IDH-wildtype"),  # a co-deletion without IDH mutation is no oligodendroglioma
    ],
)
def test_known_markers_give_the_who_diagnosis(idh: float, codeletion: float, grade: float, diagnosis: str) -> None:
    found = diagnose(np.array([idh]), np.array([codeletion]), np.array([grade]), np.array([60.0]))
    assert found.loc[0, "diagnosis"] == diagnosis
    assert found.loc[0, "probability"] == 1.0


@settings(max_examples=60, deadline=None)
@given(idh=CHANCE, codeletion=CHANCE | st.just(np.nan), grade=CHANCE | st.just(np.nan), given_idh=st.booleans())
def test_probabilities_are_probabilities(idh: float, codeletion: float, grade: float, given_idh: bool) -> None:
    found = diagnose(np.array([idh]), np.array([codeletion]), np.array([grade]), codeletion_given_idh=given_idh)
    each = found[list(DIAGNOSES)].to_numpy()[0]
    assert each.min() >= 0
    assert each.sum() == pytest.approx(1, abs=1e-5)
    assert each[0] + each[1] == pytest.approx(idh, abs=1e-5)


def needed(idh: float, codeletion: float, grade: float, age: float) -> str:
    return str(diagnose(*(np.array([value]) for value in (idh, codeletion, grade, age))).loc[0, "tests_needed"])


def test_tests_follow_from_what_is_open() -> None:
    old = needed(0.01, 0.0, 0.99, 70.0)
    assert "sequencing" not in old  # cIMPACT-NOW update 2: 55 years and older, R132H negative
    assert "1p/19q" not in old
    assert "MGMT" in old
    assert "sequencing" in needed(0.01, 0.0, 0.99, 50.0)
    assert "sequencing" in needed(0.01, 0.0, 0.99, np.nan)
    assert "TERT promoter, EGFR amplification, +7/-10" in needed(0.1, 0.0, 0.3, 60.0)
    assert "H3 K27 and H3 G34" in needed(0.1, 0.0, 0.9, 22.0)
    mutant = needed(0.99, 0.4, 0.1, 38.0)
    assert all(word in mutant for word in ("ATRX", "CDKN2A/B", "1p/19q co-deletion"))
    assert "TERT" not in mutant


def test_a_conditional_codeletion_is_multiplied() -> None:
    found = diagnose(np.array([0.5]), np.array([0.8]), np.array([0.5]), codeletion_given_idh=True)
    assert found.loc[0, "p_oligodendroglioma"] == 0.4


def test_without_idh_there_is_no_diagnosis() -> None:
    with pytest.raises(InputError, match=r"unknown for 1 case"):
        diagnose(np.array([np.nan]), np.array([0.1]), np.array([1.2]))
