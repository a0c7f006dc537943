"""Names of the AAL atlases -> lobes."""

from __future__ import annotations

LOBES = (
    "frontal",
    "parietal",
    "temporal",
    "occipital",
    "insula",
    "limbic",
    "deep_grey",
    "brainstem",
    "cerebellum",
)
"""The lobes that a tumour's place is told by."""

_STARTS = {
    "frontal": ("precentral", "frontal", "rolandic_oper", "supp_motor_area", "olfactory", "rectus", "ofc"),
    "parietal": (
        "postcentral",
        "parietal",
        "supramarginal",
        "angular",
        "precuneus",
        "paracentral_lobule",
    ),
    "temporal": ("heschl", "temporal", "fusiform"),
    "occipital": ("calcarine", "cuneus", "lingual", "occipital"),
    "insula": ("insula",),
    "limbic": ("cingul", "acc_", "hippocampus", "parahippocampal", "amygdala"),
    "deep_grey": ("caudate", "putamen", "pallidum", "thal", "n_acc"),
    "brainstem": ("vta", "sn_p", "red_n", "lc", "raphe"),
    "cerebellum": ("cerebel", "vermis"),
}


def lobe_of(name: str) -> str | None:
    """Return the lobe of a label of AAL, AAL2 or AAL3; nothing for other names.

    The fusiform gyrus, which lies under both, counts as temporal, the paracentral lobule as parietal, the Rolandic operculum as frontal.

    Args:
        name: as the atlas has it, with or without `_L` and `_R`.

    Source: names of Tzourio-Mazoyer et al., NeuroImage 2002;15:273 (AAL), Rolls et al., NeuroImage 2015;122:1 (AAL2) and 2020;206:116189 (AAL3);
    grouping as in a textbook of anatomy, the three doubtful ones as said above.

    Example:
        >>> lobe_of("Frontal_Sup_2_L"), lobe_of("Thal_AV_R"), lobe_of("Cerebelum_Crus1_L"), lobe_of("Elsewhere")
        ('frontal', 'deep_grey', 'cerebellum', None)
    """
    lower = name.lower()
    return next((lobe for lobe, starts in _STARTS.items() if lower.startswith(starts)), None)


def side_of(name: str) -> int:
    """Return the sign of x, RAS, that a label's name tells: -1 for `_L`, 1 for `_R`, 0 for neither.

    Example:
        >>> side_of("Insula_L"), side_of("Insula_R"), side_of("Vermis_3")
        (-1, 1, 0)
    """
    return {"_L": -1, "_R": 1}.get(name[-2:], 0)
