from __future__ import annotations

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest

from radiogen.cli.bids_app import main
from radiogen.cohort.phantoms import write_phantom_cohort
from radiogen.cohort.table import read_cohort
from radiogen.config.phantoms import PhantomSettings

SUFFIX = {"t1n": "T1w", "t1c": "ce-gadolinium_T1w", "t2w": "T2w", "t2f": "FLAIR"}
LABELS = ["01", "02"]


@pytest.fixture(scope="module")
def bids(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("made")
    cohort = read_cohort(
        write_phantom_cohort(made, n_cases=len(LABELS), seed=4, settings=PhantomSettings(spacing_mm=4.0))
    )
    root = tmp_path_factory.mktemp("bids")
    (root / "dataset_description.json").write_text(json.dumps({"Name": "made up", "BIDSVersion": "1.10.0"}))
    for label, (_, row) in zip(LABELS, cohort.iterrows(), strict=True):
        folder = root / f"sub-{label}" / "anat"
        folder.mkdir(parents=True)
        for name, suffix in SUFFIX.items():
            shutil.copy(row[name], folder / f"sub-{label}_{suffix}.nii.gz")
    ages = "\n".join(f"sub-{label}\t{40 + number}" for number, label in enumerate(LABELS))
    (root / "participants.tsv").write_text(f"participant_id\tage\n{ages}\n")
    return root


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("settings") / "settings.yaml"
    path.write_text("branches: [clinical]\n")
    return path


def run(*words: object) -> int:
    """Return the exit code of a command line."""
    try:
        main([str(word) for word in words])
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


def test_participants_one_by_one_then_the_group(bids: Path, config: Path, tmp_path: Path) -> None:
    common = ["--registered", "--config", config, "--quiet"]
    assert run(bids, tmp_path, "group", *common) == 2  # nothing to join yet
    assert run(bids, tmp_path, "participant", "--participant_label", "sub-01", *common) == 0
    assert sorted(path.name for path in tmp_path.glob("sub-*")) == ["sub-01"]
    assert run(bids, tmp_path, "participant", "--participant_label", "02", *common) == 0
    made = {label: next((tmp_path / f"sub-{label}" / "masks").glob("*.nii.gz")).read_bytes() for label in LABELS}
    assert run(bids, tmp_path, "group", *common) == 0
    cohort = read_cohort(tmp_path / "cohort.csv")
    assert cohort["age"].tolist() == [40, 41]
    assert {label: Path(path).read_bytes() for label, path in zip(LABELS, cohort["mask"], strict=True)} == made
    assert (tmp_path / "report.html").is_file()
    described = json.loads((tmp_path / "dataset_description.json").read_text())
    assert (described["DatasetType"], described["GeneratedBy"][0]["Name"]) == ("derivative", "radiogen")


def test_a_broken_participant_does_not_stop_the_others(
    bids: Path, config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "bids"
    shutil.copytree(bids, copy)
    for path in (copy / "sub-02" / "anat").iterdir():
        path.write_bytes(b"not an image")
    out = tmp_path / "out"
    assert run(copy, out, "participant", "--registered", "--config", config, "--quiet") == 1
    assert "sub-02" in capsys.readouterr().err
    assert pd.read_csv(out / "sub-02" / "failed.csv")["case"].str.contains("02").all()
    assert (out / "sub-01" / "report.html").is_file()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["participant", "--participant_label", "99"], "sub-99"),
        (["subject"], "invalid choice"),
    ],
)
def test_what_cannot_be_done_is_said(
    bids: Path, tmp_path: Path, words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(bids, tmp_path, *words) == 2
    assert said in capsys.readouterr().err


def test_a_folder_without_participants_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tmp_path, tmp_path / "out", "participant") == 2
    assert "No sub-* folder" in capsys.readouterr().err
