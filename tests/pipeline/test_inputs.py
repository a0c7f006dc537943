from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from radiogen.config.embedding import EmbeddingSettings
from radiogen.config.location import LocationSettings
from radiogen.config.network import NetworkSettings
from radiogen.errors import ConfigError, InputError
from radiogen.pipeline.classify import clinical_facts
from radiogen.pipeline.inputs import card_settings, from_tables, settings_from_card


def test_the_volume_races_whatever_branches_are_chosen(tmp_path: Path) -> None:
    """A model of one branch could be nothing but the tumour's size, so the size must stay among the baselines."""
    cases = [f"c{number:02d}" for number in range(12)]
    pd.DataFrame({"case": cases, "wt_ml": np.arange(12.0)}).to_csv(tmp_path / "clinical.csv", index=False)
    pd.DataFrame({"case": cases, "x": np.arange(12.0)}).to_csv(tmp_path / "deep.csv", index=False)
    inputs = from_tables([tmp_path / "clinical.csv", tmp_path / "deep.csv"], None, ["deep"])
    assert list(inputs.features) == ["deep"]
    assert clinical_facts(inputs.features, inputs.cohort)["wt_ml"].tolist() == list(np.arange(12.0))


def test_a_card_keeps_no_path_and_asks_for_the_same_files_again(tmp_path: Path) -> None:
    files = {name: tmp_path / f"{name}.nii.gz" for name in ("template", "tracts", "atlas", "names", "weights")}
    for name, file in files.items():
        file.write_text(name)
    network = NetworkSettings(
        template=files["template"], tracts=files["tracts"], graphs=tmp_path, preprocessed=tmp_path, cut_by="tc"
    )
    recorded = {
        "network": card_settings(network),
        "location": card_settings(LocationSettings(atlas=str(files["atlas"]), atlas_names=files["names"])),
        "embedding": card_settings(EmbeddingSettings(weights=str(files["weights"]))),
    }
    assert str(tmp_path) not in json.dumps(recorded)
    assert recorded["network"]["cut_by"] == "tc"
    assert recorded["network"]["template"]["file"] == "template.nii.gz"
    given = {
        "network": {name: str(files[name]) for name in ("template", "tracts")},
        "location": {
            "atlas": str(files["atlas"]),
            "atlas_names": str(files["names"]),
            "preprocessed": str(tmp_path / "new"),
        },
        "embedding": {"weights": str(files["weights"])},
    }
    found = settings_from_card(recorded, None, given)
    assert found["network"] == {"cut_by": "tc", **given["network"]}
    assert found["location"] == given["location"]
    assert NetworkSettings.parse(found["network"]).template == files["template"]
    files["template"].write_text("another template")
    with pytest.raises(InputError) as told:
        settings_from_card(recorded, None, {**given, "embedding": {}})
    assert [line.partition(" (")[0] for line in told.value.problems] == ["network: template", "embedding: weights"]
    assert "is another one" in told.value.problems[0]
    assert "none was given" in told.value.problems[1]


def test_a_card_keeps_names_and_only_files_can_be_given(tmp_path: Path) -> None:
    recorded = {"location": card_settings(LocationSettings(atlas="aal"))}
    assert recorded == {"location": {"atlas": "aal"}}
    assert settings_from_card(recorded, None)["location"] == {"atlas": "aal"}
    with pytest.raises(ConfigError) as told:
        settings_from_card(recorded, None, {"location": {"registration": "never"}, "unheard": {}})
    assert len(told.value.problems) == 2
