"""The sync client's connection: a blocking socket over wire/http1.py."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Callable

from streamweir.client.lost import AnswerTimeout, ConnectionLost
from streamweir.client.origin import Origin
from streamweir.ending import Cause
from streamweir.wire.http1 import Answer, HttpError

READ = 64 * 1024
"""Bytes a read takes at most."""

LINGER = 0.05
"""Seconds in which the rest of an answer that nobody needs may arrive for the line to be reused: the caller waits."""


class Ended(Exception):
    """The body is over: `eof` where its own framing ended it or the peer closed cleanly."""

    def __init__(self, cause: Cause, detail: str = "") -> None:
        super().__init__(detail)
        self.cause: Cause = cause
        self.detail = detail


class Line:
    """One connection to one origin, carrying one exchange at a time. One thread at a time uses it.

    `on_over` is called once, when the exchange is over: by whoever takes the line back.
    """

    __slots__ = ("_answer", "_early", "_fault", "idle_since", "on_over", "origin", "sock", "uses")

    def __init__(self, sock: socket.socket, origin: Origin) -> None:
        self.sock = sock
        self.origin = origin
        self.uses = 0
        self.idle_since = 0.0
        self.on_over: Callable[[], None] | None = None
        self._answer: Answer | None = None
        self._early = b""
        self._fault: Ended | None = None

    def exchange(self, request: bytes, timeout: float) -> Answer:
        """Send a request and wait for the head of its answer, `timeout` seconds in all.

        Raises ConnectionLost or AnswerTimeout; the line is then of no more use.
        """
        until = time.monotonic() + timeout
        self.uses += 1
        answer = self._answer = Answer()
        self._early, self._fault = b"", None
        try:
            self.sock.settimeout(max(0.001, timeout))
            self.sock.sendall(request)
            while not answer.status:
                data = self._receive(until - time.monotonic())
                if not data:
                    raise ConnectionLost(
                        "the upstream closed the connection", reused=self.uses > 1, silent=not answer.started
                    )
                self._early += self._parse(answer, data)
        except TimeoutError:
            raise AnswerTimeout from None
        except OSError as error:
            raise ConnectionLost(str(error), reused=self.uses > 1, silent=not answer.started) from None
        except HttpError as error:
            raise ConnectionLost(str(error), reused=False, silent=False) from None
        return answer

    def read(self, timeout: float) -> bytes:
        """More of the body, as soon as there is some. Raises TimeoutError, or Ended."""
        until = time.monotonic() + timeout
        answer = self._answer
        if self._early:
            early, self._early = self._early, b""
            return early
        while True:
            if self._fault is not None:
                raise self._fault
            if answer is None or answer.complete:
                raise Ended("eof")
            try:
                data = self._receive(until - time.monotonic())
            except TimeoutError:
                raise
            except OSError as error:
                raise Ended("reset", str(error)) from None
            if not data:
                raise Ended("eof")
            if body := self._parse(answer, data):
                return body

    def read_all(self, limit: int, timeout: float) -> bytes:
        """The whole body, cut at `limit` bytes. Raises TimeoutError."""
        until = time.monotonic() + timeout
        body = bytearray()
        while len(body) < limit:
            try:
                body += self.read(until - time.monotonic())
            except Ended:
                break
        return bytes(body[:limit])

    def finish(self) -> bool:
        """Read what is left of an answer whose reply has ended. Whether the line can be used again."""
        try:
            self.read(LINGER)
        except (TimeoutError, Ended):
            return self.reusable
        return False

    def send(self, data: bytes) -> None:
        """Write to an upgraded connection. What cannot be written is noticed at the next read."""
        if data:
            with contextlib.suppress(OSError):
                self.sock.settimeout(1.0)
                self.sock.sendall(data)

    def over(self) -> None:
        """Tell whoever wants to know that the exchange is over."""
        if self.on_over is not None:
            told, self.on_over = self.on_over, None
            told()

    @property
    def reusable(self) -> bool:
        """Whether another exchange may follow."""
        answer = self._answer
        return (
            answer is not None and answer.complete and answer.reusable and not answer.trailing and self._fault is None
        )

    def wake(self) -> None:
        """End whatever blocks on this line, from another thread; the upstream sees the connection end."""
        with contextlib.suppress(OSError):
            # not SSLSocket's own, which takes the TLS state away from under a reader
            socket.socket.shutdown(self.sock, socket.SHUT_RDWR)

    def close(self) -> None:
        """Close at once; the upstream sees it and stops generating."""
        self.wake()
        if self._answer is not None:
            self._answer.close()
        with contextlib.suppress(OSError):
            self.sock.close()

    def _receive(self, timeout: float) -> bytes:
        # at a time-out of 0 the socket would be non-blocking, and what is there already would still be read
        self.sock.settimeout(max(0.0, timeout) or 0.001)
        return self.sock.recv(READ)

    def _parse(self, answer: Answer, data: bytes) -> bytes:
        try:
            return answer.feed(data)
        except HttpError as error:
            if not answer.status:
                raise
            self._fault = Ended("broken", str(error))
            return answer.salvage()
