"""The words that series descriptions are searched for, in seven languages. Only these words leave a header, never its text."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

_GROUPS = {
    "t1": "t1 t1w t1wi",
    "t1-technique": "mprage mpr tfl tfl3d mp2rage bravo spgr fspgr irspgr flash fl2d fl3d vibe thrive lava tfe",
    "t2": "t2 t2w t2wi",
    "flair": "flair tirm tir tir2d spcir darkfluid fluid",
    "proton": "pd pdw dp proton",
    "contrast": "gd gad gado gadolinium gadovist gadobutrol dotarem prohance magnevist multihance km kontrast kontrastmittel contrast contraste "
    "contrasto contrastmiddel contraststof mdc mezzo ce cm gdtpa dtpa inj injection injecte civ postcontrast postgd postgad postkm pluscontrast",
    "after": "post nach apres despues dopo depois enhanced iniettato realzado",
    "with": "mit avec con com met with",
    "native": "pre nativ native nativo nativa natif basal basale plain blanco precontrast prekm pregd unenhanced noncontrast",
    "without": "ohne sans sin senza sem zonder without wo non no vor avant antes prima voor before",
    "operation": "postop preop",
    "localizer": "loc localizer localiser localizador localizzatore lokalizer scout survey smartbrain aahead aascout pilot tripilot "
    "planning calibration asset refscan topogram",
    "diffusion": "dwi dti adc eadc dadc diff diffusion diffusione difusion difusao diffusie tensor trace tracew hardi noddi dki ivim b0 b1000",
    "perfusion": "perf perfusion perfusione perfusie perfusao dsc dce asl pasl pcasl cbf cbv rcbv rcbf mtt ttp ktrans relcbf relcbv relmtt "
    "flow pwi dynamic twist",
    "angiography": "mra mrv tof angio angiography angiographie angiografia venography willis mip mnip",
    "susceptibility": "swi swan venbold t2star qsm hemo haemo hamo",
    "functional": "bold fmri rsfmri rest resting",
    "spectroscopy": "mrs csi svs press spectro spectroscopy spektroskopie",
    "map": "t1map t2map map mapping relaxometry karte",
    "subtraction": "sub subtr subtraction subtraktion sustraccion soustraction sottrazione subtractie",
    "reformat": "reformat reformatted rekonstruktion reconstruction recon",
    "mask": "mask maske masque mascara seg segmentation roi",
    "fluid-nulled": "stir dir psir",
    "steady-state": "ciss fiesta",
    "not-brain": "spine wirbelsaule hws bws lws columna coluna rachis colonna wervelkolom cervical lumbar orbit orbita neck hals",
    "plane": "ax axial axiaal tra trans transversal sag sagittal sagital cor coronal koronar",
    "technique": "tse fse se space spc cube vista brainview propeller blade multivane gre ep ep2d iso 3d 2d fs fatsat ir navigation neuronav stealth",
    "brain": "brain head hirn kopf schadel cerebro cerveau cerebral encephale encefalo craneo cranio crane hersenen hoofd",
}

VOCABULARY: dict[str, str] = {word: group for group, words in _GROUPS.items() for word in words.split()}
"""Word, lower case and without accents -> its group."""

_PHRASES = (
    (r"t2\s*\*", " t2star "),
    (r"\bw\s*/\s*o\b|\bs/\s*c(?=\b)", " without "),
    (r"\bc/\s*c\b", " pluscontrast "),
    (r"\+\s*(c|gd|gad|gado|km|ce|mdc|contrast\w*)\b", " pluscontrast "),
    (r"\bt1(w|wi)?[\s_-]*c\b", " t1 pluscontrast "),
    (r"\bpost[\s_-]*op\w*|\bpostoperati\w*|\bpos[\s_-]*op\b", " postop "),
    (r"\bpre[\s_-]*op\w*", " preop "),
    (r"\b([bt])[\s_=]*(1000|0)\b", r" \g<1>\2 "),
    (r"\b(t[12])[\s_-]*map\w*", r" \1map "),
)


def find_words(texts: Iterable[str]) -> tuple[str, ...]:
    """Return the vocabulary words that occur in free texts, sorted; nothing else of the texts is kept.

    Example:
        >>> find_words(["t2_tirm_tra_dark-fluid DOE^JANE", "3DT1 nach KM"])
        ('3d', 'fluid', 'km', 'nach', 't1', 't2', 'tirm', 'tra')
    """
    found: set[str] = set()
    for text in texts:
        plain = unicodedata.normalize("NFKD", text[:300]).encode("ascii", "ignore").decode("ascii").lower()
        for pattern, replacement in _PHRASES:
            plain = re.sub(pattern, replacement, plain.replace("_", " "))
        for token in re.findall(r"[a-z0-9]+", plain):
            found.update(_words_of(token))
    return tuple(sorted(found))


def groups_of(words: Iterable[str]) -> frozenset[str]:
    """Return the groups that vocabulary words belong to.

    Example:
        >>> sorted(groups_of(("tirm", "tra")))
        ['flair', 'plane']
    """
    return frozenset(VOCABULARY[word] for word in words if word in VOCABULARY)


def _words_of(token: str) -> list[str]:
    """Return a token that is a word, or the words a token consists of ('3dt1', 't1wce', 'tfl3d1'), or the long words inside it."""
    if token in VOCABULARY:
        return [token]
    parts = _segment(token)
    if parts is not None:
        return [part for part in parts if part in VOCABULARY]
    inside = [word for word in VOCABULARY if len(word) >= 5 and word in token]
    weighting = re.match(r"s?(t1|t2)(?=[a-z])", token)  # Philips writes sT1W
    return inside + ([weighting.group(1)] if weighting else [])


def _segment(token: str) -> list[str] | None:
    """Return vocabulary words and digits that make up the whole token, the longest first; None when they do not."""
    if len(token) > 24:
        return None
    ways: list[list[str] | None] = [[]] + [None] * len(token)
    for end in range(1, len(token) + 1):
        for start in range(end):
            piece, before = token[start:end], ways[start]
            if before is None or not (piece in VOCABULARY or piece.isdigit()):
                continue
            best = ways[end]
            if best is None or len(before) + 1 < len(best):
                ways[end] = [*before, piece]
    return ways[-1]
