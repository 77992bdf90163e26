"""What a caller sees of a stream in both clients, as far as nobody has to wait for it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any, Protocol

from streamweir.client.callbacks import Callbacks
from streamweir.client.opening import Opening
from streamweir.client.recording import Head, Recorder
from streamweir.dialects.ends import DecodeOptions
from streamweir.ending import Cause
from streamweir.errors import RequestError, stream_error
from streamweir.events import Ended, Released, Restarted
from streamweir.flows.buffer import Buffer, OnStall, text_of
from streamweir.flows.continuation import without_restart
from streamweir.flows.sentences import Sentences
from streamweir.relay import Relay
from streamweir.report import Report
from streamweir.stages.report import rfc3339

ON_STALL = ("fail", "drop", "truncate", "flush")


class Dispatches(Protocol):
    """What calls callbacks, in either client."""

    def join_texts(self) -> None: ...

    def drop_texts(self) -> None: ...


class Reading:
    """One stream's relay, buffer and callbacks. The clients' streams add how they wait."""

    def __init__(self, opening: Opening, how: Mapping[str, Any]) -> None:
        """`how` has the keys of `Ask` that say how the reply is read. Raises RequestError."""
        self._opening = opening
        self._relay: Relay[tuple[Released, ...]] | None = None
        self._how = how
        self._buffer = Buffer(how.get("buffer_high", 1000), how.get("buffer_low", 500))
        self._stall_timeout: float = how.get("stall_timeout", 10.0)
        self._on_stall: OnStall = how.get("on_stall", "fail")
        self._polled = False
        self._callbacks = Callbacks({}, 0.0, 0.0)
        self._recorder: Recorder | None = None
        self._check()

    @property
    def unread(self) -> tuple[Released, ...]:
        """Events that came and were not read: of a refused stream its retries and its end."""
        return self._buffer.events

    @property
    def buffered(self) -> int:
        """How many pieces of text wait to be read."""
        return self._buffer.texts

    @property
    def done(self) -> bool:
        """Whether the stream has ended, and all of it was read."""
        return self._relay is not None and self._relay.done and not len(self._buffer)

    @property
    def snapshot(self) -> str:
        """The text so far."""
        return self._relay.text if self._relay is not None else ""

    @property
    def sha256(self) -> str:
        """The SHA-256 of the text so far, in hex."""
        return self._relay.sha256 if self._relay is not None else ""

    @property
    def report(self) -> Report:
        """The report. Raises RequestError while the stream has not ended."""
        report = self._relay.report if self._relay is not None else None
        if report is None:
            raise RequestError("the stream has not ended, so there is no report yet: read it to its end, or cancel it")
        return report

    @property
    def request_id(self) -> str:
        """The request's id, as sent upstream and as in the report."""
        return self._opening.request.request_id

    @property
    def correlation_id(self) -> str | None:
        """The upstream's own name for the stream, once it has answered with one."""
        return self._opening.latest.correlation_id

    def keep_what_was_sent(self) -> None:
        """Text of this stream goes where it cannot be withdrawn: what would start again ends as it ended."""
        self._opening.again = without_restart(self._opening.again)

    @property
    def model(self) -> str:
        """The model that is asked."""
        return self._opening.request.model

    def _check(self) -> None:
        how = self._how
        problems: list[str] = []
        if self._on_stall not in ON_STALL:
            problems.append(f"on_stall is {self._on_stall!r}: it must be one of {', '.join(ON_STALL)}")
        if self._on_stall == "flush" and not how.get("on_text"):
            problems.append('on_stall = "flush" hands the text to on_text: give that callback')
        high, low = how.get("buffer_high", 1000), how.get("buffer_low", 500)
        if not 0 <= low < high:
            problems.append(f"buffer_low is {low} and buffer_high {high}: they must be 0 <= buffer_low < buffer_high")
        if problems:
            raise RequestError("; ".join(problems), problems=tuple(problems))

    def _give_way(self, relay: Relay[tuple[Released, ...]], dispatch: Dispatches | None) -> Cause | None:
        """What `on_stall` says for a reader or a callback that has not made room in time: a cause ends the stream."""
        if self._on_stall == "fail":
            return "slow_consumer"
        if self._on_stall == "truncate":
            return "text_dropped"
        if self._polled:
            # with "flush" on_text has had, or gets, every piece of it
            self._buffer.drop_texts()
        if self._on_stall == "drop":
            relay.lose_text()
        if dispatch is not None and self._on_stall == "flush":
            dispatch.join_texts()
        elif dispatch is not None:
            dispatch.drop_texts()
        return None

    def _taken(self, count: int) -> list[str]:
        taken = self._buffer.take(count)
        if not taken and len(self._buffer) and type(event := self._buffer.events[0]) is Ended:
            self._buffer.pop()
            if not event.report.complete:
                raise stream_error(event.report)
        return taken

    def _one_text(self) -> None:
        if "n" in self._opening.request.passthrough:
            raise RequestError("stream.text has one text, and n asks for several: iterate the stream's events instead")

    def _called(self) -> None:
        """The call begins: set the clocks, and make the recording's file before anything is sent."""
        opening = self._opening
        opening.called_at, opening.started_at = time.monotonic(), time.time()
        self._callbacks = Callbacks(self._how, opening.called_at, opening.started_at)
        if self._how.get("record"):
            self._recorder = Recorder(self._how["record"], opening.called_at, opening.covering)

    def _head(self, dialect: str) -> Head:
        opening = self._opening
        return Head(
            dialect=dialect,
            model=opening.request.model,
            request_id=opening.request.request_id,
            started_at=rfc3339(opening.started_at),
            correlation_id=opening.correlation_id,
            prompt_bytes=opening.request.prompt_bytes,
            decode=opening.decode or DecodeOptions(),
        )


class Pieces:
    """Events to sentences, or to batches of `size` tokens. What a restart withdraws is not handed out any more."""

    def __init__(self, size: int | None) -> None:
        if size is not None and size < 1:
            raise RequestError(f"a batch of {size} tokens: it must be at least 1")
        self._size = size
        self._sentences = Sentences()
        self._held: list[str] = []

    def push(self, event: Released) -> Iterator[str]:
        """What an event completes."""
        if type(event) is Restarted:
            self._sentences, self._held = Sentences(), []
        elif (text := text_of(event)) is not None:
            if self._size is None:
                yield from self._sentences.push(text)
                return
            self._held.append(text)
            if len(self._held) == self._size:
                yield from self.flush()

    def flush(self) -> Iterator[str]:
        """What is left."""
        yield from self._sentences.flush()
        held, self._held = self._held, []
        if held:
            yield "".join(held)
