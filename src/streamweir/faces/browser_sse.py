"""SSE for browsers. Wire contract 6.1."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from streamweir.errors import RequestError
from streamweir.events import Ended, Joint, Released, Restarted, Text
from streamweir.faces import blocked_by, public_report, resume, retryable, told
from streamweir.faces.wanted import BrowserPrompt, Wanted, read_body

_json = msgspec.json.Encoder().encode


class BrowserSse:
    """Released events of one stream to SSE bytes.

    `id:` numbers the events that a client sees, without holes. Reasoning, usage and diagnostics are not shown here.
    """

    __slots__ = ("_seq", "_stream")

    def __init__(self, stream: str | None = None) -> None:
        """`stream` is the id of a stream that can be resumed."""
        self._stream = stream
        self._seq = 0

    def __call__(self, events: Sequence[Released]) -> bytes:
        return b"".join(self.frames(events))

    def frames(self, events: Sequence[Released]) -> list[bytes]:
        """The same, an entry for each `id`."""
        out: list[bytes] = []
        for event in events:
            if type(event) is Text:
                if event.channel == "content" and event.choice == 0:
                    out.append(
                        b'id: %d\ndata: {"type":"token","content":%b,"index":%d}\n\n'
                        % (self._seq, _json(event.content), event.index)
                    )
                    self._seq += 1
            elif type(event) is Ended or type(event) is Joint or type(event) is Restarted:
                out.append(b"id: %d\ndata: %b\n\n" % (self._seq, _json(shown(event) | self._resume(event))))
                self._seq += 1
        return out

    def _resume(self, event: Released) -> dict[str, object]:
        if self._stream is None or not isinstance(event, Ended):
            return {}
        return resume(event.report, self._stream, self._seq)


def shown(event: Ended | Joint | Restarted) -> dict[str, object]:
    """What a client sees of an event that carries no text."""
    if isinstance(event, Ended):
        return terminal(event)
    return {"type": "joint", "at": event.at} if isinstance(event, Joint) else {"type": "restarted"}


def terminal(event: Ended) -> dict[str, object]:
    """The one last message of a stream."""
    report = event.report
    public = public_report(report)
    if report.complete:
        return {"type": "stop", "report": public}
    if report.status == "blocked":
        return {"type": "blocked", "reason": blocked_by(report), "report": public}
    code, message = told(report)
    return {
        "type": "error",
        "message": message,
        "code": code,
        "retryable": retryable(report),
        "correlation_id": report.correlation_id,
        "report": public,
    }


class BrowserRequest(BrowserPrompt, rename={"configuration_id": "configurationId"}):
    """What `POST /api/llm/stream` takes; `configurationId` names a profile. Unknown keys are ignored."""

    configuration_id: str = ""


class Created(msgspec.Struct):
    """What `POST /api/llm/streams` answers: a stream, and where it is read."""

    id: str
    url: str


_decode_request = msgspec.json.Decoder(BrowserRequest).decode


def read_request(body: bytes) -> Wanted:
    """The request in a body. Raises RequestError that says which key is wrong and what it should be."""
    asked = read_body(_decode_request, body)
    if not asked.configuration_id or not asked.messages:
        raise RequestError("configurationId and messages are required")
    return asked.wanted(asked.configuration_id)
