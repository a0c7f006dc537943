"""The clinical facts that baselines and strata need, from whatever columns a table has."""

from __future__ import annotations

from collections import Counter

import pandas as pd

from radiogen.cohort.identifiers import identify
from radiogen.cohort.splits import UNKNOWN_SITE
from radiogen.cohort.table import TARGET_COLUMNS
from radiogen.errors import CohortError
from radiogen.evaluate.columns import (
    as_text,
    binary_labels,
    find_column,
    grades,
    is_prediction,
    is_unknown,
    numbers,
    simple,
    wide_columns,
)

CLINICAL = ["age", "sex_male", "wt_ml", "grade", "idh", "mgmt", "codeletion_1p19q"]
"""Columns of the clinical table, in the order baselines are run."""

_NAMES = {
    "age": ("age", "ageyears", "ageatmri", "ageatdiagnosis", "ageatscanyears", "patientage", "ageatinitialdiagnosis"),
    "sex_male": ("sexmale", "sex", "gender", "male"),
    "wt_ml": (
        "wtml",
        "volume",
        "volumeml",
        "tumorvolume",
        "tumourvolume",
        "tumorvolumeml",
        "tumourvolumeml",
        "wtvolume",
    ),
    "grade": (
        "grade",
        "whograde",
        "whocnsgrade",
        "tumorgrade",
        "tumourgrade",
        "finalwhograde",
        "neoplasmhistologicgrade",
    ),
}
CATEGORIES = {
    "scanner": ("scanner", "scannermodel", "scannername", "manufacturermodelname", "manufacturer", "vendor", "scannermanufacturer"),
    "field_strength": ("fieldstrength", "magneticfieldstrength", "fieldstrengtht", "tesla"),
    "lobe": ("tumourlobe", "tumorlobe", "lobe", "tumourlocation", "tumorlocation", "location"),
    "side": ("tumourside", "tumorside", "laterality", "tumourlaterality", "tumorlaterality", "hemisphere", "side"),
}  # fmt: skip
"""Facts without an order, and the columns that hold them."""

_BINARY = {"idh": "idh", "mgmt": "mgmt", "codeletion_1p19q": "codeletion"}


def clinical_table(cases: pd.DataFrame, clinical: pd.DataFrame | None, target: str) -> tuple[pd.DataFrame, list[str]]:
    """Return the clinical facts of every case, the target's own column left out.

    Args:
        cases: one row per case (index `case`), with whatever other columns the predictions table had.
        clinical: further table with one row per case or patient, or None; its values win.
        target: what is predicted.

    Returns:
        Table with the rows of `cases` and those columns of `CLINICAL` that have at least two different known values; and notes.

    Raises:
        CohortError: no row of `clinical` belongs to any case.

    Example:
        >>> cases = pd.DataFrame({"patient": ["a", "b"], "Age": ["61", "n/a"]}, index=["a", "b"])
        >>> more = pd.DataFrame({"ID": ["a", "b"], "age": [60, 40], "Sex": ["M", "F"], "IDH": ["wildtype", "mutated"]})
        >>> clinical_table(cases, more, "idh")[0].to_dict("list")
        {'age': [60.0, 40.0], 'sex_male': [1.0, 0.0]}
    """
    notes: list[str] = []
    found = tidy_clinical(cases)
    if clinical is not None:
        joined, matched = join_on_id(cases, clinical)
        if matched < len(cases):
            notes.append(f"{len(cases) - matched} of {len(cases)} cases have no row in the clinical table.")
        found = tidy_clinical(joined).combine_first(found)
    found = found.reindex(cases.index)
    own = {TARGET_COLUMNS.get(target, target)}
    kept = [name for name in CLINICAL if name in found.columns and name not in own and found[name].nunique() > 1]
    return found[kept], notes


def category_table(cases: pd.DataFrame, clinical: pd.DataFrame | None) -> pd.DataFrame:
    """Return scanner, field strength and the tumour's lobe and side as text, where a table has them with two or more values.

    Args:
        cases: one row per case (index `case`).
        clinical: further table, or None; its values win.

    Returns:
        Rows of `cases`, columns of `CATEGORIES`; None for unknown.
    """
    found = pd.DataFrame(index=cases.index)
    for table in [cases] if clinical is None else [join_on_id(cases, clinical)[0], cases]:
        spelled: dict[str, str] = {}
        for column in table.columns:
            spelled.setdefault(simple(column), column)
        for name, aliases in CATEGORIES.items():
            match = next((spelled[alias] for alias in aliases if alias in spelled), None)
            if match is not None and name not in found:
                text = as_text(table[match])
                found[name] = text.where(~text.map(is_unknown).astype(bool), None)
    return found[[name for name in CATEGORIES if name in found and found[name].nunique() > 1]]


def tidy_clinical(table: pd.DataFrame) -> pd.DataFrame:
    """Return the columns of `CLINICAL` that a table has, as floats with NaN for unknown.

    Args:
        table: any columns; ages are in years, volumes in millilitres, `sex` is F/M, female/male or, called `sex_male`, 0/1.

    Returns:
        Same index; columns that are not there are left out.
    """
    facts = [column for column in table.columns if not is_prediction(column)]
    spelled: dict[str, str] = {}
    for column in facts:
        spelled.setdefault(simple(column), column)
    found: dict[str, pd.Series] = {}
    for name, aliases in _NAMES.items():
        match = next((spelled[alias] for alias in aliases if alias in spelled), None)
        if match is not None:
            found[name] = _READERS[name](table[match])
    for name, target in _BINARY.items():
        labels = [column for column in wide_columns(facts, target).labels if not binary_labels(table[column])[1]]
        if labels:  # the shortest name is the plainest: `IDH` before `IDH tested`
            found[name] = binary_labels(table[min(labels, key=len)])[0]
    return pd.DataFrame(found, index=table.index)


def join_on_id(cases: pd.DataFrame, clinical: pd.DataFrame) -> tuple[pd.DataFrame, int]:
    """Return the clinical rows in the order of `cases`, matched by id whatever its spelling, and how many matched.

    Args:
        cases: index `case`, column `patient`.
        clinical: index or a column holds the ids.

    Raises:
        CohortError: an id has two rows that differ, or nothing matches.
    """
    table = clinical.reset_index() if clinical.index.name is not None else clinical.reset_index(drop=True)
    table.columns = [str(column).strip() for column in table.columns]
    ids = find_column(table.columns, "case")
    if ids is None:
        raise CohortError(
            f"The clinical table has no id column; found {', '.join(table.columns)}.",
            hint="Call the column with the case ids 'case' or 'patient'.",
        )
    table = table.assign(**{ids: as_text(table[ids])}).drop_duplicates()
    twice = sorted(table.loc[table[ids].duplicated() & (table[ids] != ""), ids].unique())
    if twice:
        raise CohortError(
            "The clinical table has several rows for one id:",
            problems=[f"'{name}' has several rows that differ" for name in twice[:20]],
            hint="Keep one row per case.",
        )
    table = table[table[ids] != ""].set_index(ids)
    keys = _matches(cases, table.index, ids)
    matched = sum(key is not None for key in keys)
    if matched == 0:
        raise CohortError(
            f"No id of the clinical table is an id of the predictions table: '{table.index[0] if len(table) else ''}' against '{cases.index[0]}'.",
            hint="Spell the ids alike in both tables.",
        )
    return table.reindex(keys).set_axis(cases.index), matched


def _matches(cases: pd.DataFrame, ids: pd.Index, header: str) -> list[str | None]:
    """Return the clinical id of every case: the same text, else another spelling of the same scan, else the same patient."""
    texts = {str(text): str(text) for text in ids}
    scans = _unique({text: identify(text, header=header).scan for text in texts})
    patients = _unique({text: identify(text, header=header).key for text in texts})
    found = []
    for case, patient in zip(cases.index.astype(str), cases["patient"].astype(str), strict=True):
        tries = (
            texts.get(case),
            texts.get(patient),
            scans.get(identify(case).scan),
            patients.get(identify(case).key),
            patients.get(identify(patient).key),
        )
        found.append(next((text for text in tries if text is not None), None))
    return found


def _unique(keys: dict[str, str]) -> dict[str, str]:
    """Return key -> id for keys that belong to one id only."""
    counts = Counter(keys.values())
    return {key: text for text, key in keys.items() if counts[key] == 1}


def stratum_column(name: str, cases: pd.DataFrame, clinical: pd.DataFrame | None) -> pd.Series:
    """Return a column that the user wants strata of, from the predictions table or the clinical one.

    Args:
        name: column name; case and punctuation do not matter.
        cases: index `case`.
        clinical: further table, or None.

    Raises:
        CohortError: neither table has it.
    """
    tables = [cases] if clinical is None else [join_on_id(cases, clinical)[0], cases]
    for table in tables:
        column = next((column for column in table.columns if simple(column) == simple(name)), None)
        if column is not None:
            return table[column]
    there = sorted({str(column) for table in tables for column in table.columns})
    raise CohortError(
        f"No column '{name}' for strata; found {', '.join(there)}.", hint="Name a column of either table."
    )


def known_sites(cases: pd.DataFrame) -> list[str]:
    """Return the names of the sites that are known, sorted."""
    return sorted(set(cases["site"]) - {UNKNOWN_SITE})


def _age(values: pd.Series) -> pd.Series:
    years = numbers(values)
    return years.where(years.between(0, 120))


def _volume(values: pd.Series) -> pd.Series:
    millilitres = numbers(values)
    return millilitres.where(millilitres >= 0)


def _sex(values: pd.Series) -> pd.Series:
    known = {"m": 1.0, "male": 1.0, "1": 1.0, "man": 1.0, "f": 0.0, "female": 0.0, "0": 0.0, "woman": 0.0, "w": 0.0}
    return as_text(values).map(simple).map(known).astype(float)


_READERS = {"age": _age, "sex_male": _sex, "wt_ml": _volume, "grade": grades}
