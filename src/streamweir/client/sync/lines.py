"""The sync client's connections, kept for reuse; for any number of threads."""

from __future__ import annotations

import select
import socket
import ssl
import threading
import time

from streamweir.client.lost import AnswerTimeout, ConnectionLost
from streamweir.client.origin import Origin
from streamweir.client.reaching import (
    IDLE_SECONDS,
    MAX_IDLE,
    no_connection,
    no_connection_in_time,
    no_tls,
    no_tunnel,
    tunnel,
    via,
)
from streamweir.client.sync.cancellation import Cancellation
from streamweir.client.sync.line import Line
from streamweir.client.trust import ssl_context


class Lines:
    """Open connections by origin."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._idle: dict[Origin, list[Line]] = {}
        self._busy: set[Line] = set()
        self._contexts: dict[str | None, ssl.SSLContext] = {}
        self._closed = False

    def take(self, origin: Origin, timeout: float, cancellation: Cancellation) -> Line:
        """An idle connection, the last used first, or a new one.

        Raises APIConnectionError, APITimeoutError where none is made within `timeout` seconds (0: no limit), or
        Cancelled.
        """
        while True:
            with self._lock:
                idle = self._idle.get(origin)
                line = idle.pop() if idle else None
            if line is None:
                break
            # what is readable on an idle connection is its end, or bytes that nobody asked for
            if time.monotonic() - line.idle_since > IDLE_SECONDS or select.select([line.sock], [], [], 0)[0]:
                line.close()
                continue
            break
        line = line or self._connect(origin, timeout, cancellation)
        with self._lock:
            self._busy.add(line)
        return line

    def back(self, line: Line) -> None:
        """A line whose exchange is over: kept where it can be, else closed."""
        line.over()
        line.idle_since = time.monotonic()
        with self._lock:
            self._busy.discard(line)
            idle = self._idle.setdefault(line.origin, [])
            keep = line.reusable and not self._closed and len(idle) < MAX_IDLE
            if keep:
                idle.append(line)
        if not keep:
            line.close()

    def drop(self, line: Line) -> None:
        """A line that is not to be used again."""
        line.over()
        with self._lock:
            self._busy.discard(line)
        line.close()

    def close(self) -> None:
        """Close everything, streams in flight too."""
        with self._lock:
            self._closed = True
            busy, idle = list(self._busy), [line for lines in self._idle.values() for line in lines]
            self._idle.clear()
        for line in idle:
            line.close()
        for line in busy:
            # its reader closes it
            line.wake()

    @property
    def open(self) -> int:
        """How many connections are open."""
        with self._lock:
            return len(self._busy) + sum(len(idle) for idle in self._idle.values())

    def _connect(self, origin: Origin, timeout: float, cancellation: Cancellation) -> Line:
        until = time.monotonic() + (timeout or 1e8)
        host, port = via(origin)
        try:
            line = self._dial(host, port, origin, until, cancellation)
        except TimeoutError:
            cancellation.check()
            raise no_connection_in_time(origin, timeout) from None
        except OSError as error:
            cancellation.check()
            raise no_connection(origin, error) from None
        try:
            with cancellation.waking(line.wake):
                if (request := tunnel(origin)) is not None:
                    answer = line.exchange(request, until - time.monotonic())
                    if answer.status != 200:
                        raise no_tunnel(origin, answer.status)
                    line = Line(line.sock, origin)
                if origin.scheme == "https":
                    line.sock.settimeout(max(0.001, until - time.monotonic()))
                    # wrapped before the handshake, so that a cancellation finds the socket that blocks
                    line.sock = self._context(origin.ca_file).wrap_socket(
                        line.sock, server_hostname=origin.host, do_handshake_on_connect=False
                    )
                    line.sock.do_handshake()
        except (TimeoutError, AnswerTimeout):
            line.close()
            raise no_connection_in_time(origin, timeout) from None
        except ConnectionLost as error:
            line.close()
            cancellation.check()
            raise no_connection(origin, OSError(str(error))) from None
        except ssl.SSLError as error:
            line.close()
            cancellation.check()
            raise no_tls(origin, error) from None
        except OSError as error:
            line.close()
            cancellation.check()
            raise no_connection(origin, error) from None
        except BaseException:
            line.close()
            raise
        return line

    def _dial(self, host: str, port: int, origin: Origin, until: float, cancellation: Cancellation) -> Line:
        failed: OSError = OSError("the name has no address")
        for family, kind, protocol, _, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
            sock = socket.socket(family, kind, protocol)
            line = Line(sock, origin)
            try:
                with cancellation.waking(line.wake):
                    sock.settimeout(max(0.001, until - time.monotonic()))
                    sock.connect(address)
                    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            except OSError as error:
                sock.close()
                cancellation.check()
                failed = error
            except BaseException:
                sock.close()
                raise
            else:
                return line
        raise failed

    def _context(self, ca_file: str | None) -> ssl.SSLContext:
        with self._lock:
            if ca_file not in self._contexts:
                self._contexts[ca_file] = ssl_context(ca_file)
            return self._contexts[ca_file]
