from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from radiogen.pipeline.classify import clinical_facts
from radiogen.pipeline.inputs import from_tables


def test_the_volume_races_whatever_branches_are_chosen(tmp_path: Path) -> None:
    """A model of one branch could be nothing but the tumour's size, so the size must stay among the baselines."""
    cases = [f"c{number:02d}" for number in range(12)]
    pd.DataFrame({"case": cases, "wt_ml": np.arange(12.0)}).to_csv(tmp_path / "clinical.csv", index=False)
    pd.DataFrame({"case": cases, "x": np.arange(12.0)}).to_csv(tmp_path / "deep.csv", index=False)
    inputs = from_tables([tmp_path / "clinical.csv", tmp_path / "deep.csv"], None, ["deep"])
    assert list(inputs.features) == ["deep"]
    assert clinical_facts(inputs.features, inputs.cohort)["wt_ml"].tolist() == list(np.arange(12.0))
