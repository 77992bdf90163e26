"""A handshake on its way: what is asked for, what became of it, and which one comes behind it. No input or output."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Literal, Protocol

import msgspec

from streamweir.dialects.ends import DecodeOptions
from streamweir.errors import APIConnectionError, StreamFailed, StreamweirError
from streamweir.events import End, Released, Retry, Upstream
from streamweir.flows.continuation import NOTHING_FOLLOWS, AgainPolicy
from streamweir.flows.handshake import Failure
from streamweir.guard.shapes import Guard
from streamweir.relay import Relay
from streamweir.report import Report
from streamweir.request import Request
from streamweir.stages import Stage
from streamweir.stages.limits import TimeLimits
from streamweir.stages.release import Names, release_unguarded
from streamweir.stages.report import Identity
from streamweir.wire.websocket import WebSocket

OPEN_WITHIN: Final = 5.0
"""Seconds in which a record's opening is written, or the store counts as away: a disk may be busy for a while."""

CLOSE_WITHIN: Final = 1.0
"""Seconds for which the end of a stream waits for its record to be written; then it says that it was not."""


class Entry(Protocol):
    """A stream's record, as a handshake and a carrier see it: `records/entry.py` is one.

    `opened` is None until it is known whether its opening was written. `told` is called with whether a row was, in
    `loop`, or where that is none in another thread.
    """

    id: str
    opened: bool | None

    @property
    def required(self) -> bool: ...

    @property
    def away(self) -> str | None: ...

    def open(self, identity: Identity, told: Callable[[bool], None], loop: Any, /) -> None: ...

    def close(self, report: Report, told: Callable[[bool], None], loop: Any, /) -> None: ...


def patience(entry: Entry) -> float:
    """Seconds for which a request waits until its record is opened: none for a store that is away and not required."""
    return OPEN_WITHIN if entry.required or entry.away is None else 0.0


def unrecorded(entry: Entry) -> StreamFailed:
    """The refusal of a stream that may not begin without its record."""
    why = entry.away or "the store did not answer in time"
    message = f"the stream cannot be recorded, and records.required says that none begins then: {why}"
    return StreamFailed(message, code="records_unavailable", retryable=True)


class Opening(msgspec.Struct):
    """A handshake: what is asked for, and then a connection whose body follows, or an error, and the events on the way.

    `called_at` is on the monotonic clock, `started_at` the same moment in seconds since the epoch. `after` is the
    failure behind which the request is sent again. `connection` is the shell's own, `socket` the frames of an upgraded
    one. `failures` counts what was retried already, `before` the requests that other profiles were sent.

    `release` makes the stage that lets text out: a guard, or what releases it unread; what `covering` covers is masked
    in a recording. `coalesced`: what one read held of a text leaves in one piece. `others` are the handshakes with
    the profiles that may be asked instead, each with its `source`, and `successor` is the one that took over from this.
    `entry` is the stream's record, where one is kept; it is the call's, whoever answers.
    """

    request: Request
    limits: TimeLimits
    called_at: float
    started_at: float
    again: AgainPolicy = NOTHING_FOLLOWS
    decode: DecodeOptions | None = None
    window: int | None = None
    on_overflow: Literal["reject", "slide"] = "reject"
    after: Failure | None = None
    failures: int = 0
    before: int = 0
    profile: str | None = None
    choices: int = 1
    release: Callable[[Names], Stage[Upstream, Released | End]] = release_unguarded
    covering: Guard | None = None
    coalesced: bool = False
    source: Any = None
    entry: Entry | None = None
    others: tuple[Opening, ...] = ()
    successor: Opening | None = None
    sent_at: float = 0.0
    events: list[Upstream] = []
    attempts: int = 0
    connection: Any = None
    socket: WebSocket | None = None
    correlation_id: str | None = None
    error: StreamweirError | None = None

    @property
    def latest(self) -> Opening:
        """This handshake, or the last that took over from it."""
        return self if self.successor is None else self.successor.latest


def next_opening(relay: Relay[Any], before: Opening) -> Opening:
    """The handshake that a relay asks for behind the one it had."""
    again = relay.again
    if again is not None and again.kind == "fallback":
        return take_over(before, again.end.code or again.end.status)
    after = None
    if again is not None and again.kind == "retry":
        after = Failure("ambiguous", APIConnectionError(again.end.message or "nothing came", code=again.end.code))
    return msgspec.structs.replace(
        before,
        request=relay.follow_up(before.request),
        after=after,
        before=before.before + before.attempts,
        # behind text that was sent, nobody else can answer: another profile would begin from nothing
        others=before.others if after is not None else (),
        successor=None,
        sent_at=0.0,
        events=[],
        attempts=0,
        connection=None,
        socket=None,
        correlation_id=None,
        error=None,
    )


def take_over(before: Opening, reason: str) -> Opening:
    """The handshake with the first of the other profiles, for the same call."""
    first, *others = before.others
    name = first.profile or first.request.model
    retry = Retry(max(1, before.before + before.attempts), 0.0, f"{reason}, fallback to {name}")
    successor = msgspec.structs.replace(
        first,
        called_at=before.called_at,
        started_at=before.started_at,
        entry=before.entry,
        others=tuple(others),
        before=before.before + before.attempts,
        events=[*before.events, retry],
    )
    before.successor = successor
    return successor
