"""A piece of text goes out by a template: it is the chunk that every other event's way would make of it."""

import json

import msgspec
import pytest
from msgspec.structs import replace

from streamweir.events import Text
from streamweir.faces.browser_ws import BrowserWs
from streamweir.wire.frames import Value
from streamweir.wire.websocket import WebSocket


def data_of(frame: bytes, seq: int) -> bytes:
    (value,) = WebSocket(0.0).feed(frame)
    assert isinstance(value, Value)
    message = json.loads(value.data)
    assert (message["type"], message["seq"]) == ("chunk", seq)
    return msgspec.json.encode(message["data"])


@pytest.mark.parametrize("content", ["", " ", '"%d" ""', "ü\n\u2028", "x" * 300, "x" * 70_000], ids=len)
@pytest.mark.parametrize("model", ["m", "50%", "%d%%b", 'a""b', ""])
def test_a_piece_of_text_is_the_same_chunk_on_both_ways(content: str, model: str) -> None:
    plain = Text(seq=0, index=0, content=content)
    by_template = BrowserWs(stream="s", model=model, created=1)
    by_all = BrowserWs(stream="s", model=model, created=1)
    (frame,) = by_template.frames([plain])
    # the second way opens the choice first
    *_, other = by_all.frames([replace(plain, extra={"delta": {}})])
    assert data_of(frame, 0) == data_of(other, 1)
