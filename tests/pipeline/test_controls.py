"""Negative controls end to end, on images where only the tumour holds the label, and on tables with and without a leak of the site."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.ndimage import gaussian_filter

from radiogen.branches.radiomics import RadiomicsBranch
from radiogen.cohort.masks import read_mask
from radiogen.cohort.nifti import read_image
from radiogen.cohort.table import read_cohort
from radiogen.config.classify import ClassifySettings
from radiogen.config.controls import ControlsSettings
from radiogen.config.features import RadiomicsSettings
from radiogen.fusion.join import fusion_table
from radiogen.fusion.site_probe import site_probabilities
from radiogen.pipeline.control_images import control_cohort
from radiogen.pipeline.controls import ControlsOutcome, run_controls
from radiogen.report.controls import controls_table, lead
from tests.conftest import save_nifti
from tests.fusion.data import FAST, made_up
from tests.report.html_check import Page

SHAPE = (40, 44, 20)
AFFINE = np.array([[-4.0, 0, 0, 78], [0, 4.0, 0, -86], [0, 0, 6.0, -57], [0, 0, 0, 1.0]])
SETTINGS = ControlsSettings(
    shuffles=5,
    bootstrap_resamples=200,
    permutations=99,
    classify=ClassifySettings(**{**FAST.model_dump(), "repeats": 1, "folds": 3}),
    radiomics=RadiomicsSettings(
        image_types={"Original": {}}, feature_classes={"firstorder": ["Mean", "Entropy"], "shape": ["MeshVolume"]},
        sequences=("t2f",), regions=("wt",),
    ),
)  # fmt: skip


def write_cases(folder: Path, n: int) -> pd.DataFrame:
    """Symmetric heads of different brightness; the tumour's brightness alone is the label. The last tumour lies on the midline."""
    rng = np.random.default_rng(0)
    index = np.stack(np.meshgrid(*(np.arange(s) for s in SHAPE), indexing="ij"), axis=-1)
    world = index @ AFFINE[:3, :3].T + AFFINE[:3, 3]
    head = ((world / [66, 76, 52]) ** 2).sum(axis=-1) < 1
    rows = []
    for number in range(n):
        texture = gaussian_filter(rng.normal(size=SHAPE), 1.5)
        image = 300 + rng.uniform(-20, 20) + 400 * (texture + texture[::-1])
        centre = [30 if number % 4 < 2 else -30, rng.uniform(-20, 20), 0] if number < n - 1 else [0, 0, 0]
        tumour = np.linalg.norm(world - centre, axis=-1) < 17
        image[tumour] += 250 * (number % 2) + rng.normal(0, 20, int(tumour.sum()))
        save_nifti(folder / f"{number}/t2f.nii.gz", np.where(head, image.clip(30), 0).astype(np.int16), AFFINE)
        save_nifti(folder / f"{number}/mask.nii.gz", tumour.astype(np.uint8), AFFINE)
        rows.append(
            {"case": f"c{number}", "t2f": f"{number}/t2f.nii.gz", "mask": f"{number}/mask.nii.gz", "idh": number % 2}
        )
    pd.DataFrame(rows).to_csv(folder / "cohort.csv", index=False)
    return read_cohort(folder / "cohort.csv")


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[pd.DataFrame, Path, ControlsOutcome]:
    """Thirteen cases, the folder of their controls, and what these gave."""
    folder = tmp_path_factory.mktemp("controls")
    cohort = write_cases(folder, 13)
    features = {"radiomics": RadiomicsBranch(SETTINGS.radiomics).transform(cohort)}
    settings = SETTINGS.model_copy(update={"controls": ("contralateral", "blanked")})
    return cohort, folder, run_controls(features, cohort, "idh", folder, settings, with_images=True)


def test_the_mask_goes_to_the_healthy_side_and_the_tumour_is_painted_over(
    done: tuple[pd.DataFrame, Path, ControlsOutcome],
) -> None:
    cohort, folder, _ = done
    mask = folder / "contralateral/c1/mask.nii.gz"
    tumour = read_mask(cohort.loc["c1", "mask"])[0] > 0
    mirrored = read_mask(mask, "brats2023")[0] > 0
    assert np.argwhere(mirrored).mean(axis=0) == pytest.approx(np.argwhere(tumour[::-1]).mean(axis=0), abs=0.6)
    assert not (tumour & mirrored).any()
    before, after = (read_image(path).data for path in (cohort.loc["c1", "t2f"], folder / "blanked/c1/t2f.nii.gz"))
    np.testing.assert_array_equal(before[~tumour], after[~tumour])
    assert set(after[tumour]) <= set(before[mirrored])
    assert before[tumour].mean() - after[tumour].mean() > 150
    stamp = mask.stat().st_mtime_ns
    again = control_cohort(cohort.loc[["c1"]], "contralateral", mask.parents[1], least_mirrored=0.5, seed=0)
    assert mask.stat().st_mtime_ns == stamp
    assert again.facts["c1"]["symmetry"] > 0.9
    assert again.facts["c1"]["share_mirrored"] > 0.8


def test_where_only_the_tumour_holds_the_label_the_controls_pass(
    done: tuple[pd.DataFrame, Path, ControlsOutcome],
) -> None:
    _, folder, outcome = done
    by_name = {row["name"]: row for row in outcome.results["controls"]}
    verdicts = {name: row["verdict"] for name, row in by_name.items()}
    assert verdicts == {"model": "", "contralateral": "passed", "blanked": "passed"}
    assert by_name["model"]["auc"] == 1.0
    assert by_name["contralateral"]["facts"]["n_columns"] == 2
    assert by_name["blanked"]["facts"]["n_columns"] == 3
    assert {failure.case for failure in outcome.failures} == {"c12"}
    assert "no healthy side" in outcome.failures[0].fix
    assert outcome.results["left_out"] == ["controls-blanked: c12", "controls-contralateral: c12"]
    assert lead(outcome.results).startswith("2 of 2 control(s) passed")
    assert controls_table(outcome.results).loc["the model", "AUC (95 %)"].startswith("1.000")
    assert Page((folder / "controls.html").read_text()).problems == []


def test_the_site_probe_finds_a_scanner_and_nothing_where_there_is_none(tmp_path: Path) -> None:
    features, cohort = made_up(n=40, noise=4, strength=0.0, sites="AB")
    is_b = (cohort["site"] == "B").to_numpy()
    settings = SETTINGS.model_copy(update={"controls": ("site-probe", "blanked", "shuffled-labels")})
    verdicts = {}
    for name, shift in (("same scanners", 0.0), ("other scanners", 3.0)):
        table = features | {
            "radiomics": features["radiomics"].assign(noise_0=lambda t, by=shift: t["noise_0"] + by * is_b)
        }
        results = run_controls(table, cohort, "idh", tmp_path / name, settings).results["controls"]
        verdicts[name] = results[1]["verdict"]
        assert results[2]["verdict"] == "not done"
        assert "give a cohort.csv" in results[2]["text"]
        assert results[3]["verdict"] == "passed"
    first = (tmp_path / "same scanners/controls.json").read_bytes()
    settings = settings.model_copy(update={"controls": settings.controls[:1]})
    run_controls(features, cohort, "idh", tmp_path / "again", settings, jobs=2)
    again = json.loads((tmp_path / "again/controls.json").read_text())["controls"]
    assert again == json.loads(first)["controls"][:2]
    assert verdicts["other scanners"] == "failed"
    assert verdicts["same scanners"] in ("passed", "undecided")


def test_a_probe_never_trains_on_the_patient_that_it_names() -> None:
    _features, cohort = made_up(n=40, noise=3, sites="AB")
    cohort = cohort.assign(patient=[f"p{i // 2}" for i in range(40)])
    cohort["site"] = np.where(np.arange(40) // 2 % 2, "A", "B")
    rng = np.random.default_rng(0)
    # Both scans of a patient have the same features, and nothing says the site: only a leak of patients could.
    values = np.repeat(rng.normal(size=(20, 5)), 2, axis=0)
    table = fusion_table({"radiomics": pd.DataFrame(values, index=cohort.index).add_prefix("f")}, cohort, "idh")
    found = site_probabilities(table, FAST)
    assert list(found.columns) == ["A", "B"]
    assert found.notna().all().all()
    right = (found.idxmax(axis=1) == table.cohort["site"]).mean()
    assert right < 0.75
    assert site_probabilities(table, FAST, least_patients=11).empty
