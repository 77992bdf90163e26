"""Which code points of a text that streams are covered by a guard, and how far that is decided. Pure.

A text goes on where an answer broke off and another one followed. Then two readings hold: the new answer by itself, and
all of them in a row, without what the new one repeats, as it is handed to the caller. What either covers is covered.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from streamweir.guard.arguments import ArgumentsScan
from streamweir.guard.engine import Scan
from streamweir.stages.joint import MAX_OVERLAP, overlap

PLAIN: Final = re.compile(r'[^"\\]+')


Stretch = tuple[int, int]
"""From which position to which."""

Run = tuple[int, int, int]
"""From which character that was read on, where it stands, and how wide each of them is there."""


class View:
    """One reading. Positions are the channel's; a run says where a stretch of what the scan has read stands there.

    What a new answer repeats of what was read stands there twice (`_repeated`).
    """

    __slots__ = ("_pending", "_repeated", "_runs", "_seen", "covered", "decided", "fed", "open", "read", "scan")

    def __init__(self, scan: Scan | ArgumentsScan, at: int) -> None:
        self.scan = scan
        self._runs: list[Run] = [(0, at, 1)]
        self._repeated: list[tuple[int, int, int]] = []
        self._pending = 0
        self._seen = 0
        self.read = 0
        self.fed = at
        self.decided = at
        self.covered: list[Stretch] = []
        self.open: list[Stretch] = []

    def push(self, text: str, at: int) -> None:
        """Read `text`, which stands at `at`."""
        if isinstance(self.scan, Scan):
            self._run(at, 1)
            self.scan.push(text)
            self.read += len(text)
        else:
            self._arguments(self.scan, text, at)
        self.fed = at + len(text)
        self._gather()

    def repeat(self, size: int, at: int, covers: Callable[[int, int], list[Stretch]]) -> None:
        """The last `size` characters that were read stand at `at` once more, covered as they are."""
        first = self.read - size
        self._repeated.append((first, self.read, at))
        places = sorted(self._stretches(first, self.read))
        known = sum(end - start for start, end in places)
        if known < size:
            # it lies further back than is remembered
            self.covered.append((at, at + size - known))
        at += size - known
        for start, end in places:
            self.covered += [(at + max(a, start) - start, at + min(b, end) - start) for a, b in covers(start, end)]
            at += end - start

    def finish(self, *, whole: bool) -> None:
        """The text is over: all of it is decided."""
        self.scan.finish(whole=whole)
        self._gather()
        if self._pending:
            self.covered.append((self.fed - self._pending, self.fed))
        self.decided, self.open = self.fed, []

    def break_off(self) -> None:
        """The text breaks off here, though it may go on: what it must not show in that case is covered."""
        if isinstance(self.scan, Scan):
            end = self.scan.copy()
            end.finish(whole=False)
            for one in end.findings[self._seen :]:
                self.covered += self._places(one.start, one.end)

    def _gather(self) -> None:
        """What the scan has found, and how far it is."""
        scan, runs = self.scan, self._runs
        for one in scan.findings[self._seen :]:
            self.covered += self._places(one.start, one.end)
        self._seen = len(scan.findings)
        decided, begun = scan.decided, scan.open_from
        self.open = self._places(begun, decided) if begun is not None else []
        self.decided = self.fed - self._pending if decided == self.read else self._start(decided)
        needed = decided if begun is None else begun
        while len(runs) > 1 and runs[1][0] <= needed:
            runs.pop(0)

    def _arguments(self, scan: ArgumentsScan, text: str, at: int) -> None:
        """Find which characters are one, escaped, by what each of them adds."""
        here = 0
        while here < len(text):
            plain = PLAIN.match(text, here) if not self._pending else None
            end = plain.end() if plain else here + 1
            quote = text[here] == '"' and not scan.escaping
            scan.push(text[here:end])
            if scan.size == self.read:
                self._pending = 0 if quote else self._pending + 1
            else:
                self._run(at + here - self._pending, 1 if plain else self._pending + 1)
                self.read, self._pending = scan.size, 0
            here = end

    def _run(self, at: int, width: int) -> None:
        """What is read next stands at `at`, each character of it `width` wide."""
        first, place, wide = self._runs[-1]
        if width != wide or width > 1 or place + self.read - first != at:
            self._runs.append((self.read, at, width))

    def _start(self, position: int) -> int:
        first, at, width = next(run for run in reversed(self._runs) if run[0] <= position)
        return at + (position - first) * width

    def _places(self, start: int, end: int) -> list[Stretch]:
        """Where a stretch of what was read stands, and stands again."""
        return self._stretches(start, end) + [
            (at + max(first, start) - first, at + min(last, end) - first)
            for first, last, at in self._repeated
            if first < end and start < last
        ]

    def _stretches(self, start: int, end: int) -> list[Stretch]:
        out: list[Stretch] = []
        behind = end
        for first, at, width in reversed(self._runs):
            if first < behind:
                out.append((at + (max(first, start) - first) * width, at + (behind - first) * width))
                behind = first
            if first <= start:
                break
        return out


class Channel:
    """One text, over all answers of a stream. `overlapping`: what a new answer repeats of it is not read again."""

    __slots__ = ("_covered", "_joining", "_overlapping", "_scan", "_tail", "_views", "size")

    def __init__(self, scan: Callable[[], Scan | ArgumentsScan], *, overlapping: bool = False) -> None:
        self._scan = scan
        self._overlapping = overlapping
        self._tail = ""
        self._joining: str | None = None
        self._views = [View(scan(), 0)]
        self._covered: list[Stretch] = []
        self.size = 0

    def push(self, text: str) -> int:
        """Text came; where it begins."""
        start, self.size = self.size, self.size + len(text)
        for view in self._views[1:]:
            view.push(text, start)
        if self._joining is None:
            self._push_joined(text, start)
        else:
            self._joining += text
            at = self._tail.find(self._joining)
            if at < 0 or at + len(self._joining) == len(self._tail) or len(self._joining) > MAX_OVERLAP:
                self._join()
        return start

    def go_on(self, *, whole: bool) -> None:
        """An answer is over, and another one begins. Half a tool call is not continued, so its reading ends."""
        self._join()
        in_a_row = isinstance(self._views[0].scan, Scan)
        for view in self._views:
            if in_a_row:
                view.break_off()
            else:
                view.finish(whole=whole)
            self._covered += view.covered
            view.covered = []
        self._views[:] = [*self._views[: int(in_a_row)], View(self._scan(), self.size)]
        self._joining = "" if in_a_row and self._tail else None

    def finish(self, *, whole: bool) -> None:
        """The text is over."""
        self._join()
        for view in self._views:
            view.finish(whole=whole)

    def give_up(self, upto: int) -> None:
        """Cover what is not decided before `upto`."""
        self._covered.append((min(self.decided, upto), upto))

    @property
    def decided(self) -> int:
        """The position before which nothing changes any more."""
        return min(view.decided for view in self._views)

    def covers(self, start: int, end: int) -> list[Stretch]:
        """The covered stretches that have a part between the two positions."""
        found = self._covered.copy()
        for view in self._views:
            found += view.covered
            found += view.open
        return [one for one in found if one[0] < end and one[1] > start]

    def forget(self, upto: int) -> None:
        """Nobody asks any more about what stands before `upto`, unless it is repeated."""
        upto -= 2 * MAX_OVERLAP if self._overlapping else 0
        self._covered = [one for one in self._covered if one[1] > upto]
        for view in self._views:
            view.covered = [one for one in view.covered if one[1] > upto]

    def _join(self) -> None:
        held, self._joining = self._joining, None
        if held is not None:
            repeated = overlap(self._tail, held)
            if repeated:
                self._views[0].repeat(repeated, self.size - len(held), self.covers)
            self._push_joined(held[repeated:], self.size - len(held) + repeated)

    def _push_joined(self, text: str, at: int) -> None:
        self._views[0].push(text, at)
        if self._overlapping:
            self._tail = (self._tail + text)[-MAX_OVERLAP:]
