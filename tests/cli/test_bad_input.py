"""Every kind of bad input: one clear line, the right exit code, and nothing half-written."""

from __future__ import annotations

import gzip
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from radiogen.cli.main import app
from radiogen.cohort.phantoms import write_phantom_cohort
from radiogen.config.phantoms import PhantomSettings
from radiogen.run.atomic import PARTIAL_PREFIX

SEQUENCES = ("t1n", "t1c", "t2w", "t2f")


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_phantom_cohort(
        tmp_path_factory.mktemp("phantoms"), 3, seed=5, settings=PhantomSettings(spacing_mm=4.0), jobs=1, progress=False
    )


@pytest.fixture
def cohort(phantoms: Path, tmp_path: Path) -> Path:
    """A cohort of three whose files may be spoiled: the first case's files are copies."""
    table = pd.read_csv(phantoms, dtype=str, keep_default_na=False)
    for column in SEQUENCES:
        source = phantoms.parent / table.loc[0, column]
        (tmp_path / "spoiled").mkdir(exist_ok=True)
        (tmp_path / "spoiled" / f"{column}.nii.gz").write_bytes(source.read_bytes())
        table.loc[0, column] = f"spoiled/{column}.nii.gz"
        table.loc[1:, column] = [str(phantoms.parent / value) for value in table.loc[1:, column]]
    table.to_csv(tmp_path / "cohort.csv", index=False)
    return tmp_path / "cohort.csv"


def run(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.output


def _partials(folder: Path) -> list[Path]:
    return sorted(folder.rglob(f"{PARTIAL_PREFIX}*")) if folder.is_dir() else []


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _rewrite(path: Path, change: Callable[[np.ndarray], np.ndarray]) -> None:
    image = nib.load(path)
    nib.save(nib.Nifti1Image(change(np.asarray(image.dataobj)).astype(np.float32), image.affine), path)


def _one_nan(data: np.ndarray) -> np.ndarray:
    data = data.astype(np.float32)
    data[5, 5, 5] = np.nan
    return data


def _empty_gzip(path: Path) -> None:
    path.write_bytes(gzip.compress(b""))


SPOILERS: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing file": (Path.unlink, "does not exist"),
    "truncated gzip": (_truncate, "damaged or cut short"),
    "text file": (lambda path: path.write_text("not an image"), "cannot be read as NIfTI"),
    "empty gzip": (_empty_gzip, "cannot be read as NIfTI"),
    "all zero": (lambda path: _rewrite(path, np.zeros_like), "is empty"),
    "NaN": (lambda path: _rewrite(path, _one_nan), "NaN or infinite"),
    "mismatched grid": (lambda path: _rewrite(path, lambda data: data[:-1]), "do not share their voxels"),
}


@pytest.mark.parametrize("kind", SPOILERS)
def test_a_spoiled_image_quarantines_its_case_and_the_rest_goes_on(cohort: Path, tmp_path: Path, kind: str) -> None:
    spoil, said = SPOILERS[kind]
    spoil(tmp_path / "spoiled" / "t2f.nii.gz")
    code, output = run("segment", cohort, "-o", tmp_path / "study", "--quiet")
    failed = pd.read_csv(tmp_path / "study" / "failed.csv", dtype=str)
    assert code == 1
    assert "1 case(s) failed" in output
    assert failed["case"].tolist() == [pd.read_csv(cohort, dtype=str)["case"][0]]
    assert said in failed.loc[0, "cause"]
    assert failed.loc[0, "fix"]
    assert len(list((tmp_path / "study" / "masks").glob("*.nii.gz"))) == 2
    assert _partials(tmp_path / "study") == []


def test_an_empty_given_mask_quarantines_its_case(cohort: Path, tmp_path: Path) -> None:
    table = pd.read_csv(cohort, dtype=str, keep_default_na=False)
    _rewrite(tmp_path / "spoiled" / "t1n.nii.gz", np.zeros_like)
    table.loc[0, "mask"] = "spoiled/t1n.nii.gz"
    table.loc[0, "t1n"] = ""
    table.to_csv(cohort, index=False)
    code, _ = run("segment", cohort, "-o", tmp_path / "study", "--quiet", "--given-masks", "use")
    failed = pd.read_csv(tmp_path / "study" / "failed.csv", dtype=str)
    assert code == 1
    assert "mask is empty" in failed.loc[0, "cause"]


def test_a_duplicated_case_id_and_a_bad_label_are_listed_together(cohort: Path, tmp_path: Path) -> None:
    table = pd.read_csv(cohort, dtype=str, keep_default_na=False)
    table.loc[1, "case"] = table.loc[0, "case"]
    table.loc[2, "idh"] = "mutant?"
    table.to_csv(cohort, index=False)
    code, output = run("segment", cohort, "-o", tmp_path / "study", "--quiet")
    assert code == 2
    assert "occurs 2 times" in output
    assert "idh is 'mutant?'" in output
    assert list((tmp_path / "study").rglob("*.nii.gz")) == []


@pytest.mark.parametrize("command", ["segment", "run"])
def test_a_cohort_that_does_not_exist_is_one_line(tmp_path: Path, command: str) -> None:
    code, output = run(command, tmp_path / "none.csv", "-o", tmp_path / "study", "--quiet")
    assert code == 2
    assert len(output.strip().splitlines()) == 1
    assert "does not exist" in output


@pytest.fixture
def features(tmp_path: Path) -> tuple[Path, Path]:
    """A feature table and a label table for 24 made-up cases."""
    rng = np.random.default_rng(0)
    ids = [f"{i:03d}" for i in range(24)]
    pd.DataFrame({"ID": ids, "original_a": rng.normal(size=24), "original_b": rng.normal(size=24)}).to_csv(
        tmp_path / "f.csv", index=False
    )
    pd.DataFrame({"Patient": ids, "IDH": ["mutant", "wildtype"] * 12}).to_csv(tmp_path / "l.csv", index=False)
    return tmp_path / "f.csv", tmp_path / "l.csv"


def _classify(features: Path, labels: Path, out: Path) -> tuple[int, str]:
    return run("classify", "--target", "idh", "--features", features, "--labels", labels, "-o", out, "--quiet")


def test_labels_without_a_matching_id_show_both_spellings(features: tuple[Path, Path], tmp_path: Path) -> None:
    table = pd.read_csv(features[1], dtype=str)
    table["Patient"] = [f"TCGA-02-{i:04d}" for i in range(24)]
    table.to_csv(features[1], index=False)
    code, output = _classify(*features, tmp_path / "out")
    assert code == 2
    assert "TCGA-02-0000" in output
    assert "000" in output
    assert not (tmp_path / "out" / "metrics.json").exists()


def test_one_class_only_is_refused_with_the_counts(features: tuple[Path, Path], tmp_path: Path) -> None:
    table = pd.read_csv(features[1], dtype=str)
    table["IDH"] = "wildtype"
    table.to_csv(features[1], index=False)
    code, output = _classify(*features, tmp_path / "out")
    assert code == 2
    assert "24" in output
    assert "class" in output
    assert not (tmp_path / "out" / "metrics.json").exists()


def test_fewer_cases_than_folds_is_refused(features: tuple[Path, Path], tmp_path: Path) -> None:
    table = pd.read_csv(features[1], dtype=str).head(8)
    table.to_csv(features[1], index=False)
    code, output = _classify(*features, tmp_path / "out")
    assert code == 2
    assert "Fewer cases than folds" in output
    assert not (tmp_path / "out" / "metrics.json").exists()


def test_an_output_that_cannot_be_written_is_named(cohort: Path, tmp_path: Path) -> None:
    (tmp_path / "study").write_text("a file stands here")
    code, output = run("segment", cohort, "-o", tmp_path / "study", "--quiet")
    assert code == 2
    assert "study" in output
    assert (tmp_path / "study").read_text() == "a file stands here"


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of a few hundred kilobytes."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)], capture_output=True)
    if mounted.returncode:
        pytest.skip("mounting a small file system needs privileges that this run does not have")
    yield disk
    subprocess.run(["umount", "--lazy", str(disk)], check=True)


def test_a_full_disk_is_one_line_and_leaves_nothing_half_written(cohort: Path, tiny_disk: Path) -> None:
    code, output = run("segment", cohort, "-o", tiny_disk / "study", "--quiet")
    assert code == 2
    assert "No space left" in output
    assert _partials(tiny_disk) == []
    for mask in tiny_disk.rglob("*.nii.gz"):
        assert np.asarray(nib.load(mask).dataobj).max() > 0
