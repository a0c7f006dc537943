"""Bending the template to a case: only with a skull-stripped native T1, from where the case lies, blind to the lesion."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from radiogen.preprocess import template_space
from radiogen.preprocess.template_space import deform_case
from tests.conftest import save_nifti


def test_a_case_is_deformed_only_where_that_can_be_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    labels = np.zeros((12, 12, 12), dtype=np.uint8)
    labels[4:6, 5, 5] = 2
    rng = np.random.default_rng(0)
    head = rng.normal(100, 20, labels.shape).astype(np.float32)
    brain = np.zeros_like(head)
    brain[3:9, 3:9, 3:9] = head[3:9, 3:9, 3:9]
    matrix = np.diag([1.0, 2.0, 1.0, 1.0])
    asked: list[dict[str, Any]] = []
    monkeypatch.setattr(template_space, "deform", lambda fixed, moving, **how: asked.append(how))

    found, note = deform_case(pd.Series({"t1n": None}, name="a"), labels, matrix)
    assert found is None
    assert note == "place: not deformed, because that needs t1n"
    path = save_nifti(tmp_path / "t1n.nii.gz", head)
    found, note = deform_case(pd.Series({"t1n": str(path)}, name="a"), labels, matrix)
    assert found is None
    assert "shows the skull" in note
    save_nifti(path, brain)
    _, note = deform_case(pd.Series({"t1n": str(path)}, name="a"), labels, matrix)
    assert note == ""
    assert len(asked) == 1
    assert asked[0]["start"].tolist() == np.diag([1.0, 0.5, 1.0, 1.0]).tolist()
    assert np.array_equal(asked[0]["lesion"], labels > 0)
