"""The integrated diagnosis of WHO 2021 from what models say of IDH, 1p/19q and grade, with the tests that are still needed.

Probabilities from images are no molecular result: the table says which diagnosis they point to and what must be measured before anyone may make it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float

from radiogen.errors import InputError

ASTROCYTOMA = "astrocytoma, IDH-mutant"
OLIGODENDROGLIOMA = "oligodendroglioma, IDH-mutant and 1p/19q-codeleted"
GLIOBLASTOMA = "glioblastoma, IDH-wildtype"
OTHER = "other"
DIAGNOSES = {
    "p_astrocytoma": ASTROCYTOMA,
    "p_oligodendroglioma": OLIGODENDROGLIOMA,
    "p_glioblastoma": GLIOBLASTOMA,
    "p_other": OTHER,
}
"""Column -> adult-type diffuse glioma of WHO 2021; `other`: IDH-wildtype without what makes a glioblastoma, paediatric-type, or no diffuse glioma."""

SEQUENCING_AGE = 55
"""From this age on a glioblastoma with a negative IDH1 R132H stain and typical histology needs no IDH sequencing."""

PAEDIATRIC_AGE = 40
"""Below this age paediatric-type and H3-altered gliomas are looked for in IDH-wildtype tumours here; WHO names no limit but "children and young
adults"."""

Chances = Float[np.ndarray, " n"]


@dataclass(frozen=True)
class _Facts:
    """What is thought of one case: probability of each diagnosis and age (NaN where unknown)."""

    astrocytoma: float
    oligodendroglioma: float
    glioblastoma: float
    other: float
    age: float


def diagnose(
    idh: Chances,
    codeletion: Chances,
    grade: Chances,
    age: Chances | None = None,
    *,
    codeletion_given_idh: bool = False,
    rule_out: float = 0.05,
) -> pd.DataFrame:
    """Return the probability of each integrated diagnosis per case, the most probable one, and the tests still needed.

    A co-deletion counts only with an IDH mutation, so oligodendroglioma has the probability of the co-deletion, at most that of the mutation; what is
    left of the mutation's probability is astrocytoma, of whatever grade. Without a mutation, grade 4 makes a glioblastoma. For this grade and IDH are
    taken as independent once both models have seen the case, which they are not quite. What is unknown of 1p/19q goes to astrocytoma or
    oligodendroglioma half and half, and of the grade to glioblastoma or other half and half; their tests then are among those needed.

    Args:
        idh: probability of an IDH mutation.
        codeletion: probability of a 1p/19q co-deletion; NaN where unknown.
        grade: probability of WHO grade 4; NaN where unknown.
        age: years; NaN where unknown.
        codeletion_given_idh: `codeletion` is of IDH-mutant tumours only (its model was trained on those), so it is multiplied.
        rule_out: a diagnosis below this probability needs no test of its own.

    Returns:
        Columns `p_astrocytoma, p_oligodendroglioma, p_glioblastoma, p_other` (sum 1), `diagnosis`, `probability`, `tests_needed` (joined by `; `).

    Raises:
        InputError: a probability of IDH is missing, or one is outside 0 to 1.

    Source: WHO Classification of Tumours of the Central Nervous System, 5th edition, 2021; Louis et al., Neuro-Oncology 2021, 23:1231 (definitions,
    tables 1 and 2); Brat et al., Acta Neuropathol 2018, 136:805, cIMPACT-NOW update 3 (TERT, EGFR, +7/-10); Louis et al., Acta Neuropathol
    2018, 135:639, update 2 (IDH sequencing below 55 years, H3 K27).

    Example:
        >>> found = diagnose(np.array([0.02, 0.97]), np.array([0.01, 0.9]), np.array([0.98, 0.1]), np.array([66.0, 41.0]))
        >>> found["diagnosis"].tolist()
        ['glioblastoma, IDH-wildtype', 'oligodendroglioma, IDH-mutant and 1p/19q-codeleted']
    """
    _check({"idh": idh, "codeletion": codeletion, "grade": grade})
    codeleted = np.where(np.isnan(codeletion), 0.5 * idh, codeletion * idh if codeletion_given_idh else codeletion)
    oligodendroglioma = np.minimum(codeleted, idh)
    glioblastoma = (1 - idh) * np.where(np.isnan(grade), 0.5, grade)
    found = pd.DataFrame(
        {
            "p_astrocytoma": idh - oligodendroglioma,
            "p_oligodendroglioma": oligodendroglioma,
            "p_glioblastoma": glioblastoma,
            "p_other": 1 - idh - glioblastoma,
        }
    ).clip(lower=0.0)
    most = found.to_numpy().argmax(axis=1)
    names = list(DIAGNOSES.values())
    years = np.full(len(idh), np.nan) if age is None else age
    rows = zip(found.itertuples(index=False), years, strict=True)
    tests = ["; ".join(_tests(_Facts(*[float(value) for value in (*row, year)]), rule_out)) for row, year in rows]
    return found.round(6).assign(
        diagnosis=[names[at] for at in most], probability=found.max(axis=1).round(6), tests_needed=tests
    )


def _check(given: dict[str, Chances]) -> None:
    problems = [f"{name}: probabilities from 0 to 1 are accepted; {np.nanmin(p)} to {np.nanmax(p)} came"
                for name, p in given.items() if not np.isnan(p).all() and (np.nanmin(p) < 0 or np.nanmax(p) > 1)]  # fmt: skip
    if np.isnan(given["idh"]).any():
        problems.append(f"idh: unknown for {int(np.isnan(given['idh']).sum())} case(s)")
    if problems:
        raise InputError("No integrated diagnosis:", problems=problems, hint="IDH comes first in WHO 2021; predict it.")


def _tests(case: _Facts, rule_out: float) -> list[str]:
    mutant, wildtype = case.astrocytoma + case.oligodendroglioma, case.glioblastoma + case.other
    needed = ["histology with grade"]
    if wildtype >= rule_out and not (case.age >= SEQUENCING_AGE and mutant < rule_out):
        needed.append("IDH1 R132H stain, IDH1/IDH2 sequencing where it is negative")
    else:
        needed.append("IDH1 R132H stain")
    if mutant >= rule_out:
        needed += _of_mutants(case, rule_out)
    if wildtype >= rule_out:
        needed += _of_wildtypes(case, rule_out)
    return needed


def _of_mutants(case: _Facts, rule_out: float) -> list[str]:
    needed = []
    if case.astrocytoma >= rule_out:
        needed += [
            "ATRX and p53 stain (ATRX lost: astrocytoma, 1p/19q not needed)",
            "CDKN2A/B deletion (homozygous: astrocytoma of grade 4)",
        ]
    if case.oligodendroglioma >= rule_out or case.astrocytoma >= rule_out:
        needed.append("1p/19q co-deletion")
    return needed


def _of_wildtypes(case: _Facts, rule_out: float) -> list[str]:
    needed = []
    if case.other >= rule_out:
        needed.append("TERT promoter, EGFR amplification, +7/-10 (any of them: glioblastoma, whatever the histology)")
    if not case.age >= PAEDIATRIC_AGE:
        needed.append("H3 K27 and H3 G34, methylation profile (paediatric-type diffuse glioma)")
    elif case.other >= rule_out:
        needed.append("H3 K27 where the tumour is in the midline")
    if case.glioblastoma >= rule_out:
        needed.append("MGMT promoter methylation (for treatment)")
    return needed
