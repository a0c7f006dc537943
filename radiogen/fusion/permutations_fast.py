"""The fast permutation test: what does not look at labels is prepared once, tuned parameters stay, the rest is fitted again.

It is approximate in one respect: the tuned parameters were chosen with the true labels. Splits stay as they were drawn, and because they were drawn
with an equal share of positives in every fold, labels are shuffled within the test folds (and within sites where sites are held out), under which the
splits would have been drawn with the same chance.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float
from scipy.special import expit, logit
from sklearn.base import BaseEstimator, clone
from threadpoolctl import threadpool_limits

from radiogen.cohort.splits import SITE_HELD_OUT, Split, site_names
from radiogen.config.classify import ClassifySettings
from radiogen.errors import ConfigError
from radiogen.fusion.base import EPSILON, without_context
from radiogen.fusion.classifiers import Family
from radiogen.fusion.context import RowContext
from radiogen.fusion.join import FusionTable
from radiogen.fusion.model import FusedClassifier
from radiogen.fusion.nested import fit_split
from radiogen.fusion.outside import family_named
from radiogen.fusion.prepare import Preparation
from radiogen.fusion.reduce import EmbeddingReduction
from radiogen.fusion.refit import first_repeat, split_auc
from radiogen.types import Labels01

_WITHOUT_LABELS = ("columns", "icc", "harmonise", "impute", "scale", "correlation", "correlation-clusters")
"""Steps of the preparation that do not look at labels; so does a reduction by principal components."""


@dataclass(frozen=True)
class _PreparedFold:
    train: np.ndarray
    test: np.ndarray
    before: np.ndarray
    after: np.ndarray
    steps: list[tuple[str, BaseEstimator]]
    context: RowContext
    parameters: dict[str, dict[str, float | int]]
    patient: np.ndarray
    seed: int


@dataclass(frozen=True)
class FastRefit:
    """The AUC of the first repeat inside test splits for given labels, from folds that are prepared already.

    Args:
        folds: prepared rows of each fold with what is left to fit.
        n_rows: rows of the table.
        block: what a label may not leave, per row.
        classifiers: name -> family, by which classifiers are fitted.
    """

    folds: list[_PreparedFold]
    n_rows: int
    block: np.ndarray
    classifiers: dict[str, Family]

    @classmethod
    def prepare(cls, table: FusionTable, settings: ClassifySettings, splits: list[Split] | None) -> FastRefit:
        """Fit each fold once with the true labels, and keep what does not depend on them, and the tuned parameters.

        Args:
            table: features with labels.
            settings: as for cross-validation.
            splits: frozen splits to use instead of drawing them.

        Raises:
            ConfigError: another fusion than `early`, or a calibration, is asked for.
        """
        if settings.fusion != "early" or settings.calibrate != "none":
            raise ConfigError(
                f"The fast permutation test knows fusion 'early' without calibration; '{settings.fusion}', calibrate '{settings.calibrate}' came.",
                hint="Set permutation_method to exact.",
            )
        drawn, scheme = first_repeat(table, settings, splits)
        block = np.full(len(table.y), "", dtype=object)
        for split in drawn:
            block[split.test] = split.name
        if scheme == SITE_HELD_OUT:
            block = site_names(table.cohort["site"]).to_numpy(dtype=object)
        with threadpool_limits(1):
            folds = [_prepared(table, split, settings) for split in drawn]
        names = dict.fromkeys(name for fold in folds for name in fold.parameters)
        families = {name: family_named(name, settings.class_weight) for name in names}
        return cls(folds, len(table.y), block, families)

    def blocks(self) -> np.ndarray:
        """Return what a label may not leave, per row."""
        return self.block

    def __call__(self, labels: Labels01) -> float:
        """Return the AUC for labels, selection by label and classifiers fitted again."""
        probability, strata = np.full(self.n_rows, np.nan), np.zeros(self.n_rows, dtype=np.int64)
        with threadpool_limits(1):
            for number, fold in enumerate(self.folds):
                probability[fold.test], strata[fold.test] = self._scores(fold, labels[fold.train]), number
        return split_auc(labels, probability, strata)

    def _scores(self, fold: _PreparedFold, y: Labels01) -> Float[np.ndarray, " m"]:
        preparation = Preparation([(name, clone(step)) for name, step in fold.steps])
        before = preparation.fit_transform(fold.before, y, fold.context)
        after = preparation.transform(fold.after, fold.context)
        odds = []
        for name, parameters in fold.parameters.items():
            family = self.classifiers[name]
            fit = getattr(family, "refit", family.fit)
            model = fit(before, y, parameters, seed=fold.seed, patient=fold.patient)
            probability = model.predict_proba(after)[:, 1].astype(float)
            odds.append(logit(np.clip(probability, EPSILON, 1 - EPSILON)))
        return expit(np.mean(odds, axis=0))


def _prepared(table: FusionTable, split: Split, settings: ClassifySettings) -> _PreparedFold:
    model = fit_split(table, split, settings)
    if not isinstance(model, FusedClassifier):
        raise ConfigError(f"The fast permutation test does not know {type(model).__name__}.")
    train, test = table.features.iloc[split.train], table.features.iloc[split.test]
    whole = without_context(table.features) if table.context is None else table.context
    known, new = whole.take(split.train), whole.take(split.test)
    steps = model.preparation_.steps
    first = next((at for at, (name, step) in enumerate(steps) if _looks_at_labels(name, step)), len(steps))
    prefix = Preparation(steps[:first])
    before = prefix.transform(train.to_numpy(dtype=float), known)
    after = prefix.transform(test.to_numpy(dtype=float), new)
    names = prefix.get_feature_names_out(train.columns.to_numpy(dtype=object))
    left = replace(known, columns=names, from_images=np.ones(len(names), dtype=bool), perturbed=None)
    patient = table.cohort["patient"].to_numpy(dtype=object)[split.train]
    parameters = {name: model.choices_[name]["parameters"] for name in model.members_}
    return _PreparedFold(
        split.train, split.test, before, after, list(steps[first:]), left, parameters, patient, model.seed
    )


def _looks_at_labels(name: str, step: BaseEstimator) -> bool:
    if isinstance(step, EmbeddingReduction):
        return step.how != "pca"
    return name not in _WITHOUT_LABELS
