"""The network branch over cohorts: columns, blanks and why, mirrored cases, cache, graph files, a real case."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file
from sklearn.base import clone
from typer.testing import CliRunner

from radiogen.branches.names import BRANCHES
from radiogen.branches.network import branch as module
from radiogen.branches.network.branch import NetworkBranch
from radiogen.branches.network.graph_files import graph_data, load_graph_data, read_graph
from radiogen.branches.network.template import save_template, template_digest
from radiogen.cli.main import app
from radiogen.cohort.table import read_cohort
from radiogen.config.network import NetworkSettings
from radiogen.errors import InputError
from tests.branches.network.made_up import (
    AFFINE,
    CENTRES,
    SHAPE,
    block,
    intensities,
    made_up_template,
    permuted,
    spheres,
)
from tests.conftest import save_nifti

# As in a case of preprocessing in MNI152: the sidecars say that world is the template's.
BESIDE = {
    "brain.json": {"settings": {"template": "mni152"}},
    "transforms.json": {"output": {"shape": SHAPE, "affine": AFFINE.tolist()}, "sequences": {}},
}
TUMOUR = block((2, 6, 3), (5, 13, 6))


@pytest.fixture
def template(tmp_path: Path) -> Path:
    path = tmp_path / "template.npz"
    save_template(path, made_up_template())
    return path


def cohort(
    folder: Path, masks: dict[str, np.ndarray], *, placed: bool = True, scheme: str = "brats2023"
) -> pd.DataFrame:
    rows = []
    for number, (case, labels) in enumerate(masks.items()):
        save_nifti(folder / case / "mask.nii.gz", labels, AFFINE)
        save_nifti(folder / case / "t1c.nii.gz", intensities(number), AFFINE)
        for name, values in BESIDE.items() if placed else ():
            (folder / case / name).write_text(json.dumps(values))
        files = {"t1c": f"{case}/t1c.nii.gz", "mask": f"{case}/mask.nii.gz"}
        rows.append({"case": case, **files, "mask_labels": scheme})
    pd.DataFrame(rows).to_csv(folder / "cohort.csv", index=False)
    return read_cohort(folder / "cohort.csv")


def branch(template: Path, cache: Path | None = None, **settings: object) -> NetworkBranch:
    return NetworkBranch(NetworkSettings.parse({"template": template, **settings}), cache_folder=cache)


def test_columns_follow_from_the_template_and_all_are_filled(tmp_path: Path, template: Path) -> None:
    worker = clone(branch(template))
    found = worker.fit_transform(cohort(tmp_path, {"a": TUMOUR}))
    assert found.columns.tolist() == worker.get_feature_names_out().tolist()
    assert all(name.startswith("network_") for name in found.columns)
    assert found.loc["a"].notna().all()
    assert BRANCHES.load("network") is NetworkBranch


def test_numbers_of_a_known_tumour(tmp_path: Path, template: Path) -> None:
    # All of Temporal_Mid_L (voxels 9 to 11), and voxels 6 to 12 of the line that runs from front to back.
    found = branch(template).transform(cohort(tmp_path, {"a": TUMOUR})).loc["a"].rename(lambda name: name[8:])
    assert found["destroyed_Temporal_Mid_L"] == 1
    assert found["destroyed_Frontal_Sup_L"] == 0
    lost = {(0, 2): 3 / 8 * 1.0, (2, 3): 2 / 15 * 0.25, (2, 4): 5 / 8 * 0.8}
    total = sum(lost.values())
    assert found["weight_lost_in_wt"] == pytest.approx(total / 4.75)
    assert found["weight_lost_in_ed"] == 0
    assert found["strength_loss_Temporal_Mid_L"] == pytest.approx(total / 2.05)
    assert found["strength_loss_Occipital_Mid_L"] == pytest.approx(0.5 / 1.2)
    assert (found["regions_touched"], found["connections_touched"], found["connections_severed"]) == (1, 3, 1)
    assert found["weight_lost_left"] == pytest.approx((0.375 + 0.5) / 1.8)
    assert found["weight_lost_right"] == 0
    assert found["weight_lost_between_halves"] == pytest.approx(0.25 * 2 / 15 / 1.15)
    assert found["weight_lost_temporal_left"] == pytest.approx(total / 2.05)
    assert found["mean_strength"] == pytest.approx(2 * (4.75 - total) / 6)
    assert found["mean_strength_loss"] == pytest.approx(total / 4.75)
    assert 0 < found["global_efficiency_loss"] < 1


def test_a_mirrored_tumour_has_mirrored_losses(tmp_path: Path, template: Path) -> None:
    found = branch(template).transform(cohort(tmp_path, {"a": TUMOUR, "b": TUMOUR[::-1]}))
    other = {"_L": "_R", "_R": "_L"}
    for name in CENTRES:
        mirrored = name[:-2] + other[name[-2:]]
        for what in ("destroyed", "strength_loss"):
            assert found.loc["a", f"network_{what}_{name}"] == pytest.approx(
                found.loc["b", f"network_{what}_{mirrored}"]
            )
    assert found.loc["a", "network_weight_lost_left"] == pytest.approx(found.loc["b", "network_weight_lost_right"])
    assert found.loc["a", "network_weight_lost_left"] > 0
    for name in ("global_efficiency_loss", "local_efficiency_loss", "modularity", "betweenness_change_mean"):
        assert found.loc["a", f"network_{name}"] == pytest.approx(found.loc["b", f"network_{name}"])


def test_an_empty_mask_loses_nothing(tmp_path: Path, template: Path) -> None:
    found = branch(template).transform(cohort(tmp_path, {"a": np.zeros(SHAPE, dtype=np.uint8)})).loc["a"]
    lost = [
        name for name in found.index if "loss" in name or "lost" in name or "destroyed" in name or "connections" in name
    ]
    assert len(lost) > 20
    assert not found[lost].any()
    assert found["network_pieces"] == 1


def test_a_tumour_off_the_network_loses_nothing_and_says_so(tmp_path: Path, template: Path) -> None:
    extraction = branch(template).extract(cohort(tmp_path, {"a": block((9, 6, 4), (11, 8, 5))}))
    assert extraction.features.loc["a", "network_weight_lost_in_wt"] == 0
    assert "touches no connection" in " ".join(extraction.notes["a"])


def test_the_order_of_nodes_does_not_matter(tmp_path: Path, template: Path) -> None:
    other = tmp_path / "other.npz"
    save_template(other, permuted(made_up_template(), [3, 0, 5, 2, 4, 1]))
    table = cohort(tmp_path, {"a": TUMOUR})
    first, second = branch(template).transform(table), branch(other).transform(table)
    assert np.allclose(second[first.columns], first, rtol=0, atol=1e-12)


def test_a_case_that_cannot_be_placed_is_blank_and_says_why(tmp_path: Path, template: Path) -> None:
    table = cohort(tmp_path, {"a": TUMOUR}, placed=False)
    graphs = tmp_path / "graphs"
    extraction = branch(template, registration="never", graphs=graphs).extract(table)
    assert extraction.features.loc["a"].isna().all()
    assert "set to never" in " ".join(extraction.notes["a"])
    assert not extraction.failures
    assert not graphs.exists()


def test_a_tumour_outside_the_brain_is_blank(tmp_path: Path, template: Path) -> None:
    away = {**BESIDE["transforms.json"], "sequences": {}}
    table = cohort(tmp_path, {"a": TUMOUR})
    moved = AFFINE.copy()
    moved[2, 3] += 300
    (tmp_path / "a" / "transforms.json").write_text(
        json.dumps({**away, "output": {"shape": SHAPE, "affine": moved.tolist()}})
    )
    for name in ("mask", "t1c"):
        image = nib.load(tmp_path / "a" / f"{name}.nii.gz")
        save_nifti(tmp_path / "a" / f"{name}.nii.gz", np.asarray(image.dataobj), moved)
    extraction = branch(template).extract(table)
    assert extraction.features.loc["a"].isna().all()
    assert "100% of the tumour lie outside" in " ".join(extraction.notes["a"])


def test_a_whole_tumour_mask_leaves_its_parts_blank(tmp_path: Path, template: Path) -> None:
    table = cohort(tmp_path, {"a": (TUMOUR > 0).astype(np.uint8)}, scheme="whole-tumour")
    found = branch(template).transform(table).loc["a"]
    assert sorted(found.index[found.isna()]) == [f"network_weight_lost_in_{part}" for part in ("ed", "et", "tc")]
    extraction = branch(template, cut_by="tc").extract(table)
    assert extraction.features.loc["a"].isna().all()
    assert "cut_by is tc" in " ".join(extraction.notes["a"])


def test_a_case_without_a_mask_is_quarantined_and_the_rest_goes_on(tmp_path: Path, template: Path) -> None:
    table = cohort(tmp_path, {"a": TUMOUR, "b": TUMOUR})
    table.loc["a", "mask"] = None
    extraction = branch(template).extract(table)
    assert [failure.case for failure in extraction.failures] == ["a"]
    assert extraction.features.index.tolist() == ["b"]


def test_a_case_without_a_sequence_still_says_what_is_cut(tmp_path: Path, template: Path) -> None:
    table = cohort(tmp_path, {"a": TUMOUR})
    whole = branch(template).transform(table)
    bare = table.assign(t1c=None)
    # Without an image beside which transforms could lie, the study's folder is named.
    (tmp_path / "preprocessed").mkdir()
    (tmp_path / "a").rename(tmp_path / "preprocessed" / "a")
    bare["mask"] = str(tmp_path / "preprocessed" / "a" / "mask.nii.gz")
    found = branch(template, preprocessed=tmp_path).extract(bare)
    assert found.features.loc["a"].tolist() == whole.loc["a"].tolist()
    assert sum("missing" in note for note in found.notes["a"]) == 4


def test_known_cases_come_from_the_cache_whatever_their_name(
    tmp_path: Path, template: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache, graphs = tmp_path / "cache", tmp_path / "graphs"
    table = cohort(tmp_path, {"a": TUMOUR})
    first = branch(template, cache, graphs=graphs).transform(table)
    written = (graphs / "a.safetensors").read_bytes()
    monkeypatch.setattr(module, "measure_case", lambda *args: pytest.fail("measured again"))
    again = branch(template, cache, graphs=graphs).transform(table.rename(index={"a": "other"}))
    assert again.loc["other"].tolist() == first.loc["a"].tolist()
    assert read_graph(graphs / "other.safetensors").case == "other"
    branch(template, cache, graphs=graphs).transform(table)
    assert (graphs / "a.safetensors").read_bytes() == written
    monkeypatch.undo()
    for entry in cache.glob("*.safetensors"):
        entry.write_bytes(b"damaged")
    assert branch(template, cache).transform(table).loc["a"].tolist() == first.loc["a"].tolist()


def test_what_counts_for_the_provenance(tmp_path: Path, template: Path) -> None:
    table = cohort(tmp_path, {"a": TUMOUR})
    worker = branch(template, graphs=tmp_path / "graphs")
    assert sorted(worker.provenance_inputs(table)) == ["a/mask", "a/mask_labels", "a/sidecar", "a/t1c", "a/transforms"]
    assert str(tmp_path) not in json.dumps(worker.provenance_settings())
    assert worker.provenance_settings() == branch(template).provenance_settings()
    other = tmp_path / "other.npz"
    save_template(other, permuted(made_up_template(), [3, 0, 5, 2, 4, 1]))
    assert branch(other).provenance_settings() != worker.provenance_settings()
    assert worker.provenance_settings()["template"] == template_digest(made_up_template())
    assert [path.name for path in worker.files_of_case("a")] == ["a.safetensors", "a.csv"]
    assert branch(template).files_of_case("a") == []


def test_a_graph_of_an_earlier_run_does_not_outlive_the_case_s_place(tmp_path: Path, template: Path) -> None:
    graphs = tmp_path / "graphs"
    table = cohort(tmp_path, {"a": TUMOUR})
    branch(template, graphs=graphs).transform(table)
    assert (graphs / "a.safetensors").is_file()
    for name in BESIDE:
        (tmp_path / "a" / name).unlink()
    branch(template, graphs=graphs, registration="never").transform(table)
    assert not list(graphs.iterdir())


def test_graph_files_hold_the_graph_and_the_words(tmp_path: Path, template: Path) -> None:
    graphs = tmp_path / "graphs"
    branch(template, graphs=graphs).transform(cohort(tmp_path, {"a": TUMOUR}))
    arrays = load_file(graphs / "a.safetensors")
    assert arrays["node_values"].shape == (6, 20)
    assert arrays["edge_values"].shape == (7, 21)
    assert arrays["edges"].tolist() == made_up_template().edges.tolist()
    table = pd.read_csv(graphs / "a.csv")
    assert table["words"].tolist() == [
        "Temporal_Mid_L - Occipital_Mid_L: 62 % disconnected",
        "Frontal_Sup_L - Temporal_Mid_L: 38 % disconnected",
        "Temporal_Mid_L - Temporal_Mid_R: 13 % disconnected",
    ]
    assert table["destroyed_wt_percent"].tolist() == [62.5, 37.5, 13.3]
    with safe_open(graphs / "a.safetensors", "np") as file:
        about = json.loads(file.metadata()["about"])
    assert about["template_sha256"] == template_digest(made_up_template())
    graph = read_graph(graphs / "a.safetensors")
    assert graph.case_to_template_mm is not None
    assert graph.case_to_template_mm.tolist() == np.eye(4).tolist()
    assert graph.destroyed_edges[4] == pytest.approx(5 / 8)
    assert graph.edge_columns[-1] == "weight"


def test_graph_files_open_in_torch_geometric(tmp_path: Path, template: Path) -> None:
    pytest.importorskip("torch_geometric", reason="the extra 'network' is not installed")
    graphs = tmp_path / "graphs"
    branch(template, graphs=graphs).transform(cohort(tmp_path, {"a": TUMOUR}))
    data = load_graph_data(graphs / "a.safetensors")
    assert (tuple(data.x.shape), tuple(data.edge_index.shape), tuple(data.edge_attr.shape)) == (
        (6, 20),
        (2, 14),
        (14, 21),
    )
    assert data.is_undirected()
    again = graph_data(read_graph(graphs / "a.safetensors"), made_up_template().edges)
    assert bool((again.edge_attr == data.edge_attr).all())


def test_a_file_that_is_no_graph_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.safetensors").write_bytes(b"nothing")
    with pytest.raises(InputError, match="damaged or not a patient's graph"):
        read_graph(tmp_path / "a.safetensors")
    with pytest.raises(InputError, match="does not exist"):
        read_graph(tmp_path / "b.safetensors")


def test_a_template_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"gone\.npz does not exist"):
        branch(tmp_path / "gone.npz").transform(cohort(tmp_path, {"a": TUMOUR}))


def test_the_command_writes_table_graphs_and_sidecar(tmp_path: Path, template: Path) -> None:
    cohort(tmp_path, {"a": TUMOUR, "b": TUMOUR[::-1]})
    study = tmp_path / "study"
    arguments = ["features", "network", tmp_path / "cohort.csv", "-o", study, "--template", template, "--quiet"]
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    assert pd.read_csv(study / "features" / "network.csv")["case"].tolist() == ["a", "b"]
    assert sorted(path.name for path in (study / "graphs").iterdir()) == [
        f"{case}{end}"
        for case in "ab"
        for end in (".csv", ".html", ".safetensors", "_disconnected.json", "_disconnected.nii.gz")
    ]
    sidecar = (study / "features" / "network.json").read_text()
    assert str(tmp_path) not in sidecar
    assert "t2f: missing" in sidecar


@pytest.mark.real_data
def test_a_left_frontal_tumour_disconnects_left_frontal_regions(shared_data: Path, tmp_path: Path) -> None:
    case = "BraTS-GLI-00000-000"
    mask = shared_data / "mri" / case / f"{case}-seg.nii.gz"
    ways = {
        ("Frontal_Inf_Orb", "Frontal_Sup_Medial"): ((-30, 25, -12), (-10, 45, 25)),
        ("Temporal_Mid", "Occipital_Mid"): ((-56, -34, -2), (-32, -80, 16)),
    }
    places = {
        f"{name}_{letter}": (sign * x, y, z)
        for names, ends in ways.items()
        for letter, sign in (("L", 1), ("R", -1))
        for name, (x, y, z) in zip(names, ends, strict=True)
    }
    save_template(tmp_path / "spheres.npz", spheres(places))
    pd.DataFrame([{"case": case, "mask": str(mask), "mask_labels": "brats2023"}]).to_csv(
        tmp_path / "c.csv", index=False
    )
    found = branch(tmp_path / "spheres.npz").transform(read_cohort(tmp_path / "c.csv")).loc[case]
    destroyed = found.filter(like="network_destroyed_")
    assert destroyed.idxmax() == "network_destroyed_Frontal_Inf_Orb_L"
    assert destroyed.max() > 0.5
    assert not destroyed.filter(regex="_R$|Temporal|Occipital").any()
    assert found["network_weight_lost_frontal_left"] > 0.3
    assert not found.filter(regex="weight_lost_(frontal_right|temporal|occipital)").any()
