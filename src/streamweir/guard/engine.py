"""Carries one text through a guard, in whatever pieces it comes: what leaves is `redact` of the whole of it.

Semantics. The *cover* of a text is the union, over all recognisers, of every match: every beginning before which
`before` stands, every end behind which `after` stands, every validator that says yes. Overlapping matches become one
placeholder, labelled by the longest of them, or the first in the order of recognisers. A candidate that is not covered
for CAP characters is covered from its beginning until it dies; its placeholder is [OVERLONG].

Release. Everything before the earliest live candidate leaves, and no placeholder leaves while a live candidate began
inside it. Nothing is ever released on a timer.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from array import array
from collections.abc import Sequence
from typing import Final

from streamweir.guard.automaton import Act, State
from streamweir.guard.fold import fold
from streamweir.guard.shapes import OVERLONG, Finding, Guard, Interval, Mode

MASKED_DIGITS: Final = 6
"""Digits in a candidate from which on a text that breaks off inside it does not show it."""


class Scan:
    """One text. `push` gives what may leave, `finish` the rest; `findings` grows as placeholders leave.

    In the mode "block" nothing leaves behind what was safe at the first match (`blocked`); in "observe" all leaves as
    it comes. `quoted` puts placeholders into quotation marks, for JSON outside of strings. `before` is text that stands
    in front and belongs to no match, though it may announce one; `last` a character between that and the text.
    """

    __slots__ = (
        "_base",
        "_guard",
        "_intervals",
        "_mode",
        "_overlong",
        "_pos",
        "_quoted",
        "_raw",
        "_safe",
        "_starts",
        "_state",
        "findings",
        "held_max",
    )

    def __init__(
        self, guard: Guard, mode: Mode = "redact", *, quoted: bool = False, before: str = "", last: str = ""
    ) -> None:
        self._guard = guard
        self._mode = mode
        self._quoted = quoted
        self._state: State = guard.automaton.behind(before, last) if before or last else guard.automaton.start
        self._safe: int | None = None
        self._pos = 0
        self._base = 0
        self._raw = ""
        # an array, since twenty candidates may be live and a stream's state is to be small
        self._starts = array("Q")
        self._overlong = False
        self._intervals: list[Interval] = []
        self.findings: list[Finding] = []
        self.held_max = 0

    def push(self, text: str) -> str:
        """What leaves once `text` has come."""
        state, pos, starts, cap, blocked_at = self._state, self._pos, self._starts, self._guard.cap, self._safe
        if blocked_at is not None:
            return ""
        self._raw = raw = self._raw + text if self._raw else text
        for char in text:
            try:
                state, act = state.steps[char]
            except KeyError:
                state, act = self._guard.automaton.step(state, char)
            if act is not None:
                # most of what happens in prose: a word may begin something, and its end shows that it did not
                if act.begins and not starts:
                    starts.append(pos)
                elif act.ends_all and pos - starts[0] < cap:
                    del starts[:]
                else:
                    self._act(act, pos)
                    if self._safe is not None:
                        break
            pos += 1
        self._state, self._pos = state, pos
        if self._safe is not None:
            return self._up_to_the_first()
        first = starts[0] if starts else pos
        if self._intervals or pos - first >= cap:
            out = self._release()
        else:
            safe = first - self._base
            out, self._raw, self._base = raw[:safe], raw[safe:], first
            if pos - first > self.held_max:
                self.held_max = pos - first
        return text if self._mode == "observe" else out

    def finish(self, *, whole: bool) -> str:
        """What leaves at the end. Of a text that broke off no candidate is shown that carries MASKED_DIGITS digits."""
        guard, pos, starts = self._guard, self._pos, self._starts
        if self.blocked:
            return ""
        if starts:
            self._cover_overlong()
            for recogniser, candidate in guard.automaton.confirms_at_end(self._state):
                self._confirm(recogniser, starts[candidate], pos)
            if not whole:
                self._mask()
            del starts[:]
            self._overlong = False
        if self._safe is not None:
            return self._up_to_the_first()
        out = self._release()
        return "" if self._mode == "observe" else out

    @property
    def blocked(self) -> bool:
        """Whether the text must end here."""
        return self._safe is not None

    @property
    def state(self) -> tuple[object, ...]:
        """All that decides what further text does; equal for equal texts, however they were cut."""
        held = [(one.start, one.end, one.label, one.size) for one in self._intervals]
        return self._state.meaning, self._pos, tuple(self._starts), self._overlong, held

    @property
    def decided(self) -> int:
        """The position before which nothing can change any more: it has left, or stands under a placeholder."""
        return self._base

    @property
    def open_from(self) -> int | None:
        """Where the placeholder begins that stands for decided text and has not left."""
        intervals = self._intervals
        return intervals[0].start if intervals and intervals[0].start < self._base else None

    def copy(self) -> Scan:
        """Another scan that has read the same, to ask how the text would end here."""
        other = Scan(self._guard, quoted=self._quoted)
        other._mode = self._mode
        other._state, other._safe, other._pos = self._state, self._safe, self._pos
        other._base, other._raw = self._base, self._raw
        other._starts, other._overlong = self._starts[:], self._overlong
        other._intervals = [one.copy() for one in self._intervals]
        other.findings, other.held_max = list(self.findings), self.held_max
        return other

    # -- what characters do ----------------------------------------------------------------------------

    def _act(self, act: Act, pos: int) -> None:
        starts = self._starts
        if starts and pos - starts[0] >= self._guard.cap:
            self._pos = pos
            self._cover_overlong()
        for recogniser, candidate in act.confirms:
            self._confirm(recogniser, starts[candidate], pos)
        if act.keeps is not None:
            self._overlong = self._overlong and act.keeps[:1] == (0,)
            starts[:] = array("Q", [starts[number] for number in act.keeps])
        if act.begins:
            starts.append(pos)

    def _confirm(self, recogniser: int, start: int, end: int) -> None:
        validator = self._guard.kinds[recogniser].validator
        if validator is not None:
            # a match that is longer than the cap is one only by characters that are not seen; it is covered as overlong
            if end - start > self._guard.cap or start < self._base:
                return
            if not validator(_folded(self._raw[start - self._base : end - self._base])):
                return
        self._cover(start, end, recogniser)

    def _cover(self, start: int, end: int, label: int) -> None:
        size, intervals = end - start, self._intervals
        digest = None
        while intervals and intervals[-1].end > start:
            last = intervals.pop()
            start, end = min(start, last.start), max(end, last.end)
            digest = last.digest or digest
            if last.size > size or (last.size == size and last.label < label):
                size, label = last.size, last.label
        one = Interval(start, end, label, size)
        one.digest = digest
        intervals.append(one)
        if self._mode == "block" and self._safe is None:
            self._safe = min(start, self._starts[0])

    def _cover_overlong(self) -> None:
        """Cover the earliest candidate if it has held back too much; one that did goes on being covered.

        No other can have: where the earliest is covered, so is all behind it; and uncovered, it has held back the most.
        """
        start = self._starts[0]
        if not self._overlong:
            last = next((one for one in reversed(self._intervals) if one.start <= start), None)
            covered = max(start, last.end) if last is not None else start
            self._overlong = self._pos - covered >= self._guard.cap
        if self._overlong:
            self._cover(start, self._pos, len(self._guard.kinds))

    def _mask(self) -> None:
        """Cover what a text that breaks off must not show of a candidate."""
        guard = self._guard
        for start, front in zip(self._starts, self._state.fronts, strict=True):
            seen = _folded(self._raw[max(0, start - self._base) :])
            many = sum(char.isdigit() for char in seen) >= MASKED_DIGITS
            for recogniser in sorted(guard.automaton.recognisers(front)):
                kind = guard.kinds[recogniser]
                if many or (kind.secret_prefixes and seen.startswith(kind.secret_prefixes)):
                    self._cover(start, self._pos, recogniser)
                    break

    # -- what leaves -----------------------------------------------------------------------------------

    def _release(self) -> str:
        starts, pos = self._starts, self._pos
        if starts and pos - starts[0] >= self._guard.cap:
            self._cover_overlong()
        limit = starts[0] if starts else pos
        raw, base, cut = self._raw, self._base, self._base
        intervals = self._intervals
        out: list[str] = []
        gone = 0
        for one in intervals:
            if one.end > limit:
                break
            gone += 1
            if one.start > cut:
                out.append(raw[cut - base : one.start - base])
            out.append(self._placeholder(one))
            cut = one.end
        del intervals[:gone]
        stop = min(limit, intervals[0].start) if intervals else limit
        if stop > cut:
            out.append(raw[cut - base : stop - base])
            cut = stop
        if intervals and intervals[0].start <= cut:
            cut = self._swallow(intervals[0], cut)
        if cut > base:
            self._raw, self._base = raw[cut - base :], cut
        held = pos - max(cut, intervals[0].end if intervals and intervals[0].start <= cut else cut)
        if held > self.held_max:
            self.held_max = held
        return "".join(out)

    def _up_to_the_first(self) -> str:
        """What was safe when the first match was found, once; then nothing."""
        safe = self._safe or 0
        out = self._raw[: max(0, safe - self._base)]
        if self._intervals:
            self._placeholder(self._intervals[0])
            self._intervals.clear()
        self._raw, self._base = "", self._pos
        del self._starts[:]
        return out

    def _swallow(self, one: Interval, cut: int) -> int:
        """Forget the covered text of a long placeholder that is still open, but for what a validator may look at."""
        upto = min(one.end, self._pos - self._guard.cap)
        if upto <= cut:
            return cut
        if one.digest is None:
            one.digest = self._hmac()
        one.digest.update(self._raw[cut - self._base : upto - self._base].encode("utf-8", "surrogatepass"))
        return upto

    def _placeholder(self, one: Interval) -> str:
        kind = self._guard.kinds[one.label] if one.label < len(self._guard.kinds) else OVERLONG
        digest = one.digest or self._hmac()
        text = self._raw[max(0, one.start - self._base) : one.end - self._base]
        digest.update(text.encode("utf-8", "surrogatepass"))
        self.findings.append(Finding(kind.name, kind.group, one.start, one.end, digest.hexdigest()[:32]))
        return json.dumps(kind.label, ensure_ascii=False) if self._quoted else kind.label

    def _hmac(self) -> hmac.HMAC:
        return hmac.new(self._guard.key, digestmod=hashlib.sha256)


def _folded(text: str) -> str:
    """A text as patterns see it; ASCII is what it is."""
    return text if text.isascii() else "".join(map(fold, text))


def redact(guard: Guard, text: str, *, whole: bool = True) -> tuple[str, Sequence[Finding]]:
    """A whole text, redacted, and what was found in it."""
    scan = Scan(guard)
    return scan.push(text) + scan.finish(whole=whole), scan.findings
