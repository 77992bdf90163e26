"""An upstream of any dialect whose answers are the bytes that a test gives it, in a thread of its own."""

import socket
import threading
import time
from base64 import b64encode
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from hashlib import sha1

from streamweir.dialects import BUILTIN
from streamweir.wire.websocket import GUID, encode_message

TYPES = {"sse": "text/event-stream", "ndjson": "application/x-ndjson"}


@contextmanager
def answering(dialect: str, *answers: Sequence[bytes]) -> Iterator[str]:
    """The URL of a server whose n-th stream is the n-th answer, a write for each of its pieces; then it hangs up."""
    listener = socket.create_server(("127.0.0.1", 0))
    left = list(answers)

    def serve() -> None:
        while True:
            try:
                peer, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=_answer, args=(peer, dialect, left.pop(0)), daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}" + ("/v1" if dialect == "openai" else "")
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


def _answer(peer: socket.socket, dialect: str, pieces: Sequence[bytes]) -> None:
    with peer, suppress(OSError):
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        head = b""
        while b"\r\n\r\n" not in head:
            head += peer.recv(65536)
        framing = BUILTIN[dialect].framing
        if framing == "websocket":
            key = next(line[19:] for line in head.split(b"\r\n") if line.lower().startswith(b"sec-websocket-key:"))
            accept = b64encode(sha1(key.strip() + GUID).digest())
            peer.sendall(
                b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                b"Sec-WebSocket-Accept: " + accept + b"\r\nX-Request-Id: id-123-45-6789\r\n\r\n"
            )
            peer.recv(65536)
            peer.sendall(encode_message(b'{"status":"stream_ready","protocol_version":"v2"}'))
            peer.recv(65536)
        else:
            body = head.partition(b"\r\n\r\n")[2]
            length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
            while len(body) < length:
                body += peer.recv(65536)
            peer.sendall(
                f"HTTP/1.1 200 OK\r\nContent-Type: {TYPES[framing]}\r\nConnection: close\r\n".encode()
                + b"X-Request-Id: id-123-45-6789\r\n\r\n"
            )
        for piece in pieces:
            peer.sendall(piece)
            time.sleep(0.0005)
        peer.shutdown(socket.SHUT_WR)
        # until the client has seen the end
        while peer.recv(65536):
            pass
