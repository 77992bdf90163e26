"""Two other ways to guard a stream, for comparison: regular expressions on a window, and the check of each delta."""

import re
from collections.abc import Sequence

from streamweir.guard.recognisers import BUILTIN, DEFAULT_KINDS, Recogniser

WINDOW = 320
"""Characters that are held back, always: the longest value that such a window is meant to find."""


class Window:
    """The guard's own patterns and validators with `re`, over what is held back; the oldest of it leaves."""

    def __init__(self, terms: Sequence[str]) -> None:
        self._held = ""
        self._patterns = [(_compiled(one), one.validator) for one in BUILTIN if one.kind in DEFAULT_KINDS]
        alternation = "|".join(map(re.escape, sorted(terms, key=len, reverse=True)))
        self._patterns.append((re.compile(rf"(?<!\w)(?P<value>{alternation})(?!\w)", re.IGNORECASE), None))

    def push(self, text: str) -> str:
        self._held = self._redacted(self._held + text)
        out, self._held = self._held[:-WINDOW], self._held[-WINDOW:]
        return out

    def finish(self) -> str:
        return self._redacted(self._held)

    def _redacted(self, text: str) -> str:
        spans = [
            found.span("value")
            for pattern, validator in self._patterns
            for found in pattern.finditer(text)
            if validator is None or validator(found["value"])
        ]
        at, out = 0, ""
        for start, end in sorted(spans):
            if start >= at:
                out += text[at:start] + "[X]"
            at = max(at, end)
        return out + text[at:]


def _compiled(one: Recogniser) -> re.Pattern[str]:
    before = f"(?:(?<={one.before})|(?<![\\s\\S]))" if one.before else ""
    after = f"(?={one.after}|\\Z)" if one.after else ""
    pattern = f"{before}{f'(?:{one.context})' if one.context else ''}(?P<value>{one.pattern}){after}"
    return re.compile(pattern, re.IGNORECASE if one.ignore_case else 0)


class EachDelta:
    """What tutorials show: a few expressions and the list of words, tried on each delta by itself."""

    PATTERNS = tuple(
        map(
            re.compile,
            (
                r"\b\d{3}-\d{2}-\d{4}\b",
                r"\b(?:\d{4}[- ]?){3}\d{4}\b",
                r"\b[A-Za-z0-9._%+-]+@[A-Za-z0-9.-]+\.[A-Za-z]{2,}\b",
                r"\b\d{3}[-.]\d{3}[-.]\d{4}\b",
            ),
        )
    )

    def __init__(self, terms: Sequence[str]) -> None:
        self._terms = [term.lower() for term in terms]

    def push(self, text: str) -> str:
        if any(pattern.search(text) for pattern in self.PATTERNS):
            return "[X]"
        low = text.lower()
        return "[X]" if any(term in low for term in self._terms) else text

    def finish(self) -> str:
        return ""
