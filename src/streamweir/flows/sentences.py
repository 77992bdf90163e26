"""Text in pieces to whole sentences, for voices and for people who read slowly. Pure.

Nothing is lost or changed: the sentences joined are the text.
"""

from __future__ import annotations

import re
from typing import Final

MAX_SENTENCE: Final = 1000
"""Code points: a longer run without an end is cut at its last white space, so that what is held stays small."""

LOOK_BACK: Final = 24
"""Code points before an end in which an abbreviation is looked for."""

MARKS: Final = ".!?…。！？\"'”’»)]」』） \t\r\n"
"""What an end may consist of."""

END: Final = re.compile(r"(?<![.!?…])[.!?…]++[\"'”’»)\]]*+\s+|[。！？]+[”’」』）]*|\n+")
"""Where a sentence may end. White space belongs to the sentence before it; a full stop without any is no end (3.5).
A run of marks is looked at once, from its begin: ten thousand dots would take seconds."""

NO_END: Final = re.compile(
    r"(?:^|[\s(\"'„“])(?:Mr|Mrs|Ms|Dr|Prof|St|No|Nr|vs|approx|e\.g|i\.e|z\.B|d\.h|u\.a|bzw|ca|\w)\.\s+$", re.UNICODE
)
"""Abbreviations and initials behind which the sentence goes on."""


class Sentences:
    """`push` gives the sentences that a piece of text completes, `flush` what is left at the end."""

    __slots__ = ("_from", "_held")

    def __init__(self) -> None:
        self._held = ""
        self._from = 0

    def push(self, text: str) -> list[str]:
        """The sentences that are certain now: the one after them has begun."""
        self._held += text
        out: list[str] = []
        start = 0
        # an end that reaches the last character may still grow, so it waits
        for found in END.finditer(self._held, self._from):
            if found.end() == len(self._held):
                break
            if NO_END.search(self._held[max(start, found.end() - LOOK_BACK) : found.end()]):
                continue
            out.append(self._held[start : found.end()])
            start = found.end()
        self._held = self._held[start:]
        if len(self._held) > MAX_SENTENCE:
            out.append(self._cut())
        # what was looked at holds no end; one may still begin in the trailing marks and white space
        self._from = len(self._held.rstrip(MARKS))
        return out

    def flush(self) -> list[str]:
        """The last sentence, whole or not."""
        rest, self._held, self._from = self._held, "", 0
        return [rest] if rest else []

    def _cut(self) -> str:
        at = self._held.rfind(" ", 0, MAX_SENTENCE) + 1 or MAX_SENTENCE
        cut, self._held = self._held[:at], self._held[at:]
        return cut
