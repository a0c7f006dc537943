"""`radiogen features radiomics` on image and mask files: no cohort needed."""

from __future__ import annotations

import logging
import re
from functools import partial
from pathlib import Path

import pandas as pd

from radiogen.branches.radiomics.dictionary import data_dictionary, discretisation_by_image_type
from radiogen.branches.radiomics.extract import CaseFeatures
from radiogen.branches.radiomics.pairs import Pair, PairPlan, algorithm, pair_features, pair_plan
from radiogen.config.features import RadiomicsSettings
from radiogen.errors import InputError
from radiogen.resources import cache_folder
from radiogen.run.atomic import write_csv, write_table
from radiogen.run.executor import run_cases
from radiogen.run.provenance import Provenance, content_hash, hash_inputs, read_sidecar
from radiogen.run.quarantine import Failure, write_failures

STAGE = "features-radiomics"

log = logging.getLogger(__name__)

_EXTENSIONS = (".nii.gz", ".nii", ".nrrd", ".nhdr", ".mha", ".mhd")
_ROLE = re.compile(r"[._-](image|img|mask|label|seg|segmentation)$", re.IGNORECASE)
_ID_COLUMNS = ("id", "case")


def is_pairs_table(path: Path) -> bool:
    """Return whether a file is a table with the columns `Image` and `Mask`, as PyRadiomics' batch mode reads it."""
    try:
        with Path(path).open(encoding="utf-8-sig") as file:
            header = {name.strip().strip('"') for name in file.readline().split(",")}
    except (OSError, UnicodeDecodeError):
        return False
    return {"Image", "Mask"} <= header


def read_pairs(path: Path) -> pd.DataFrame:
    """Read a table of pairs.

    Args:
        path: CSV with the columns `Image` and `Mask` (paths relative to the file's folder) and optionally `Label` and `ID`.

    Returns:
        The table as strings, index `case`: the column `ID` (or `case`), otherwise `case-1`, `case-2` and so on as PyRadiomics numbers them.
        `image_path` and `mask_path` are added: paths from here; blank where the table is.

    Raises:
        InputError: the file cannot be read, a column is missing, ids are blank or repeated, or a label is not a whole number.
    """
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise InputError(f"The table of pairs {path} does not exist.") from error
    except (OSError, UnicodeDecodeError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise InputError(f"The table of pairs {path} cannot be read as CSV: {error}") from error
    table.columns = table.columns.str.strip()
    missing = [name for name in ("Image", "Mask") if name not in table.columns]
    problems = [f"the column {name} is missing" for name in missing] or _row_problems(table)
    if problems:
        raise InputError(
            f"The table of pairs {path} has {len(problems)} problem(s):",
            problems=problems,
            hint="Columns Image and Mask are needed; Label and ID are used where they are.",
        )
    folder = Path(path).parent
    paths = {
        name: [str(folder / value.strip()) if value.strip() else "" for value in table[column]]
        for name, column in (("image_path", "Image"), ("mask_path", "Mask"))
    }
    return table.assign(**paths).set_axis(pd.Index(_ids(table), name="case", dtype=object))


def _ids(table: pd.DataFrame) -> list[str]:
    named = [name for name in table.columns if name.lower() in _ID_COLUMNS]
    return table[named[0]].str.strip().tolist() if named else [f"case-{number + 1}" for number in range(len(table))]


def _row_problems(table: pd.DataFrame) -> list[str]:
    ids = pd.Series(_ids(table), dtype=object)
    problems = [] if len(table) else ["it has no row"]
    problems += [f"row {row + 2} has no id" for row in ids.index[ids == ""]]
    problems += [
        f"the id '{name}' stands in more than one row" for name in ids[ids.duplicated() & (ids != "")].unique()
    ]
    if "Label" in table.columns:
        wrong = ~table["Label"].str.strip().str.fullmatch(r"(\d+(\.0*)?)?")
        problems += [f"row {row + 2} has the label '{table.loc[row, 'Label']}'" for row in table.index[wrong]]
    return problems


def find_pairs(images: Path, masks: Path) -> pd.DataFrame:
    """Return the pairs of two files, or of two folders by file name.

    In folders, `a.nii.gz` belongs to `a.nrrd`, and `a_image.nrrd` to `a_label.nrrd` (endings image, img, mask, label, seg, segmentation); the case is
    called `a`. A file without its partner becomes a row with a blank, so that it is reported and not forgotten.

    Args:
        images: an image, or a folder of images.
        masks: a mask, or a folder of masks; may be the same folder when the endings tell them apart.

    Raises:
        InputError: a path is missing, a file is given with a folder, nothing matches, or names are not unique.
    """
    gone = [str(path) for path in (images, masks) if not Path(path).exists()]
    if gone:
        raise InputError("Files or folders do not exist:", problems=gone)
    if images.is_dir() != masks.is_dir():
        raise InputError(
            "--images and --masks are a file and a folder; two files or two folders are accepted.",
            hint="List the pairs in a CSV with the columns Image,Mask and give --pairs.",
        )
    if images.is_dir():
        image_of, mask_of = _in_folders(images, masks)
    else:
        name = _case_name(images)
        image_of, mask_of = {name: images}, {name: masks}
    if not set(image_of) & set(mask_of):
        raise InputError(
            f"No image in {images} ({len(image_of)} found) has a mask of the same name in {masks} ({len(mask_of)} found).",
            hint="Name them alike (a.nii.gz and a.nii.gz, or a_image.nrrd and a_label.nrrd), or give --pairs CSV.",
        )
    cases = sorted({*image_of, *mask_of})
    columns = {"Image": image_of, "Mask": mask_of}
    table = pd.DataFrame({name: [str(found.get(case, "")) for case in cases] for name, found in columns.items()})
    table = table.assign(image_path=table["Image"], mask_path=table["Mask"])
    return table.set_axis(pd.Index(cases, name="case", dtype=object))


def _in_folders(images: Path, masks: Path) -> tuple[dict[str, Path], dict[str, Path]]:
    image_files, mask_files = _files(images), _files(masks)
    if images.resolve() == masks.resolve():
        image_files = [path for path in image_files if (_role(path) or "").lower() in ("image", "img")]
        mask_files = [path for path in mask_files if (_role(path) or "image").lower() not in ("image", "img")]
    found: list[dict[str, Path]] = []
    twice = []
    for files in (image_files, mask_files):
        by_name: dict[str, Path] = {}
        for path in files:
            name = _case_name(path)
            twice += [f"{path.name} and {by_name[name].name} are both called {name}"] if name in by_name else []
            by_name[name] = path
        found.append(by_name)
    if twice:
        raise InputError("File names are not unique:", problems=twice, hint="Give --pairs CSV.")
    return found[0], found[1]


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_file() and path.name.lower().endswith(_EXTENSIONS))


def _stem(path: Path) -> str:
    ending = next((end for end in _EXTENSIONS if path.name.lower().endswith(end)), "")
    return path.name[: len(path.name) - len(ending)]


def _role(path: Path) -> str | None:
    match = _ROLE.search(_stem(path))
    return None if match is None else match[1]


def _case_name(path: Path) -> str:
    return _ROLE.sub("", _stem(path))


def run_pairs(
    pairs: pd.DataFrame,
    output: Path,
    settings: RadiomicsSettings,
    *,
    label: int | None = None,
    jobs: int = 1,
    dask: str | None = None,
    progress: bool = False,
) -> tuple[pd.DataFrame, list[Failure]]:
    """Compute the radiomics features of image and mask pairs and write them.

    Writes `features/radiomics.parquet`, the same as `.csv`, `radiomics_dictionary.csv` and the sidecar `radiomics.json`; the pairs that
    failed into `failed.csv`; and `pairs.csv`, the table of pairs as it was given with the features beside it, as PyRadiomics' batch mode writes it.
    Columns of the table are not in `radiomics.csv`: a label among the features would be learnt from.

    Args:
        pairs: as `read_pairs` or `find_pairs` returns it.
        output: folder to write into.
        settings: what is computed; `sequences` and `regions` have no meaning here.
        label: the masks' value that marks the region, where the table has no `Label`.
        jobs: pairs worked on at the same time; the bytes written do not depend on it.
        dask: scheduler address of a Dask cluster to use instead.
        progress: show a progress bar.

    Returns:
        The table, index `case`, one row per pair that succeeded; and the pairs that failed.

    Raises:
        ConfigError: the settings are not accepted.
        OutputError: the folder cannot be written.
    """
    plan, work = pair_plan(settings), {str(case): _pair(row, label) for case, row in pairs.iterrows()}
    folder = Path(output) / "features"
    outputs = [folder / "radiomics.parquet", folder / "radiomics.csv", folder / "radiomics_dictionary.csv"]
    outputs.append(Path(output) / "pairs.csv")
    provenance = _provenance(pairs, work, plan)
    if provenance.is_current(outputs) and read_sidecar(outputs[0]).get("n_failed") == 0:
        log.info("features radiomics: up to date")
        write_failures(Path(output) / "failed.csv", [], stages=[STAGE])
        return pd.read_parquet(outputs[0]), []
    function = partial(pair_features, plan=plan, cache_folder=cache_folder() / "radiomics-pairs")
    results, failures = run_cases(function, work, stage=STAGE, jobs=jobs, dask=dask, progress=progress)
    features = _table(results)
    write_table(outputs[0], features)
    write_csv(outputs[2], data_dictionary(features.columns.tolist(), plan.plan), index=False)
    write_csv(outputs[3], _given(pairs, [*features.columns, "case"]).join(features))
    provenance.record(
        outputs,
        n_failed=len(failures),
        notes={case: found.notes for case, found in results.items() if found.notes},
        settings_from=settings_source(settings),
        discretisation=discretisation_by_image_type(plan.plan),
    )
    write_failures(Path(output) / "failed.csv", failures, stages=[STAGE])
    log.info("features radiomics: %d pairs, %d columns", *features.shape)
    return features, failures


def settings_source(settings: RadiomicsSettings) -> str:
    """Return in words where the settings come from, for the sidecar."""
    if settings.params is not None:
        return "PyRadiomics parameter file"
    given = sorted(settings.model_fields_set - {"params"})
    return f"radiogen's defaults, with {', '.join(given)} set" if given else "radiogen's defaults, not PyRadiomics'"


def _given(pairs: pd.DataFrame, replaced: list[str]) -> pd.DataFrame:
    return pairs.drop(columns=["image_path", "mask_path", *replaced], errors="ignore")


def _pair(row: pd.Series, label: int | None) -> Pair:
    own = str(row.get("Label") or "").strip()
    image, mask = (Path(row[name]) if row[name] else None for name in ("image_path", "mask_path"))
    return Pair(image, mask, int(float(own)) if own else label)


def _provenance(pairs: pd.DataFrame, work: dict[str, Pair], plan: PairPlan) -> Provenance:
    inputs = {"pairs": content_hash(_given(pairs, []).to_csv())}
    for case, pair in work.items():
        inputs |= {f"{case}/{role}": sha for role, sha in hash_inputs({"image": pair.image, "mask": pair.mask}).items()}
    labels = {case: pair.label for case, pair in work.items() if pair.label is not None}
    return Provenance(STAGE, {**plan.as_dict(), "labels": labels, "algorithm": algorithm()}, inputs)


def _table(results: dict[str, CaseFeatures]) -> pd.DataFrame:
    names = {name for found in results.values() for name in found.values}
    columns = sorted(names, key=lambda name: ("_shape" not in name, name))
    index = pd.Index(list(results), name="case", dtype=object)
    rows = [[found.values.get(name, float("nan")) for name in columns] for found in results.values()]
    return pd.DataFrame(rows, index=index, columns=columns, dtype=float)
