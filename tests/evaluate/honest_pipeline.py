"""The same steps inside the fold, and patients kept together."""

from __future__ import annotations

import numpy as np
from sklearn.feature_selection import SelectKBest, f_classif
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
from sklearn.pipeline import Pipeline, make_pipeline


def pipeline() -> Pipeline:
    """Return selection and classifier as one estimator."""
    return make_pipeline(SelectKBest(f_classif, k=20), LogisticRegression())


def out_of_fold(X: np.ndarray, y: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Return probabilities of models that saw neither the row nor its patient."""
    folds = StratifiedGroupKFold(5, shuffle=True, random_state=0)
    return cross_val_predict(pipeline(), X, y, cv=folds, groups=groups, method="predict_proba")[:, 1]
