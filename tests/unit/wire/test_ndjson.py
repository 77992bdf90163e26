import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamweir.wire.frames import Malformed
from streamweir.wire.ndjson import NdjsonDecoder
from tests.chunkings import chunkings

CASES = [
    ("one a line", b'{"a":1}\n{"b":2}\n', ['{"a":1}', '{"b":2}']),
    ("back to back", b'{"a":1}{"b":2} {"c":3}', ['{"a":1}', '{"b":2}', '{"c":3}']),
    ("over lines", b'{"a":\n 1,\r\n "b": [1,\n2]}\n', ['{"a":\n 1,\r\n "b": [1,\n2]}']),
    ("brackets in strings", b'{"a":"}{][","b":"\\""}{}', ['{"a":"}{][","b":"\\""}', "{}"]),
    ("escapes", b'{"a":"\\\\"}{"b":"\\\\\\"}"}', ['{"a":"\\\\"}', '{"b":"\\\\\\"}"}']),
    ("an unterminated last line", b'{"a":1}\n{"b":2}', ['{"a":1}', '{"b":2}']),
    ("an unfinished value", b'{"a":1}\n{"b":', ['{"a":1}']),
    ("a line end in a string", b'{"a":"x\n{"b":2}\n', ['{"a":"x', '{"b":2}']),
    ("scalars and garbage", b'12\nnull\nfoo{"a":1}\n', ["12", "null", "foo", '{"a":1}']),
    ("UTF-8", '{"a":"😊é"}\n'.encode(), ['{"a":"😊é"}']),
    ("bad UTF-8", b'{"a":"\xff"}\n', ['{"a":"\ufffd"}']),
    ("white space", b" \r\n\t {} \n\n", ["{}"]),
    ("unfinished garbage", b"{}\nfoo", ["{}"]),
    (
        "a bracket in a string at a line's end",
        b'{"a":"}\n{"b":"x\\"}\n{"c":1}\n',
        ['{"a":"}', '{"b":"x\\"}', '{"c":1}'],
    ),
    ("an odd bracket", b'{"a":[1}\n{"b":1}\n', []),
    ("lines with spaces", b'  {"a":1}\t\r\n\n {"b":2}\r\n', ['{"a":1}', '{"b":2}']),
    ("arrays", b"[1,[2]]\n[]", ["[1,[2]]", "[]"]),
]


def decode(pieces: list[bytes], limit: int = 1 << 20) -> list[object]:
    decoder = NdjsonDecoder(limit)
    frames = [frame for piece in pieces for frame in decoder.feed(piece)]
    return [frame if isinstance(frame, Malformed) else frame.data for frame in frames]


@pytest.mark.parametrize(("data", "expected"), [pytest.param(d, e, id=n) for n, d, e in CASES])
def test_values_under_every_chunking(data: bytes, expected: list[str]) -> None:
    for pieces in chunkings(data):
        assert decode(pieces) == expected


def test_an_oversized_value_ends_the_stream() -> None:
    for pieces in chunkings(b'{"a":1}{"b":"' + b"x" * 40 + b'"}{"c":1}'):
        assert decode(pieces, 30) == ['{"a":1}', Malformed("an object of the stream has more than 30 bytes")]


@given(
    st.text(st.sampled_from('{}[]"\\\n\r :1a'), max_size=40).map(str.encode), st.lists(st.integers(0, 9), max_size=30)
)
@settings(deadline=None, max_examples=1000)
def test_the_same_values_under_every_chunking(data: bytes, sizes: list[int]) -> None:
    pieces, at = [], 0
    for size in [*sizes, len(data)]:
        pieces.append(data[at : at + size])
        at += size
    assert decode(pieces) == decode([data[n : n + 1] for n in range(len(data))])


@given(st.lists(st.dictionaries(st.text(max_size=5), st.text(max_size=8) | st.integers()), max_size=5), st.data())
@settings(deadline=None, max_examples=100)
def test_what_is_encoded_is_decoded(values: list[dict[str, object]], data: st.DataObject) -> None:
    values = [
        {
            k.encode("utf-8", "replace").decode(): v.encode("utf-8", "replace").decode()
            if isinstance(v, str)
            else v % 2**53
            for k, v in value.items()
        }
        for value in values
    ]
    wire = b"".join(
        msgspec.json.encode(value) + data.draw(st.sampled_from([b"", b"\n", b"\r\n", b" "])) for value in values
    )
    pieces = []
    while wire:
        size = data.draw(st.integers(1, len(wire)))
        pieces.append(wire[:size])
        wire = wire[size:]
    assert [msgspec.json.decode(text) for text in decode(pieces)] == values
