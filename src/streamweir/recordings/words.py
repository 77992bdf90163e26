"""What of a frame is kept beside its text: words, names that last, counts. All of it passes the guard too. Pure."""

from __future__ import annotations

import re
from typing import Final

import msgspec

from streamweir.guard.engine import redact
from streamweir.guard.shapes import Guard
from streamweir.recordings.leaves import Leaf
from streamweir.recordings.pieces import MASK, stars

WORD: Final = re.compile(r"(?=.{2,64}\Z)[A-Za-z]{2,}(?:[_.-][A-Za-z]{2,})*")
"""Letters only: no kind of value but a term is made of them, and terms are looked for."""

NAME: Final = re.compile(r"(?=.*[A-Za-z])[\w.:/?=&-]{3,200}", re.ASCII)
SIX_DIGITS: Final = re.compile(r"\d(?:[^0-9A-Za-z]*\d){5}")

SAYING: Final = frozenset(
    ("type", "object", "role", "finish_reason", "stop_reason", "reason", "status", "code", "service_tier")
)
"""Keys whose words a decoder goes by, or a report has."""

NAMING: Final = frozenset(("id", "model", "system_fingerprint", "contextId", "chunk_id"))
"""Keys whose first value is kept wherever it stands; another one is masked, so that values do not add up to a text."""

TELLING: Final = frozenset(("message", "error_description", "description", "detail", "error"))
"""Keys under which an error says what happened."""

COUNTING: Final = re.compile(r"(created|sequence)|index|status|code|(?:\w+_)?tokens(?:_generated)?")
WHOLE: Final = re.compile(r"-?\d{1,7}")
LONG: Final = re.compile(r"-?\d{1,19}")

MAX_NAMES: Final = 1000
"""Names that are remembered; they are the peer's choice."""


class Words:
    """Of one stream."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard
        self._names: dict[tuple[object, ...], str] = {}
        self._clean: dict[str, bool] = {}

    def sentence(self, text: str, *, whole: bool = False) -> str:
        """A text of one frame, with what the guard covers of it masked; `whole`: it is known not to break off."""
        out = list(text)
        for start, end in self._covered(text, whole=whole):
            out[start:end] = MASK * (end - start)
        return "".join(out)

    def word(self, text: str) -> str:
        """A word, or asterisks."""
        return text if WORD.fullmatch(text) and self._is_clean(text) else stars(text)

    def lasting(self, text: str, key: tuple[object, ...]) -> str:
        """A name that is the first under `key`, or asterisks."""
        known = self._names.get(key)
        if known is None and len(self._names) < MAX_NAMES and self._is_name(text):
            known = self._names[key] = text
        return text if text == known else stars(text)

    def key(self, leaf: Leaf) -> str:
        """A key of an object."""
        return self.word(leaf.text)

    def string(self, leaf: Leaf, *, failed: bool) -> str:
        """A string that is no piece of a text; `failed`: its frame says an error."""
        text, key = leaf.text, leaf.path[-1] if leaf.path else ""
        if not text:
            return text
        if "logprobs" in leaf.path:
            return stars(text)
        if failed and key in TELLING:
            shown = self.sentence(text)
            return leaf.raw if shown == text else spelled(shown)
        if key in SAYING:
            return self.word(text)
        return self.lasting(text, leaf.path) if key in NAMING else stars(text)

    def number(self, leaf: Leaf) -> str:
        """A number: a count where its key says so, else 0."""
        counting = COUNTING.fullmatch(leaf.path[-1]) if leaf.path and "logprobs" not in leaf.path else None
        if counting is None:
            return "0"
        fits = (LONG if counting[1] else WHOLE).fullmatch(leaf.raw) is not None
        # a number that decoders do not believe stays one of those
        return leaf.raw if fits and self._is_clean(f"{leaf.path[-1]} {leaf.raw}") else "-1"

    def _is_name(self, text: str) -> bool:
        return bool(NAME.fullmatch(text)) and not SIX_DIGITS.search(text) and self._is_clean(text)

    def _is_clean(self, text: str) -> bool:
        known = self._clean.get(text)
        if known is None:
            known = not self._covered(text)
            if len(self._clean) < MAX_NAMES:
                self._clean[text] = known
        return known

    def _covered(self, text: str, *, whole: bool = False) -> list[tuple[int, int]]:
        try:
            return [(one.start, one.end) for one in redact(self._guard, text, whole=whole)[1]]
        except Exception:
            return [(0, len(text))]


def spelled(text: str) -> str:
    """A text as it stands between quotation marks."""
    return msgspec.json.encode(text).decode()[1:-1]
