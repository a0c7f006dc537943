"""Which sequence an oddly named file holds, told from the words of its name."""

from __future__ import annotations

import re
from dataclasses import dataclass

BRAIN_MASK = "brain-mask"
OTHER = "other"

_T1 = re.compile(r"t1(w|n|wi|pre|native|weighted|mprage)?")
_T1_CONTRAST = re.compile(r"t1(w|wi)?(c|ce|gd|gad|gado|post|postgad|km|contrast|contrastenhanced|enh|cm)")
_T2 = re.compile(r"t2(w|wi|tse|fse|weighted)?")
_FLAIR = re.compile(r"(t2|t2w|tirm)?flair(w|fs)?|fla|t2f|tirm")
_MASK_WORDS = {
    "seg", "segm", "segmentation", "segmentations", "segmented", "mask", "masks", "label", "labels", "labelmap", "roi", "tumormask", "tumourmask",
    "tumorseg", "tumourseg", "tumorsegmentation", "tumoursegmentation", "groundtruth", "gt", "glistr", "glistrboost",
}  # fmt: skip
_BRAIN_MASK = re.compile(
    r"brain[_-]?(parenchyma[_-]?)?(mask|seg)|(^|[_-])bet[_-]?mask|head[_-]?mask|skull[_-]?mask|mask[_-]?brain"
)
_CONTRAST_WORDS = {
    "c", "ce", "gd", "gad", "gado", "gadolinium", "post", "postcontrast", "postgad", "contrast", "km", "cm", "enhanced", "enh", "pc",
}  # fmt: skip
_CONTRAST_ALONE = {"ce", "gd", "gad", "gado", "gadolinium", "postcontrast", "postgad", "t1post"}
_NO_CONTRAST_WORDS = {"pre", "precontrast", "native", "noncontrast", "nonce", "nogad"}
_OTHER_WORDS = {
    "adc", "dwi", "dti", "swi", "asl", "cbf", "cbv", "rcbv", "perf", "dsc", "dce", "fa", "md", "rd", "ad", "trace", "bval", "bvec", "t2star", "hardi",
    "bold", "mra", "mrs", "pet", "ct", "pd", "l1", "l2", "l3", "pwi", "ktrans",
}  # fmt: skip
_MAYBE_INITIALS = {"fa", "md", "rd", "ad", "mrs", "pet", "ct", "pd", "l1", "l2", "l3"}
_PROCESSED = {
    "bet", "brain", "ss", "stripped", "skullstripped", "unstripped", "znorm", "norm", "normalized", "normalised", "zscore", "bias", "n4", "biascorr",
    "corrected", "reg", "registered", "coreg", "coregistered", "resampled", "resliced", "sri", "sri24", "mni", "iso", "1mm", "preprocessed", "proc",
    "processed", "denoised", "hd", "hdbet", "warped", "atlas", "defaced",
}  # fmt: skip
_AUTOMATIC = {"auto", "automatic", "automated", "approx", "pred", "prediction", "predicted", "glistr", "glistrboost"}
_MANUAL = {"manual", "manually", "manuallycorrected", "expert", "final"}
_PLAIN_WORDS = {
    "ax", "axial", "sag", "sagittal", "cor", "coronal", "tra", "3d", "2d", "mri", "mr", "image", "img", "scan", "nifti", "nii", "w", "weighted",
    "tumor", "tumour", "whole", "wt", "fspgr", "mprage", "bravo", "spgr", "tse", "fse", "cube", "space", "in", "to", "fs", "fatsat", "the", "of",
}  # fmt: skip
_ROLE_WORDS = _MASK_WORDS | _CONTRAST_WORDS | _NO_CONTRAST_WORDS


@dataclass(frozen=True)
class NamedFile:
    """What the words of a file name say.

    Args:
        role: `t1n t1c t2w t2f mask`, `brain-mask`, `other` (a sequence radiogen does not use), or an empty string: not understood.
        prefix: the part of the name that identifies the case, empty where the name is only about the sequence.
        rank: how far the file is from a primary one: 0 as exported, more for every processing step named, or for a mask made by a machine.
    """

    role: str
    prefix: str
    rank: int


def read_name(stem: str) -> NamedFile:
    """Return what a file name without its extension says.

    Example:
        >>> read_name("TCGA-FG-6692_t1c_bet")
        NamedFile(role='t1c', prefix='TCGA-FG-6692', rank=1)
        >>> [read_name(name).role for name in ("T1GD", "fla", "T1", "t2_tse", "brainmask", "Ax T1 POST", "seg")]
        ['t1c', 't2f', 't1n', 't2w', 'brain-mask', 't1c', 'mask']
    """
    pieces = _split(stem)
    words = [word for word, _ in pieces]
    rank = sum(word in _PROCESSED for word in words)
    first, role = _role(stem, words)
    if not role:
        return NamedFile("", stem, rank)
    if role == "mask":
        rank += 2 * sum(word in _AUTOMATIC for word in words) - sum(word in _MANUAL for word in words)
    return NamedFile(role, _case_part(stem, pieces, first), rank)


def _split(stem: str) -> list[tuple[str, int]]:
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z][a-zA-Z]*\d|[A-Z]{2,}|[A-Z][a-z])", "_", stem)
    offset_of = _offsets(stem, spaced)
    return [(match.group().lower(), offset_of[match.start()]) for match in re.finditer(r"[A-Za-z0-9]+", spaced)]


def _offsets(stem: str, spaced: str) -> list[int]:
    offsets, position = [], 0
    for letter in spaced:
        offsets.append(position)
        if position < len(stem) and stem[position] == letter:
            position += 1
    return offsets


def _role(stem: str, words: list[str]) -> tuple[int, str]:
    """Return the index of the first word that is about the role, and the role."""
    if _BRAIN_MASK.search(stem.lower()):
        return next(
            index for index, word in enumerate(words) if re.match(r"brain|bet|head|skull|mask", word)
        ), BRAIN_MASK
    strong = [(index, kind) for index, word in enumerate(words) if (kind := _kind(word))]
    while len(strong) > 1 and words[strong[0][0]] in _MAYBE_INITIALS:
        strong = strong[1:]  # 'MD_001_t1' is a patient's id and a T1, not a diffusivity map
    kinds = {kind for _, kind in strong}
    first = strong[0][0] if strong else len(words)
    if "mask" in kinds:
        return first, "mask"
    if "other" in kinds:
        return first, OTHER
    if "t2f" in kinds:
        return first, "t2f"
    if "t1c" in kinds:
        return first, "t1c"
    if "t1n" in kinds:
        return _t1(words, next(index for index, kind in strong if kind == "t1n"))
    if "t2w" in kinds:
        return first, "t2w"
    alone = next((index for index, word in enumerate(words) if word in _CONTRAST_ALONE), None)
    return (len(words), "") if alone is None else (alone, "t1c")


def _kind(word: str) -> str:
    if word in _MASK_WORDS:
        return "mask"
    if word in _OTHER_WORDS:
        return "other"
    for kind, pattern in (("t2f", _FLAIR), ("t1c", _T1_CONTRAST), ("t1n", _T1), ("t2w", _T2)):
        if pattern.fullmatch(word):
            return kind
    return ""


def _t1(words: list[str], index: int) -> tuple[int, str]:
    after = set(words[index + 1 :])
    before = words[index - 1] if index else ""
    if after & _NO_CONTRAST_WORDS or before in _NO_CONTRAST_WORDS:
        return (index - 1 if before in _NO_CONTRAST_WORDS else index), "t1n"
    if after & _CONTRAST_WORDS:
        return index, "t1c"
    if before in _CONTRAST_WORDS - {"c"}:
        return index - 1, "t1c"
    return index, "t1n"


def _is_descriptive(word: str) -> bool:
    return word in _PROCESSED | _AUTOMATIC | _MANUAL | _PLAIN_WORDS or bool(_kind(word))


def _case_part(stem: str, pieces: list[tuple[str, int]], first: int) -> str:
    """Return the words before the role that are not about processing or direction, as written; without any, a word with a digit behind it."""
    last = first
    while last > 0 and _is_descriptive(pieces[last - 1][0]):
        last -= 1
    if last > 0:
        end = pieces[last - 1][1] + len(pieces[last - 1][0])
        return stem[:end].strip(" ._-")
    behind = [(word, start) for word, start in pieces[first:] if not _is_descriptive(word) and word not in _ROLE_WORDS]
    if behind and any(letter.isdigit() for word, _ in behind for letter in word):
        start, (word, begin) = behind[0][1], behind[-1]
        return stem[start : begin + len(word)].strip(" ._-")
    return ""
