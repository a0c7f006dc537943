"""Pages of what a tumour disconnects: known numbers, the case's own voxels, nothing drawn twice, nothing lost."""

from __future__ import annotations

import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from radiogen.branches.network.template import save_template
from radiogen.config.network import NetworkSettings
from radiogen.pipeline import network_pages
from radiogen.pipeline.features import run_features
from radiogen.pipeline.network_pages import run_network_pages
from tests.branches.network.made_up import AFFINE, SHAPE, made_up_template
from tests.branches.network.test_branch import TUMOUR, cohort
from tests.report.html_check import Page


def test_pages_show_what_the_tumour_cuts_and_are_made_again_only_where_they_are_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_template(tmp_path / "t.npz", made_up_template())
    table = cohort(tmp_path, {"a": TUMOUR, "b": np.zeros(SHAPE, dtype=np.uint8)})
    graphs = tmp_path / "study" / "graphs"
    tracts = np.zeros((*SHAPE, 1), dtype=np.uint8)
    tracts[3, 3:11, 4, 0] = 1  # the left connection to the back: 8 voxels, 5 of them in the tumour
    nib.save(nib.Nifti1Image(tracts, AFFINE), tmp_path / "tracts.nii.gz")
    (tmp_path / "names.txt").write_text("Arcuate_L\n")
    settings = NetworkSettings(
        template=tmp_path / "t.npz",
        graphs=graphs,
        tracts=tmp_path / "tracts.nii.gz",
        tract_names=tmp_path / "names.txt",
    )
    features, _ = run_features("network", table, tmp_path / "study", settings)
    assert features.loc["a", "network_tract_Arcuate_L"] == pytest.approx(5 / 8)
    written, failures = run_network_pages(table, features, settings)
    assert (written, failures) == (["a", "b"], [])

    page = (graphs / "a.html").read_text(encoding="utf-8")
    assert Page(page).problems == []
    assert "left temporal middle \u2013 occipital middle" in page
    assert "left arcuate" in page
    assert "<td>62 %</td>" in page
    assert "within the right half 0.0 %" in page
    image = nib.load(graphs / "a_disconnected.nii.gz")
    density = np.asarray(image.dataobj)
    assert np.allclose(image.affine, AFFINE)
    # Weight 0.8, of which 5 of 8 voxels lie in the tumour: on the way and nowhere on the other side.
    assert density[3, 6, 4] == pytest.approx(0.8 * 5 / 8, abs=1e-5)
    assert density[11:].max() <= density[:11].max() / 5
    assert not np.asarray(nib.load(graphs / "b_disconnected.nii.gz").dataobj).any()

    monkeypatch.setattr(network_pages, "write_disconnection_page", lambda *args: pytest.fail("drawn again"))
    run_network_pages(table, features, settings)
    monkeypatch.undo()
    before = {path.name: path.read_bytes() for path in graphs.iterdir()}
    shutil.rmtree(graphs)
    again, _ = run_features("network", table, tmp_path / "study", settings)
    pd.testing.assert_frame_equal(again, features)
    run_network_pages(table, features, settings)
    assert {path.name: path.read_bytes() for path in graphs.iterdir()} == before
