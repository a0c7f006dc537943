"""Names by which the code of a pipeline is read: what learns from rows, what splits them, what measures."""

from __future__ import annotations

import re

STEPS: dict[str, tuple[str, ...]] = {
    "selection": (
        "SelectKBest", "SelectPercentile", "SelectFpr", "SelectFdr", "SelectFwe", "GenericUnivariateSelect", "RFE", "RFECV", "SelectFromModel",
        "SequentialFeatureSelector", "VarianceThreshold", "Boruta", "BorutaPy", "mRMR", "MRMR", "DropCorrelatedFeatures", "SmartCorrelatedSelection",
        "f_classif", "f_regression", "chi2", "mutual_info_classif", "mutual_info_regression", "mrmr_classif", "ttest_ind", "mannwhitneyu", "ranksums",
        "kruskal", "wilcoxon", "spearmanr", "pearsonr", "pointbiserialr", "corrwith", "logrank_test", "multipletests",
    ),
    "scaling": (
        "StandardScaler", "MinMaxScaler", "RobustScaler", "MaxAbsScaler", "QuantileTransformer", "PowerTransformer", "KBinsDiscretizer", "zscore",
        "scale", "minmax_scale", "robust_scale", "SplineTransformer",
    ),
    "imputation": ("SimpleImputer", "KNNImputer", "IterativeImputer", "MissForest", "fancyimpute", "SoftImpute"),
    "harmonisation": (
        "neuroCombat", "combat", "Combat", "ComBat", "pycombat", "pycombat_norm", "harmonizationLearn", "nestedComBat", "NeuroCombat", "M3ComBat",
        "CombatModel", "ComBatHarmonization",
    ),
    "oversampling": (
        "SMOTE", "SMOTENC", "SMOTEN", "BorderlineSMOTE", "SVMSMOTE", "KMeansSMOTE", "ADASYN", "RandomOverSampler", "SMOTEENN", "SMOTETomek",
        "RandomUnderSampler",
    ),
    "reduction": (
        "PCA", "KernelPCA", "SparsePCA", "IncrementalPCA", "TruncatedSVD", "FastICA", "NMF", "FactorAnalysis", "PLSRegression", "PLSCanonical",
        "LinearDiscriminantAnalysis", "UMAP", "TSNE", "Isomap", "LocallyLinearEmbedding", "DictionaryLearning", "AutoEncoder", "Autoencoder",
        "autoencoder", "VAE", "KMeans", "GaussianMixture", "NeighborhoodComponentsAnalysis",
    ),
}  # fmt: skip
"""Kind of step -> classes and functions that learn from the rows they are given."""

CHECK_OF = {
    "selection": "selection-outside-fold",
    "scaling": "scaling-outside-fold",
    "imputation": "imputation-outside-fold",
    "harmonisation": "harmonisation-outside-fold",
    "oversampling": "oversampling-outside-fold",
    "reduction": "reduction-outside-fold",
    "model": "model-fitted-on-everything",
    "unknown": "unknown-step-outside-fold",
}
"""Kind of step -> name of the check."""

FUNCTIONS = {
    "f_classif", "f_regression", "chi2", "mutual_info_classif", "mutual_info_regression", "mrmr_classif", "ttest_ind", "mannwhitneyu", "ranksums",
    "kruskal", "wilcoxon", "spearmanr", "pearsonr", "pointbiserialr", "logrank_test", "zscore", "scale", "minmax_scale", "robust_scale",
    "neuroCombat", "combat", "pycombat", "pycombat_norm", "harmonizationLearn", "nestedComBat",
}  # fmt: skip
"""Of these names, those that learn at the call itself and not in a method `fit`."""

SPLITTERS = {
    "KFold", "StratifiedKFold", "RepeatedKFold", "RepeatedStratifiedKFold", "ShuffleSplit", "StratifiedShuffleSplit", "LeaveOneOut", "LeavePOut",
    "GroupKFold", "StratifiedGroupKFold", "GroupShuffleSplit", "LeaveOneGroupOut", "LeavePGroupsOut", "PredefinedSplit", "TimeSeriesSplit",
}  # fmt: skip
"""Classes whose `split` gives rows of training and test."""

ROW_SPLITTERS = {
    "KFold", "StratifiedKFold", "RepeatedKFold", "RepeatedStratifiedKFold", "ShuffleSplit", "StratifiedShuffleSplit", "LeaveOneOut",
    "train_test_split", "random_split",
}  # fmt: skip
"""Splitters that know no groups."""

GROUP_SPLITTERS = {
    "GroupKFold", "StratifiedGroupKFold", "GroupShuffleSplit", "LeaveOneGroupOut", "LeavePGroupsOut", "PredefinedSplit",
}  # fmt: skip
"""Splitters that keep groups together, or take given folds."""

CROSS_VALIDATORS = {
    "cross_val_score",
    "cross_val_predict",
    "cross_validate",
    "permutation_test_score",
    "learning_curve",
    "validation_curve",
}
"""Functions that split, fit and test by themselves."""

SEARCHES = {
    "GridSearchCV",
    "RandomizedSearchCV",
    "HalvingGridSearchCV",
    "HalvingRandomSearchCV",
    "BayesSearchCV",
    "OptunaSearchCV",
}
"""Estimators that split inside `fit`."""

SPLIT_FUNCTIONS = {"train_test_split", "random_split"}
"""Functions that return the parts of a split."""

PARTS_OF_PATIENTS = re.compile(r"slice|patch|tile|visit|timepoint|time_point|session|follow_?up|augment", re.IGNORECASE)
"""Words in names and texts of a file that speak of several rows per patient."""

MODEL_WORDS = re.compile(
    r"(Classifier|Regressor|Regression|CV|SVC|SVM|NB|Lasso|Ridge|ElasticNet|Perceptron|Forest|Boost|Net|Model|Pipeline|Analysis)$|^(make_pipeline|Sequential|LGBM|XGB)"
)
"""Names of classes and factories that make models."""

_TRAIN_NAME = re.compile(
    r"(^|_)(x|y|df|data|features?|labels?|idx|index|inds?|indices|rows?)?_?(train|training|trn|tr)(_|$|\d)",
    re.IGNORECASE,
)
_TEST_NAME = re.compile(
    r"(^|_)(x|y|df|data|features?|labels?|idx|index|inds?|indices|rows?)?_?(test|testing|tst|te|heldout|holdout)(_|$|\d)",
    re.IGNORECASE,
)


def kind_of(name: str) -> str | None:
    """Return the kind of step that a class or function is, or None.

    Example:
        >>> kind_of("SelectKBest"), kind_of("print")
        ('selection', None)
    """
    for kind, names in STEPS.items():
        if name in names:
            return kind
    return None


def role_of_name(name: str) -> str | None:
    """Return `train` or `test` where a variable's name says so.

    Example:
        >>> role_of_name("X_train"), role_of_name("test_df"), role_of_name("trend")
        ('train', 'test', None)
    """
    if _TEST_NAME.search(name):
        return "test"
    return "train" if _TRAIN_NAME.search(name) else None
