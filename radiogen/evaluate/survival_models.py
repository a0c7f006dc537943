"""Covariates to design columns, and the Cox models of a cohort: each covariate alone, and all of them together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from radiogen.config.survival import SurvivalSettings
from radiogen.errors import CohortError
from radiogen.evaluate.survival_groups import VALUE_NAMES, Grouping, level_name, title_of
from radiogen.evaluate.survival_input import FollowUp, column_name, is_blank, time_unit
from radiogen.evaluate.survival_names import code_note, coded_levels
from radiogen.stats.survival_cox import (
    CoxModel,
    NotEstimableError,
    concordance,
    concordance_difference,
    concordance_interval,
    cox_regression,
    cross_validated_risk,
    likelihood_ratio_p,
)

DEFAULT_COVARIATES = ("age", "sex", "grade", "idh", "mgmt", "eor", "kps")
_STEPS = {"age": (10.0, "per 10 years"), "kps": (10.0, "per 10 points"), "grade": (1.0, "per step")}
_MAX_LEVELS = 6
_LEAST_CLUSTERS, _FEW_CLUSTERS = 5, 40
"""Clusters below which robust errors are refused, and pointed out (Cameron and Miller 2015, J Hum Resour 50:317: few means 20 to 50)."""
_EVENTS_PER_TERM, _LEAST_EVENTS_PER_TERM = 10, 5
"""Deaths per term below which a model is pointed out, and not fitted at all (Vittinghoff and McCulloch 2007, Am J Epidemiol 165:710)."""


@dataclass(frozen=True)
class _Sample:
    """Follow-up with what the Cox models must know beside covariates: late entries, strata, clusters."""

    days: np.ndarray
    died: np.ndarray
    entry: np.ndarray | None = None
    strata: np.ndarray | None = None
    clusters: np.ndarray | None = None

    def take(self, rows: np.ndarray) -> _Sample:
        taken = (None if part is None else part[rows] for part in (self.entry, self.strata, self.clusters))
        return _Sample(self.days[rows], self.died[rows], *taken)

    def fit(self, columns: pd.DataFrame) -> CoxModel:
        return cox_regression(
            columns, self.days, self.died, entry=self.entry, strata=self.strata, clusters=self.clusters
        )


@dataclass
class _Design:
    columns: pd.DataFrame
    covariate_of: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def of(self, covariates: list[str]) -> pd.DataFrame:
        return self.columns[[name for name, source in self.covariate_of.items() if source in covariates]]


def cox_models(follow_up: FollowUp, grouping: Grouping, settings: SurvivalSettings) -> tuple[dict[str, Any], list[str]]:
    """Fit the Cox models of a cohort.

    Args:
        follow_up: checked follow-up of the patients that have a group.
        grouping: the groups; with more than one, they (or the model's score) are the first covariate.
        settings: `covariates`, `min_known`, `n_bootstrap`, `seed`.

    Returns:
        `{"univariable": [...], "multivariable": {...} or None, "strata": {...} or None, "robust": {...} or None}` and the notes. Each row:
        `covariate`, `term`, `hazard_ratio`, `ci`, `p`, `proportional_hazards_p`, `n`, `n_events`. The hazard ratio is missing where a group
        without deaths leaves it without bounds.

    Raises:
        CohortError: a covariate asked for does not exist or has too many values, or strata or clusters cannot be had.
    """
    names = [name for name in _covariates(follow_up.table, grouping, settings) if name != settings.cox_strata]
    design = _design(follow_up, grouping, names)
    sample, said = _sample(follow_up, grouping, settings, design.notes)
    covariates = list(dict.fromkeys(design.covariate_of.values()))
    rows: list[dict[str, Any]] = []
    for covariate in covariates:
        fitted = _fit(design.of([covariate]), sample, design.notes, covariate)
        if fitted is not None:
            rows += _rows(fitted[0], design)
    together = _multivariable(design, covariates, sample, settings)
    return {"univariable": rows, "multivariable": together, **said}, design.notes


def _sample(
    follow_up: FollowUp, grouping: Grouping, settings: SurvivalSettings, notes: list[str]
) -> tuple[_Sample, dict[str, Any]]:
    """Return what the models are fitted on, and which strata and clusters they have."""
    said: dict[str, Any] = {"strata": None, "robust": None}
    strata = clusters = None
    if settings.cox_strata is not None:
        name, strata = _values(follow_up.table, settings.cox_strata, "--cox-strata")
        if name == grouping.column:
            raise CohortError(
                f"The groups are made by '{name}', so the Cox models cannot be stratified by it.",
                hint="Give another column to --cox-strata.",
            )
        said["strata"] = {"by": name, "n": len(np.unique(strata))}
        notes.append(
            f"Cox models: every one of the {said['strata']['n']} values of '{name}' has a baseline hazard of its own; hazard ratios and C compare"
            " patients of the same value only."
        )
    if settings.cluster is not None:
        name, clusters = _values(follow_up.table, settings.cluster, "--cluster")
        said["robust"] = {"by": name, "n": len(np.unique(clusters))}
        notes += _robust_notes(name, said["robust"]["n"])
    return _Sample(follow_up.days, follow_up.died, follow_up.entry, strata, clusters), said


def _values(table: pd.DataFrame, asked: str, option: str) -> tuple[str, np.ndarray]:
    name = column_name(table, asked, option)
    if is_blank(table[name]).all():
        raise CohortError(f"Column '{name}' ({option}) is blank for every patient.", hint="Leave the option out.")
    return name, table[name].where(~is_blank(table[name]), "unknown").astype(str).to_numpy(dtype=str)


def _robust_notes(name: str, count: int) -> list[str]:
    if count < _LEAST_CLUSTERS:
        raise CohortError(
            f"'{name}' (--cluster) has {count} different value(s); robust errors need at least {_LEAST_CLUSTERS}.",
            hint="Leave --cluster out, or stratify by it: --cox-strata.",
        )
    notes = [
        f"Cox models: intervals and p values of hazard ratios are robust (sandwich, {count} clusters by '{name}'); likelihood-ratio tests still take"
        " patients for independent."
    ]
    if count < _FEW_CLUSTERS:
        notes.append(f"{count} clusters are few: robust errors of fewer than {_FEW_CLUSTERS} are too small on average.")
    return notes


def covariate_columns(table: pd.DataFrame, names: Sequence[str], *, min_known: float = 0.5) -> pd.DataFrame:
    """Return covariates as numbers for a model: one column each, or one per value beyond the most frequent one.

    Args:
        table: index case; columns that are not there are left out.
        names: covariates.
        min_known: share of patients for whom one must be known.

    Returns:
        Columns of floats, NaN where unknown, index case.

    Raises:
        CohortError: a covariate has too many values that are no numbers.

    Example:
        >>> table = pd.DataFrame({"age": [40.0, 60.0], "eor": ["GTR", "STR"]}, index=["a", "b"])
        >>> covariate_columns(table, ["age", "eor", "kps"]).columns.tolist()
        ['age, per 10 years', 'extent of resection: STR vs GTR']
    """
    design = _Design(pd.DataFrame(index=table.index))
    for name in names:
        if name in table.columns and (~is_blank(table[name])).mean() >= min_known:
            _add_column(design, name, table[name])
    columns = design.columns
    return columns.loc[:, columns.nunique() > 1].astype(float)


def _covariates(table: pd.DataFrame, grouping: Grouping, settings: SurvivalSettings) -> list[str]:
    if settings.covariates is not None:
        asked = [column_name(table, name, "--covariates") for name in settings.covariates]
        return [name for name in dict.fromkeys(asked) if name != grouping.column]
    known = {name: table[name][~is_blank(table[name])] for name in DEFAULT_COVARIATES if name in table.columns}
    return [
        name
        for name, values in known.items()
        if name != grouping.column and len(values) >= settings.min_known * len(table) and values.nunique() > 1
    ]


def _design(follow_up: FollowUp, grouping: Grouping, names: list[str]) -> _Design:
    design = _Design(pd.DataFrame(index=follow_up.table.index))
    if grouping.score is not None:
        score = grouping.score.loc[follow_up.table.index].astype(float)
        _add(
            design,
            grouping.title,
            f"{grouping.title}, per standard deviation",
            (score - score.mean()) / (score.std() or 1.0),
        )
    elif len(grouping.order) > 1:
        for name in grouping.order[1:]:
            label = f"{name} vs {grouping.order[0]}"
            _add(design, grouping.title, label, (grouping.labels.loc[follow_up.table.index] == name).astype(float))
    for name in names:
        _add_column(design, name, follow_up.table[name])
    return design


def _add(design: _Design, covariate: str, term: str, values: pd.Series) -> None:
    design.columns[term] = values
    design.covariate_of[term] = covariate


def _add_column(design: _Design, name: str, values: pd.Series) -> None:
    title, coded = title_of(name), {} if name in VALUE_NAMES else coded_levels(name)
    known = ~is_blank(values)
    numbers = pd.to_numeric(values.where(known), errors="coerce")
    numeric = bool(numbers[known].notna().all())
    if name in _STEPS or (numeric and numbers.nunique() > 2 and not set(numbers[known]) <= set(coded)):
        step, unit = _STEPS.get(name, (1.0, f"per {(time_unit(name) or 'units')[:-1]}"))
        _add(design, title, f"{title}, {unit}", numbers.astype(float) / step)
        return
    keys = numbers if numeric else values.where(known).astype(object)
    counts = keys[known].value_counts()
    if len(counts) > _MAX_LEVELS:
        raise CohortError(
            f"Covariate '{name}' has {len(counts)} different values that are not numbers; up to {_MAX_LEVELS} are accepted."
        )
    # Two coded values keep their order (0 is the reference); categories are held against the most frequent one.
    levels = (
        sorted(counts.index)
        if len(counts) == 2
        else sorted(counts.index, key=lambda level: (-counts[level], str(level)))
    )
    if len(levels) < 2:
        design.notes.append(f"Covariate '{name}' is left out: it has one value only.")
    names = {level: coded.get(level) or level_name(name, level) for level in levels}
    said = "" if name in VALUE_NAMES or (numeric and not coded) else f"{title}: "
    design.notes += [note for note in [code_note(name)] if coded and numeric and note is not None]
    for level in levels[1:]:
        term = f"{said}{names[level]} vs {names[levels[0]]}"
        _add(design, title, term, (keys == level).astype(float).where(known))


def _fit(
    columns: pd.DataFrame, sample: _Sample, notes: list[str], what: str
) -> tuple[CoxModel, pd.DataFrame, np.ndarray] | None:
    known = columns.notna().all(axis=1).to_numpy()
    complete = columns[known]
    varying = complete.loc[:, complete.nunique() > 1]
    dropped = [name for name in columns.columns if name not in varying.columns]
    if dropped:
        notes.append(
            f"Left out of the Cox model of {what}, because every patient in it has the same value: {', '.join(dropped)}."
        )
    if varying.empty:
        return None
    repeated = _repeated(varying)
    if repeated:
        notes.append(
            f"Left out of the Cox model of {what}, because the terms before say the same: {', '.join(repeated)}."
        )
        varying = varying.drop(columns=repeated)
    try:
        return sample.take(known).fit(varying), varying, known
    except NotEstimableError as error:
        notes.append(f"No Cox model of {what}: {error}")
        return None


def _repeated(columns: pd.DataFrame) -> list[str]:
    """Return the columns that are a linear combination of those before them, such as IDH beside an IDH subtype."""
    values = columns.to_numpy(dtype=float)
    scaled = (values - values.mean(axis=0)) / values.std(axis=0)
    rank, repeated = 0, []
    for number, name in enumerate(columns.columns):
        found = int(np.linalg.matrix_rank(scaled[:, : number + 1]))
        if found == rank:
            repeated.append(str(name))
        rank = found
    return repeated


def _rows(model: CoxModel, design: _Design) -> list[dict[str, Any]]:
    rows = []
    for term, row in model.table.iterrows():
        bounded = bool(row["bounded"])
        rows.append(
            {
                "covariate": design.covariate_of[str(term)],
                "term": str(term),
                "hazard_ratio": float(row["hazard_ratio"]) if bounded else None,
                "ci": [float(row["lower"]), float(row["upper"])] if bounded else [None, None],
                "p": float(row["p"]) if bounded else None,
                "proportional_hazards_p": float(row["proportional_p"]) if bounded else None,
                "n": model.n,
                "n_events": model.n_events,
            }
        )
    return rows


def _multivariable(
    design: _Design, covariates: list[str], sample: _Sample, settings: SurvivalSettings
) -> dict[str, Any] | None:
    if len(covariates) < 2:
        return None
    columns = design.of(covariates)
    n_events = int(sample.died[columns.notna().all(axis=1).to_numpy()].sum())
    if n_events < _LEAST_EVENTS_PER_TERM * columns.shape[1]:
        design.notes.append(
            f"No multivariable Cox model: {n_events} deaths among patients whose covariates are all known are too few for"
            f" {columns.shape[1]} terms (at least {_LEAST_EVENTS_PER_TERM} each); name fewer with --covariates."
        )
        return None
    fitted = _fit(columns, sample, design.notes, "all covariates together")
    if fitted is None:
        return None
    model, columns, known = fitted
    inside = sample.take(known)
    if model.n < len(sample.days):
        design.notes.append(
            f"The multivariable Cox model holds the {model.n} of {len(sample.days)} patients whose covariates are all known."
        )
    if model.n_events < _EVENTS_PER_TERM * columns.shape[1]:
        design.notes.append(
            f"The multivariable Cox model has {model.n_events} deaths for {columns.shape[1]} terms, fewer than {_EVENTS_PER_TERM} each:"
            " its hazard ratios are too extreme on average."
        )
    return {
        "n": model.n,
        "n_events": model.n_events,
        "rows": _rows(model, design),
        "likelihood_ratio_p": model.likelihood_ratio_p,
        "first_covariate": covariates[0],
        **_claim(columns, design, covariates[0], model, inside, settings),
        **_discrimination(columns, model, inside, settings, design.notes),
    }


def _claim(
    columns: pd.DataFrame, design: _Design, first: str, model: CoxModel, sample: _Sample, settings: SurvivalSettings
) -> dict[str, Any]:
    """Return what the first covariate adds to the others: likelihood ratio, and change in cross-validated C with its interval."""
    found: dict[str, Any] = {"first_covariate_adds_p": None, "c_index_change": None, "c_index_change_ci": [None, None]}
    without = columns[[name for name in columns.columns if design.covariate_of[name] != first]]
    if without.shape[1] in (0, columns.shape[1]):
        return found
    compared: dict[str, Any] = {"entry": sample.entry, "strata": sample.strata}
    try:
        found["first_covariate_adds_p"] = likelihood_ratio_p(sample.fit(without), model)
        risks = [
            cross_validated_risk(part, sample.days, sample.died, seed=settings.seed, **compared)
            for part in (without, columns)
        ]
        found["c_index_change"], interval = concordance_difference(
            sample.days, sample.died, *risks, seed=settings.seed, n_bootstrap=settings.n_bootstrap, **compared
        )
    except NotEstimableError:
        return found
    return {**found, "c_index_change_ci": list(interval)}


def _discrimination(
    columns: pd.DataFrame,
    model: CoxModel,
    sample: _Sample,
    settings: SurvivalSettings,
    notes: list[str],
) -> dict[str, Any]:
    days, died = sample.days, sample.died
    compared: dict[str, Any] = {"entry": sample.entry, "strata": sample.strata}
    result: dict[str, Any] = {"c_index_apparent": concordance(days, died, model.risk, **compared)}
    try:
        risk = cross_validated_risk(columns, days, died, seed=settings.seed, **compared)
        interval = concordance_interval(
            days, died, risk, seed=settings.seed, n_bootstrap=settings.n_bootstrap, **compared
        )
    except NotEstimableError as error:
        notes.append(f"No cross-validated C index: {error}")
        return {**result, "c_index": None, "c_index_ci": [None, None]}
    return {**result, "c_index": concordance(days, died, risk, **compared), "c_index_ci": list(interval)}
