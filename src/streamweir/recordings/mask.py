"""An answer's bytes as a recording may hold them under a guard. Pure.

The dialect's own decoder says what is text. Each text is read by the guard, and the code points that it covers are
masked, one asterisk each. Of all else only what a replay needs is kept: JSON's structure, words under keys that name
things, and counts. Nothing is written before the guard has decided about it; it keeps the time at which it came.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, Final

import msgspec

from streamweir.dialects import Dialect
from streamweir.dialects.ends import DecodeOptions
from streamweir.events import Delta, End, ToolCallDelta, Upstream
from streamweir.guard.arguments import ArgumentsScan
from streamweir.guard.engine import Scan
from streamweir.guard.shapes import Guard
from streamweir.recordings.channels import Channel
from streamweir.recordings.held import Held, Queue, Waiting
from streamweir.recordings.leaves import Leaf, leaves
from streamweir.recordings.pieces import MessagePieces, NdjsonPieces, Piece, Pieces, SsePieces, stars
from streamweir.recordings.words import Words
from streamweir.stages.integrity import Integrity
from streamweir.wire.frames import Event

CALL: Final = ("choices", "#", "delta", "tool_calls", "#")
CHUNK: Final = {
    ("choices", "#", "delta", "content"): "content",
    ("choices", "#", "delta", "reasoning_content"): "reasoning",
    ("choices", "#", "delta", "reasoning"): "reasoning",
    ("choices", "#", "delta", "refusal"): "refusal",
    (*CALL, "function", "arguments"): "arguments",
    (*CALL, "function", "name"): "name",
    (*CALL, "id"): "id",
}
PLACES: Final[dict[str, dict[tuple[str, ...], str]]] = {
    "ndjson-chat": {("content",): "content", ("delta",): "content"},
    "sse-generative": {("content",): "content"},
    "ws-gateway": {("token",): "content"},
}
"""Where a frame has what its decoder hands out; the other dialects send chunks."""


class Said(msgspec.Struct):
    """Something that a frame's decoder handed out: a piece of a channel, or the name or id of a call."""

    kind: str
    text: str
    channel: Channel | None = None
    start: int = 0
    key: tuple[object, ...] = ()


class RecordMask:
    """One stream. `begin` an answer and `feed` it; then another one, or `finish`. `ready` is what may be written."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard
        self._words = Words(guard)
        self._channels: dict[tuple[str, int, int], Channel] = {}
        self._queue = Queue()
        self._broken = False
        self._whole = False
        self._begun = False
        self._grown: str | None = None
        self._base = 0

    def begin(self, dialect: Dialect, options: DecodeOptions) -> None:
        """An answer begins."""
        if self._begun:
            self._guarded(lambda channel: channel.go_on(whole=self._whole))
        self._begun, self._whole = True, False
        self._pieces: Pieces = (
            SsePieces(self._words.word)
            if dialect.framing == "sse"
            else NdjsonPieces()
            if dialect.framing == "ndjson"
            else MessagePieces(self._words.sentence)
        )
        self._decode = dialect.decoder(options)
        self._integrity = Integrity(failing=False)
        self._places = PLACES.get(dialect.name, CHUNK)
        self._grown = "" if dialect.name == "sse-generative" and options.content == "cumulative" else None
        self._base = self._channel("content", 0, 0).size

    def feed(self, data: bytes, at: float) -> None:
        """Bytes of the answer."""
        for piece in self._pieces.feed(data):
            try:
                if self._broken:
                    raise _GuardFailedError
                parts: list[str | Waiting] = self._parts(piece)
            except Exception:
                # whatever went wrong: what nobody has read must not stand in a file
                if not self._broken:
                    self._fail()
                parts = [stars(piece.payload, "\n")]
            self._queue.add(Held(at, piece.wrap, parts))

    def put(self, line: msgspec.Struct) -> None:
        """A line that is to stand behind all that came before."""
        self._queue.add(Held(0.0, None, [], line))

    def finish(self) -> None:
        """The stream is over: all that is held may leave."""
        self._guarded(lambda channel: channel.finish(whole=self._whole))

    def ready(self) -> Iterator[tuple[float, bytes] | msgspec.Struct]:
        """What is decided, in order."""
        return self._queue.ready()

    def shown(self, text: str) -> str:
        """A text of our own as it may stand in the recording."""
        return self._words.sentence(text, whole=True)

    def _guarded(self, step: Callable[[Channel], None]) -> None:
        try:
            for channel in self._channels.values():
                step(channel)
        except Exception:
            self._fail()

    def _fail(self) -> None:
        """The guard has failed: nothing that it has not decided is shown."""
        self._broken = True
        self._queue.mask()

    # -- reading ---------------------------------------------------------------------------------------

    def _parts(self, piece: Piece) -> list[str | Waiting]:
        frame, payload = piece.frame, piece.payload
        if frame is None:
            return [payload]
        events = self._integrity(self._decode([frame]), 0.0)
        said = self._said(events)
        failed = any(type(event) is End and event.message for event in events)
        try:
            msgspec.json.decode(payload)
        except (msgspec.DecodeError, RecursionError):
            if payload.strip() in ("", "[DONE]"):
                return [payload]
            error = type(frame) is Event and frame.event == "error" and failed
            return [self._words.sentence(payload) if error else stars(payload, "\n")]
        return self._in_place(payload, said, failed)

    def _said(self, events: Sequence[Upstream]) -> list[Said]:
        out: list[Said] = []
        for event in events:
            if type(event) is Delta:
                channel = self._channel(event.channel, event.choice, 0)
                out.append(Said(event.channel, event.text, channel, channel.push(event.text)))
                if self._grown is not None:
                    self._grown += event.text
            elif type(event) is ToolCallDelta:
                call = event.choice, event.index
                if event.arguments:
                    channel = self._channel("arguments", *call)
                    out.append(Said("arguments", event.arguments, channel, channel.push(event.arguments)))
                for kind, text in (("name", event.name), ("id", event.id)):
                    if text:
                        out.append(Said(kind, text, key=(kind, *call)))
            elif type(event) is End:
                # a reply with gaps is not whole, whatever it says
                self._whole = event.status == "completed" and not self._integrity.ratio
        return out

    def _channel(self, kind: str, choice: int, call: int) -> Channel:
        key = kind, choice, call
        channel = self._channels.get(key)
        if channel is None:
            scan: Callable[[], Any] = partial(ArgumentsScan if kind == "arguments" else Scan, self._guard)
            channel = self._channels[key] = Channel(scan, overlapping=key == ("content", 0, 0))
        return channel

    def _in_place(self, payload: str, said: list[Said], failed: bool) -> list[str | Waiting]:
        out: list[str | Waiting] = []
        taken: dict[tuple[int, str], Said] = {}
        at = 0
        for leaf in leaves(payload):
            shown = self._leaf(leaf, said, taken, failed)
            if shown != leaf.raw:
                out += (payload[at : leaf.start], shown)
                at = leaf.end
        out.append(payload[at:])
        return out

    def _leaf(self, leaf: Leaf, said: list[Said], taken: dict[tuple[int, str], Said], failed: bool) -> str | Waiting:
        if leaf.kind == "key":
            return self._words.key(leaf)
        if leaf.kind == "number":
            return self._words.number(leaf)
        kind = self._places.get(leaf.path)
        if kind is None:
            return self._words.string(leaf, failed=failed)
        text = leaf.text
        if self._grown and text == self._grown:
            return Waiting(self._channel("content", 0, 0), self._base, self._base + len(text), leaf.raw, again=True)
        # one object may have the same text under two keys, of which the decoder takes one
        alike = (one for one in said if one.kind == kind and one.text == text)
        one = taken.get((leaf.inside, kind)) or next(alike, None)
        if one is None or one.text != text:
            return stars(text)
        if one in said:
            said.remove(one)
        taken[leaf.inside, kind] = one
        if one.channel is None:
            return self._words.lasting(text, one.key)
        return Waiting(one.channel, one.start, one.start + len(text), leaf.raw)


class _GuardFailedError(Exception):
    """Once the guard has failed, it is not asked again."""
