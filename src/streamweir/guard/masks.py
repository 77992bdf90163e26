"""Values of a prompt behind stable masks, so that a model never sees them; and the way back, in its answer.

A mask is `[EMAIL_1]`: numbered by first appearance in the request, the same value the same number.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any, Final

from streamweir.guard.arguments import ArgumentsScan
from streamweir.guard.automaton import Automaton
from streamweir.guard.charset import ANY
from streamweir.guard.engine import Scan
from streamweir.guard.pattern import parse
from streamweir.guard.shapes import Finding, Guard, Kind
from streamweir.guard.tables import Part
from streamweir.request import Message

KEPT: Final = frozenset(("role", "type", "id", "tool_call_id", "name", "url", "data", "file_id", "file_data", "detail"))
"""Keys of messages whose values are no text: they are sent as they are."""

MASK: Final = re.compile(r"\[[A-Z0-9_]+_\d+\]")


class Masks:
    """The masks of one request. `values` maps a mask to what it stands for; `findings` says what was found."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard
        self._said: frozenset[str] = frozenset()
        self._known: dict[tuple[str, str], str] = {}
        self._counts: dict[str, int] = {}
        self.values: dict[str, str] = {}
        self.findings: list[Finding] = []

    def messages(self, messages: Sequence[Message]) -> list[Message]:
        """The messages with every value behind its mask: texts, parts of texts, and tool results."""
        # somebody who writes a mask himself does not get another's value for it
        self._said = frozenset(MASK.findall(json.dumps(messages)))
        return [self._masked(one) for one in messages]

    def _masked(self, value: Any) -> Any:
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, list):
            return [self._masked(one) for one in value]  # pyright: ignore[reportUnknownVariableType]
        if isinstance(value, dict):
            return {key: self._of(key, one) for key, one in value.items()}  # pyright: ignore[reportUnknownVariableType,reportUnknownArgumentType]
        return value

    def _of(self, key: str, value: Any) -> Any:
        if key in KEPT:
            return value
        return self._arguments(value) if key == "arguments" and isinstance(value, str) else self._masked(value)

    def _arguments(self, text: str) -> str:
        """A tool call's arguments: JSON, in which a value may be escaped, announced by its key, or a bare number."""
        scan = ArgumentsScan(self._guard, "observe")
        scan.push(text)
        scan.finish(whole=True)
        if not scan.findings:
            return text
        try:
            return json.dumps(self._leaves(json.loads(text)), ensure_ascii=False)
        except (ValueError, RecursionError):
            return self.text(text)

    def _leaves(self, value: Any, before: str = "") -> Any:
        if isinstance(value, dict):
            return {self.text(key): self._leaves(one, f"{key}: ") for key, one in value.items()}  # pyright: ignore[reportUnknownVariableType,reportUnknownArgumentType]
        if isinstance(value, list):
            return [self._leaves(one, before) for one in value]  # pyright: ignore[reportUnknownVariableType]
        if isinstance(value, str):
            return self.text(value, before)
        masked = self.text(text := json.dumps(value), before)
        return value if masked == text else masked

    def text(self, text: str, before: str = "") -> str:
        """One text with its values behind masks; `before` may announce one."""
        scan = Scan(self._guard, "observe", before=before)
        scan.push(text)
        scan.finish(whole=True)
        findings = scan.findings
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
            while known is None or known in self._said:
                number = self._counts[kind] = self._counts.get(kind, 0) + 1
                known = f"[{kind}_{number}]"
            self._known[kind, value] = known
            self.values[known] = value
        return known

    def restoring(self) -> Guard | None:
        """What puts the values back into an answer, for engine.Scan; None where nothing was masked."""
        if not self.values:
            return None
        parts = [Part(parse(re.escape(mask), "a mask"), ANY, ANY, False) for mask in self.values]
        kinds = tuple(Kind(mask, "pii", value) for mask, value in self.values.items())
        return Guard(Automaton(parts), kinds, b"")
