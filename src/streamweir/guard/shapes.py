"""What a guard is made of, and what it finds."""

from __future__ import annotations

import hmac
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Literal

import msgspec

from streamweir.guard.automaton import Automaton

Mode = Literal["redact", "block", "observe"]

CAP: Final = 256
"""Characters that a candidate may hold back before it is covered; the bounded patterns end far sooner."""


@dataclass(frozen=True, slots=True)
class Kind:
    """What becomes of a recogniser's matches: the name in findings, its group, the placeholder, the validator."""

    name: str
    group: str
    label: str = field(repr=False)  # of a mask it is the value
    validator: Callable[[str], bool] | None = None
    secret_prefixes: tuple[str, ...] = ()


OVERLONG: Final = Kind("OVERLONG", "pii", "[OVERLONG]")


class Finding(msgspec.Struct, frozen=True):
    """Something that was covered: positions are code points of the text that came, `hash` is keyed; never the value."""

    kind: str
    group: str
    start: int
    end: int
    hash: str


@dataclass(frozen=True, slots=True)
class Guard:
    """A compiled guard, for any number of texts."""

    automaton: Automaton
    kinds: tuple[Kind, ...] = field(repr=False)
    key: bytes = field(repr=False)
    cap: int = CAP


class Interval:
    """Matches that overlap, as far as they have come; `size` is the longest one's, whose label it bears."""

    __slots__ = ("digest", "end", "label", "size", "start")

    def __init__(self, start: int, end: int, label: int, size: int) -> None:
        self.start = start
        self.end = end
        self.label = label
        self.size = size
        self.digest: hmac.HMAC | None = None

    def copy(self) -> Interval:
        """Another one like it."""
        other = Interval(self.start, self.end, self.label, self.size)
        other.digest = self.digest.copy() if self.digest is not None else None
        return other
