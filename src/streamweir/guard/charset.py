"""Sets of characters, as patterns and guards name them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from streamweir.guard.fold import DASHES, DOTS, HOMOGLYPHS, fold

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
    """The set with the other cases of each letter; longer ranges hold both cases already."""
    short = (chr(code) for low, high in one.ranges if high - low < LOOKED_AT for code in range(low, high + 1))
    pairs = ((ord(other), ord(other)) for char in short for other in cases(char))
    return CharSet(_joined([*one.ranges, *pairs]), one.tests, one.negated)


def folded(one: CharSet) -> CharSet:
    """The set with what its characters are folded to: the characters that stand for them in a text as patterns see it.

    Empty if all of them are folded to none. Of longer ranges only what the tables of folds name is looked at.
    """
    pairs: list[tuple[int, int]] = []
    for low, high in one.ranges:
        short = high - low < LOOKED_AT
        chars = map(chr, range(low, high + 1)) if short else (char for char in NAMED if low <= ord(char) <= high)
        seen = [ord(to) for char in chars if (to := fold(char))]
        if seen or not short:
            pairs += [(low, high), *((code, code) for code in seen)]
    return CharSet(_joined(pairs), one.tests, one.negated)


LOOKED_AT: Final = 5_000
"""Ranges up to this length are looked at character by character."""

NAMED: Final = (*HOMOGLYPHS, *DASHES, *DOTS)


SIGMA: Final = "\N{GREEK SMALL LETTER SIGMA}"


def cases(char: str) -> set[str]:
    """A character in all its cases; those that are longer than one character, marks aside, are left out."""
    found, left = {char}, [char]
    while left:
        one = left.pop()
        # a capital sigma is one of two small letters, by where it stands
        others = (one.lower(), one.upper(), one.title(), "\N{GREEK SMALL LETTER FINAL SIGMA}" if one == SIGMA else one)
        for other in others:
            seen = [part for part in other if fold(part)]
            if len(seen) == 1 and seen[0] not in found:
                found.add(seen[0])
                left.append(seen[0])
    return found


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
