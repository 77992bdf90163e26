"""Values of a prompt behind stable masks, so that a model never sees them; and the way back, in its answer.

A mask is `[EMAIL_1]`: numbered by first appearance in the request, the same value the same number.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

from msgspec.structs import replace

from streamweir.guard.arguments import ArgumentsScan
from streamweir.guard.automaton import Automaton
from streamweir.guard.charset import ANY
from streamweir.guard.engine import Scan
from streamweir.guard.pattern import parse
from streamweir.guard.shapes import Finding, Guard, Kind
from streamweir.guard.tables import Part

KEPT: Final = frozenset(
    (
        "role", "type", "id", "tool_call_id", "call_id", "name",
        "url", "image_url", "file_url", "data", "file_id", "file_data", "detail", "format",
    )
)  # fmt: skip
"""Keys of messages whose values are no text, where they are strings: they are sent as they are."""

READ: Final = ("user", "safety_identifier", "prompt_cache_key", "stop", "prediction")
"""Keys of a request that are read beside its messages and metadata. The others are the caller's program: tools, a
schema, settings. To change those would break it."""

MASK: Final = re.compile(r"\[[^\[\]]+_\d+\]")


class Masks:
    """The masks of one request. `values` maps a mask to what it stands for; `findings` says what was found."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard
        self._said: frozenset[str] = frozenset()
        self._known: dict[tuple[str, str], str] = {}
        self._counts: dict[str, int] = {}
        self.values: dict[str, str] = {}
        self.findings: list[Finding] = []

    def request(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """What a caller asks for, by the keys of an OpenAI request, with every value behind its mask."""
        read = {key: asked[key] for key in ("messages", "metadata", *READ) if key in asked}
        # somebody who writes a mask himself does not get another's value for it
        self._said = frozenset(MASK.findall(json.dumps(read, ensure_ascii=False, default=str)))
        return {**asked, **{key: self._of_request(key, value) for key, value in read.items()}}

    def _of_request(self, key: str, value: Any) -> Any:
        return self._leaves(value) if key == "metadata" else self._masked(value)

    def _masked(self, value: Any) -> Any:
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, list | tuple):
            return self._parts(value)  # pyright: ignore[reportUnknownArgumentType]
        if isinstance(value, Mapping):
            return {key: self._of(key, one) for key, one in value.items()}  # pyright: ignore[reportUnknownVariableType,reportUnknownArgumentType]
        return value

    def _of(self, key: str, value: Any) -> Any:
        if key in KEPT and isinstance(value, str):
            return value
        return self._arguments(value) if key == "arguments" and isinstance(value, str) else self._masked(value)

    def _parts(self, parts: Sequence[Any]) -> list[Any]:
        """A list, whose text parts, if there are any, a model reads as one text."""
        texts = {number: text for number, one in enumerate(parts) if (text := _text_of(one)) is not None}
        told = dict(zip(texts, self._texts(list(texts.values())), strict=True))
        return [
            {key: told[number] if key == "text" else self._of(key, value) for key, value in one.items()}
            if number in told
            else self._masked(one)
            for number, one in enumerate(parts)
        ]

    def _texts(self, texts: Sequence[str]) -> list[str]:
        """Texts that are read each by itself and as one; a mask stands where its value begins."""
        if len(texts) < 2:
            return [self.text(text) for text in texts]
        found = self._found("".join(texts))
        cuts = [0]
        for text in texts:
            # what stands in front of a part may hide what begins it, as a letter does before a number
            found += [replace(one, start=one.start + cuts[-1], end=one.end + cuts[-1]) for one in self._found(text)]
            cuts.append(cuts[-1] + len(text))
        return self._covered("".join(texts), _apart(found), cuts)

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
        """JSON that is data: keys announce values and may be ones, and so may numbers."""
        if isinstance(value, Mapping):
            return {self.text(key): self._leaves(one, f"{key}: ") for key, one in value.items()}  # pyright: ignore[reportUnknownVariableType,reportUnknownArgumentType]
        if isinstance(value, list | tuple):
            return [self._leaves(one, before) for one in value]  # pyright: ignore[reportUnknownVariableType]
        if isinstance(value, str):
            return self.text(value, before)
        masked = self.text(text := json.dumps(value), before)
        return value if masked == text else masked

    def text(self, text: str, before: str = "") -> str:
        """One text with its values behind masks; `before` may announce one."""
        return self._covered(text, self._found(text, before), (0, len(text)))[0]

    def _found(self, text: str, before: str = "") -> list[Finding]:
        scan = Scan(self._guard, "observe", before=before)
        scan.push(text)
        scan.finish(whole=True)
        return scan.findings

    def _covered(self, text: str, findings: list[Finding], cuts: Sequence[int]) -> list[str]:
        """A text in pieces, cut at `cuts`, with masks for findings that do not overlap."""
        self.findings += findings
        masks = [(one.start, one.end, self._mask(one.kind, text[one.start : one.end])) for one in findings]
        out: list[str] = []
        number, at = 0, 0
        for upto in cuts[1:]:
            piece: list[str] = []
            while number < len(masks) and masks[number][0] < upto:
                start, end, mask = masks[number]
                piece += (text[at:start], mask)
                at = end
                number += 1
            piece.append(text[at:upto])
            at = max(at, upto)
            out.append("".join(piece))
        return out

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


def _text_of(part: Any) -> str | None:
    text = cast("Mapping[str, Any]", part).get("text") if isinstance(part, Mapping) else None
    return text if isinstance(text, str) else None


def _apart(findings: list[Finding]) -> list[Finding]:
    """Findings that overlap as one, which is the longest one's."""
    out: list[Finding] = []
    for one in sorted(findings, key=lambda one: (one.start, -one.end)):
        last = out[-1] if out else None
        if last is None or one.start >= last.end:
            out.append(one)
        else:
            longest = max(last, one, key=lambda one: one.end - one.start)
            out[-1] = replace(longest, start=last.start, end=max(last.end, one.end))
    return out
