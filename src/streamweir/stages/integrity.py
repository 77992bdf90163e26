"""Sequence numbers: gaps, duplicates, disorder. Text keeps its order of arrival; a number seen before is dropped."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

import msgspec

from streamweir.events import Delta, End, Numbered, ToolCallDelta, Upstream
from streamweir.report import WHOLE, IntegrityReport

RATIO_FROM = 20
"""Chunks before the ratio means anything in mid-stream; with fewer, one late chunk looks like a tenth of the reply."""

MAX_HELD = 1_000
"""Separate gaps, and numbers without content, that are kept: they are memory, and the numbers are the peer's choice.

A stream that fails on gaps ends there. One that ignores them goes on: the gaps behind the first MAX_HELD are counted
and forgotten, and a number from where they were is taken for a late one, since a full list must not cost text."""


class Integrity:
    """The stage. `failing` ends the stream when more than `max_gap_ratio` of the numbers are missing.

    A number may come on a chunk without content (some gateways number the role chunk too). Such a number is not
    missing, and content may still come under it.
    """

    __slots__ = (
        "_blanks",
        "_duplicates",
        "_failing",
        "_first",
        "_forgotten_from",
        "_gaps",
        "_last",
        "_max_ratio",
        "_missing",
        "_out_of_order",
        "_received",
        "_unnumbered",
    )

    def __init__(self, *, failing: bool = True, max_gap_ratio: float = 0.05) -> None:
        self._failing = failing
        self._max_ratio = max_gap_ratio
        self._first: int | None = None
        self._last = -1
        self._gaps: list[tuple[int, int]] = []
        self._blanks: set[int] = set()
        self._forgotten_from: int | None = None
        self._missing = 0
        self._received = 0
        self._duplicates = 0
        self._out_of_order = 0
        self._unnumbered = False

    def __call__(self, events: Sequence[Upstream], now: float) -> Sequence[Upstream]:
        out: list[Upstream] = []
        for event in events:
            kind = type(event)
            if kind is Delta or kind is ToolCallDelta:
                self._unnumbered = True
                out.append(event)
            elif type(event) is Numbered:
                out += self._number(event)
                if self._gaps and self._failing and self._too_many():
                    out.append(self._failed(End("completed")))
                    break
            elif type(event) is End:
                out.append(self._close(event))
            else:
                out.append(event)
        return out

    @property
    def ratio(self) -> float:
        """Missing numbers of all that should have come."""
        return self._missing / (self._missing + self._received) if self._missing else 0.0

    def report(self) -> IntegrityReport:
        """The section of the report; the hash of the text is added where the text is."""
        clean = not (self._gaps or self._out_of_order or self._unnumbered)
        return IntegrityReport(
            first_sequence=self._first,
            last_sequence=self._last if self._received else None,
            gaps=list(self._gaps),
            duplicates=self._duplicates,
            out_of_order=self._out_of_order,
            gap_ratio=round(self.ratio, 4),
            verified=clean if self._received else None,
        )

    def _number(self, event: Numbered) -> Sequence[Upstream]:
        number = event.sequence
        if not event.events:
            self._blank(number)
            return ()
        if number > self._last:
            if number > self._last + 1:
                self._open_gap(self._last + 1, number - 1)
                self._forget()
            self._last = number
        elif self._close_gap(number):
            self._out_of_order += 1
        elif number in self._blanks:
            self._blanks.remove(number)
        else:
            self._duplicates += 1
            return ()
        if self._first is None:
            self._first = number
        self._received += 1
        return event.events

    def _blank(self, number: int) -> None:
        if number <= self._last and not self._close_gap(number):
            return
        if len(self._blanks) < MAX_HELD:
            self._blanks.add(number)

    def _open_gap(self, start: int, end: int) -> None:
        for blank in sorted(b for b in self._blanks if start <= b <= end):
            if blank > start:
                self._gaps.append((start, blank - 1))
                self._missing += blank - start
            start = blank + 1
        if start <= end:
            self._gaps.append((start, end))
            self._missing += end - start + 1

    def _close_gap(self, number: int) -> bool:
        at = bisect_right(self._gaps, number, key=lambda gap: gap[0]) - 1
        if at < 0 or number > self._gaps[at][1]:
            if self._forgotten_from is None or number < self._forgotten_from or not self._missing:
                return False
        else:
            first, last = self._gaps.pop(at)
            self._gaps[at:at] = [gap for gap in ((first, number - 1), (number + 1, last)) if gap[0] <= gap[1]]
            self._forget()
        self._missing -= 1
        return True

    def _forget(self) -> None:
        while not self._failing and len(self._gaps) > MAX_HELD:
            start, _ = self._gaps.pop()
            self._forgotten_from = min(start, self._forgotten_from if self._forgotten_from is not None else start)

    def _too_many(self) -> bool:
        return len(self._gaps) > MAX_HELD or (self._received >= RATIO_FROM and self.ratio > self._max_ratio)

    def _close(self, end: End) -> End:
        if end.status in WHOLE and self._failing and self.ratio > self._max_ratio:
            return self._failed(end)
        end.sections["integrity"] = self.report()
        return end

    def _failed(self, end: End) -> End:
        missing, whole = self._missing, self._missing + self._received
        return msgspec.structs.replace(
            end,
            status="failed",
            code="integrity_failed",
            message=f"{missing} of {whole} chunks never arrived: more than max_gap_ratio = {self._max_ratio:g} allows",
            error_type="StreamIntegrityError",
            sections={**end.sections, "integrity": self.report()},
        )


def joined(earlier: IntegrityReport | None, later: IntegrityReport) -> IntegrityReport:
    """The section for a reply in two pieces, each numbered anew by its own answer."""
    if earlier is None:
        return later
    known = [part.verified for part in (earlier, later) if part.verified is not None]
    return IntegrityReport(
        first_sequence=earlier.first_sequence if earlier.first_sequence is not None else later.first_sequence,
        last_sequence=later.last_sequence if later.last_sequence is not None else earlier.last_sequence,
        gaps=[*earlier.gaps, *later.gaps],
        duplicates=earlier.duplicates + later.duplicates,
        out_of_order=earlier.out_of_order + later.out_of_order,
        gap_ratio=max(earlier.gap_ratio, later.gap_ratio),
        verified=all(known) if known else None,
    )
