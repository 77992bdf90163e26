"""The browsers' WebSocket protocol: messages in, frames out. Wire contract 6.2. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, cast

import msgspec

from streamweir.errors import RequestError
from streamweir.events import Ended, Joint, Released, Restarted, Text
from streamweir.faces import blocked_by, public_report, resume, retryable, told
from streamweir.faces.bounds import check_shape
from streamweir.faces.chat_chunks import BEHIND, ChatChunks, encode, finish_reasons
from streamweir.faces.problems import whole_seconds
from streamweir.faces.wanted import BrowserPrompt, Wanted
from streamweir.report import Report
from streamweir.wire.websocket import encode_message

SUBPROTOCOL = "streamweir.v1"

ERRORS: dict[str, str] = {
    "invalid_handshake": "Invalid handshake type",
    "invalid_request": "Schema validation failed",
    "handshake_failed": "Handshake failed",
    "upstream_unavailable": "Stream initiation failed after retries",
}
"""Texts of this wire, by code; clients of it compare them."""

STATUSES = {"completed": "success", "truncated": "success", "blocked": "blocked"}
"""This wire's words for a report's status; all others are `failed`."""

HEARTBEAT = encode_message(b'{"type":"ping"}')
PONG = encode_message(b'{"type":"pong"}')


class InitPayload(BrowserPrompt, rename={"model_id": "modelId", "idempotency_key": "idempotencyKey"}):
    """What is asked for; `modelId` names a profile. Unknown keys are ignored."""

    model_id: str = ""
    ticket: str | None = None
    idempotency_key: str | None = None


class ClientMessage(msgspec.Struct):
    """A message of a client: `init`, `resume`, `cancel`, `ping` or `pong`."""

    type: str
    payload: msgspec.Raw = msgspec.Raw(b"{}")


class Init(msgspec.Struct, frozen=True):
    """A client's `init`, read."""

    wanted: Wanted
    ticket: str | None
    key: str | None = None


class Resume(msgspec.Struct, frozen=True, rename="camel"):
    """A client's `resume`: the stream, the last position that it has, and the capability that came with the stream."""

    stream_id: str
    after: int = -1
    cap: str | None = None
    ticket: str | None = None


Said = Init | Resume | Literal["cancel", "ping", "pong"]

_message = msgspec.json.Decoder(ClientMessage)
_payload = msgspec.json.Decoder(InitPayload)
_resume = msgspec.json.Decoder(Resume)


def read_message(text: str | bytes) -> Said:
    """What a client said. Raises RequestError with this wire's code, and in its message what is wrong."""
    try:
        check_shape(text.encode() if isinstance(text, str) else text)
        said = _message.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, RequestError) as error:
        raise RequestError(f"not a message of this protocol: {error}", code="invalid_handshake") from None
    if said.type in ("cancel", "ping", "pong"):
        return cast("Said", said.type)
    if said.type not in ("init", "resume"):
        raise RequestError(
            f"type is {said.type[:40]!r}: it must be one of init, resume, cancel, ping, pong", code="invalid_handshake"
        )
    try:
        if said.type == "resume":
            return _resume.decode(said.payload)
        asked = _payload.decode(said.payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RequestError(f"payload: {error}", code="invalid_request") from None
    if not asked.model_id or not asked.messages:
        raise RequestError("payload: modelId and messages are required", code="invalid_request")
    return Init(asked.wanted(asked.model_id), asked.ticket, asked.idempotency_key)


def acknowledgement(*, tokens: int, model: str, stream_id: str, capability: str) -> bytes:
    """The frame that answers an `init` which is taken; `tokens` counts the prompt's."""
    ids = {"tokenCount": tokens, "modelId": model, "streamId": stream_id, "cap": capability}
    return _frame({"type": "handshake_ack", **ids})


def refusal(code: str, message: str, detail: str | None = None, *, retry_after: float | None = None) -> bytes:
    """The frame that answers a message which is not taken; no stream began, and none that runs is touched.

    `retry_after`: the seconds after which the same may be taken.
    """
    body: dict[str, Any] = {"type": "error", "message": ERRORS.get(code, message), "code": code}
    if detail:
        body["detail"] = detail
    if retry_after is not None:
        body["retryAfter"] = whole_seconds(retry_after)
    return _frame(body)


class BrowserWs:
    """Released events of one stream to frames. `seq` numbers messages without holes, `index` counts pieces of text."""

    __slots__ = ("_chunks", "_index", "_model", "_seq", "_stream", "_text")

    def __init__(self, *, stream: str, model: str, created: int) -> None:
        self._stream = stream
        self._chunks = ChatChunks(id=f"chatcmpl-{stream}", model=model, created=created)
        before = self._chunks.before.replace(b"%", b"%%")
        self._text = b'{"type":"chunk","seq":%%d,"index":%%d,"data":%b%%b%b}' % (before, BEHIND)
        self._model = model
        self._seq = 0
        self._index = 0

    def __call__(self, events: Sequence[Released]) -> bytes:
        return b"".join(self.frames(events))

    def frames(self, events: Sequence[Released]) -> list[bytes]:
        """The same, an entry for each `seq`."""
        out: list[bytes] = []
        for event in events:
            if type(event) is Text and event.extra is msgspec.UNSET and not event.choice and event.channel == "content":
                # nearly every event is one
                out.append(encode_message(self._text % (self._seq, self._index, encode(event.content))))
                self._seq += 1
                self._index += 1
            elif type(event) is Ended:
                self._end(event, out)
            elif type(event) is Joint:
                self._message({"type": "joint", "at": event.at}, out)
            elif type(event) is Restarted:
                self._message({"type": "restarted"}, out)
            else:
                for chunk in self._chunks.of(event):
                    self._chunk(chunk, out)
                self._index += type(event) is Text
        return out

    def _chunk(self, chunk: bytes, out: list[bytes]) -> None:
        out.append(encode_message(b'{"type":"chunk","seq":%d,"index":%d,"data":%b}' % (self._seq, self._index, chunk)))
        self._seq += 1

    def _message(self, message: dict[str, Any], out: list[bytes]) -> None:
        out.append(_frame(message | {"seq": self._seq}))
        self._seq += 1

    def _end(self, event: Ended, out: list[bytes]) -> None:
        report = event.report
        log = audit_log(report, self._model)
        if report.complete:
            for chunk in self._chunks.finish(finish_reasons(event)):
                self._chunk(chunk, out)
            self._message({"type": "complete", "auditLog": log}, out)
        elif report.status == "blocked":
            self._message({"type": "blocked", "reason": blocked_by(report), "auditLog": log}, out)
        else:
            code, message = told(report)
            if code == "upstream_error" and not report.chunks and report.error is not None and report.error.status:
                code, message = "upstream_unavailable", ERRORS["upstream_unavailable"]
            ids: dict[str, Any] = {"retryable": retryable(report), "correlation_id": report.correlation_id}
            ids |= resume(report, self._stream, self._seq)
            self._message({"type": "error", "message": message, "code": code, **ids, "auditLog": log}, out)


def audit_log(report: Report, model: str) -> dict[str, Any]:
    """The report in this wire's words; the whole of it, as a browser may see it, is beside them."""
    return {
        "requestId": report.request_id,
        "modelId": model,
        "timestamp": report.ended_at,
        "status": STATUSES.get(report.status, "failed"),
        "outcome": report.status,
        "tokenCount": report.usage.completion_tokens,
        "latencyMs": report.timing.total_ms,
        "ppiFiltered": report.guard.pii_found,
        "piiFiltered": report.guard.pii_found,
        "safetyPassed": report.guard.safety_passed,
        "report": public_report(report),
    }


def _frame(message: dict[str, Any]) -> bytes:
    return encode_message(encode(message))
