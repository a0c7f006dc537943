"""What speaks for and against a DICOM series being one of the four sequences: a table of rules, each with its reason and its points.

Points are natural log-odds by judgement, not fitted: 3 points settle a question (odds 20 to 1), 1 point leans.

Source: the sequence types are those of the standardised brain tumour imaging protocol (Ellingson et al., Neuro-Oncology 2015, 17:1188): T1 as
inversion-prepared gradient echo before and after contrast, T2 as turbo spin echo, FLAIR. The limits below are our own judgement, wide on purpose,
so that older spin-echo protocols, 3-D turbo spin echo, 1.5 and 3 T all fit.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from radiogen.cohort.dicom_series import DicomSeries
from radiogen.cohort.dicom_words import groups_of

FEWEST_SLICES = 8
"""Fewer slices than this are a localiser or a slab, not a brain."""
T1_TE_MS = (0.0, 40.0)
T1_SPIN_ECHO_TR_MS = (200.0, 1300.0)
T1_GRADIENT_ECHO_TE_MS = (0.0, 12.0)
T1_TI_MS = (300.0, 1400.0)
T2_TE_MS = (60.0, 700.0)
T2_TR_MS = (1800.0, 20_000.0)
FLAIR_TE_MS = (60.0, 700.0)
FLAIR_TR_MS = (3500.0, 20_000.0)
FLAIR_TI_MS = (1450.0, 3200.0)
SHORT_TI_MS = (60.0, 290.0)
T2_STAR_TE_MS = (12.0, 200.0)


@dataclass(frozen=True)
class Facts:
    """What the rules look at.

    Args:
        series: the series.
        folder_role: the sequence that the name of its folder says, or empty.
    """

    series: DicomSeries
    folder_role: str = ""

    @cached_property
    def groups(self) -> frozenset[str]:
        """Return the groups of its words."""
        return groups_of(self.series.header.words)

    def has(self, *groups: str) -> bool:
        """Return whether a word of one of the groups was found."""
        return bool(self.groups & set(groups))

    def is_type(self, *codes: str) -> bool:
        """Return whether ImageType has one of the codes."""
        return bool(set(self.series.header.image_type) & set(codes))

    def scans(self, code: str) -> bool:
        """Return whether ScanningSequence has the code."""
        return code in self.series.header.scanning_sequence

    def te(self, limits: tuple[float, float]) -> bool:
        """Return whether the echo time is known and within limits."""
        return _within(self.series.header.te_ms, limits)

    def tr(self, limits: tuple[float, float]) -> bool:
        """Return whether the repetition time is known and within limits."""
        return _within(self.series.header.tr_ms, limits)

    def ti(self, limits: tuple[float, float]) -> bool:
        """Return whether the inversion time is known and within limits."""
        return _within(self.series.header.ti_ms, limits)

    @property
    def inverted(self) -> bool:
        """Return whether there is an inversion pulse."""
        return self.scans("IR") or self.series.header.ti_ms is not None

    @property
    def gradient_echo(self) -> bool:
        """Return whether it is a gradient echo and no spin echo."""
        return self.scans("GR") and not self.scans("SE")

    @property
    def says_contrast(self) -> bool:
        """Return whether the words say that contrast was given."""
        return (self.has("contrast") and not self.has("without")) or self.has("after")

    @property
    def says_native(self) -> bool:
        """Return whether the words say that no contrast was given."""
        return self.has("native") or (self.has("contrast") and self.has("without"))


def _within(value: float | None, limits: tuple[float, float]) -> bool:
    return value is not None and limits[0] <= value <= limits[1]


Test = Callable[[Facts], bool]

_DIFFUSION_TYPES = ("ADC", "EADC", "TRACEW", "TRACE", "FA", "TENSOR", "DIFFUSION", "CALC_BVALUE", "DIFFUSION_ANISO")
_PERFUSION_TYPES = (
    "PERFUSION",
    "PERFUSION_ASL",
    "ASL",
    "DYNAMIC",
    "CBF",
    "CBV",
    "RCBV",
    "RCBF",
    "MTT",
    "TTP",
    "TMAX",
    "KTRANS",
)
_VESSEL_TYPES = ("PROJECTION IMAGE", "MIP", "MNIP", "ANGIO", "TOF", "FLOW")

NEVER: tuple[tuple[str, Test], ...] = (
    ("its modality is not MR", lambda f: f.series.header.modality != "MR"),
    ("it cannot be read as a volume", lambda f: bool(f.series.problems)),
    ("a localiser or calibration scan", lambda f: f.has("localizer") or f.is_type("LOCALIZER", "SCOUT")),
    (
        "diffusion",
        lambda f: f.has("diffusion") or f.is_type(*_DIFFUSION_TYPES),
    ),
    (
        "perfusion",
        lambda f: f.has("perfusion") or f.is_type(*_PERFUSION_TYPES),
    ),
    (
        "angiography or a projection",
        lambda f: f.has("angiography") or "TOF" in f.series.header.sequence_variant or f.is_type(*_VESSEL_TYPES),
    ),
    ("susceptibility-weighted", lambda f: f.has("susceptibility") or f.is_type("SWI", "QSM", "T2_STAR")),
    ("functional or spectroscopy", lambda f: f.has("functional", "spectroscopy") or f.is_type("FMRI", "BOLD")),
    ("a parameter map", lambda f: f.has("map") or f.is_type("T1_MAP", "T2_MAP", "T1 MAP", "T2 MAP")),
    ("a subtraction", lambda f: f.has("subtraction") or f.is_type("SUBTRACTION", "SUB")),
    ("a mask", lambda f: f.has("mask")),
    (
        "a reformatted copy (MPR)",
        # 'mpr' is also Siemens' word for MPRAGE, so the word counts only on a derived image.
        lambda f: f.is_type("MPR", "REFORMATTED") or (f.is_type("DERIVED") and (f.has("reformat") or "mpr" in f.series.header.words)),
    ),
    ("a phase image or one inversion of two", lambda f: f.is_type("P", "PHASE", "PHASE MAP", "VELOCITY", "INV1", "INV2", "SCREEN SAVE")),
    ("not of the brain", lambda f: f.has("not-brain") and not f.has("brain")),
    ("a sequence that nulls fat or several tissues (STIR, DIR, PSIR)", lambda f: f.has("fluid-nulled") or (f.scans("IR") and f.ti(SHORT_TI_MS))),
    ("a steady-state sequence", lambda f: f.has("steady-state")),
    ("echo-planar", lambda f: f.scans("EP")),
    ("a gradient echo with a long echo time (T2*)", lambda f: f.gradient_echo and not f.inverted and f.te(T2_STAR_TE_MS)),
    ("fewer slices than a brain needs", lambda f: len(f.series.files) < FEWEST_SLICES),
)  # fmt: skip
"""What keeps a series from being any of the four sequences, whatever else it says."""

_T1 = ("t1n", "t1c")

RULES: tuple[tuple[str, tuple[str, ...], float, Test], ...] = (
    ("its words say FLAIR", ("t2f",), 4.0, lambda f: f.has("flair") and not f.has("t1", "t1-technique")),
    ("its words say T1 FLAIR", _T1, 3.0, lambda f: f.has("flair") and f.has("t1") and not f.has("t2")),
    ("its words say T1", _T1, 3.0, lambda f: f.has("t1", "t1-technique") and not f.has("flair")),
    ("its words say T2", ("t2w",), 3.0, lambda f: f.has("t2") and not f.has("flair")),
    ("its words say proton density", ("other",), 3.0, lambda f: f.has("proton") and not f.has("t1", "t2", "flair")),
    ("ImageType says T1", _T1, 2.0, lambda f: f.is_type("T1")),
    ("ImageType says T2", ("t2w",), 2.0, lambda f: f.is_type("T2")),
    ("ImageType says FLAIR", ("t2f",), 3.0, lambda f: f.is_type("FLAIR")),
    ("TE, TR and TI are those of FLAIR", ("t2f",), 3.0, lambda f: f.te(FLAIR_TE_MS) and f.tr(FLAIR_TR_MS) and f.ti(FLAIR_TI_MS)),
    (
        "an inversion pulse with the TE and TR of FLAIR",
        ("t2f",),
        2.0,
        lambda f: f.scans("IR") and f.series.header.ti_ms is None and f.te(FLAIR_TE_MS) and f.tr(FLAIR_TR_MS),
    ),
    (
        "TE and TR are those of T2, without inversion",
        ("t2w",),
        2.0,
        lambda f: not f.inverted and not f.gradient_echo and f.te(T2_TE_MS) and f.tr(T2_TR_MS),
    ),
    (
        "TE and TR are those of a T1 spin echo",
        _T1,
        2.0,
        lambda f: not f.gradient_echo and f.te(T1_TE_MS) and f.tr(T1_SPIN_ECHO_TR_MS),
    ),
    ("a gradient echo with the TE of T1", _T1, 2.0, lambda f: f.gradient_echo and f.te(T1_GRADIENT_ECHO_TE_MS)),
    ("TI and TE are those of T1", _T1, 1.5, lambda f: f.ti(T1_TI_MS) and f.te(T1_TE_MS)),
    (
        "a long TR with a short TE (proton density)",
        ("other",),
        2.0,
        lambda f: not f.inverted and not f.gradient_echo and f.te((0.0, 50.0)) and f.tr(T2_TR_MS) and not f.has("t1", "t1-technique"),
    ),
    ("a contrast agent is named", ("t1c",), 2.5, lambda f: f.series.header.contrast_agent is True),
    ("the contrast agent is stated as none", ("t1n",), 1.0, lambda f: f.series.header.contrast_agent is False),
    ("no contrast agent is named", ("t1n",), 0.5, lambda f: f.series.header.contrast_agent is None),
    ("its words say with contrast", ("t1c",), 3.0, lambda f: f.says_contrast and not f.says_native),
    ("its words say without contrast", ("t1n",), 3.0, lambda f: f.says_native and not f.has("after")),
    *((f"its folder is named as {role}", (role,), 4.0, lambda f, role=role: f.folder_role == role) for role in ("t1n", "t1c", "t2w", "t2f")),
)  # fmt: skip
"""Reason, the roles it speaks for, points, and when it holds."""
