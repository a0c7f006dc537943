"""Who the made-up patients are: labels and clinical columns balanced by design, not by luck."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import norm

from radiogen.cohort.phantom_contrast import SCANNERS
from radiogen.cohort.phantom_tumour import volume_quantile
from radiogen.config.phantoms import PhantomSettings

AGE_YEARS = {0: (57.0, 12.0), 1: (47.0, 12.0)}
"""IDH status -> mean and standard deviation of age: mutated patients are somewhat younger, which alone gives an AUC near 0.72."""

GRADE_SHARES = {0: (0.15, 0.30, 0.55), 1: (0.32, 0.36, 0.32)}
"""IDH status -> shares of WHO grades 2, 3 and 4: alone an AUC near 0.64, so that grade does not give IDH away."""

MEDIAN_SURVIVAL_DAYS = {0: 480.0, 1: 1900.0}
"""IDH status -> median survival at 55 years and grade 3."""

_WEIBULL_SHAPE = 1.3
_LOG_HAZARD_PER_YEAR = 0.02
_LOG_HAZARD_PER_GRADE = 0.25
_PLASTIC = 1.2207440846057596
_CELLS = ((0, 0), (0, 1), (1, 0), (1, 1))


def cohort_design(n_cases: int, *, seed: int, settings: PhantomSettings) -> pd.DataFrame:
    """Return labels, clinical and survival columns of made-up patients.

    In every run of four patients of a site the four combinations of IDH and MGMT occur once, in random order, and the sites take turns: with a
    multiple of four times `n_sites` patients all three are balanced exactly and independent of each other. Age, grade and volume follow
    low-discrepancy sequences within each IDH status, so that their distributions given IDH are the planned ones in every cohort, not only on
    average; MGMT has no part in them. A patient's row does not depend on `n_cases`.

    Args:
        n_cases: patients.
        seed: of everything random.
        settings: number of sites and tumour volumes.

    Returns:
        Table indexed by `case` (`phantom-001`, ...), the columns of a cohort table without the paths, and `volume_ml` (aimed at).

    Source: Roberts, The unreasonable effectiveness of quasirandom sequences, 2018 (the R3 sequence); Cranley & Patterson, SIAM J Numer Anal 13(6),
    1976 (random shift).

    Example:
        >>> table = cohort_design(12, seed=0, settings=PhantomSettings())
        >>> table.groupby(["site", "idh", "mgmt"]).size().unique().tolist()
        [1]
    """
    counts = {0: 0, 1: 0}
    rows: list[dict[str, Any]] = []
    for index in range(n_cases):
        site, (idh, mgmt) = _place(index, seed, settings.n_sites)
        rows.append(_patient(index, seed, site, (idh, mgmt), counts[idh], settings))
        counts[idh] += 1
    table = pd.DataFrame(rows).set_index("case")
    table.index = table.index.astype(object)
    return table


def _place(index: int, seed: int, n_sites: int) -> tuple[str, tuple[int, int]]:
    """Return site and (IDH, MGMT) of a patient: blocks of all sites, each with runs of the four cells, both in random order."""
    block, within = divmod(index, 4 * n_sites)
    rng = np.random.default_rng([seed, 1, block])
    sites = rng.permutation(n_sites)
    orders = [rng.permutation(4) for _ in range(n_sites)]
    run, position = divmod(within, 4)
    return SCANNERS[sites[run]].site, _CELLS[orders[run][position]]


def _patient(
    index: int, seed: int, site: str, cell: tuple[int, int], position: int, settings: PhantomSettings
) -> dict[str, Any]:
    idh, mgmt = cell
    case = f"phantom-{index + 1:03d}"
    shift = np.random.default_rng([seed, 2, idh]).random(4)
    u_age, u_grade, u_volume = (shift[:3] + (position + 1) * _PLASTIC ** -np.arange(1.0, 4.0)) % 1
    mean, spread = AGE_YEARS[idh]
    age = float(np.clip(mean + spread * norm.ppf(np.clip(u_age, 0.005, 0.995)), 19, 88))
    grade = 2 + int(np.searchsorted(np.cumsum(GRADE_SHARES[idh])[:2], u_grade, side="right"))
    rng = np.random.default_rng([seed, 3, index])
    survival = _survival(rng, idh=idh, age=age, grade=grade)
    return {
        "case": case,
        "patient": case,
        "site": site,
        "mgmt": float(mgmt),
        "idh": float(idh),
        # Codeletion occurs in mutated tumours only, and by definition not in grade 4.
        "codeletion_1p19q": float(idh == 1 and grade < 4 and rng.random() < 0.5),
        "grade": float(grade),
        "age": round(age, 1),
        "sex": "FM"[(position + int(shift[3] * 2)) % 2],
        "kps": float(10 * np.clip(round(9.2 - 0.025 * (age - 45) + rng.normal(0, 0.9)), 5, 10)),
        "eor": str(rng.choice(["GTR", "STR", "biopsy"], p=[0.45, 0.40, 0.15])),
        **survival,
        "volume_ml": volume_quantile(settings, float(u_volume)),
    }


def _survival(rng: np.random.Generator, *, idh: int, age: float, grade: int) -> dict[str, float]:
    """Return days and event of a Weibull proportional-hazards time under uniform administrative censoring.

    Source: Bender et al., Generating survival times to simulate Cox proportional hazards models, Stat Med 24(11), 2005.
    """
    log_hazard = _LOG_HAZARD_PER_YEAR * (age - 55) + _LOG_HAZARD_PER_GRADE * (grade - 3)
    scale = MEDIAN_SURVIVAL_DAYS[idh] / np.log(2) ** (1 / _WEIBULL_SHAPE)
    death = scale * (rng.exponential() * np.exp(-log_hazard)) ** (1 / _WEIBULL_SHAPE)
    censored = rng.uniform(500, 3600)
    return {"os_days": float(max(1, round(min(death, censored)))), "os_event": float(death <= censored)}
