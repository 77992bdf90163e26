"""How values are spelled: digits with emphasis between them, groups of them, and words that announce a value.

Digits may have up to four of `* _ ~` and the backtick between them, as Markdown emphasis puts them there.
"""

from __future__ import annotations

from typing import Final

EMPHASIS: Final = "[*_~`]{0,4}"
SEPARATOR: Final = "(?: ?[-.] ?| )"

MARKS: Final = r"[ \t\r\n:;#.,=?>|\\\[({\"'*_~`]"
"""What may stand between an announcing word and its value besides more words: as code, JSON, tables, emphasis."""

ESCAPED: Final = r"\\[nrt]"
"""A line break as JSON writes it."""

APART: Final = " -{1,3} "
"""A dash; without spaces it would be a part of names such as `cell-1234567`."""

MORE_WORDS: Final = (
    "number", "numbers", "nummer", "num", "no", "nr", "n°", "is", "was", "it's", "it is", "ist", "est", "lautet",
    "my", "the",
)  # fmt: skip


def run(least: int, most: int | None = None) -> str:
    """So many digits, emphasis between them."""
    more = f"{{{least - 1},{(most or least) - 1}}}"
    return rf"\d(?:{EMPHASIS}\d){more}" if (most or least) > 1 else r"\d"


def groups(separator: str, *sizes: str) -> str:
    """Groups with a separator between them, and emphasis around it."""
    return f"{EMPHASIS}{separator}{EMPHASIS}".join(sizes)


def announced(words: str, *more: str, ends: str | None = None) -> str:
    """A word, and what stands between it and the value that it announces: marks, and the usual words and `more`.

    `ends` are words that may be the end of a name in camelCase, written as they are there.
    """
    between = "|".join((*MORE_WORDS, ESCAPED, APART, *more))
    names = "" if ends is None else f"|[a-z][0-9A-Za-z]*(?:{ends})"
    return f"(?:(?i:{words}){names})(?i:{MARKS}|{between})+"


def with_digit(letters: str, least: int) -> str:
    """At least so many of these characters and digits, and one digit at least: words of prose have none."""
    either = f"[0-9{letters}]"
    ways = [rf"[{letters}]{{{first}}}\d{either}{{{least - first - 1},}}" for first in range(least)]
    return f"(?:{'|'.join(ways)}|[{letters}]{{{least},}}\\d{either}*)"
