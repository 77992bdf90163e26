"""HTTP/1.1 as a client speaks it: a request to bytes, an answer's bytes to its head and body. Pure.

The parser is httptools (llhttp). It calls back once per HTTP chunk; `feed` gathers what one read held, so that
everything downstream runs once per socket read.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import httptools  # type: ignore[import-untyped,unused-ignore]

MAX_HEAD: Final = 64 * 1024
"""Bytes of status line and headers, and of what stands between pieces of the body and behind it (trailers, chunk
extensions); servers commonly send under 2 KiB."""

NOT_IN_A_HEADER: Final = ("\r", "\n", "\0")


class HttpError(Exception):
    """The peer's bytes are not HTTP/1.1."""


def encode_request(
    method: str, target: str, host: str, headers: Iterable[tuple[str, str]], body: bytes | None = None
) -> bytes:
    """A request as bytes. Raises ValueError for a header that would inject another line."""
    return with_body(encode_head(method, target, host, headers), body)


def with_body(head: bytes, body: bytes | None) -> bytes:
    """A head that `encode_head` made, with its end and the body."""
    return head + b"\r\n" if body is None else b"%bContent-Length: %d\r\n\r\n%b" % (head, len(body), body)


def encode_head(method: str, target: str, host: str, headers: Iterable[tuple[str, str]]) -> bytes:
    """Request line and headers, each with its line end; further headers may follow. Raises ValueError."""
    lines = [f"{method} {target} HTTP/1.1", f"Host: {host}"]
    for name, value in headers:
        if any(character in name or character in value for character in NOT_IN_A_HEADER):
            raise ValueError(f"header {name!r} holds a line end or a NUL: remove it")
        lines.append(f"{name}: {value}")
    if any(character in target or character in host for character in (*NOT_IN_A_HEADER, " ")):
        raise ValueError("the request target holds a space, a line end or a NUL: remove it")
    # Latin-1 is what a header may carry on the wire (RFC 9110, 5.5)
    return "\r\n".join(lines).encode("latin-1") + b"\r\n"


class Answer:
    """The answer to one request, read as it arrives.

    `status` is 0 until the head is complete; header names are lower case, and of a repeated header the values are
    joined by a comma. `complete` says that the message has ended by its own framing. Interim 1xx answers are
    passed over. Behind a 101 (`upgraded`) all bytes are the body, as they come.
    """

    __slots__ = (
        "_bodiless",
        "_body",
        "_interim",
        "_parser",
        "_pieces",
        "complete",
        "framed",
        "headers",
        "on_body",
        "reusable",
        "started",
        "status",
        "trailing",
        "upgraded",
    )

    def __init__(self) -> None:
        self._body: list[bytes] = []
        # for the parser, which looks its callbacks up once: a piece of the body costs no call into Python
        self.on_body = self._body.append
        self._bodiless = 0
        self._interim = False
        self._pieces: int | None = None
        self.status = 0
        self.headers: dict[str, str] = {}
        self.framed = False
        self.complete = False
        self.reusable = False
        self.started = False
        self.trailing = False
        self.upgraded = False
        self._parser: Any = httptools.HttpResponseParser(self)

    def feed(self, data: bytes) -> bytes:
        """The body bytes in `data`. Raises HttpError; what the body held before the fault is in `salvage()`."""
        if self.upgraded:
            return data
        if self.complete:
            self.trailing = self.trailing or bool(data)
            return b""
        self.started = True
        self._bodiless += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            if self.status == 101:
                self.upgraded = True
                self.complete = self.reusable = False
                return data[upgrade.args[0] :]
            self.trailing = True
        except httptools.HttpParserError as error:
            # llhttp refuses bytes after a message that closes; they are no part of the answer
            if self._pieces is None:
                raise HttpError(f"the answer is not HTTP/1.1: {error}") from None
            self.trailing = True
        body = self._body
        if body:
            self._bodiless = 0
            if self._pieces is not None:
                # what stands behind the message is another's
                del body[self._pieces :]
            return body.pop() if len(body) == 1 else self.salvage()
        if self._bodiless > MAX_HEAD and not self.complete:
            raise HttpError(f"the answer's {'trailers' if self.status else 'headers'} have over {MAX_HEAD} bytes")
        return b""

    def close(self) -> None:
        """Nothing more is fed. The parser holds this answer: without it both go at once, and need no collector."""
        self._parser = None

    def salvage(self) -> bytes:
        """The body bytes gathered and not yet handed out."""
        body = self._body
        if not body:
            return b""
        data = body[0] if len(body) == 1 else b"".join(body)
        body.clear()
        return data

    def on_message_begin(self) -> None:
        self.trailing = self.complete

    def on_header(self, name: bytes, value: bytes) -> None:
        # behind the head these are trailers: the head was acted on, and nothing of them is asked for
        if self.status:
            return
        key = name.decode("latin-1").lower()
        text = value.decode("latin-1")
        self.headers[key] = f"{self.headers[key]}, {text}" if key in self.headers else text

    def on_headers_complete(self) -> None:
        if self.complete:
            return
        status = self._parser.get_status_code()
        if status < 200 and status != 101:
            self._interim = True
            self.headers = {}
            return
        self._interim = False
        self._bodiless = 0
        self.status = status
        self.framed = "content-length" in self.headers or "chunked" in self.headers.get("transfer-encoding", "").lower()

    def on_message_complete(self) -> None:
        if self._interim or self.complete:
            return
        self.complete = True
        self._pieces = len(self._body)
        self.reusable = self._parser.should_keep_alive()
        self.close()
