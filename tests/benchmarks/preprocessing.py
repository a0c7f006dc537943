"""brainles-preprocessing's own pipeline on one raw case, in a process of its own: `python -m tests.benchmarks.preprocessing CASE_FOLDER TEMPLATE OUT`.

Co-registration to T1c and registration to the template with its ANTs registrator, both as its manual's example has them. Brain extraction is left out: its HD-BET
fetches weights. Prints one line of JSON with the normalised mutual information of each sequence with T1c in the template's brain.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

ROLES = {"t1c": ("T1GD", "t1c"), "t1n": ("T1", "t1n"), "t2w": ("T2", "t2w"), "t2f": ("FLAIR", "t2f")}


def main(folder: str, template: str, out: str) -> dict[str, float]:
    """Run it and measure how well the sequences overlap."""
    from brainles_preprocessing.modality import CenterModality, Modality
    from brainles_preprocessing.preprocessor import AtlasCentricPreprocessor
    from brainles_preprocessing.registration import ANTsRegistrator

    from radiogen.cohort.build import read_cohort_or_folder
    from radiogen.cohort.nifti import read_image
    from radiogen.preprocess.register import normalised_mutual_information
    from radiogen.preprocess.template import load_template

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
    brain = load_template().brain
    images = {name: read_image(path).data for name, path in written.items()}
    return {name: normalised_mutual_information(images["t1c"], image, brain) for name, image in images.items()}


if __name__ == "__main__":
    print(json.dumps(main(*sys.argv[1:])))
