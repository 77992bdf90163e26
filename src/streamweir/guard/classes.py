"""Characters by the sets that they are in: those that are in the same ones are one class, and patterns see no more."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import Final

from streamweir.guard.charset import CharSet
from streamweir.guard.fold import fold

SEEN_CHARS: Final = 10_000
"""Characters whose class is remembered."""


class Classes:
    """The classes that some sets make. A class is named by one of its characters; `sets` has its sets' numbers."""

    def __init__(self, sets: Sequence[CharSet]) -> None:
        self._all = tuple(sets)
        self._tests = tuple(dict.fromkeys(test for one in sets for test in one.tests))
        self._bounds = sorted({edge for one in sets for low, high in one.ranges for edge in (low, high + 1)})
        self._places: dict[tuple[int, tuple[bool, ...]], str] = {}
        self._names: dict[frozenset[int], str] = {}
        self._seen: dict[str, str] = {"": ""}
        self.sets: dict[str, frozenset[int]] = {}
        for code in range(128):
            self.name(chr(code))

    def name(self, char: str) -> str:
        """The name of a character's class; empty for a character that patterns pass over."""
        found = self._seen.get(char)
        if found is None:
            found = self._name(fold(char))
            if len(self._seen) < SEEN_CHARS:
                self._seen[char] = found
        return found

    def _name(self, char: str) -> str:
        if not char:
            return char
        # which sets a character is in follows from where it stands between their ranges, and from their tests
        place = bisect_right(self._bounds, ord(char)), tuple(bool(test(char)) for test in self._tests)
        found = self._places.get(place)
        if found is None:
            sets = frozenset(number for number, one in enumerate(self._all) if char in one)
            found = self._names.setdefault(sets, char)
            self.sets[found] = sets
            self._places[place] = found
        return found
