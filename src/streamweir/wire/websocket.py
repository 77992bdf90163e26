"""WebSocket frames as a client reads and writes them (RFC 6455), behind the upgrade that wire/http1.py carried. Pure.

The frames are the `websockets` library's, its part without input or output; messages are put together here. It draws
the masks of outgoing frames itself, which is the one randomness in this half.
"""

from __future__ import annotations

from base64 import b64encode
from hashlib import sha1
from typing import Final

from websockets.frames import CloseCode, Opcode
from websockets.frames import Frame as WireFrame
from websockets.protocol import Protocol, Side

from streamweir.wire.frames import MAX_EVENT, Closed, Frame, Malformed, Value

GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
PING_EVERY: Final = 20.0
"""Seconds between our pings (wire contract 2.5)."""
PONG_WITHIN: Final = 10.0
"""Seconds in which the pong must come; bytes of any kind count as a sign of life too."""


def upgrade_headers(key: bytes, subprotocols: tuple[str, ...] = ()) -> tuple[tuple[str, str], ...]:
    """The headers of the opening handshake; `key` is 16 random bytes."""
    headers = [
        ("Connection", "Upgrade"),
        ("Upgrade", "websocket"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", b64encode(key).decode()),
    ]
    if subprotocols:
        headers.append(("Sec-WebSocket-Protocol", ", ".join(subprotocols)))
    return tuple(headers)


def accepts(answer: str | None, key: bytes) -> bool:
    """Whether a `Sec-WebSocket-Accept` header proves that the peer read our key."""
    digest = sha1(b64encode(key) + GUID).digest()  # noqa: S324 (the RFC's own; no secret depends on it)
    return answer is not None and answer.strip() == b64encode(digest).decode()


class WebSocket:
    """Bytes of an upgraded connection to messages, and what is to be written in answer.

    `feed` gives a Value a message, then at most one Closed or Malformed. After each call `outgoing()` is what to write:
    messages, pongs, the answer to a close. The same frames come out under every chunking.
    """

    __slots__ = ("_early", "_over", "_parts", "_ping_at", "_pinged", "_protocol", "_size", "_waiting")

    def __init__(self, now: float, max_message: int = MAX_EVENT) -> None:
        self._protocol = Protocol(Side.CLIENT, max_size=max_message)
        self._parts = bytearray()
        # of a frame that is not complete when the handshake is over; None from then on
        self._early: bytearray | None = bytearray()
        self._waiting: list[Frame] = []
        self._over = False
        self._ping_at = now + PING_EVERY
        self._pinged = False

    def feed(self, data: bytes) -> list[Frame]:
        """The messages that `data` completes, behind those given back."""
        frames, self._waiting = self._waiting, []
        if self._over or not data:
            self._early = None
            return frames
        if self._early is not None:
            self._early += data
        self._pinged = False
        self._protocol.receive_data(data)
        for frame in self._protocol.events_received():
            if isinstance(frame, WireFrame):
                self._frame(frame, frames)
                if self._early is not None:
                    size = len(frame.data)
                    del self._early[: size + (2 if size < 126 else 4 if size < 1 << 16 else 10)]
        broken = self._protocol.parser_exc
        if broken is not None and not self._over:
            self._over = True
            frames.append(Malformed(f"a WebSocket frame is broken: {broken}"))
        return frames

    def give_back(self, frames: list[Frame]) -> None:
        """Frames that were looked at and not used; the next `feed` hands them out first."""
        self._waiting = [*frames, *self._waiting]

    @property
    def unread(self) -> bytes:
        """The messages that were given back, as a server had sent them, and what has come of the next one."""
        out = b""
        for frame in self._waiting:
            if isinstance(frame, Value):
                out += encode_message(frame.data.encode("utf-8", "surrogatepass"))
            elif isinstance(frame, Closed):
                out += encode_close(frame.code, frame.reason) if frame.code != 1005 else encode_message(b"", 8)
        if self._parts:
            # a text message whose last fragment is not here yet
            out += b"\x01" + encode_message(bytes(self._parts))[1:]
        return out + bytes(self._early or b"")

    def send(self, message: bytes) -> None:
        """Queue a text message, UTF-8."""
        self._protocol.send_text(message)

    def close(self) -> None:
        """Queue a close frame, where the connection is still open."""
        if not self._over:
            self._over = True
            self._protocol.send_close(CloseCode.NORMAL_CLOSURE)

    @property
    def over(self) -> bool:
        """Whether no more messages come."""
        return self._over

    def outgoing(self) -> bytes:
        """Bytes to write now."""
        return b"".join(self._protocol.data_to_send())

    def due(self) -> float:
        """When to call `beat`: at the next ping, or when the pong is late."""
        return float("inf") if self._over else self._ping_at

    def beat(self, now: float) -> bool:
        """Queue a ping where one is due; False where the last one got no answer in time: the connection is dead."""
        if now < self._ping_at or self._over:
            return True
        if self._pinged:
            return False
        self._pinged = True
        self._ping_at = now + PONG_WITHIN
        self._protocol.send_ping(b"")
        return True

    def rest(self, now: float) -> None:
        """Our own reader paused, so no pong could be read: start the clock anew."""
        self._pinged = False
        self._ping_at = now + PING_EVERY

    def _frame(self, frame: WireFrame, frames: list[Frame]) -> None:
        opcode, data, fin = frame.opcode, frame.data, frame.fin
        if opcode is Opcode.CLOSE:
            self._over = True
            said = self._protocol.close_rcvd
            frames.append(Closed(int(said.code), said.reason) if said else Closed(1005))
        elif opcode in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
            # one buffer and no list of parts, since a part may be empty: there may be any number of them
            self._parts += data
            if fin:
                # 8.1 asks for a close on invalid UTF-8; as in SSE the text is kept, with the replacement character
                frames.append(Value(self._parts.decode("utf-8", "replace")))
                self._parts.clear()


def encode_message(message: bytes, opcode: int = 1) -> bytes:
    """A whole message as a server's frame, which is not masked. Opcodes: 1 text, 8 close, 9 ping."""
    size = len(message)
    if size < 126:
        return bytes((0x80 | opcode, size)) + message
    if size < 1 << 16:
        return bytes((0x80 | opcode, 126)) + size.to_bytes(2) + message
    return bytes((0x80 | opcode, 127)) + size.to_bytes(8) + message


def encode_close(code: int, reason: str = "") -> bytes:
    """A close frame as a server sends it."""
    return encode_message(code.to_bytes(2) + reason.encode(), 8)
