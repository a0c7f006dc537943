"""The race against trivial baselines, on the same rows and with the same patients resampled.

How a baseline is scored decides how hard it is to beat, so the rules are few and stated in every row (`how`):

* one ordered or binary variable is scored by its own rank; only the direction is fitted;
* a site column with few, well-filled sites is scored by each site's share of positives on the very same rows (an upper bound for what
  knowing the site can give);
* everything with more freedom is a logistic regression whose probabilities are out of fold: the folds of the predictions table where it has
  any, stratified folds grouped by patient otherwise.
"""

from __future__ import annotations

import math
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

_VARIABLES = {"age": "age", "sex": "sex_male", "volume": "wt_ml", "grade": "grade", "idh": "idh"}
"""Baseline name -> clinical column, for baselines of one variable."""


@dataclass(frozen=True)
class Baseline:
    """One trivial competitor.

    Args:
        name: such as `age+sex`.
        scores: one per row, NaN where the baseline is not known.
        how: how it was scored, one clause.
    """

    name: str
    scores: Scores
    how: str


def trivial_baselines(
    cases: pd.DataFrame, clinical: pd.DataFrame, target: str, folds: Folds, settings: EvaluateSettings
) -> list[Baseline]:
    """Return every baseline that the known facts allow, scored.

    Args:
        cases: one row per case with `patient`, `site`, `y_true`.
        clinical: same rows, columns of `evaluate.clinical.CLINICAL`.
        target: what is predicted; it is never a baseline of itself.
        folds: folds of the predictions table (`table_folds`); empty: they are drawn.
        settings: folds and site rules.

    Returns:
        Baselines in a fixed order: age, sex, age+sex, volume, grade, IDH, site, all clinical. Those that are known for one class only are left out.
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
    pairs = {"age+sex": ["age", "sex_male"], "all clinical": [_VARIABLES[name] for name in allowed]}
    for name, wanted in pairs.items():
        columns = [column for column in wanted if column in clinical.columns]
        if len(columns) < 2 or (name == "all clinical" and columns == ["age", "sex_male"]):
            continue
        found.append(
            Baseline(name, crossfit(y, clinical[columns].to_numpy(dtype=float), drawn), f"{how}; {', '.join(columns)}")
        )
    site = _site(cases, y, drawn, how, settings)
    order = ["age", "sex", "age+sex", "volume", "grade", "idh", "site", "all clinical"]
    usable = [baseline for baseline in [*found, *([site] if site else [])] if _scorable(y, baseline.scores)]
    return sorted(usable, key=lambda baseline: order.index(baseline.name))


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
    total, times = np.zeros(len(y)), np.zeros(len(y))
    for _, test in folds:
        train = np.setdiff1d(np.arange(len(y)), test)
        if len(np.unique(y[train])) < 2:
            continue  # a training side of one class teaches nothing; such rows count as unknown
        model = make_pipeline(
            SimpleImputer(strategy="median", add_indicator=True, keep_empty_features=True),
            StandardScaler(),
            LogisticRegression(max_iter=1000),
        ).fit(variables[train], y[train])
        total[test] += model.predict_proba(variables[test])[:, 1]
        times[test] += 1
    scores = np.divide(total, times, out=np.full(len(y), np.nan), where=times > 0)
    scores[np.isnan(variables).all(axis=1)] = np.nan
    return scores


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


def _site(cases: pd.DataFrame, y: Labels01, folds: Folds, how: str, settings: EvaluateSettings) -> Baseline | None:
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
        )
    indicators = np.array([[math.nan if pd.isna(value) else float(value == name) for name in sites] for value in site])
    return Baseline("site", crossfit(y, indicators, folds), f"{how}; one indicator per site")


def _scorable(y: Labels01, scores: Scores) -> bool:
    known = ~np.isnan(scores)
    return len(np.unique(y[known])) == 2
