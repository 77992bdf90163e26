"""One object carries one stream from the upstream's body bytes to whatever its sink takes. Pure and synchronous.

    relay = Relay(attempt, ...)
    out = relay.start(now)              # the events before the first byte
    out = relay.feed(data, now)         # once per socket read
    out = relay.tick(now)               # when the time that `relay.due(now)` named has come
    out = relay.end("eof", now)         # once, when the upstream is gone or nobody wants more
    out = relay.close(True, "…")        # the terminal event, once its record is written, where one is kept

Where policy asks for more behind a reply that broke off, `again` says so, and the shell sends the request that
`follow_up` makes and answers with `reopen`, or with `give_up`.

Times are seconds on one monotonic clock. `out` is what `encode` makes of released events: bytes for a face, the
events themselves for the library. After the terminal event (`done`) everything gives the empty output.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

import msgspec

from streamweir.attempt import Attempt
from streamweir.ending import Cause, ended_by, ended_by_error, own_error
from streamweir.errors import StreamweirError
from streamweir.events import Delta, End, Ended, Rejoined, Released, ThrownAway, ToolCallDelta, Upstream
from streamweir.flows.continuation import NOTHING_FOLLOWS, Again, AgainPolicy, Carried, decide, follow_up
from streamweir.report import WHOLE, IntegrityReport, Report
from streamweir.request import Request
from streamweir.stages import Stage, entered
from streamweir.stages.coalesce import coalesce
from streamweir.stages.integrity import joined
from streamweir.stages.joint import Overlap
from streamweir.stages.limits import NEVER, Limits
from streamweir.stages.measure import Measure
from streamweir.stages.report import Conclude

Out = TypeVar("Out")


class Relay(Generic[Out]):
    """See the module's docstring."""

    __slots__ = (
        "_coalesce", "_conclude", "_decode", "_encode", "_framing", "_integrity", "_limits", "_lost_text", "_measure",
        "_numbers", "_overlap", "_policy", "_recorded", "_release", "_said", "_terminal", "_tools", "again", "done",
        "ended",
    )  # fmt: skip

    def __init__(
        self,
        attempt: Attempt,
        *,
        release: Stage[Upstream, Released | End],
        encode: Callable[[Sequence[Released]], Out],
        coalesced: bool = False,
        recorded: bool = False,
    ) -> None:
        """`coalesced`: what one read held of a text is released in one piece. `recorded`: the end waits for `close`."""
        self._encode = entered(encode)
        self._coalesce = coalesce if coalesced else None
        self._policy = attempt.policy if attempt.policy != NOTHING_FOLLOWS else None
        called_at = attempt.identity.called_at
        self._limits = Limits(attempt.limits, called_at, attempt.sent_at)
        self._measure = Measure(called_at)
        self._release = entered(release)
        self._conclude = Conclude(attempt.identity)
        self._overlap: Overlap | None = None
        self._numbers: IntegrityReport | None = None
        self._tools = False
        self._lost_text = False
        self._said: list[str] = []
        self._recorded = recorded
        self._terminal: Ended | None = None
        self.again: Again | None = None
        self.ended = False
        self.done = False
        self._begin(attempt)

    def _begin(self, attempt: Attempt) -> None:
        self._framing = attempt.framing
        self._decode = attempt.decode
        self._integrity = attempt.integrity
        self._conclude.attempts = attempt.attempts
        self._conclude.received += attempt.received
        self._conclude.correlation_id = attempt.correlation_id or self._conclude.correlation_id

    def start(self, before: Sequence[Upstream], now: float) -> Out:
        """Open the stream. `before` is what happened on the way: retries, then usually `Opened` and `Limits`."""
        return self._pass(before, now)

    def feed(self, data: bytes, now: float) -> Out:
        """What one read of the upstream's body becomes."""
        if self.ended or self.again is not None:
            return self._encode(())
        self._conclude.received += len(data)
        self._limits.heard_at = now
        try:
            # by their method, as `entered` gives it: decoders and stages are objects
            events = self._decode.__call__(self._framing.feed(data))
        except Exception as error:
            events = (own_error(error),)
        return self._pass(events, now)

    def tick(self, now: float) -> Out:
        """End the stream if a time limit has run out; else nothing."""
        expired = None if self.ended else self._limits.expired(now)
        return self._pass((*self._decode.rest(), expired) if expired else (), now)

    def end(self, cause: Cause, now: float, detail: str = "") -> Out:
        """End the stream from outside; a stream that has ended stays as it ended."""
        return self._pass((*self._decode.rest(), ended_by(cause, detail)), now)

    def refuse(self, error: StreamweirError, before: Sequence[Upstream], now: float) -> Out:
        """End a stream that never began, with the error that its caller gets; `before` is what happened on the way."""
        # whatever could be asked again was, in the handshake
        self._policy = None
        return self._pass((*before, ended_by_error(error)), now)

    def follow_up(self, request: Request) -> Request:
        """The request to send where there is `again`."""
        if self.again is None or self._policy is None:
            return request
        return follow_up(request, self.again, self.said, self._policy)

    def reopen(self, attempt: Attempt, before: Sequence[Upstream], now: float) -> Out:
        """The request that `again` asked for was accepted; `before` is what happened on the way."""
        again = self.again
        if again is None or self.ended:
            return self._encode(())
        self.again = None
        numbers = self._numbered()
        self._begin(attempt)
        if again.kind == "fallback":
            self._policy = attempt.policy if attempt.policy != NOTHING_FOLLOWS else None
            self._limits.limits = attempt.limits
            self._conclude.identity = attempt.identity
        self._limits.reopen(attempt.sent_at)
        self._measure.reopen()
        told: tuple[Upstream, ...] = ()
        if again.kind == "restart":
            self._said.clear()
            self._conclude.restarts += 1
            self._numbers = None
            self._tools = False
            told = (ThrownAway(again.end.code or again.end.status),)
        elif again.kind == "continue":
            self._conclude.continuations += 1
            self._numbers = numbers
            self._overlap = Overlap(self.said)
            told = (Rejoined(),)
        return self._pass((*before, *told), now)

    def give_up(self, error: StreamweirError, attempts: int, before: Sequence[Upstream], now: float) -> Out:
        """The request that `again` asked for was refused too: the stream ends as its reply had ended."""
        again = self.again
        if again is None:
            return self._encode(())
        self.again = None
        self._policy = None
        self._conclude.attempts = attempts
        end = again.end
        if end.message:
            end = msgspec.structs.replace(end, message=f"{end.message}; a new request failed too: {error.message}")
        return self._pass((*before, end), now)

    def close(self, recorded: bool | None, record_id: str | None) -> Out:
        """The terminal event of a stream that has `ended`: whether its record was written, under which id."""
        ended, self._terminal = self._terminal, None
        if ended is None:
            return self._encode(())
        ended.report.recorded, ended.report.record_id = recorded, record_id
        self.done = True
        return self._encode((ended,))

    def lose_text(self) -> None:
        """The caller lost text that had been released: the stream cannot end whole any more."""
        self._lost_text = True

    def pause(self, now: float) -> None:
        """The sink is full and the upstream is not read: its silence does not count."""
        self._limits.pause(now)

    def resume(self, now: float) -> None:
        """The upstream is read again. Between two answers there is none, and only the deadline runs."""
        if self.again is None:
            self._limits.resume(now)

    def due(self, now: float) -> float:
        """When `tick` should be called, at the latest; then ask again."""
        return NEVER if self.ended else self._limits.due(now)

    @property
    def report(self) -> Report | None:
        """The report, once the stream is done."""
        return self._conclude.report if self.done else None

    @property
    def conclusion(self) -> Report | None:
        """The report, once the stream has ended: what its record is made of."""
        return self._conclude.report

    @property
    def released_after(self) -> float | None:
        """Seconds from the call until the first content was released; the report's are until it came."""
        at = self._conclude.released_at
        return None if at is None else at - self._conclude.identity.called_at

    @property
    def text(self) -> str:
        """The text of choice 0 sent on so far."""
        return self._conclude.text

    @property
    def said(self) -> str:
        """The text of choice 0 as the upstream sent it, where something may follow it: what a guard holds included."""
        return "".join(self._said)

    @property
    def sha256(self) -> str:
        """Its SHA-256 so far, in hex."""
        return self._conclude.sha256

    def _pass(self, events: Sequence[Upstream], now: float) -> Out:
        if self.ended or not events:
            return self._encode(())
        try:
            if self._integrity is not None:
                events = self._integrity.__call__(events, now)
            for event in events:
                if type(event) is Delta or type(event) is ToolCallDelta:
                    self._limits.content_at = now
                    break
            if self._overlap is not None:
                events = self._overlap(events, now)
            if self._policy is not None and events:
                events = self._ask_again(self._policy, events, now)
            out = self._encode(self._finish(events, now))
        except Exception as error:
            out = self._encode(self._finish((own_error(error),), now))
        if self._conclude.report is not None:
            self.ended, self.done = True, self._terminal is None
        return out

    def _finish(self, events: Sequence[Upstream], now: float) -> Sequence[Released]:
        if events and type(events[-1]) is End:
            events = self._ending(events, events[-1])
        events = self._measure.__call__(events, now)
        if self._coalesce is not None:
            events = self._coalesce(events)
        out = self._release(events, now)
        if out and type(end := out[-1]) is End and "timing" not in end.sections:
            # the guard ended the stream, and nobody before it knows yet
            self._measure((end,), now)
            end.sections["integrity"] = self._numbered()
        released = self._conclude.__call__(out, now)
        if self._recorded and released and type(last := released[-1]) is Ended:
            self._terminal = last
            released = released[:-1]
        return released

    def _ending(self, events: Sequence[Upstream], end: End) -> Sequence[Upstream]:
        if self._lost_text and end.status in WHOLE:
            end = msgspec.structs.replace(ended_by("text_dropped"), sections=end.sections)
            events = [*events[:-1], end]
        if self._numbers is not None or self._integrity is None:
            end.sections["integrity"] = joined(self._numbers, end.sections.get("integrity") or IntegrityReport())
        return events

    def _numbered(self) -> IntegrityReport:
        """What all answers so far say of their numbers."""
        return joined(self._numbers, self._integrity.report() if self._integrity is not None else IntegrityReport())

    def _ask_again(self, policy: AgainPolicy, events: Sequence[Upstream], now: float) -> Sequence[Upstream]:
        self._said += [e.text for e in events if type(e) is Delta and not e.choice and e.channel == "content"]
        self._tools = self._tools or any(type(event) is ToolCallDelta for event in events)
        end = events[-1]
        if type(end) is not End:
            return events
        if self.again is not None:
            # a limit, or the caller, ended the stream before the new request came to anything
            self.again = None
            return events
        content = self._measure.content or any(type(event) in (Delta, ToolCallDelta) for event in events)
        used = self._conclude.restarts + self._conclude.continuations
        self.again = decide(policy, end, Carried(content, self._tools, used))
        if self.again is None:
            return events
        self._limits.pause(now)
        return events[:-1]
