"""Values of a prompt behind stable masks, so that a model never sees them; and the way back, in its answer.

A mask is `[EMAIL_1]`: numbered by first appearance in the request, the same value the same number.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from streamweir.guard.automaton import Automaton
from streamweir.guard.charset import ANY
from streamweir.guard.engine import redact
from streamweir.guard.pattern import parse
from streamweir.guard.shapes import Finding, Guard, Kind
from streamweir.guard.tables import Part
from streamweir.request import Message


class Masks:
    """The masks of one request. `values` maps a mask to what it stands for; `findings` says what was found."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard
        self._known: dict[tuple[str, str], str] = {}
        self._counts: dict[str, int] = {}
        self.values: dict[str, str] = {}
        self.findings: list[Finding] = []

    def messages(self, messages: Sequence[Message]) -> list[Message]:
        """The messages with every value behind its mask: texts, parts of texts, and tool results."""
        return [
            {key: self._masked(value) if key != "role" else value for key, value in one.items()} for one in messages
        ]

    def _masked(self, value: Any) -> Any:
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, list):
            return [self._masked(one) for one in value]  # pyright: ignore[reportUnknownVariableType]
        if isinstance(value, dict):
            kept = ("type", "id", "tool_call_id", "name", "url")
            return {key: one if key in kept else self._masked(one) for key, one in value.items()}  # pyright: ignore[reportUnknownVariableType]
        return value

    def text(self, text: str) -> str:
        """One text with its values behind masks."""
        _, findings = redact(self._guard, text)
        out: list[str] = []
        at = 0
        for finding in findings:
            out += (text[at : finding.start], self._mask(finding.kind, text[finding.start : finding.end]))
            at = finding.end
        self.findings += findings
        return "".join((*out, text[at:]))

    def _mask(self, kind: str, value: str) -> str:
        known = self._known.get((kind, value))
        if known is None:
            number = self._counts[kind] = self._counts.get(kind, 0) + 1
            known = self._known[kind, value] = f"[{kind}_{number}]"
            self.values[known] = value
        return known

    def restoring(self) -> Guard | None:
        """What puts the values back into an answer, for engine.Scan; None where nothing was masked."""
        if not self.values:
            return None
        parts = [Part(parse(re.escape(mask), "a mask"), ANY, ANY, False) for mask in self.values]
        kinds = tuple(Kind(mask, "pii", value) for mask, value in self.values.items())
        return Guard(Automaton(parts), kinds, b"")
