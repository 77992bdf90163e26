"""Regular patterns to automata. What is not regular, or not bounded where it must be, is refused by name.

Patterns are read by the standard library's own parser, so that they mean what they mean there, up to one thing: which
of several possible matches is found is not a pattern's business here, since all are.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, Final

from streamweir.errors import ConfigError
from streamweir.guard.charset import ANY, DIGIT, SPACE, WORD, CharSet, between, either_case, folded, of, union

_c: Any = import_module("re._constants")
_parser: Any = import_module("re._parser")

NONE: Final = CharSet()

MAX_STATES: Final = 20_000
"""States of one pattern, its repeats written out; more is a mistake, such as one bounded repeat inside another."""

UNBOUNDED: Final = int(_c.MAXREPEAT)

CATEGORIES: Final[dict[Any, CharSet]] = {
    _c.CATEGORY_DIGIT: DIGIT,
    _c.CATEGORY_NOT_DIGIT: ~DIGIT,
    _c.CATEGORY_SPACE: SPACE,
    _c.CATEGORY_NOT_SPACE: ~SPACE,
    _c.CATEGORY_WORD: WORD,
    _c.CATEGORY_NOT_WORD: ~WORD,
}

NOT_REGULAR: Final[dict[Any, str]] = {
    _c.AT: "an anchor (^, $, \\b): use `before` and `after`",
    _c.ASSERT: "a look-ahead or look-behind: use `before` and `after`",
    _c.ASSERT_NOT: "a negative look-ahead or look-behind: use `before` and `after`",
    _c.GROUPREF: "a back-reference, which no regular pattern has",
    _c.GROUPREF_EXISTS: "a conditional, which no regular pattern has",
    _c.ATOMIC_GROUP: "an atomic group, which no regular pattern has",
    _c.POSSESSIVE_REPEAT: "a possessive repeat, which no regular pattern has",
}


@dataclass(slots=True)
class Nfa:
    """A pattern's automaton. State 0 begins, the last accepts; `edges` are taken by a character, `free` by none."""

    edges: list[list[tuple[CharSet, int]]] = field(default_factory=list[list[tuple[CharSet, int]]])
    free: list[list[int]] = field(default_factory=list[list[int]])
    longest: int | None = 0
    limit: int = MAX_STATES

    def state(self) -> int:
        """A new state. Raises OverflowError where there are too many."""
        if len(self.edges) >= self.limit:
            raise OverflowError
        self.edges.append([])
        self.free.append([])
        return len(self.edges) - 1

    def is_free(self, state: int) -> bool:
        """Whether a state is reached from the first without a character."""
        found, left = {0}, [0]
        while left:
            new = [one for one in self.free[left.pop()] if one not in found]
            found.update(new)
            left += new
        return state in found


def parse(pattern: str, where: str, *, ignore_case: bool = False, as_written: bool = True) -> Nfa:
    """The automaton of a pattern; `longest` is the length of its longest match, None where there is none.

    Its characters are folded as those of the text are, unless it is not `as_written` but of folded ones already.
    Raises ConfigError, with `where`, for a pattern that is none, is not regular, or matches the empty text.
    """
    try:
        tree = _parser.parse(pattern, re.IGNORECASE if ignore_case else 0)
    except (re.error, ValueError) as error:
        raise ConfigError(f"{where}: the pattern is none: {error}") from None
    except OverflowError:
        raise ConfigError(f"{where}: a repeat of the pattern is too large") from None
    except RecursionError:
        raise ConfigError(f"{where}: the pattern is nested too deeply") from None
    builder = _Builder(where, bool(tree.state.flags & re.IGNORECASE), as_written)
    start = builder.nfa.state()
    try:
        end = builder.sequence(tree, start)
        accept = builder.nfa.state()
    except OverflowError:
        raise ConfigError(f"{where}: the pattern has over {MAX_STATES} states: its repeats are too large") from None
    builder.nfa.free[end].append(accept)
    if tree.getwidth()[0] == 0 or builder.nfa.is_free(accept):
        raise ConfigError(f"{where}: the pattern matches the empty text, which is everywhere")
    width = tree.getwidth()[1]
    builder.nfa.longest = None if width >= UNBOUNDED else width
    return builder.nfa


class _Builder:
    def __init__(self, where: str, ignore_case: bool, as_written: bool) -> None:
        self.nfa = Nfa()
        self._where = where
        self._ignore_case = ignore_case
        self._as_written = as_written
        # by where they stand in the tree: what is repeated is read once
        self._sets: dict[int, CharSet] = {}

    def sequence(self, items: Any, at: int) -> int:
        """The state behind a sequence that begins in state `at`."""
        for op, argument in items:
            at = self._item(op, argument, at)
        return at

    def _item(self, op: Any, argument: Any, at: int) -> int:
        if op is _c.LITERAL:
            return self._char(of(chr(argument)), at)
        if op is _c.NOT_LITERAL:
            return self._char(~of(chr(argument)), at)
        if op is _c.ANY:
            return self._char(~of("\n"), at)
        if op is _c.IN:
            if id(argument) not in self._sets:
                self._sets[id(argument)] = self._set(argument)
            return self._char(self._sets[id(argument)], at)
        if op is _c.BRANCH:
            end = self.nfa.state()
            for branch in argument[1]:
                self.nfa.free[self.sequence(branch, self._after(at))].append(end)
            return end
        if op is _c.SUBPATTERN:
            outside = self._ignore_case
            self._ignore_case = (outside or bool(argument[1] & re.IGNORECASE)) and not argument[2] & re.IGNORECASE
            at = self.sequence(argument[3], at)
            self._ignore_case = outside
            return at
        if op in (_c.MAX_REPEAT, _c.MIN_REPEAT):
            return self._repeat(argument, at)
        raise ConfigError(f"{self._where}: the pattern has {NOT_REGULAR.get(op, str(op))}")

    def _after(self, at: int) -> int:
        state = self.nfa.state()
        self.nfa.free[at].append(state)
        return state

    def _char(self, chars: CharSet, at: int) -> int:
        if self._ignore_case:
            chars = either_case(chars)
        if self._as_written:
            seen = folded(chars)
            if seen == NONE != chars:
                return at
            chars = seen
        here = self._after(at)
        to = self.nfa.state()
        self.nfa.edges[here].append((chars, to))
        return to

    def _repeat(self, argument: Any, at: int) -> int:
        low, high, items = argument
        for _ in range(int(low)):
            states = len(self.nfa.edges)
            at = self.sequence(items, at)
            if len(self.nfa.edges) == states:
                break
        end = self.nfa.state()
        self.nfa.free[at].append(end)
        if int(high) >= UNBOUNDED:
            loop = self._after(at)
            self.nfa.free[self.sequence(items, loop)].append(loop)
            self.nfa.free[loop].append(end)
            return end
        for _ in range(int(high) - int(low)):
            at = self.sequence(items, self._after(at))
            self.nfa.free[at].append(end)
        return end

    def _set(self, items: Any) -> CharSet:
        sets: list[CharSet] = []
        negated = False
        for op, argument in items:
            if op is _c.NEGATE:
                negated = True
            elif op is _c.LITERAL:
                sets.append(of(chr(argument)))
            elif op is _c.RANGE:
                sets.append(between((chr(argument[0]), chr(argument[1]))))
            elif op is _c.CATEGORY:
                sets.append(CATEGORIES[argument])
        try:
            found = union(*sets)
        except ValueError:
            raise ConfigError(
                f"{self._where}: a set holds \\D, \\S or \\W beside others: write out what it means"
            ) from None
        return ~found if negated else found


def parse_set(text: str | None, where: str, *, as_written: bool = True) -> CharSet:
    r"""A set of characters in brackets, or a class such as \w; None is any character. Raises ConfigError."""
    if text is None:
        return ANY
    try:
        tree = _parser.parse(text)
    except (re.error, ValueError, OverflowError, RecursionError) as error:
        raise ConfigError(f"{where} is no set of characters: {error}") from None
    if len(tree) != 1 or tree[0][0] not in (_c.IN, _c.LITERAL, _c.NOT_LITERAL):
        raise ConfigError(f"{where} is {text!r}: give one set of characters, such as [^0-9]")
    builder = _Builder(where, False, as_written)
    state = builder.nfa.state()
    builder.sequence(tree, state)
    return next((chars for edges in builder.nfa.edges for chars, _ in edges), NONE)
