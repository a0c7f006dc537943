"""The race against trivial baselines, on the same rows and with the same patients resampled.

How a baseline is scored decides how hard it is to beat, so the rules are few and stated in every row (`how`):

* one ordered or binary variable is scored by its own rank; only the direction is fitted;
* a site column with few, well-filled sites is scored by each site's share of positives on the very same rows (an upper bound for what
  knowing the site can give);
* everything with more freedom is a logistic regression whose probabilities are out of fold: the folds of the predictions table where it has
  any, stratified folds grouped by patient otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Integer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from radiogen.cohort.splits import UNKNOWN_SITE, grouped_folds
from radiogen.config.evaluate import EvaluateSettings
from radiogen.evaluate.clinical import known_sites
from radiogen.stats.auc import auc, delong_test
from radiogen.stats.resampling import auc_interval_from, bootstrap_aucs, difference_interval_from
from radiogen.types import Labels01, Scores

Folds = list[tuple[int, Integer[np.ndarray, " _"]]]
"""Repeat and rows of the test side, for every fold."""

_MANY_CASES = 5000
"""From this many cases on, drawing the folds once is enough: repeats would change the AUC by less than its third digit."""

ORDER = [
    "age",
    "sex",
    "age+sex",
    "volume",
    "grade",
    "idh",
    "location",
    "scanner",
    "site",
    "all clinical",
    "all together",
]
"""Every baseline, in the order of the tables."""

_VARIABLES = {"age": "age", "sex": "sex_male", "volume": "wt_ml", "grade": "grade", "idh": "idh"}
"""Baseline name -> clinical column, for baselines of one variable."""


@dataclass(frozen=True)
class Baseline:
    """One trivial competitor.

    Args:
        name: such as `age+sex`.
        scores: one per row, NaN where the baseline is not known.
        how: how it was scored, one clause.
        probability: the scores are probabilities.
        by_repeat: scores of every repeat of the table's folds (NaN: not tested in it), where they differ from `scores`.
    """

    name: str
    scores: Scores
    how: str
    probability: bool = False
    by_repeat: Float[np.ndarray, "r n"] | None = None


def trivial_baselines(
    cases: pd.DataFrame,
    clinical: pd.DataFrame,
    target: str,
    folds: Folds,
    settings: EvaluateSettings,
    categories: pd.DataFrame | None = None,
) -> list[Baseline]:
    """Return every baseline that the known facts allow, scored.

    Args:
        cases: one row per case with `patient`, `site`, `y_true`.
        clinical: same rows, columns of `evaluate.clinical.CLINICAL`.
        target: what is predicted; it is never a baseline of itself.
        folds: folds of the predictions table (`table_folds`); empty: they are drawn.
        settings: folds and site rules.
        categories: same rows, columns of `evaluate.clinical.CATEGORIES`, or None.

    Returns:
        Baselines in a fixed order: age, sex, age+sex, volume, grade, IDH, location, scanner, site, all clinical (age to location), all together
        (with scanner and site). Those that are known for one class only are left out.
    """
    y = cases["y_true"].to_numpy(dtype=np.int64)
    allowed = _allowed(target)
    found = [
        _direct(name, y, clinical[column].to_numpy(dtype=float))
        for name, column in _VARIABLES.items()
        if column in clinical.columns and name in allowed
    ]
    drawn = folds or drawn_folds(cases, settings)
    origin = "folds of the predictions table" if folds else f"{settings.crossfit_folds}-fold, grouped by patient"
    how = f"logistic regression, out of fold ({origin})"
    kinds = pd.DataFrame(index=cases.index) if categories is None else categories
    facts = [clinical[[column]] for name in allowed if (column := _VARIABLES[name]) in clinical.columns]
    places = [indicators(kinds[[name]]) for name in ("lobe", "side") if name in kinds]
    machines = [indicators(kinds[[name]]) for name in ("scanner", "field_strength") if name in kinds]
    sites = [_site_indicators(cases)] if len(known_sites(cases)) >= 2 else []
    both = [part for part in facts if part.columns[0] in ("age", "sex_male")]
    fitted = {
        "age+sex": both if len(both) == 2 else [],
        "location": places,
        "scanner": machines,
        "all clinical": [*facts, *places] if len([*facts, *places]) > max(1, len(both)) else [],
        "all together": [*facts, *places, *machines, *sites] if facts + places and machines + sites else [],
    }
    found += [_fitted(name, y, parts, drawn, how, repeats=bool(folds)) for name, parts in fitted.items() if parts]
    site = _site(cases, y, drawn, how, settings, repeats=bool(folds))
    usable = [baseline for baseline in [*found, *([site] if site else [])] if _scorable(y, baseline.scores)]
    return sorted(usable, key=lambda baseline: ORDER.index(baseline.name))


def indicators(categories: pd.DataFrame) -> pd.DataFrame:
    """Return one 0/1 column per value of every column, NaN where the value is unknown.

    Example:
        >>> indicators(pd.DataFrame({"side": ["left", "right", None]})).to_numpy().tolist()
        [[1.0, 0.0], [0.0, 1.0], [nan, nan]]
    """
    found: dict[str, pd.Series] = {}
    for name in categories.columns:
        values = categories[name]
        for value in sorted(values.dropna().unique()):
            found[f"{name}={value}"] = (values == value).astype(float).where(values.notna())
    return pd.DataFrame(found, index=categories.index)


def _fitted(name: str, y: Labels01, parts: list[pd.DataFrame], folds: Folds, how: str, *, repeats: bool) -> Baseline:
    table = pd.concat(parts, axis=1)
    words = ", ".join(dict.fromkeys(str(column).split("=")[0] for column in table.columns))
    by_repeat = crossfit_by_repeat(y, table.to_numpy(dtype=np.float64), folds)
    return Baseline(name, _mean_over_repeats(by_repeat), f"{how}; {words}", True, by_repeat if repeats else None)


def race(
    y: Labels01,
    model: Scores,
    baselines: list[Baseline],
    groups: Integer[np.ndarray, " n"],
    settings: EvaluateSettings,
    rng: np.random.Generator,
) -> list[dict[str, object]]:
    """Return every baseline's AUC and its paired difference to the model, on the rows where the baseline is known.

    Args:
        y: 0/1 outcome per case.
        model: the model's probability per case.
        baselines: the competitors.
        groups: patient number per case.
        settings: resamples, coverage, interval.
        rng: source of randomness; all baselines share the same resamples.

    Returns:
        One mapping per baseline: `name, n, auc, auc_ci, delta, delta_ci, delong_p, model_auc, how`; `delta` is model minus baseline.
    """
    if not baselines:
        return []
    knowns = [~np.isnan(baseline.scores) for baseline in baselines]
    # The model is resampled once for every different set of known rows, usually one.
    ours = {known.tobytes(): np.where(known, model, np.nan) for known in knowns}
    stacked = np.stack([*ours.values(), *(baseline.scores for baseline in baselines)])
    resamples = bootstrap_aucs(y, stacked, groups=groups, n_resamples=settings.bootstrap_resamples, rng=rng)
    place = {key: number for number, key in enumerate(ours)}
    rows = []
    for number, (baseline, known) in enumerate(zip(baselines, knowns, strict=True)):
        pair = resamples[[place[known.tobytes()], len(ours) + number]]
        rows.append(_compared(y, model, baseline, known, groups, pair, settings))
    return rows


def _compared(
    y: Labels01,
    model: Scores,
    baseline: Baseline,
    known: Bool[np.ndarray, " n"],
    groups: Integer[np.ndarray, " n"],
    resamples: Float[np.ndarray, "2 b"],
    settings: EvaluateSettings,
) -> dict[str, object]:
    labels, ours, theirs, patients = y[known], model[known], baseline.scores[known], groups[known]
    test = delong_test(labels, ours, theirs, groups=patients)
    interval = auc_interval_from(
        resamples[1], labels, theirs, groups=patients, confidence=settings.confidence, method=settings.interval
    )
    difference = difference_interval_from(
        resamples[0],
        resamples[1],
        labels,
        ours,
        theirs,
        groups=patients,
        confidence=settings.confidence,
        method=settings.interval,
    )
    return {
        "name": baseline.name,
        "n": int(known.sum()),
        "auc": test.auc_b,
        "auc_ci": list(interval),
        "delta": test.difference,
        "delta_ci": list(difference),
        "delong_p": test.p,
        "model_auc": test.auc_a,
        "how": baseline.how,
    }


def crossfit(y: Labels01, variables: Float[np.ndarray, "n v"], folds: Folds) -> Scores:
    """Return out-of-fold probabilities of a logistic regression, averaged over repeats.

    Unknown values are imputed by the training side's median with an indicator, then everything is scaled on the training side.

    Args:
        y: 0/1 outcome per row.
        variables: one column per variable, NaN for unknown.
        folds: repeat and test rows; whatever is not tested in a fold trains it.

    Returns:
        Probability per row; NaN for rows with no known variable and for rows that no fold tests.
    """
    return _mean_over_repeats(crossfit_by_repeat(y, variables, folds))


def crossfit_by_repeat(y: Labels01, variables: Float[np.ndarray, "n v"], folds: Folds) -> Float[np.ndarray, "r n"]:
    """Return the probabilities of `crossfit` of every repeat, one line per repeat in ascending order.

    Args:
        y: 0/1 outcome per row.
        variables: one column per variable, NaN for unknown.
        folds: repeat and test rows.
    """
    repeats = sorted({repeat for repeat, _ in folds})
    scores = np.full((max(len(repeats), 1), len(y)), np.nan)
    for repeat, test in folds:
        train = np.setdiff1d(np.arange(len(y)), test)
        if len(np.unique(y[train])) < 2:
            continue  # a training side of one class teaches nothing; such rows count as unknown
        model = make_pipeline(
            SimpleImputer(strategy="median", add_indicator=True, keep_empty_features=True),
            StandardScaler(),
            LogisticRegression(solver="newton-cholesky", max_iter=1000),
        ).fit(variables[train], y[train])
        scores[repeats.index(repeat), test] = model.predict_proba(variables[test])[:, 1]
    scores[:, np.isnan(variables).all(axis=1)] = np.nan
    return scores


def _mean_over_repeats(by_repeat: Float[np.ndarray, "r n"]) -> Scores:
    known = ~np.isnan(by_repeat)
    times = known.sum(axis=0)
    total = np.where(known, by_repeat, 0.0).sum(axis=0)
    return np.divide(total, times, out=np.full(by_repeat.shape[1], np.nan), where=times > 0)


def table_folds(predictions: pd.DataFrame, cases: pd.DataFrame) -> Folds:
    """Return the folds that a predictions table names, or none where it has fewer than two per repeat or leaves cases without one.

    Args:
        predictions: as `check_predictions` returns it.
        cases: as `per_case` returns it; positions in it are returned.
    """
    position = pd.Series(np.arange(len(cases)), index=cases.index)
    folds: Folds = []
    for repeat, rows in predictions.groupby("repeat", sort=True):
        if rows["split"].nunique() < 2 or (rows["split"] == "").any():
            return []
        for _, members in rows.groupby("split", sort=True):
            folds.append((int(str(repeat)), np.sort(position[members["case"]].to_numpy())))
    return folds


def drawn_folds(cases: pd.DataFrame, settings: EvaluateSettings) -> Folds:
    """Return stratified folds grouped by patient, repeated.

    Args:
        cases: one row per case with `patient` and `y_true`.
        settings: number of folds, repeats and the seed.
    """
    y, patient = cases["y_true"].to_numpy(dtype=np.int64), cases["patient"].to_numpy(dtype=object)
    positives = cases.groupby("patient")["y_true"].max()
    count = min(settings.crossfit_folds, int((positives == 1).sum()), int((positives == 0).sum()))
    if count < 2:
        return []
    folds: Folds = []
    repeats = settings.crossfit_repeats if len(cases) < _MANY_CASES else 1
    for repeat in range(repeats):
        state = int(np.random.SeedSequence([settings.seed, repeat]).generate_state(1)[0])
        folds += [(repeat, test) for test in grouped_folds(patient, y, count, state)]
    return folds


def _allowed(target: str) -> list[str]:
    names = ["age", "sex", "volume"]
    if target != "grade":
        names.append("grade")
    if target in {"mgmt", "codeletion"}:
        names.append("idh")
    return names


def _direct(name: str, y: Labels01, values: Scores) -> Baseline:
    known = ~np.isnan(values)
    direction = -1.0 if auc(y[known], values[known]) < 0.5 else 1.0
    meaning = "lower is positive" if direction < 0 else "higher is positive"
    return Baseline(name, direction * values, f"its own rank; only the direction is fitted ({meaning})")


def _site(
    cases: pd.DataFrame, y: Labels01, folds: Folds, how: str, settings: EvaluateSettings, *, repeats: bool
) -> Baseline | None:
    sites = known_sites(cases)
    if len(sites) < 2:
        return None
    site = cases["site"].where(cases["site"] != UNKNOWN_SITE)
    counts = site.value_counts()
    if len(sites) <= settings.site_max_levels and counts.min() >= settings.site_min_cases:
        shares = pd.Series(y, index=cases.index).groupby(site).mean()
        return Baseline(
            "site",
            site.map(shares).to_numpy(dtype=float),
            "each site's share of positives on these very rows (an upper bound for what knowing the site gives)",
            True,
        )
    by_repeat = crossfit_by_repeat(y, _site_indicators(cases).to_numpy(dtype=np.float64), folds)
    how = f"{how}; one indicator per site"
    return Baseline("site", _mean_over_repeats(by_repeat), how, True, by_repeat if repeats else None)


def _site_indicators(cases: pd.DataFrame) -> pd.DataFrame:
    return indicators(cases[["site"]].where(cases[["site"]] != UNKNOWN_SITE, None))


def _scorable(y: Labels01, scores: Scores) -> bool:
    known = ~np.isnan(scores)
    return len(np.unique(y[known])) == 2
