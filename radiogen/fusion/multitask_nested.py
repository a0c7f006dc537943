"""Cross-validation of several markers at once; each gets a predictions table of its own, of the cases whose label is known."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from radiogen.cohort.splits import SITE_HELD_OUT, Split, make_splits
from radiogen.config.classify import ClassifySettings
from radiogen.config.multitask import MultiTaskSettings
from radiogen.errors import ConfigError, RadiogenError
from radiogen.fusion.context import RowContext, row_context
from radiogen.fusion.decision import fit_decision
from radiogen.fusion.doubt import Doubt
from radiogen.fusion.familiarity import fit_familiarity
from radiogen.fusion.join import FusionTable, fusion_table, join_branches, scanner_matters, usable_columns
from radiogen.fusion.multitask import MultiTaskClassifier, PartialLabels, dealt_folds
from radiogen.fusion.nested import PREDICTION_COLUMNS, PROBABILITY_DIGITS
from radiogen.run.executor import run_cases

log = logging.getLogger(__name__)

MODEL = "multi-task network"


@dataclass(frozen=True)
class MultiTaskTable:
    """Features and partly known labels of every case that has one.

    Args:
        targets: the markers.
        features: one row per case, NaN where missing.
        labels: 0, 1 or NaN, rows by markers.
        cohort: `patient` and `site` per row.
        single: per marker the table of the cases whose label is known.
        context: of the rows.
    """

    targets: tuple[str, ...]
    features: pd.DataFrame
    labels: PartialLabels
    cohort: pd.DataFrame
    single: Mapping[str, FusionTable]
    context: RowContext


def multitask_table(
    features: Mapping[str, pd.DataFrame], cohort: pd.DataFrame, targets: tuple[str, ...]
) -> MultiTaskTable:
    """Join branch tables with the labels of several markers; a case stays where any label is known.

    Args:
        features: branch name -> table indexed by case.
        cohort: cohort table indexed by case.
        targets: markers; a column that copies the label of one of them is left out for all.

    Raises:
        InputError: see `radiogen.fusion.join.fusion_table`.
        ConfigError: a marker is named twice, or there is one only.
    """
    if len(set(targets)) < len(targets) or len(targets) < 2:
        raise ConfigError(f"Several different markers are needed; {', '.join(targets)} came.")
    single = {target: fusion_table(features, cohort, target) for target in targets}
    cases = sorted({str(case) for table in single.values() for case in table.features.index})
    joined, branch_of = join_branches({name: usable_columns(table)[0] for name, table in features.items()}, cases)
    copies = {name for table in single.values() for name in set(branch_of) - set(table.features.columns)}
    joined = joined.drop(columns=[name for name in joined.columns if name in copies and not name.startswith("has_")])
    labels = np.full((len(cases), len(targets)), np.nan)
    at = {case: row for row, case in enumerate(cases)}
    facts = pd.DataFrame({"patient": "", "site": ""}, index=pd.Index(cases, name="case", dtype=object), dtype=object)
    for column, table in enumerate(single.values()):
        rows = [at[str(case)] for case in table.features.index]
        labels[rows, column] = table.y
        facts.iloc[rows] = table.cohort[["patient", "site"]].to_numpy(dtype=object)
    names = [str(name) for name in joined.columns]
    context = row_context(cohort.loc[cases], names, [scanner_matters(name, branch_of) for name in names])
    return MultiTaskTable(targets, joined, labels, facts, single, context)


def multitask_splits(table: MultiTaskTable, settings: ClassifySettings) -> tuple[list[Split], str]:
    """Return splits that serve all markers: whole sites where the first marker allows it, else folds with like shares of all labels.

    Args:
        table: features and labels.
        settings: how splits are drawn.
    """
    first = np.nan_to_num(table.labels[:, 0], nan=0.0).astype(np.int64)
    drawn, scheme = make_splits(
        table.cohort, first, seed=settings.seed, n_splits=settings.folds, repeats=settings.repeats,
        sites=settings.sites, min_site_cases=settings.min_site_cases, max_site_folds=settings.max_site_folds,
    )  # fmt: skip
    if scheme == SITE_HELD_OUT:
        return drawn, scheme
    patient = table.cohort["patient"].to_numpy(dtype=object)
    everything = np.arange(len(first))
    splits = []
    for repeat in range(settings.repeats):
        state = int(np.random.SeedSequence([settings.seed, repeat]).generate_state(1)[0])
        for number, test in enumerate(dealt_folds(patient, table.labels, settings.folds, state), start=1):
            splits.append(Split(repeat, f"fold{number}", np.setdiff1d(everything, test), test))
    return splits, scheme


def cross_validate_multitask(
    table: MultiTaskTable,
    settings: ClassifySettings,
    network: MultiTaskSettings | None = None,
    *,
    jobs: int = 1,
    progress: bool = False,
) -> tuple[dict[str, pd.DataFrame], str]:
    """Return each marker's predictions table, and how cases were held out.

    Args:
        table: features and labels.
        settings: splits, preparation, decision.
        network: of the network.
        jobs: folds worked on at the same time; the result does not depend on it.
        progress: show a progress bar.

    Raises:
        RadiogenError: a fold failed.
    """
    splits, scheme = multitask_splits(table, settings)
    named = {f"repeat {split.repeat}, {split.name}": split for split in splits}
    fold = _Fold(table, settings, network or MultiTaskSettings())
    results, failures = run_cases(fold, named, stage="classify several", jobs=jobs, progress=progress)
    if failures:
        raise RadiogenError(f"Fold '{failures[0].case}' failed: {failures[0].cause}", hint=failures[0].fix)
    tables = {}
    for target in table.targets:
        rows = pd.concat([results[name][target] for name in named], ignore_index=True)
        tables[target] = rows.sort_values(["repeat", "case"], kind="stable", ignore_index=True)
    return tables, scheme


@dataclass(frozen=True)
class _Fold:
    table: MultiTaskTable
    settings: ClassifySettings
    network: MultiTaskSettings

    def __call__(self, name: str, split: Split) -> dict[str, pd.DataFrame]:
        table = self.table
        seed = int(np.random.SeedSequence([self.settings.seed, split.repeat]).generate_state(1)[0] % 2**31)
        patient = table.cohort["patient"].to_numpy(dtype=object)[split.train]
        train, test = table.features.iloc[split.train], table.features.iloc[split.test]
        with threadpool_limits(1):
            chosen = self.settings.model_dump(exclude={"perturbed"})
            model = MultiTaskClassifier(chosen, self.network.model_dump(), seed)
            model.fit(train, table.labels[split.train], patient, table.context.take(split.train))
            found = model.predict_proba(test, table.context.take(split.test))
            familiar = fit_familiarity(train, patient, share=self.settings.familiar_share, seed=self.settings.seed)
        rows = {}
        for column, target in enumerate(table.targets):
            known = ~np.isnan(table.labels[split.train, column])
            decision = fit_decision(
                model.inner_probability_[known, column], table.labels[split.train, column][known].astype(np.int64),
                self.settings, patient[known],
            )  # fmt: skip
            told = Doubt(decision, familiar).columns(found[:, column], test)
            rows[target] = _rows(table, column, split, told)
        return rows


def _rows(table: MultiTaskTable, column: int, split: Split, told: pd.DataFrame) -> pd.DataFrame:
    target = table.targets[column]
    label = table.labels[split.test, column]
    known = ~np.isnan(label)
    facts = table.cohort.iloc[split.test][known]
    strata = table.single[target].cohort.loc[facts.index].drop(columns=["patient", "site"])
    fixed = pd.DataFrame(
        {
            "case": facts.index.astype(object),
            "patient": facts["patient"].to_numpy(),
            "site": facts["site"].to_numpy(),
            "target": target,
            "y_true": label[known].astype(np.int64),
            "y_prob": told["y_prob"].to_numpy()[known].round(PROBABILITY_DIGITS),
            "split": split.name,
            "repeat": split.repeat,
            "model": MODEL,
        }
    )[PREDICTION_COLUMNS]
    beside = told[known].drop(columns="y_prob").round(PROBABILITY_DIGITS)
    return pd.concat([fixed, strata.reset_index(drop=True), beside.reset_index(drop=True)], axis=1)
