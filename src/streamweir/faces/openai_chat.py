"""OpenAI Chat Completions, streamed. Wire contract 6.3. What is not streamed is in openai_completion.py. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from msgspec import UNSET

from streamweir.events import Ended, Released, Started, Text
from streamweir.faces import receipt, told
from streamweir.faces.chat_chunks import ANNOUNCED, BEHIND, ChatChunks, encode, finish_reasons
from streamweir.report import Report

RECEIPT: Final = b',"streamweir":{"receipt":{"sha256":"'
RECORD: Final = b'","record_id":'
UNRECORDED: Final = b',"recorded":false'
"""The receipt in pieces, behind a chunk without its brace: it is written for every request."""

END_OF_TEXT: Final = BEHIND + b"\n\n"


class OpenAIChat:
    """Released events of one stream to the SSE bytes of Chat Completions.

    Finish reasons are held until the upstream's end is known, so that no client acts on a reply that is then cut.
    The first chunk announces a receipt, and the first of those that end the reply holds it.
    """

    __slots__ = ("_before", "_chunks", "_include_usage")

    def __init__(self, *, id: str, model: str, created: int, include_usage: bool = False) -> None:
        self._chunks = ChatChunks(id=id, model=model, created=created)
        self._before = b"data: " + self._chunks.before
        self._include_usage = include_usage

    def __call__(self, events: Sequence[Released]) -> bytes:
        out: list[bytes] = []
        for event in events:
            if type(event) is Text and event.extra is UNSET and not event.choice and event.channel == "content":
                out.append(self._before)
                out.append(encode(event.content))
                out.append(END_OF_TEXT)
            elif type(event) is Ended:
                self._end(event, out)
            elif type(event) is Started:
                for chunk in self._chunks.of(event):
                    out += (b"data: ", chunk[:-1], ANNOUNCED)
            else:
                out += [b"data: %b\n\n" % chunk for chunk in self._chunks.of(event)]
        return b"".join(out)

    def _end(self, event: Ended, out: list[bytes]) -> None:
        report = event.report
        if not report.complete:
            blocked = self._chunks.finish(finish_reasons(event)) if report.status == "blocked" else []
            failed = encode(error_body(report) | receipt(report))
            out += [b"data: %b\n\n" % chunk for chunk in (*blocked, failed)]
            return
        ends = self._chunks.finish(finish_reasons(event))
        if self._include_usage:
            ends.append(self._chunks.counts(report))
        if ends:
            # the first: a client may leave behind a finish reason
            sha256, record = report.integrity.sha256.encode(), encode(report.record_id)
            if report.recorded is False:
                record += UNRECORDED
            out += (b"data: ", ends.pop(0)[:-1], RECEIPT, sha256, RECORD, record, b"}}}\n\n")
        out += [b"data: %b\n\n" % chunk for chunk in (*ends, b"[DONE]")]


def error_body(report: Report) -> dict[str, Any]:
    """The error object of a stream that did not end whole."""
    code, message = told(report)
    kind = "content_filter" if report.status == "blocked" else "upstream_error"
    return error_object(message, kind=kind, code=code, correlation_id=report.correlation_id)


def error_object(
    message: str, *, kind: str, code: str, param: str | None = None, correlation_id: str | None = None
) -> dict[str, Any]:
    """An OpenAI error body, with the correlation id as an extra key."""
    return {"error": {"message": message, "type": kind, "param": param, "code": code, "correlation_id": correlation_id}}
