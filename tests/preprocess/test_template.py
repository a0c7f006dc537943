from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from radiogen.errors import ConfigError
from radiogen.preprocess.register import resample_onto
from radiogen.preprocess.template import bridge, load_template


def test_mni152_comes_with_its_tissues() -> None:
    template = load_template()
    assert template.grey is not None
    assert template.white is not None
    assert 1600 < template.brain.sum() / 1000 < 2100
    assert template.image.grid.voxel_size_mm == (1, 1, 1)
    assert not template.image.data[~template.brain].any()


def test_an_unknown_template_is_refused() -> None:
    with pytest.raises(ConfigError, match="mni152"):
        load_template("mni125")


@pytest.mark.real_data
def test_the_bridge_brings_one_template_onto_the_other(shared_data: Path) -> None:
    mni = load_template()
    sri = load_template(shared_data / "atlas" / "sri24_t1_1mm_skull_stripped.nii.gz")
    there, back = bridge(sri, mni), bridge(mni, sri)
    both = sri.brain & (resample_onto(mni.image, sri.image.grid, there) > 0)
    either = sri.brain | (resample_onto(mni.image, sri.image.grid, there) > 0)
    assert both.sum() / either.sum() > 0.85
    np.testing.assert_allclose(back @ there, np.eye(4), atol=2.0)
    np.testing.assert_allclose((back @ there)[:3, :3], np.eye(3), atol=0.02)
