"""What a guard must do to a whole text, worked out from its definition: every beginning, every end, no automaton.

Matching is the `regex` module's, and so is whether more text could still make a match; nothing of the engine is shared
but the fold of one character.
"""

from dataclasses import dataclass
from typing import Any

import regex

from streamweir.guard.fold import fold


@dataclass
class Rule:
    """One recogniser as its author writes it. `before` and `after` are sets of one character, None for any."""

    pattern: str
    before: str | None = None
    after: str | None = None
    validator: Any = None
    context: str | None = None
    context_before: str = r"\W"
    label: str = ""


class Text:
    """A text as patterns see it: its seen characters, and where each stands."""

    def __init__(self, raw: str) -> None:
        self.raw = raw
        self.places = [at for at, char in enumerate(raw) if fold(char)]
        self.seen = "".join(fold(raw[at]) for at in self.places)


def stands(chars: str | None, char: str) -> bool:
    return chars is None or not char or regex.fullmatch(chars, char) is not None


def armed(rule: Rule, text: Text, at: int) -> bool:
    if rule.context is None:
        return True
    return any(
        regex.fullmatch(rule.context, text.seen[start:at]) is not None
        and stands(rule.context_before, text.seen[start - 1] if start else "")
        for start in range(at)
    )


def alive(rule: Rule, text: Text, start: int, upto: int) -> bool:
    return regex.fullmatch(rule.pattern, text.seen[start:upto], partial=True) is not None


def redact(rules: list[Rule], raw: str, cap: int, *, whole: bool = True) -> tuple[str, list[tuple[int, int, str]]]:
    """The text with every placeholder, and the placeholders: (start, end, label)."""
    text = Text(raw)
    size = len(text.seen)
    # where each candidate begins, and the raw position at which it dies
    dies: dict[int, int] = {}
    matches: list[tuple[int, int, int]] = []
    for number, rule in enumerate(rules):
        for start in range(size):
            if not stands(rule.before, text.seen[start - 1] if start else "") or not armed(rule, text, start):
                continue
            if not alive(rule, text, start, start + 1):
                continue
            end = start + 1
            while end < size and alive(rule, text, start, end + 1):
                end += 1
            # a whole match waits for what stands behind it, and dies of it; a candidate that cannot go on, at once
            place = text.places[end] if end < size else len(raw)
            dies[text.places[start]] = max(place, dies.get(text.places[start], 0))
            for stop in range(start + 1, end + 1):
                word = text.seen[start:stop]
                if regex.fullmatch(rule.pattern, word) is None:
                    continue
                if stop < size and not stands(rule.after, text.seen[stop]):
                    continue
                last = text.places[stop] if stop < size else len(raw)
                first = text.places[start]
                if rule.validator is not None and (last - first > cap or not rule.validator(word)):
                    continue
                matches.append((first, last, number))
    return _render(rules, raw, cap, dies, matches)


def _render(rules: list[Rule], raw: str, cap: int, dies: dict[int, int], matches: list[tuple[int, int, int]]) -> Any:
    """Walk over the text: confirm what ends, cover what has been held for too long."""
    spans: list[tuple[int, int, int]] = []
    flagged: set[int] = set()
    over = len(rules)
    for now in range(len(raw) + 1):
        # what is known here: matches that ended before `now` was looked at
        known = merged([*spans, *((s, now, over) for s in flagged if dies[s] > now or dies[s] == now)])
        for start in sorted(dies):
            if start < now <= dies[start] and start not in flagged:
                covered = next((e for s, e, _, _ in known if s <= start < e), start)
                if now - covered >= cap:
                    flagged.add(start)
                    known = merged([*spans, *((s, now, over) for s in flagged if dies[s] >= now)])
        spans += [match for match in matches if match[1] == now]
        spans += [(start, now, over) for start in flagged if dies[start] == now]
    out, at, found = "", 0, []
    for start, end, _, label in merged(spans):
        name = rules[label].label if label < over else "[OVERLONG]"
        out += raw[at:start] + name
        found.append((start, end, name))
        at = end
    return out + raw[at:], found


def merged(spans: list[tuple[int, int, int]]) -> list[tuple[int, int, int, int]]:
    """Spans that overlap, as one: (start, end, size of the longest, its label)."""
    out: list[tuple[int, int, int, int]] = []
    for start, end, label in sorted(spans, key=lambda span: (span[0], span[1])):
        size = end - start
        if out and start < out[-1][1]:
            s, e, best, name = out[-1]
            if size > best or (size == best and label < name):
                best, name = size, label
            out[-1] = s, max(e, end), best, name
        else:
            out.append((start, end, size, label))
    return out
