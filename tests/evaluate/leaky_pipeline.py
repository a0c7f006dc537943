"""A pipeline with the field's commonest leak, on purpose: features are chosen with every label in view, then cross-validated."""

from __future__ import annotations

import numpy as np
from sklearn.feature_selection import SelectKBest, f_classif
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict


def out_of_fold(X: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return 'out-of-fold' probabilities that are nothing of the kind."""
    chosen = SelectKBest(f_classif, k=20).fit_transform(X, y)
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    return cross_val_predict(LogisticRegression(), chosen, y, cv=folds, method="predict_proba")[:, 1]
