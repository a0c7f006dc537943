"""What a column is called and what its codes mean, where its own name says so: `surgery_biopsy0_resection1`, `KPS_less70-0_more70-1`."""

from __future__ import annotations

import re

_WITH_CODE = re.compile(r"^(?P<word>.*?[A-Za-z])(?P<code>[0-9])$|^(?P<spelled>.+)-(?P<after>[0-9])$")
_VAGUE = {"yes", "no", "low", "high", "none", "positive", "negative", "present", "absent"}
"""Words that need the column's title beside them."""


def coded_levels(column: str) -> dict[float, str]:
    """Return what the codes of a column mean, where its name lists two or more of them at its end; nothing otherwise.

    Args:
        column: a name such as `therapy_none0_mono1_RTandTMZ2` or `KPS_less70-0_more70-1`.

    Example:
        >>> coded_levels("post_surgery_therapy_none0_monotherapy1_RTandTMZ2")
        {0.0: 'none', 1.0: 'monotherapy', 2.0: 'RT and TMZ'}
        >>> coded_levels("KPS_less70-0_more70-1"), coded_levels("age_years")
        ({0.0: 'less 70', 1.0: 'more 70'}, {})
    """
    return _read(column)[1]


def column_title(column: str) -> str:
    """Return a column's name for people, without the codes that it lists.

    Example:
        >>> column_title("post_surgery_therapy_none0_monotherapy1_RTandTMZ2"), column_title("age_years")
        ('post surgery therapy', 'age_years')
    """
    return _read(column)[0]


def code_note(column: str) -> str | None:
    """Return a sentence on which code of a column is which; None where its name does not say.

    Example:
        >>> code_note("KPS_less70-0_more70-1")
        "KPS: 0 is 'less 70', 1 is 'more 70', by the name of the column 'KPS_less70-0_more70-1'."
    """
    title, levels = _read(column)
    if not levels:
        return None
    said = ", ".join(f"{code:g} is '{word}'" for code, word in sorted(levels.items()))
    return f"{title}: {said}, by the name of the column '{column}'."


def coded_name(column: str, level: float | str) -> str | None:
    """Return the name of one code for people, with the column's title where its words alone say too little; None where no name is known.

    Example:
        >>> coded_name("surgery_biopsy0_resection1", 0.0), coded_name("TMZ_based_chemo_yes1_no0", 1.0)
        ('biopsy', 'TMZ based chemo: yes')
    """
    title, levels = _read(column)
    word = levels.get(level) if isinstance(level, float) else None
    if word is None:
        return None
    vague = any(other.lower() in _VAGUE or re.search(r"\d", other) for other in levels.values())
    only_none = [other for other in levels.values() if other.lower() in _VAGUE] == ["none"]
    return f"{title}: {word}" if vague and not only_none else word


def _read(column: str) -> tuple[str, dict[float, str]]:
    """Return the title and the codes of a column, read from the end of its name."""
    parts = [part for part in re.split(r"[_\s]+", str(column)) if part]
    levels: dict[float, str] = {}
    rest = list(parts)
    while rest:
        found = _WITH_CODE.match(rest[-1])
        if found is not None:
            word, code = found["word"] or found["spelled"], found["code"] or found["after"]
            taken = 1
        elif re.fullmatch(r"[0-9]", rest[-1]) and len(rest) > 1:
            word, code, taken = rest[-2], rest[-1], 2
        else:
            break
        if float(code) in levels:
            break
        levels[float(code)] = _readable(word)
        rest = rest[:-taken]
    codes = sorted(levels)
    if len(codes) < 2 or codes != [codes[0] + step for step in range(len(codes))] or codes[0] > 1:
        return str(column), {}
    return _spaced(rest) or str(column), {code: levels[code] for code in codes}


def _readable(word: str) -> str:
    word = re.sub(r"(?<=[A-Z])and(?=[A-Z])", " and ", word)
    word = re.sub(r"(?<=[0-9])to(?=[0-9])", " to ", word)
    return re.sub(r"(?<=[a-z])(?=[0-9])", " ", word)


def _spaced(words: list[str]) -> str:
    apart = r"(?<=[a-z]{2})(?=[A-Z][a-z])|(?<=[A-Z]{2})(?=[a-z]{4})"  # tumorProgression, MGMTmethylation
    return " ".join(re.sub(apart, " ", word) for word in words)
