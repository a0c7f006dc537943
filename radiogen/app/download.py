"""What the user takes home: a report page and a zip of everything, without a name, a date or a path in it."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from radiogen.app.classifier import Prediction
from radiogen.app.identify import Item
from radiogen.app.steps import Finished, volumes
from radiogen.report.case_page import CaseFacts, case_lead
from radiogen.report.page import Box, Section, Table, write_page
from radiogen.report.viewer import ViewerContent, viewer
from radiogen.run.atomic import write_csv, writing
from radiogen.segment.cohort import mask_path

REPORT, VOLUMES = "report.html", "volumes.csv"
_ZIP_TIME = (1980, 1, 1, 0, 0, 0)
"""The earliest time that a zip can hold: the same case gives the same bytes, and no date is told."""


def write_report(done: Finished, chosen: Mapping[str, Item], prediction: Prediction | None = None) -> Path:
    """Write the page of a case and its table of volumes; return the page.

    Names of the user's files are left out: they may name the patient.

    Args:
        done: the case with its mask.
        chosen: role -> image, as the user settled it.
        prediction: what a model said of it, where one was asked.
    """
    table = volumes(done)
    write_csv(done.study / VOLUMES, table.round({"volume_ml": 3}), index=False)
    flags = [str(done.facts["flag_reason"])] if done.facts.get("flag_reason") else []
    flags += list(done.prepared.flags)
    shown = table.rename(columns={"volume_ml": "volume, ml"}).set_index("region").round(2)
    sections = [
        _slices(done),
        Section(
            "Volumes",
            tables=[Table(shown, "Volumes of the mask; a dash: the mask cannot tell.")],
        ),
        *_model(prediction),
        Section("Quality", text=flags or ["Nothing was found against the images."]),
        _sequences(chosen),
        Section("What was done", text=[*done.prepared.notes, *done.facts.get("notes", ())]),
    ]
    facts = {"mask": done.facts["settings"], "method": done.facts["method"], "inputs": done.facts["inputs"]}
    lead = case_lead(CaseFacts(done.case, done.facts, flags=done.prepared.flags))
    write_page(done.study / REPORT, f"Case {done.case}", sections, lead=lead, provenance=facts)
    return done.study / REPORT


def _slices(done: Finished) -> Section:
    """Return the case to leaf through; on paper, the picture of its mask."""
    still = (done.study / "qc" / f"{done.case}.png").read_bytes()
    content = ViewerContent(done.images.images, done.images.grid.voxel_size_mm, done.labels, still=still)
    return Section("Slices", widgets=[viewer(content)])


def _sequences(chosen: Mapping[str, Item]) -> Section:
    rows = [
        [role, "DICOM series" if item.series is not None else "NIfTI file", "; ".join(item.reasons), item.geometry]
        for role, item in chosen.items()
    ]
    frame = pd.DataFrame(rows, columns=["sequence", "came as", "why", "voxels"]).set_index("sequence")
    return Section("Sequences", tables=[Table(frame, "What each image was taken for.")])


def _model(prediction: Prediction | None) -> list[Section]:
    if prediction is None:
        return []
    low_high = prediction.interval
    interval = "the model gives none" if low_high is None else f"{low_high[0]:.2f} to {low_high[1]:.2f}"
    facts = {
        "probability": f"{float(prediction.row['y_prob']):.2f}",
        "interval": interval,
        "model": str(prediction.card["model"]),
    }
    box = Box(f"Probability: {prediction.card['positive_means']}", prediction.call, facts=facts)
    card = [line.lstrip("#- ").replace("**", "") for line in prediction.card_text.splitlines() if line.strip()]
    return [
        Section("Classifier", text=prediction.warnings, boxes=[box]),
        Section("Model card", text=card, folded=True),
    ]


def bundle(done: Finished) -> Path:
    """Write everything of a case into one zip and return it; the same case gives the same bytes.

    Args:
        done: the case, after `write_report`.
    """
    path = done.study / f"{done.case}.zip"
    with writing(path) as beside, zipfile.ZipFile(beside, "w") as archive:
        for name, file in _contents(done).items():
            entry = zipfile.ZipInfo(f"{done.case}/{name}", _ZIP_TIME)
            # Images are compressed already.
            entry.compress_type = zipfile.ZIP_STORED if name.endswith(".gz") else zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, file.read_bytes())
    return path


def _contents(done: Finished) -> dict[str, Path]:
    """Return name in the zip -> file, for those that are there."""
    study, case = done.study, done.case
    mask = mask_path(study, case)
    files = {
        REPORT: study / REPORT,
        VOLUMES: study / VOLUMES,
        "picture.png": study / "qc" / f"{case}.png",
        "mask.nii.gz": mask,
        "mask.json": mask.with_name(f"{case}.json"),
        "mask-on-scan.nii.gz": study / "native" / "masks" / f"{case}.nii.gz",
        "predictions.csv": study / "prediction" / "predictions.csv",
    }
    files |= {f"preprocessed/{path.name}": path for path in sorted((study / "preprocessed" / case).glob("*"))}
    return {name: path for name, path in files.items() if path.is_file()}
