from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from radiogen.branches.radiomics import RadiomicsBranch
from radiogen.config.folds import FoldsSettings
from radiogen.errors import InputError
from radiogen.pipeline.clusters import ClusterModel, cluster_radiomics, fit_clusters
from radiogen.run.atomic import write_json


def three_kinds(n: int = 36, seed: int = 0) -> tuple[pd.DataFrame, np.ndarray]:
    """Cases of three kinds that differ in thirty correlated features, one of them constant, one missing for some."""
    rng = np.random.default_rng(seed)
    kind = np.arange(n) % 3
    hidden = 6 * np.eye(3)[kind] + 0.5 * rng.standard_normal((n, 3))
    values = hidden @ rng.standard_normal((3, 30)) + 0.05 * rng.standard_normal((n, 30))
    table = pd.DataFrame(values * 10.0 ** rng.integers(-3, 4, 30), columns=[f"f{i}" for i in range(30)])
    table["f3"] = 7.0
    table.loc[::9, "f5"] = np.nan
    table.index = pd.Index([f"case{i:02d}" for i in range(n)], name="case", dtype=object)
    return table, kind


def test_the_features_are_those_of_the_paper() -> None:
    names = RadiomicsBranch(cluster_radiomics(FoldsSettings(sequences=("t1c", "t2f")))).get_feature_names_out()
    counts = {
        prefix: sum(name.startswith(prefix) for name in names) for prefix in ("wt_original_shape", "t1c_wt", "t2f_wt")
    }
    assert counts == {"wt_original_shape": 14, "t1c_wt": 93, "t2f_wt": 93}
    assert len(names) == 200


def test_kinds_are_found_and_their_number_too() -> None:
    features, kind = three_kinds()
    model = fit_clusters(features, FoldsSettings())
    assert len(model.centres) == 3
    assert max(model.silhouettes, key=lambda k: model.silhouettes[k]) == 3
    found = model.predict(features)
    assert pd.crosstab(found, kind).gt(0).sum(axis=1).eq(1).all()
    assert sum(model.explained_variance) >= 0.99
    assert "f3" not in model.features


def test_the_order_of_the_rows_does_not_matter_and_the_model_survives_json(tmp_path: Path) -> None:
    features, _ = three_kinds()
    model = fit_clusters(features, FoldsSettings(seed=3))
    assert fit_clusters(features.iloc[::-1], FoldsSettings(seed=3)) == model
    write_json(tmp_path / "folds.json", {"model": model.model_dump(mode="json")})
    again = ClusterModel.load(tmp_path / "folds.json")
    assert again == model
    assert again.predict(features).equals(model.predict(features))


def test_a_new_case_is_told_by_itself_as_among_others() -> None:
    features, _ = three_kinds()
    model = fit_clusters(features.iloc[:30], FoldsSettings())
    others = features.iloc[30:]
    together = model.predict(others)
    for case in others.index:
        alone = model.scores_of(others.loc[[case]])
        assert np.allclose(alone, model.scores_of(others).loc[[case]], rtol=1e-12)
        assert model.predict(others.loc[[case]]).iloc[0] == together[case]
    shuffled = others[others.columns[::-1]].assign(unknown=1.0)
    assert model.predict(shuffled).equals(together)
    with pytest.raises(InputError, match="not those of the clusters"):
        model.predict(pd.DataFrame({"other": [1.0]}))


def test_clusters_too_small_to_spread_are_not_chosen() -> None:
    features, _ = three_kinds()
    features.iloc[0] += 1000 * features.std()  # one odd case would be a cluster of its own
    model = fit_clusters(features, FoldsSettings(n_folds=5))
    sizes = model.predict(features).value_counts()
    assert sizes.min() >= 5
    assert "1 patient" in model.not_chosen[2]
    alone = fit_clusters(features, FoldsSettings(least_cluster_patients=1))
    assert alone.predict(features).value_counts().min() == 1


def test_few_cases_are_one_cluster_and_too_many_clusters_are_refused() -> None:
    features, _ = three_kinds(4)
    assert len(fit_clusters(features.iloc[:2], FoldsSettings()).centres) == 1
    assert len(fit_clusters(features, FoldsSettings(n_folds=3)).centres) == 1
    with pytest.raises(InputError, match="4 cases cannot make 9 clusters"):
        fit_clusters(features, FoldsSettings(clusters=9))
    with pytest.raises(InputError, match="No radiomics feature varies"):
        fit_clusters(features.iloc[:1], FoldsSettings())


def test_a_file_without_a_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("[1, 2]")
    with pytest.raises(InputError, match=r"folds\.json of `radiogen folds`"):
        ClusterModel.load(tmp_path / "a.json")
