"""One object carries one stream from the upstream's body bytes to whatever its sink takes. Pure and synchronous.

    relay = Relay(identity, ...)
    out = relay.start(now)              # the events before the first byte
    out = relay.feed(data, now)         # once per socket read
    out = relay.tick(now)               # when the time that `relay.due(now)` named has come
    out = relay.end("eof", now)         # once, when the upstream is gone or nobody wants more

Times are seconds on one monotonic clock. `out` is what `encode` makes of released events: bytes for a face, the
events themselves for the library. After the terminal event (`done`) everything gives the empty output.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Generic, Literal, Protocol, TypeVar

from streamweir.errors import APIStatusError, StreamError, StreamweirError
from streamweir.events import End, Released, Upstream
from streamweir.report import Report
from streamweir.stages import Stage, pipe
from streamweir.stages.integrity import Integrity
from streamweir.stages.limits import NEVER, Limits, TimeLimits
from streamweir.stages.measure import Measure
from streamweir.stages.report import Conclude, Identity
from streamweir.wire.sse import Frame

Out = TypeVar("Out")

Cause = Literal["eof", "reset", "broken", "cancelled", "client_gone", "slow_client", "draining"]
"""Why a relay is ended from outside: `eof` is a clean close, `reset` any transport error, `broken` no HTTP."""


class Framing(Protocol):
    """Body bytes to frames, as wire/sse.py does it."""

    def feed(self, data: bytes, /) -> Sequence[Frame]: ...


class Relay(Generic[Out]):
    """See the module's docstring."""

    __slots__ = ("_conclude", "_decode", "_encode", "_framing", "_limits", "_run", "done")

    def __init__(
        self,
        identity: Identity,
        *,
        framing: Framing,
        decode: Callable[[Sequence[Frame]], Sequence[Upstream]],
        integrity: Integrity,
        release: Stage[Upstream, Released | End],
        encode: Callable[[Sequence[Released]], Out],
        limits: TimeLimits,
        sent_at: float,
    ) -> None:
        self._framing = framing
        self._decode = decode
        self._encode = encode
        self._limits = Limits(limits, identity.called_at, sent_at)
        self._conclude = Conclude(identity)
        measure = Measure(identity.called_at)
        self._run = pipe((integrity, self._limits, measure), release, self._conclude)
        self.done = False

    def start(self, before: Sequence[Upstream], now: float) -> Out:
        """Open the stream. `before` is what happened on the way: retries, then usually `Opened` and `Limits`."""
        return self._pass(before, now)

    def feed(self, data: bytes, now: float) -> Out:
        """What one read of the upstream's body becomes."""
        if self.done:
            return self._encode(())
        self._conclude.received += len(data)
        self._limits.heard_at = now
        try:
            events = self._decode(self._framing.feed(data))
        except Exception as error:
            events = (own_error(error),)
        return self._pass(events, now)

    def tick(self, now: float) -> Out:
        """End the stream if a time limit has run out; else nothing."""
        expired = None if self.done else self._limits.expired(now)
        return self._pass((expired,) if expired else (), now)

    def end(self, cause: Cause, now: float, detail: str = "") -> Out:
        """End the stream from outside; a stream that has ended stays as it ended."""
        return self._pass((ended_by(cause, detail),), now)

    def refuse(self, error: StreamweirError, before: Sequence[Upstream], now: float) -> Out:
        """End a stream that never began, with the error that its caller gets; `before` is what happened on the way."""
        return self._pass((*before, ended_by_error(error)), now)

    def pause(self, now: float) -> None:
        """The sink is full and the upstream is not read: its silence does not count."""
        self._limits.pause(now)

    def resume(self, now: float) -> None:
        """The upstream is read again."""
        self._limits.resume(now)

    def due(self, now: float) -> float:
        """When `tick` should be called, at the latest; then ask again."""
        return NEVER if self.done else self._limits.due(now)

    @property
    def report(self) -> Report | None:
        """The report, once the stream has ended."""
        return self._conclude.report

    @property
    def text(self) -> str:
        """The text of choice 0 sent on so far."""
        return self._conclude.text

    @property
    def sha256(self) -> str:
        """Its SHA-256 so far, in hex."""
        return self._conclude.sha256

    def _pass(self, events: Sequence[Upstream], now: float) -> Out:
        if self.done or not events:
            return self._encode(())
        try:
            released = self._run(events, now)
            out = self._encode(released)
        except Exception as error:
            released = self._run((own_error(error),), now)
            out = self._encode(released)
        self.done = self._conclude.report is not None
        return out


def own_error(error: Exception) -> End:
    """An error of our own never passes as the upstream's, and never as an end."""
    return End(
        "failed",
        code="stream_failed",
        message=f"an error inside streamweir ended the stream ({type(error).__name__}); please report it",
        error_type="StreamFailed",
    )


CAUSES: dict[Cause, tuple[str, str, str]] = {
    "eof": ("stream_interrupted", "StreamInterrupted", "the upstream closed the stream without an end marker"),
    "reset": ("upstream_lost", "StreamInterrupted", "the connection to the upstream was lost"),
    "broken": ("protocol_error", "ProtocolError", "the upstream's answer is broken"),
    "cancelled": ("cancelled", "StreamCancelled", "the stream was cancelled"),
    "client_gone": ("cancelled", "StreamCancelled", "the client left"),
    "slow_client": ("slow_client", "StreamCancelled", "the client did not read"),
    "draining": ("server_draining", "StreamCancelled", "the server is shutting down"),
}
CANCELLED_BY: dict[Cause, str] = {
    "cancelled": "caller",
    "client_gone": "client",
    "slow_client": "slow_client",
    "draining": "server",
}


def ended_by(cause: Cause, detail: str = "") -> End:
    """The end that a cause from outside means."""
    code, kind, message = CAUSES[cause]
    by = CANCELLED_BY.get(cause)
    return End(
        "cancelled" if by else "failed" if cause == "broken" else "interrupted",
        code=code,
        message=f"{message}: {detail}" if detail else message,
        error_type=kind,
        cancelled_by=by,
    )


def ended_by_error(error: StreamweirError) -> End:
    """The end of a stream that was refused before it began."""
    timed_out = error.code == "stream_timed_out"
    return End(
        "timed_out" if timed_out else "failed",
        code=error.code if isinstance(error, StreamError) and error.code else "upstream_error",
        message=error.message,
        error_type=type(error).__name__,
        error_status=error.status if isinstance(error, APIStatusError) else None,
        context_id=error.context_id if isinstance(error, APIStatusError) else None,
        limit=getattr(error, "limit", None),
    )
