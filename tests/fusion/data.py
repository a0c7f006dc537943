"""Made-up branch tables with known truth."""

from __future__ import annotations

import numpy as np
import pandas as pd

from radiogen.config.classify import ClassifySettings
from radiogen.fusion.context import RowContext, row_context

FAST = ClassifySettings(classifiers=("elastic-net",), folds=3, repeats=1, inner_folds=3)


def made_up(
    n: int = 60, noise: int = 20, strength: float = 2.0, seed: int = 0, sites: str = "A"
) -> tuple[dict[str, pd.DataFrame], pd.DataFrame]:
    """Return two branches and a cohort; `signal` follows the idh label, nothing follows mgmt."""
    rng = np.random.default_rng(seed)
    cases = [f"case-{i:03d}" for i in range(n)]
    idh = (np.arange(n) // len(sites) % 2).astype(float)
    radiomics = pd.DataFrame(rng.normal(size=(n, noise)), index=cases, columns=[f"noise_{i}" for i in range(noise)])
    radiomics["signal"] = rng.normal(size=n) + strength * idh
    clinical = pd.DataFrame(
        {"age": rng.normal(55, 12, n), "sex_male": rng.integers(0, 2, n).astype(float)}, index=cases
    )
    cohort = pd.DataFrame(
        {
            "patient": cases,
            "site": [sites[i % len(sites)] for i in range(n)],
            "idh": idh,
            "mgmt": rng.permutation(idh),
            "codeletion_1p19q": np.nan,
            "grade": np.where(idh == 1, 3.0, 4.0),
            "age": clinical["age"],
            "sex": ["M" if value else "F" for value in clinical["sex_male"]],
        },
        index=pd.Index(cases, name="case"),
    )
    return {"clinical": clinical, "radiomics": radiomics}, cohort


def bare_context(X: pd.DataFrame) -> RowContext:
    """Return what is known of rows of which nothing is known."""
    return row_context(pd.DataFrame(index=X.index), [str(name) for name in X.columns], [True] * X.shape[1])


def perturbed_table(table: pd.DataFrame, unstable: list[str], seed: int = 0, copies: int = 3) -> pd.DataFrame:
    """Return the table measured under made-up perturbations that only move the unstable columns."""
    rng = np.random.default_rng(seed)
    rows = {"none": table}
    for number in range(1, copies + 1):
        moved = table + rng.normal(0.0, 1e-3, table.shape)
        moved[unstable] = rng.normal(size=(len(table), len(unstable)))
        rows[f"mask-erode-{number}"] = moved
    return pd.concat(rows, names=["perturbation", "case"]).swaplevel().sort_index()
