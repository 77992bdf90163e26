"""Server-sent events, decoded and encoded as the WHATWG HTML standard says ("Parsing an event stream")."""

from __future__ import annotations

from streamweir.wire.frames import MAX_EVENT, Event, Frame, Malformed
from streamweir.wire.lines import LineSplitter

MAX_RETRY_DIGITS = 15
"""Python refuses to parse unbounded digits; 15 are thirty thousand years."""

BOM = b"\xef\xbb\xbf"


class SseDecoder:
    """Body bytes to events. The same frames come out under every chunking; nothing is raised.

    `retry` is the reconnection time that the stream last set, in milliseconds.
    """

    __slots__ = ("_bom", "_broken", "_data", "_event", "_id", "_lines", "_max", "retry")

    def __init__(self, max_event: int = MAX_EVENT) -> None:
        self._max = max_event
        self._lines = LineSplitter()
        self._bom: bytes | None = b""
        self._data: bytes | bytearray | None = None
        self._event = "message"
        self._id = ""
        self.retry: int | None = None
        self._broken = False

    def feed(self, data: bytes) -> list[Frame]:
        """The events that `data` completes. An event unfinished at the end of the stream is dropped, as it must be."""
        if self._broken:
            return []
        if self._bom is not None:
            data = self._without_bom(data)
        frames: list[Frame] = []
        for line in self._lines.feed(data):
            if not line:
                if self._data is not None:
                    frames.append(Event(self._data.decode("utf-8", "replace"), self._event, self._id))
                    self._data = None
                self._event = "message"
                continue
            if len(line) > self._max:
                return self._break(frames)
            value = line.removeprefix(b"data: ")
            if value == line:
                value = b"" if line == b"data" else line.removeprefix(b"data:")
                if value == line:
                    self._field(line)
                    continue
            if self._data is None:
                self._data = value
                continue
            # a buffer and no list of lines: an object a line is twenty times the bytes where lines are short
            if isinstance(self._data, bytes):
                self._data = bytearray(self._data)
            self._data += b"\n" + value
            if len(self._data) >= self._max:
                return self._break(frames)
        if self._lines.held > self._max:
            return self._break(frames)
        return frames

    def _field(self, line: bytes) -> None:
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"event":
            self._event = value.decode("utf-8", "replace") or "message"
        elif name == b"id" and b"\0" not in value:
            self._id = value.decode("utf-8", "replace")
        elif name == b"retry" and value.isdigit() and len(value) <= MAX_RETRY_DIGITS:
            self.retry = int(value)

    def _without_bom(self, data: bytes) -> bytes:
        start = (self._bom or b"") + data
        if len(start) < len(BOM) and BOM.startswith(start):
            self._bom = start
            return b""
        self._bom = None
        return start.removeprefix(BOM)

    def _break(self, frames: list[Frame]) -> list[Frame]:
        self._broken = True
        frames.append(Malformed(f"an event of the stream has more than {self._max} bytes"))
        return frames


def encode_event(data: str, *, event: str = "", id: str = "", retry: int | None = None) -> bytes:
    """One event as bytes. `event` and `id` must hold no line end; line ends in `data` become several data lines."""
    head = (f"event: {event}\n" if event else "") + (f"id: {id}\n" if id else "")
    head += f"retry: {retry}\n" if retry is not None else ""
    lines = data.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return (head + "".join(f"data: {line}\n" for line in lines) + "\n").encode()


def encode_comment(text: str = "") -> bytes:
    """A comment line, which keeps a connection alive and says nothing to the decoder."""
    return f": {text}\n\n".encode()
