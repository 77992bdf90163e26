"""One automaton of all recognisers and terms, whose states are built when they are first reached.

A *live* candidate is a place where a match may have begun, with the states of the patterns that may still match from
there. A `State` holds the live candidates in the order in which they began; where they began is the scanner's to know.
So what a character does is looked up in one dictionary: the next state, and an `Act` where a candidate begins, dies or
is confirmed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from streamweir.guard.charset import CharSet
from streamweir.guard.fold import fold
from streamweir.guard.pattern import Nfa

STATE_BYTES: Final = 1_500
"""What one state costs about, its dictionary and sets included; measured over prose with 1,000 terms."""

MEMO_BYTES: Final = 32 * 1024 * 1024
"""Memory of the states of one guard. When it is full all are forgotten: they are built again as they are reached."""

EDGE: Final = ""
"""What stands before the first character."""

Validator = Callable[[str], bool]


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


@dataclass(frozen=True, slots=True)
class Act:
    """What a character does besides leading on: it confirms matches that end before it (recogniser, candidate), keeps
    some candidates (None: all), and begins one.
    """

    confirms: tuple[tuple[int, int], ...]
    keeps: tuple[int, ...] | None
    begins: bool


class State:
    """A state of the automaton; `live` has a set of pattern states for each candidate, the earliest first."""

    __slots__ = ("context", "live", "prev", "steps")

    def __init__(self, context: frozenset[int], live: tuple[frozenset[int], ...], prev: int) -> None:
        self.context = context
        self.live = live
        self.prev = prev
        self.steps: dict[str, tuple[State, Act | None]] = {}


class Automaton:
    """The automaton. Its states are shared by all scanners; it belongs to one thread at a time."""

    def __init__(self, parts: Sequence[Part], memo_bytes: int = MEMO_BYTES) -> None:
        self._sets: list[CharSet] = []
        self._set_ids: dict[CharSet, int] = {}
        self._edges: list[tuple[tuple[int, tuple[int, ...]], ...]] = []
        self._accepts: dict[int, tuple[int, int]] = {}
        self._validated: set[int] = set()
        self._arms: dict[int, list[tuple[frozenset[int], int]]] = {}
        self._starts: list[tuple[int, frozenset[int]]] = []
        self._context_starts: list[tuple[int, frozenset[int]]] = []
        self._seen: dict[str, frozenset[int]] = {}
        self._max_states = max(2, memo_bytes // STATE_BYTES)
        self._memo: dict[tuple[frozenset[int], tuple[frozenset[int], ...], int], State] = {}
        self._add(parts)
        self._befores = tuple(dict.fromkeys(one for one, _ in (*self._starts, *self._context_starts)))
        self.start = self._state(frozenset(), (), (1 << len(self._befores)) - 1)
        self.forgotten = 0

    # -- building --------------------------------------------------------------------------------------

    def _add(self, parts: Sequence[Part]) -> None:
        starts: dict[int, set[int]] = {}
        context_starts: dict[int, set[int]] = {}
        for number, part in enumerate(parts):
            begin, accept, own = self._pattern(part.pattern)
            self._accepts[accept] = number, self._set(part.after)
            if part.validated:
                self._validated |= own
            if part.context is None:
                starts.setdefault(self._set(part.before), set()).update(begin)
                continue
            opens, armed, _ = self._pattern(part.context)
            context_starts.setdefault(self._set(part.context_before or part.before), set()).update(opens)
            self._arms.setdefault(armed, []).append((begin, self._set(part.before)))
        self._starts = [(one, frozenset(states)) for one, states in starts.items()]
        self._context_starts = [(one, frozenset(states)) for one, states in context_starts.items()]

    def _set(self, chars: CharSet) -> int:
        if chars not in self._set_ids:
            self._set_ids[chars] = len(self._sets)
            self._sets.append(chars)
        return self._set_ids[chars]

    def _pattern(self, nfa: Nfa) -> tuple[frozenset[int], int, set[int]]:
        """Take a pattern in: the states in which it begins, the one in which it accepts, and all of them."""
        base = len(self._edges)
        accept = len(nfa.edges) - 1
        closures = [_closure(nfa, state) for state in range(len(nfa.edges))]
        kept = {state for state, edges in enumerate(nfa.edges) if edges or state == accept}
        for edges in nfa.edges:
            self._edges.append(
                tuple(
                    (self._set(chars), tuple(base + one for one in closures[to] if one in kept)) for chars, to in edges
                )
            )
        own = {base + state for state in kept}
        return frozenset(base + one for one in closures[0] if one in kept), base + accept, own

    # -- stepping --------------------------------------------------------------------------------------

    def step(self, state: State, char: str) -> tuple[State, Act | None]:
        """What a character does in a state; remembered there."""
        folded = fold(char)
        if not folded:
            step: tuple[State, Act | None] = (state, None)
        elif folded != char and folded in state.steps:
            step = state.steps[folded]
        else:
            step = self._step(state, folded)
        if len(self._memo) > self._max_states:
            self._forget()
        state.steps[char] = step
        return step

    def behind(self, text: str) -> State:
        """The state behind a text of which no candidate is left: what it announces, and its last character."""
        state = self.start
        for char in text:
            state = (state.steps.get(char) or self.step(state, char))[0]
        return self._state(state.context, (), state.prev)

    def confirms_at_end(self, state: State) -> list[tuple[int, int]]:
        """The matches that the end of the text confirms: (recogniser, candidate)."""
        return [
            (self._accepts[one][0], number)
            for number, states in enumerate(state.live)
            for one in sorted(states)
            if one in self._accepts
        ]

    def recognisers(self, states: frozenset[int]) -> set[int]:
        """The recognisers that a candidate may still become; slow, for the end of a text only."""
        return {self._owner(one) for one in states}

    def _owner(self, state: int) -> int:
        return self._accepts[min(accept for accept in self._accepts if accept >= state)][0]

    def _step(self, state: State, char: str) -> tuple[State, Act | None]:
        seen = self._classes(char)
        confirms: list[tuple[int, int]] = []
        keeps: list[int] = []
        live: list[frozenset[int]] = []
        known: set[int] = set()
        for number, states in enumerate(state.live):
            for one in states:
                accept = self._accepts.get(one)
                if accept is not None and accept[1] in seen:
                    confirms.append((accept[0], number))
            after = self._distinct(self._move(states, seen), known)
            if after:
                keeps.append(number)
                live.append(after)
        begins = self._distinct(self._move(self._beginnings(state, seen), seen), known)
        if begins:
            live.append(begins)
        opens: set[int] = set(state.context)
        for before, states in self._context_starts:
            if self._stands(state.prev, before):
                opens |= states
        context = frozenset(self._move(opens, seen))
        prev = sum(1 << at for at, one in enumerate(self._befores) if one in seen)
        all_kept = len(keeps) == len(state.live)
        act = None
        if confirms or not all_kept or begins:
            act = Act(tuple(sorted(confirms)), None if all_kept else tuple(keeps), bool(begins))
        return self._state(context, tuple(live), prev), act

    def _beginnings(self, state: State, seen: frozenset[int]) -> set[int]:
        out: set[int] = set()
        for before, states in self._starts:
            if self._stands(state.prev, before):
                out |= states
        for one in state.context:
            for begin, _ in self._arms.get(one, ()):
                out |= begin
        return out

    def _stands(self, prev: int, before: int) -> bool:
        return bool(prev >> self._befores.index(before) & 1)

    def _move(self, states: set[int] | frozenset[int], seen: frozenset[int]) -> set[int]:
        out: set[int] = set()
        for one in states:
            for chars, targets in self._edges[one]:
                if chars in seen:
                    out.update(targets)
        return out

    def _distinct(self, states: set[int], known: set[int]) -> frozenset[int]:
        """The states that no earlier candidate has. Where a validator looks at the text both count: one may hold."""
        out = frozenset(one for one in states if one not in known)
        known |= out - self._validated
        return out

    def _classes(self, char: str) -> frozenset[int]:
        found = self._seen.get(char)
        if found is None:
            found = frozenset(number for number, chars in enumerate(self._sets) if char in chars)
            if len(self._seen) < SEEN_CHARS:
                self._seen[char] = found
        return found

    def _state(self, context: frozenset[int], live: tuple[frozenset[int], ...], prev: int) -> State:
        key = context, live, prev
        found = self._memo.get(key)
        if found is None:
            found = self._memo[key] = State(context, live, prev)
        return found

    def _forget(self) -> None:
        for state in self._memo.values():
            state.steps.clear()
        self._memo.clear()
        self.start = self._state(self.start.context, self.start.live, self.start.prev)
        self.forgotten += 1


SEEN_CHARS: Final = 10_000
"""Characters whose sets are remembered."""


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
