"""One character to the one that patterns see. The text itself is never changed: what is released is what came.

Each character is folded by itself, and to one character or to none, so that positions stay what they are and how the
text is cut changes nothing. Folds that depend on neighbours, or give several characters, are not made.
"""

from __future__ import annotations

import unicodedata
from functools import lru_cache
from typing import Final

SKIPPED: Final = frozenset("\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180e\u3164\ufeff\uffa0")
"""Characters that are not seen and stand between others: soft hyphens, fillers, joiners; formats (Cf) besides."""

DASHES: Final = "\u2010\u2011\u2012\u2013\u2014\u2015\u2212\u2043\u02d7\ufe58\ufe63\uff0d\u1806\u058a\u30fc\u2e3a"
DOTS: Final = "\u3002\uff0e\uff61\u2024\u00b7\u0387\u2022\u2219\u22c5\u30fb"

HOMOGLYPHS: Final[dict[str, str]] = dict(
    zip(
        "аеорсухіјѕԁһӏԛԝвкмнтАВЕКМНОРСТУХІЈЅԌΑΒΕΖΗΙΚΜΝΟΡΤΥΧοαινρυ",
        "aeopcyxijsdhlqwbkmhtABEKMHOPCTYXIJSGABEZHIKMNOPTYXoaivpu",
        strict=True,
    )
)
"""Letters of other alphabets that look like a Latin one, to that one."""


@lru_cache(maxsize=8_192)
def fold(char: str) -> str:
    """The character that patterns see; empty for one that they pass over."""
    if " " <= char <= "~":
        return char
    if char in SKIPPED or unicodedata.category(char) in ("Cf", "Mn", "Me"):
        return ""
    if char in DASHES:
        return "-"
    if char in DOTS:
        return "."
    digit = unicodedata.digit(char, None)
    if digit is not None:
        return str(digit)
    if unicodedata.category(char) == "Zs":
        return " "
    same = unicodedata.normalize("NFKC", char)
    if len(same) != 1:
        return char
    return HOMOGLYPHS.get(same, same)
