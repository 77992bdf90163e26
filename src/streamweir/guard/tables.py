"""The patterns of all recognisers side by side: what an automaton reads, and never changes."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

from streamweir.guard.charset import CharSet
from streamweir.guard.pattern import Nfa


@dataclass(frozen=True, slots=True)
class Part:
    """What the automaton needs of one recogniser: its pattern, what must stand before and behind a match, its context.

    `context` is a pattern that must have ended right before a match begins; it is no part of the match.
    """

    pattern: Nfa
    before: CharSet
    after: CharSet
    validated: bool
    context: Nfa | None = None
    context_before: CharSet | None = None


class Tables:
    """States are numbers, and so are sets. `accepts` maps a state to its recogniser and the set behind its match."""

    def __init__(self, parts: Sequence[Part]) -> None:
        self.sets: list[CharSet] = []
        self._set_ids: dict[CharSet, int] = {}
        self.edges: list[tuple[tuple[int, tuple[int, ...]], ...]] = []
        self.accepts: dict[int, tuple[int, int]] = {}
        self.validated: set[int] = set()
        self.arms: dict[int, dict[int, set[int]]] = {}
        self.starts: dict[int, set[int]] = {}
        self.context_starts: dict[int, set[int]] = {}
        for number, part in enumerate(parts):
            begin, accept, own = self._pattern(part.pattern)
            self.accepts[accept] = number, self._set(part.after)
            if part.validated:
                self.validated.update(own)
            if part.context is None:
                self.starts.setdefault(self._set(part.before), set()).update(begin)
                continue
            opens, armed, _ = self._pattern(part.context)
            before = self._set(part.context_before or part.before)
            self.context_starts.setdefault(before, set()).update(opens)
            self.arms.setdefault(armed, {}).setdefault(self._set(part.before), set()).update(begin)
        armed_befores = (before for begins in self.arms.values() for before in begins)
        self.befores = tuple(dict.fromkeys((*self.starts, *self.context_starts, *armed_befores)))
        self._last = sorted(self.accepts)

    def recogniser(self, state: int) -> int:
        """The recogniser that a state belongs to; no state of a context."""
        return self.accepts[self._last[bisect_left(self._last, state)]][0]

    def _set(self, chars: CharSet) -> int:
        number = self._set_ids.setdefault(chars, len(self.sets))
        if number == len(self.sets):
            self.sets.append(chars)
        return number

    def _pattern(self, nfa: Nfa) -> tuple[set[int], int, range]:
        """Take a pattern in: the states in which it begins, the one in which it accepts, and all of them."""
        base = len(self.edges)
        accept = len(nfa.edges) - 1
        # a state without edges leads nowhere, unless it accepts; only what it leads to without a character counts
        closures = [
            tuple(base + one for one in _closure(nfa, state) if nfa.edges[one] or one == accept)
            for state in range(accept + 1)
        ]
        self.edges += [tuple((self._set(chars), closures[to]) for chars, to in edges) for edges in nfa.edges]
        return set(closures[0]), base + accept, range(base, base + accept + 1)


def _closure(nfa: Nfa, state: int) -> tuple[int, ...] | set[int]:
    """The states that are reached without a character."""
    if not nfa.free[state]:
        return (state,)
    found = {state}
    left = [state]
    while left:
        for one in nfa.free[left.pop()]:
            if one not in found:
                found.add(one)
                left.append(one)
    return found
