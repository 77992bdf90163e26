"""What a guard does to a text, counted and not timed."""

import sys
from dataclasses import dataclass, fields, replace
from types import FrameType
from typing import Any

from streamweir.guard.engine import Scan
from streamweir.guard.shapes import Guard


@dataclass
class Work:
    """`built` are steps that had to be built, `lines` of the guard's code that ran, loops within a line included."""

    characters: int = 0
    built: int = 0
    lines: int = 0
    validations: int = 0
    validated: int = 0
    copied: int = 0

    def a_character(self) -> dict[str, float]:
        return {one.name: getattr(self, one.name) / self.characters for one in fields(self)[1:]}


def counted(guard: Guard, text: str, size: int) -> Work:
    """Push a text in deltas of that size. `copied` are characters that pushes join and cut off."""
    work = Work(characters=len(text))
    kinds = tuple(replace(kind, validator=_counting(kind.validator, work)) for kind in guard.kinds)
    scan = Scan(replace(guard, kinds=kinds))
    step = guard.automaton.step

    def stepped(*args: Any) -> Any:
        work.built += 1
        return step(*args)

    def lines(frame: FrameType, event: str, _: Any) -> Any:
        if event == "call":
            return lines if "/guard/" in frame.f_code.co_filename else None
        work.lines += event == "line"
        return lines

    guard.automaton.step = stepped  # type: ignore[method-assign]
    before = sys.gettrace()
    sys.settrace(lines)
    try:
        for at in range(0, len(text), size):
            delta = text[at : at + size]
            work.copied += len(scan._raw) + len(delta)
            scan.push(delta)
            work.copied += len(scan._raw)
            scan.findings.clear()
    finally:
        sys.settrace(before)
        del guard.automaton.step  # type: ignore[method-assign]
    return work


def _counting(validator: Any, work: Work) -> Any:
    if validator is None:
        return None

    def count(text: str) -> bool:
        work.validations += 1
        work.validated += len(text)
        return bool(validator(text))

    return count
