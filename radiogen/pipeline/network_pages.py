"""Pages of `radiogen features network`: for each case what its tumour disconnects, and a map of the disconnected tracts."""

from __future__ import annotations

from functools import lru_cache, partial
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Float
from matplotlib.figure import Figure
from scipy.ndimage import center_of_mass

from radiogen.branches.base import read_scheme_mask
from radiogen.branches.network.base import NetworkTemplate, PatientGraph
from radiogen.branches.network.branch import graph_paths, template_of
from radiogen.branches.network.disconnection import WholeNetwork, lost_density, strength_loss, whole_network
from radiogen.branches.network.graph_files import read_graph
from radiogen.branches.network.words import plain_connection, plain_name
from radiogen.cohort.nifti import Grid, Image, read_image, write_image
from radiogen.cohort.table import present_sequences
from radiogen.config.network import NetworkSettings
from radiogen.preprocess.register import resample_onto
from radiogen.preprocess.template import load_template
from radiogen.report.connectome import connectome_figure
from radiogen.report.disconnection import density_figure, write_disconnection_page
from radiogen.resources import sha256_file
from radiogen.run.executor import run_cases
from radiogen.run.provenance import Provenance, hash_inputs
from radiogen.run.quarantine import Failure
from radiogen.types import Volume

STAGE = "network-pages"

_ALGORITHM = 1
_BACKGROUNDS = ("t2f", "t1c", "t2w", "t1n")
_ROWS = 25


def run_network_pages(
    cohort: pd.DataFrame,
    features: pd.DataFrame,
    settings: NetworkSettings,
    *,
    jobs: int = 1,
    dask: str | None = None,
    progress: bool = False,
) -> tuple[list[str], list[Failure]]:
    """Write a page (`<case>.html`) and a map of the disconnected tracts (`<case>_disconnected.nii.gz`) beside every graph.

    The map lies on the voxels of the case's mask. A page that is there and still true is kept.

    Args:
        cohort: as `read_cohort` returns it.
        features: table of the network branch.
        settings: `graphs` names the folder with the graphs.
        jobs: cases worked on at the same time.
        dask: scheduler address of a Dask cluster to use instead.
        progress: show a progress bar.

    Returns:
        Cases with a page, and those that failed.
    """
    if settings.graphs is None:
        return [], []
    cases = [str(case) for case in features.index if graph_paths(settings.graphs, str(case))[0].is_file()]
    items = {case: (cohort.loc[case], features.loc[case]) for case in cases}
    work = partial(write_case_page, settings=settings)
    done, failures = run_cases(work, items, stage=STAGE, jobs=jobs, dask=dask, progress=progress)
    return list(done), failures


def page_paths(folder: Path, case: str) -> tuple[Path, Path]:
    """Return where the page and the map of a case stand.

    Example:
        >>> [path.name for path in page_paths(Path("graphs"), "007")]
        ['007.html', '007_disconnected.nii.gz']
    """
    return folder / f"{case}.html", folder / f"{case}_disconnected.nii.gz"


def write_case_page(case: str, item: tuple[pd.Series, pd.Series], *, settings: NetworkSettings) -> None:
    """Write page and map of one case.

    Args:
        case: case id.
        item: its cohort row, and its row in the table of the network branch.
        settings: `graphs`, `template`, `cut_by`, `severed`.

    Raises:
        InputError: its graph cannot be used.
        ImageError: its files cannot be used.
    """
    row, values = item
    folder = Path(settings.graphs or "")
    page, density_file = page_paths(folder, case)
    file = graph_paths(folder, case)[0]
    name = next((name for name in _BACKGROUNDS if name in present_sequences(row)), None)
    files = {"graph": file, "mask": row["mask"], **({} if name is None else {name: present_sequences(row)[name]})}
    kept = {"algorithm": _ALGORITHM, "cut_by": settings.cut_by, "severed": settings.severed, "rows": _ROWS}
    provenance = Provenance(STAGE, kept, hash_inputs(files))
    if provenance.is_current([density_file, page]):
        return
    whole = _whole(settings.template, "" if settings.template is None else sha256_file(settings.template))
    graph = read_graph(file, case)
    labels, grid, _ = read_scheme_mask(row)
    density = _density_on(grid, whole.template, graph)
    write_image(density_file, density, grid)
    figures = {"Through glass": (_glass(whole, graph), _GLASS_CAPTION)}
    if name is not None:
        drawn = density_figure(read_image(files[name]).data, labels, density, grid.voxel_size_mm, f"{case}, {name}")
        figures["Over the case"] = (drawn, _OVER_CAPTION)
    notes = ["The map was brought back to the case without its deformation."] if settings.placement != "affine" else []
    write_disconnection_page(page, case, _lead(values), figures, _tables(whole, graph, values), notes, kept)
    provenance.record([density_file, page])


_GLASS_CAPTION = (
    "Connections that the tumour touches, darker the more of them is destroyed; vermillion between the halves, blue within one. Discs: the larger, "
    "the more of its connections' weight a region loses. Here the patient's left is on the left."
)
_OVER_CAPTION = (
    "Where the disconnected weight runs: over all connections, weight times destroyed share, in the voxels they pass. Blue line: whole tumour. "
    "Radiological: the patient's right (R) is on the left. The same numbers are in the NIfTI file beside this page."
)


@lru_cache(maxsize=1)
def _whole(template: Path | None, content: str) -> WholeNetwork:
    return whole_network(template_of(NetworkSettings(template=template)))


def _density_on(grid: Grid, template: NetworkTemplate, graph: PatientGraph) -> Volume:
    matrix = np.eye(4) if graph.case_to_template_mm is None else graph.case_to_template_mm
    image = Image(lost_density(template, graph.destroyed_edges), template.grid)
    return np.maximum(resample_onto(image, grid, matrix), np.float32(0))


def region_centres_mm(template: NetworkTemplate) -> Float[np.ndarray, "n 3"]:
    """Return the centre of mass of every region, world, mm.

    Args:
        template: any.
    """
    affine = template.grid.canonical_affine
    voxels = np.array(center_of_mass(template.nodes > 0, template.nodes, np.arange(1, template.n_nodes + 1)))
    return np.asarray(voxels @ affine[:3, :3].T + affine[:3, 3])


def _glass(whole: WholeNetwork, graph: PatientGraph) -> Figure:
    template, touched = whole.template, graph.destroyed_edges > 0
    brain = load_template()
    strength = graph.destroyed_edges[touched].astype(float)
    title = f"{int(touched.sum())} of {template.n_edges} connections touched"
    return connectome_figure(
        brain.brain[::2, ::2, ::2],
        brain.image.affine @ np.diag([2.0, 2, 2, 1]),
        (2.0, 2.0, 2.0),
        region_centres_mm(template),
        strength_loss(whole, graph.destroyed_edges),
        template.edges[touched],
        strength,
        title,
    )


def _lead(values: pd.Series) -> str:
    left, right = (100 * float(values[f"network_weight_lost_{side}"]) for side in ("left", "right"))
    n, severed = (int(values[f"network_connections_{word}"]) for word in ("touched", "severed"))
    return (
        f"Connections within the left half lose {left:.1f} % of their weight, within the right half {right:.1f} %; "
        f"{n} connections are touched, {severed} severed."
    )


def _tables(whole: WholeNetwork, graph: PatientGraph, values: pd.Series) -> dict[str, tuple[pd.DataFrame, str]]:
    template, share = whole.template, graph.destroyed_edges
    order = np.lexsort((np.arange(len(share)), -template.weights, -share))
    order = order[share[order] > 0][:_ROWS]
    rows = [
        (plain_connection(template, int(edge)), _percent(float(share[edge])), float(template.weights[edge]))
        for edge in order
    ]
    connections = pd.DataFrame(rows, columns=["connection", "disconnected", "weight in the template"])
    loss = strength_loss(whole, share)
    nodes = np.argsort(-loss, kind="stable")[:_ROWS]
    told = [
        (plain_name(template.node_names[n]), _percent(float(loss[n])), _percent(float(graph.destroyed_nodes[n])))
        for n in nodes
        if loss[n] > 0
    ]
    regions = pd.DataFrame(told, columns=["region", "weight of its connections lost", "inside the tumour"])
    found = {
        "Connections": (connections, f"The {len(connections)} most disconnected; all are in the CSV file beside this."),
        "Regions": (regions, "Regions that lose most of the weight of their connections."),
    }
    tracts = values[[name for name in values.index if name.startswith("network_tract_")]].sort_values(ascending=False)
    if len(touched := tracts[tracts > 0]):
        names = [plain_name(str(name).removeprefix("network_tract_")) for name in touched.index]
        table = pd.DataFrame({"tract": names, "inside the tumour": [_percent(float(value)) for value in touched]})
        found = {"Named tracts": (table, "Tracts of the atlas that the tumour touches, and how much of each."), **found}
    return found


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"
