from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from radiogen.errors import InputError
from radiogen.fusion.inner_scores import as_trained, training_key, with_inner_scores
from radiogen.fusion.join import FusionTable, fusion_table
from radiogen.fusion.nested import cross_validate
from tests.fusion.data import FAST, made_up


def table() -> FusionTable:
    features, cohort = made_up(40, noise=2, sites="AB")
    images = pd.DataFrame({"image_score": 0.0}, index=cohort.index)
    return fusion_table({"radiomics": features["radiomics"], "images": images}, cohort, "idh")


def test_a_training_side_sees_its_own_scores() -> None:
    base = table()
    train = np.arange(20)
    mine = pd.DataFrame({"image_score": np.arange(40.0)}, index=base.features.index)
    scored = with_inner_scores(base, {training_key(base.features.index[:20]): mine})
    seen = as_trained(scored, train[::-1])
    assert seen.features["image_score"].tolist() == list(range(40))
    others = [name for name in base.features.columns if name != "image_score"]
    pd.testing.assert_frame_equal(seen.features[others], base.features[others])
    assert as_trained(scored, np.arange(40)).features["image_score"].eq(0).all()  # a training on everything
    assert as_trained(base, train) is base
    with pytest.raises(InputError, match="no scores of inner folds"):
        as_trained(scored, train[1:])


def test_a_tested_case_is_judged_by_the_scores_of_its_own_split() -> None:
    base = table()
    sites = base.cohort["site"].to_numpy()
    rng = np.random.default_rng(0)
    scores = {}
    for site in "AB":
        train = sites != site
        # The score tells the label on both sides of this split; in the table itself it says nothing.
        values = base.y + rng.normal(0, 0.1, len(base.y))
        scores[training_key(base.features.index[train])] = pd.DataFrame({"image_score": values}, base.features.index)
    found = cross_validate(with_inner_scores(base, scores), FAST).predictions
    right = (found["y_prob"] > 0.5) == (found["y_true"] == 1)
    assert right.mean() > 0.95
