"""Sets of characters, as patterns and guards name them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

Test = Callable[[str], bool]


@dataclass(frozen=True, slots=True)
class CharSet:
    """Ranges of code points and tests of characters; `negated` turns the whole round."""

    ranges: tuple[tuple[int, int], ...] = ()
    tests: tuple[Test, ...] = ()
    negated: bool = False

    def __contains__(self, char: str) -> bool:
        code = ord(char)
        for low, high in self.ranges:
            if low <= code <= high:
                return not self.negated
        return any(test(char) for test in self.tests) != self.negated

    def __invert__(self) -> CharSet:
        return CharSet(self.ranges, self.tests, not self.negated)


def of(chars: str) -> CharSet:
    """The set of these characters."""
    return CharSet(_joined((ord(char), ord(char)) for char in chars))


def between(*ranges: tuple[str, str]) -> CharSet:
    """The set of these ranges."""
    return CharSet(_joined((ord(low), ord(high)) for low, high in ranges))


def union(*sets: CharSet) -> CharSet:
    """All of several sets, none of them negated unless it is the only one. Raises ValueError otherwise."""
    if len(sets) == 1:
        return sets[0]
    if any(one.negated for one in sets):
        raise ValueError("a negated set stands beside others")
    tests = tuple(dict.fromkeys(test for one in sets for test in one.tests))
    return CharSet(_joined(pair for one in sets for pair in one.ranges), tests)


def either_case(one: CharSet) -> CharSet:
    """The set with the other case of each letter; characters whose other case is longer than one stay as they are."""
    pairs = [pair for low, high in one.ranges if high - low < CASED_RANGE for pair in _cases(low, high)]
    return CharSet(_joined([*one.ranges, *pairs]), one.tests, one.negated)


CASED_RANGE: Final = 5_000
"""Ranges up to this length are looked at letter by letter; longer ones hold both cases already."""


def _cases(low: int, high: int) -> Iterable[tuple[int, int]]:
    for code in range(low, high + 1):
        for other in (chr(code).lower(), chr(code).upper()):
            if len(other) == 1:
                yield ord(other), ord(other)


def _joined(pairs: Iterable[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    out: list[tuple[int, int]] = []
    for low, high in sorted(pairs):
        if out and low <= out[-1][1] + 1:
            out[-1] = out[-1][0], max(high, out[-1][1])
        else:
            out.append((low, high))
    return tuple(out)


def _is_word(char: str) -> bool:
    return char == "_" or char.isalnum()


ANY: Final = ~CharSet()
DIGIT: Final = between(("0", "9"))
SPACE: Final = CharSet(tests=(str.isspace,))
WORD: Final = CharSet(tests=(_is_word,))
NOT_WORD: Final = ~WORD
NOT_ALNUM: Final = ~CharSet(tests=(str.isalnum,))
NOT_DIGIT: Final = ~DIGIT
