"""An upstream and a client of one proxy, in one thread: the next event leaves when the one before has arrived.

So every event comes alone, and takes the reads, writes and wake-ups that it takes, however slow the machine is.
"""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Sequence
from types import TracebackType

PATIENCE = 60.0
"""Seconds for one step, before something is broken. A machine under load takes its time."""

SILENCE = 2.0
"""Seconds; some forty wake-ups of a coarse timer."""

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
EVENT = b"\n\n\r\n"
"""How a chunk of whole events ends, and no head."""

LAST = b"0\r\n\r\n"


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


class Lockstep:
    """`url` is where its upstream listens. `connect`, then `stream` and `mark` as often as one likes."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(PATIENCE)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._upstream: socket.socket | None = None

    def __enter__(self) -> Lockstep:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for one in (self._listener, self._upstream, getattr(self, "_client", None), getattr(self, "_marks", None)):
            if one is not None:
                one.close()

    def connect(self, port: int) -> None:
        self._client, self._marks = (socket.create_connection(("127.0.0.1", port), PATIENCE) for _ in range(2))

    def stream(self, pieces: Sequence[bytes], before_end: Callable[[], None] | None = None) -> None:
        """One reply of which each piece arrives before the next leaves. All but the last are text, that one ends it."""
        body = json.dumps(
            {"model": "openai", "stream": True, "messages": [{"role": "user", "content": "Where is it?"}]}
        )
        self._client.sendall(
            b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            b"Content-Length: %d\r\n\r\n%b" % (len(body), body.encode())
        )
        if self._upstream is None:
            self._upstream = self._listener.accept()[0]
            self._upstream.settimeout(PATIENCE)
        arrived(self._upstream, b"}")
        head, (*middle, last) = HEAD, pieces
        for piece in middle:
            self._upstream.sendall(head + chunk(piece))
            head = b""
            arrived(self._client, EVENT)
        if before_end is not None:
            before_end()
        self._upstream.sendall(head + chunk(last) + LAST)
        arrived(self._client, LAST)

    def silence(self) -> None:
        """A while in which nothing but timers can wake the proxy."""
        self.mark("silence")
        time.sleep(SILENCE)
        self.mark("end")

    def mark(self, name: str) -> None:
        """A request that a trace shows by its name."""
        self._marks.sendall(b"GET /healthz?%b HTTP/1.1\r\nHost: localhost\r\n\r\n" % name.encode())
        received(self._marks)


def arrived(peer: socket.socket, end: bytes) -> None:
    """Read up to what something ends with."""
    while not received(peer).endswith(end):
        pass


def received(peer: socket.socket) -> bytes:
    data = peer.recv(256 * 1024)
    if not data:
        raise ConnectionError("the proxy closed a connection of the count")
    return data
