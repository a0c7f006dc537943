"""What a saved classifier needs of a cohort before it answers; its answers are tested with the app and `radiogen predict`."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from radiogen.errors import InputError
from radiogen.pipeline import predict_cohort as module
from radiogen.pipeline.predict_cohort import predict_cohort


def test_a_folder_that_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is not a model of radiogen"):
        predict_cohort(tmp_path, tmp_path / "cohort.csv", tmp_path / "out")


def test_tables_of_others_cannot_be_made_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    card = {"features": {"clinical": 2, "mine": 7}, "feature_settings": {}}
    monkeypatch.setattr(module, "load_model", lambda folder: SimpleNamespace(card=card))
    with pytest.raises(InputError, match=r"did not make \(mine\)"):
        predict_cohort(tmp_path, tmp_path / "cohort.csv", tmp_path / "out")
