"""One automaton of all recognisers and terms, whose states are built when they are first reached.

A *live* candidate is a place where a match may have begun; its *front* is the states of the patterns that may still
match from there. A `State` holds the fronts of the live candidates in the order in which they began; where they began
is the scanner's to know. So what a character does is looked up in one dictionary: the next state, and an `Act` where a
candidate begins, dies or is confirmed.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from sys import getsizeof
from typing import Any, Final

from streamweir.guard.classes import Classes
from streamweir.guard.tables import Part, Tables

MEMO_BYTES: Final = 32 * 1024 * 1024
"""Memory of the states of one guard. Before it is full all are forgotten: they are built again as they are reached."""

STATE_BYTES: Final = 400
"""What a state or a front costs without its steps: itself, its key, its place among the others, a first dictionary."""

STEP_BYTES: Final = 110
"""What a remembered step costs: its pair or its character, and its place in a dictionary that grows by doubling."""

NONE: Final[dict[int, set[int]]] = {}

FREED: Final = 3
"""Forgotten states that a new step frees, so that no step is long; fewer are built by one."""


@dataclass(frozen=True, slots=True)
class Act:
    """What a character does besides leading on: it confirms matches that end before it (recogniser, candidate), keeps
    some candidates (None: all), and begins one.
    """

    confirms: tuple[tuple[int, int], ...]
    keeps: tuple[int, ...] | None
    begins: bool
    ends_all: bool


class Front:
    """States of patterns, and what classes of characters make of them: other states, and recognisers that match.

    `plain` are those of recognisers without a validator. There is one front for the same states.
    """

    __slots__ = ("moves", "plain", "states")

    def __init__(self, states: frozenset[int], plain: frozenset[int]) -> None:
        self.states = states
        self.plain = plain
        self.moves: dict[str, tuple[Front | None, tuple[int, ...]]] = {}


class State:
    """A state of the automaton: the fronts of contexts and candidates, and which sets the last character is in."""

    __slots__ = ("context", "fronts", "prev", "steps")

    def __init__(self, context: Front, fronts: tuple[Front, ...], prev: int) -> None:
        self.context = context
        self.fronts = fronts
        self.prev = prev
        self.steps: dict[str, tuple[State, Act | None]] = {}

    @property
    def meaning(self) -> tuple[object, ...]:
        """What the state is, equal for equal ones."""
        return self.context.states, tuple(front.states for front in self.fronts), self.prev


class Automaton:
    """The automaton. Its states are shared by all scanners, in any number of threads.

    Threads need no lock: a step that two of them build at once is the same step, and what is forgotten while a third
    still holds it is whole by itself. Only the sum of bytes may then be a little low until all is forgotten again.
    """

    def __init__(self, parts: Sequence[Part], memo_bytes: int = MEMO_BYTES) -> None:
        tables = self._tables = Tables(parts)
        self._classes = Classes(tables.sets)
        self._bit = {one: 1 << at for at, one in enumerate(tables.befores)}
        # forgotten states are freed FREED times as fast as others are built
        self._most = memo_bytes * FREED // (FREED + 1)
        self._bytes = 0
        self._old: tuple[dict[Any, State], dict[Any, Front]] = {}, {}
        self._memo: dict[tuple[Front, tuple[Front, ...], int], State] = {}
        self._fronts: dict[frozenset[int], Front] = {}
        self._around: dict[tuple[Front, int], tuple[Front, Front]] = {}
        self._acts: dict[tuple[object, ...], Act] = {}
        self.forgotten = 0
        self.start = self._begin()

    def step(self, state: State, char: str) -> tuple[State, Act | None]:
        """What a character does in a state; remembered there, once for its class and once for itself."""
        if self._old[0] or self._old[1]:
            self._free()
        elif self._bytes > self._most:
            self._forget()
        name = self._classes.name(char)
        step = state.steps.get(name)
        if step is None:
            step = state.steps[name] = self._step(state, name) if name else (state, None)
            self._bytes += STEP_BYTES
        if char != name:
            state.steps[char] = step
            self._bytes += STEP_BYTES
        return step

    def behind(self, text: str, last: str) -> State:
        """The state behind a text of which no candidate is left: what it announces, and its last character, or `last`
        where a character follows that announces nothing.
        """
        state = self.start
        for char in text:
            state = (state.steps.get(char) or self.step(state, char))[0]
        return self._state(state.context, (), self._prev(self._classes.name(last)) if last else state.prev)

    def confirms_at_end(self, state: State) -> list[tuple[int, int]]:
        """The matches that the end of the text confirms: (recogniser, candidate)."""
        accepts = self._tables.accepts
        return [
            (accepts[one][0], number)
            for number, front in enumerate(state.fronts)
            for one in sorted(front.states)
            if one in accepts
        ]

    def recognisers(self, front: Front) -> set[int]:
        """The recognisers that a candidate may still become."""
        return {self._tables.recogniser(one) for one in front.states}

    # -- building --------------------------------------------------------------------------------------

    def _step(self, state: State, name: str) -> tuple[State, Act | None]:
        confirms: list[tuple[int, int]] = []
        keeps: list[int] = []
        fronts: list[Front] = []
        known: set[int] = set()
        for number, front in enumerate(state.fronts):
            after, ends = front.moves.get(name) or self._move(front, name)
            confirms += [(recogniser, number) for recogniser in ends]
            if after is not None and (after := self._distinct(after, known)) is not None:
                keeps.append(number)
                fronts.append(after)
        beginning, opening = self._starting(state)
        begun = (beginning.moves.get(name) or self._move(beginning, name))[0]
        if begun is not None and (begun := self._distinct(begun, known)) is not None:
            fronts.append(begun)
        context = (opening.moves.get(name) or self._move(opening, name))[0] or self._nothing
        all_kept = len(keeps) == len(state.fronts)
        act = None
        if confirms or not all_kept or begun is not None:
            act = self._act(tuple(sorted(confirms)), None if all_kept else tuple(keeps), begun is not None)
        return self._state(context, tuple(fronts), self._prev(name)), act

    def _move(self, front: Front, name: str) -> tuple[Front | None, tuple[int, ...]]:
        """What a class of characters makes of a front; remembered there."""
        tables, seen = self._tables, self._classes.sets[name]
        after: set[int] = set()
        ends: list[int] = []
        for one in front.states:
            for chars, targets in tables.edges[one]:
                if chars in seen:
                    after.update(targets)
            accept = tables.accepts.get(one)
            if accept is not None and accept[1] in seen:
                ends.append(accept[0])
        move = front.moves[name] = self._front(frozenset(after)) if after else None, tuple(ends)
        self._bytes += STEP_BYTES
        return move

    def _distinct(self, front: Front, known: set[int]) -> Front | None:
        """The states that no earlier candidate has. Where a validator looks at the text both count: one may hold."""
        if not known.isdisjoint(front.plain):
            left = front.states - known
            if not left:
                return None
            front = self._front(left)
        known |= front.plain
        return front

    def _starting(self, state: State) -> tuple[Front, Front]:
        """Where candidates and contexts may begin behind what came, the contexts that have begun included."""
        key = state.context, state.prev
        found = self._around.get(key)
        if found is None:
            tables, prev, armed = self._tables, state.prev, state.context.states
            begins = [states for before, states in tables.starts.items() if prev & self._bit[before]]
            begins += [
                states
                for one in armed
                for before, states in tables.arms.get(one, NONE).items()
                if prev & self._bit[before]
            ]
            opens = [states for before, states in tables.context_starts.items() if prev & self._bit[before]]
            found = self._front(frozenset[int]().union(*begins)), self._front(armed.union(*opens))
            self._around[key] = found
            self._bytes += STATE_BYTES
        return found

    def _prev(self, name: str) -> int:
        seen = self._classes.sets[name]
        return sum(bit for one, bit in self._bit.items() if one in seen)

    # -- remembering -----------------------------------------------------------------------------------

    def _state(self, context: Front, fronts: tuple[Front, ...], prev: int) -> State:
        key = context, fronts, prev
        found = self._memo.get(key)
        if found is None:
            self._bytes += STATE_BYTES + getsizeof(fronts)
            found = self._memo.setdefault(key, State(*key))
        return found

    def _front(self, states: frozenset[int]) -> Front:
        found = self._fronts.get(states)
        if found is None:
            plain = states - self._tables.validated
            plain = states if len(plain) == len(states) else plain
            self._bytes += STATE_BYTES + getsizeof(states) + getsizeof(plain)
            found = self._fronts.setdefault(states, Front(states, plain))
        return found

    def _act(self, confirms: tuple[tuple[int, int], ...], keeps: tuple[int, ...] | None, begins: bool) -> Act:
        key = confirms, keeps, begins
        found = self._acts.get(key)
        if found is None:
            found = self._acts[key] = Act(*key, keeps == () and not begins and not confirms)
            self._bytes += STATE_BYTES
        return found

    def _begin(self) -> State:
        """The state in front of all text."""
        self._nothing = self._front(frozenset())
        return self._state(self._nothing, (), sum(self._bit.values()))

    def _forget(self) -> None:
        """Begin anew. Scanners go on from where they are, in states that are equal to the new ones."""
        self._old = self._memo, self._fronts
        self._memo, self._fronts, self._around, self._acts = {}, {}, {}, {}
        self._bytes = 0
        self.start = self._begin()
        self.forgotten += 1

    def _free(self) -> None:
        """Free some of what was forgotten. States know each other, so each must lose its steps for any to go."""
        states, fronts = self._old
        # there are fewer than FREED at last, and other threads take out of the same dictionaries
        with suppress(KeyError):
            for _ in range(FREED):
                states.popitem()[1].steps.clear()
        with suppress(KeyError):
            for _ in range(FREED):
                fronts.popitem()[1].moves.clear()
