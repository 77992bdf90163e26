"""Whether a WebSocket became ready, and whether its stream has begun. Wire contract 2.5. No input or output."""

from __future__ import annotations

from collections.abc import Sequence

from streamweir.dialects.ends import DecodeOptions
from streamweir.dialects.ws_gateway import READY_WITHIN, WsGatewayDecoder, is_ready
from streamweir.errors import APIConnectionError, HandshakeError
from streamweir.events import Delta, End
from streamweir.flows.handshake import Failure
from streamweir.wire.frames import Closed, Frame, Malformed, Value
from streamweir.wire.http1 import Answer
from streamweir.wire.websocket import accepts

TRY_AGAIN = (1012, 1013)
"""Close codes that mean "not now" (service restart, try again later): a refusal, as long as there was no content."""

SHOWN = 200
"""Characters of an unexpected message that an error repeats."""


def not_upgraded(answer: Answer, key: bytes, correlation_id: str | None) -> Failure | None:
    """Why an answer of 101 or 2xx opened no WebSocket."""
    if answer.status != 101:
        return _failed(
            f"the upstream answered the upgrade with HTTP {answer.status}: it speaks no WebSocket here, check path and "
            "base_url",
            correlation_id,
        )
    if accepts(answer.headers.get("sec-websocket-accept"), key):
        return None
    return _failed(
        "the upstream answered 101 without the proof that it speaks WebSocket: check path and base_url", correlation_id
    )


def not_ready(frames: Sequence[Frame], correlation_id: str | None) -> Failure | None:
    """Why the first message of a WebSocket does not make it ready; frames behind it are for later."""
    first = frames[0]
    if type(first) is Value and is_ready(first.data):
        return None
    if (closed := not_now(frames[:1], DecodeOptions(), correlation_id)) is not None:
        return closed
    if type(first) is Value:
        came = first.data[:SHOWN]
    elif type(first) is Closed:
        came = f"a close with {first.code} {first.reason}".rstrip()
    else:
        came = first.message if type(first) is Malformed else "nothing"
    return _failed(f"the gateway did not become ready, it sent: {came}", correlation_id, came)


def never_ready(correlation_id: str | None) -> Failure:
    """The gateway said nothing in time."""
    return _failed(f"the gateway did not become ready within {READY_WITHIN:g} s", correlation_id)


def not_now(frames: Sequence[Frame], options: DecodeOptions, correlation_id: str | None) -> Failure | None:
    """The refusal that a WebSocket's close means, where it comes before any content."""
    last = frames[-1] if frames else None
    if type(last) is not Closed or last.code not in TRY_AGAIN or has_begun(frames[:-1], options):
        return None
    said = f"{last.code} {last.reason}".rstrip()
    error = APIConnectionError(
        f"the upstream closed the WebSocket: not now ({said})",
        code="upstream_unavailable",
        correlation_id=correlation_id,
    )
    return Failure("not_now", error)


def has_begun(frames: Sequence[Frame], options: DecodeOptions) -> bool:
    """Whether `frames` hold content, or the end of the stream: then nothing may be sent again."""
    said = [frame for frame in frames if type(frame) is not Closed]
    return any(isinstance(event, Delta | End) for event in WsGatewayDecoder(options)(said))


def _failed(message: str, correlation_id: str | None, received: str | None = None) -> Failure:
    error = HandshakeError(message, code="protocol_error", correlation_id=correlation_id)
    error.received = received
    return Failure("final", error)
