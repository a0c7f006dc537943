"""brainles-preprocessing on one raw case, in a process of its own: `python -m tests.benchmarks.preprocessing CASE TEMPLATE OUT`.

Co-registration to t1c and registration to the template with its ANTs registrator, both as in its manual's example. Brain extraction is left
out: its HD-BET fetches weights.
"""

from __future__ import annotations

import sys
from pathlib import Path

ROLES = ("t1c", "t1n", "t2w", "t2f")


def main(folder: str, template: str, out: str) -> None:
    """Run it."""
    from brainles_preprocessing.modality import CenterModality, Modality
    from brainles_preprocessing.preprocessor import AtlasCentricPreprocessor
    from brainles_preprocessing.registration import ANTsRegistrator

    from radiogen.cohort.build import read_cohort_or_folder

    _, row = next(read_cohort_or_folder(Path(folder)).iterrows())
    written = {name: Path(out) / f"{name}.nii.gz" for name in ROLES}
    parts = {
        name: (CenterModality if name == "t1c" else Modality)(
            modality_name=name, input_path=row[name], raw_skull_output_path=written[name]
        )
        for name in ROLES
    }
    AtlasCentricPreprocessor(
        center_modality=parts["t1c"], moving_modalities=[part for name, part in parts.items() if name != "t1c"],
        registrator=ANTsRegistrator(), atlas_image_path=Path(template), use_gpu=False,
    ).run()  # fmt: skip


if __name__ == "__main__":
    main(*sys.argv[1:])
