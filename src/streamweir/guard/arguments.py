"""A tool call's arguments, as they stream: JSON whose strings are read as the texts they mean, escapes and all.

Each string is a text of its own, and so is what stands between strings; a key announces its value. What leaves is JSON
as good as what came: strings are escaped anew, and a placeholder for a bare number is a string.
"""

from __future__ import annotations

import json
import re
from typing import Final

from streamweir.guard.engine import Scan
from streamweir.guard.shapes import Finding, Guard, Mode

SIMPLE: Final = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f"}

HEX: Final = re.compile("[0-9a-fA-F]{4}")

ODD: Final = "\ufffd"
"""What stands for an escape that means no character."""

ANNOUNCES: Final = 64
"""Characters of a key, and of what stands between it and its value, that may announce the value."""


class ArgumentsScan:
    """As engine.Scan, for the raw JSON of one call's arguments. Positions in findings count decoded characters."""

    __slots__ = (
        "_before",
        "_done",
        "_escape",
        "_guard",
        "_high",
        "_inside",
        "_mode",
        "_offset",
        "_scan",
        "_size",
        "findings",
        "held_max",
    )

    def __init__(self, guard: Guard, mode: Mode = "redact") -> None:
        self._guard = guard
        self._mode: Mode = mode
        self._inside = False
        self._escape = ""
        self._high = ""
        self._before = ""
        self._offset = 0
        self._size = 0
        self._done = False
        self._scan = Scan(guard, mode, quoted=True)
        self.findings: list[Finding] = []
        self.held_max = 0

    @property
    def blocked(self) -> bool:
        """Whether the arguments must end here."""
        return self._done or self._scan.blocked

    @property
    def size(self) -> int:
        """Characters so far, decoded."""
        return self._offset + self._size

    @property
    def decided(self) -> int:
        """As of engine.Scan, in decoded characters."""
        return self._offset + self._scan.decided

    @property
    def open_from(self) -> int | None:
        """As of engine.Scan, in decoded characters."""
        at = self._scan.open_from
        return None if at is None else self._offset + at

    @property
    def escaping(self) -> bool:
        """Whether the text ends inside an escape."""
        return bool(self._escape)

    def push(self, text: str) -> str:
        """What leaves once `text` has come."""
        out: list[str] = []
        run: list[str] = []
        for char in text:
            if self.blocked:
                break
            if self._escape:
                run.append(self._escaped(char))
            elif char == '"':
                run.append(self._alone())
                out += (self._shown("".join(run)), self._next())
                run.clear()
                if self._done:
                    break
                out.append('"')
            elif char == "\\" and self._inside:
                self._escape = char
            else:
                run.append(self._alone() + char if self._high else char)
        out.append(self._shown("".join(run)))
        self._gather()
        return "".join(out)

    def finish(self, *, whole: bool) -> str:
        """What leaves at the end."""
        rest = self._scan.finish(whole=whole)
        self._gather()
        self._done = self._done or self._scan.blocked
        return self._encoded(rest)

    def _escaped(self, char: str) -> str:
        """The character that an escape means, once it is complete."""
        self._escape += char
        if self._escape[1] != "u":
            self._escape = ""
            return self._alone() + SIMPLE.get(char, char)
        if len(self._escape) < 6:
            return ""
        digits, self._escape = self._escape[2:], ""
        code = int(digits, 16) if HEX.fullmatch(digits) else ord(ODD)
        if self._high and 0xDC00 <= code < 0xE000:
            high, self._high = self._high, ""
            return (high + chr(code)).encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        lone = self._alone()
        if 0xD800 <= code < 0xDC00:
            self._high = chr(code)
            return lone
        return lone + (ODD if 0xD800 <= code < 0xE000 else chr(code))

    def _alone(self) -> str:
        """What stands for the first half of a character whose second half did not come."""
        lone, self._high = ODD if self._high else "", ""
        return lone

    def _shown(self, text: str) -> str:
        if not text:
            return ""
        self._size += len(text)
        self._before = (self._before + text)[-ANNOUNCES:]
        return self._encoded(self._scan.push(text))

    def _next(self) -> str:
        """A quotation mark: the text that it ends, and the one that it begins."""
        out = self._encoded(self._scan.finish(whole=True))
        self._gather()
        self._done = self._done or self._scan.blocked
        self._inside = not self._inside
        self._offset += self._size
        self._size = 0
        announced = self._before
        if self._inside:
            # a value may be announced by its key, and by nothing before that
            self._before = ""
        self._scan = Scan(self._guard, self._mode, quoted=not self._inside, before=announced, last='"')
        return out

    def _encoded(self, text: str) -> str:
        return json.dumps(text, ensure_ascii=False)[1:-1] if self._inside else text

    def _gather(self) -> None:
        scan = self._scan
        self.held_max = max(self.held_max, scan.held_max)
        self.findings += [
            Finding(f.kind, f.group, f.start + self._offset, f.end + self._offset, f.hash) for f in scan.findings
        ]
        scan.findings.clear()
