"""How deep and how large a request may be."""

import json
import time
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamweir.errors import RequestError
from streamweir.faces.bounds import MAX_DEPTH, MAX_ID, MAX_MESSAGES, MAX_METADATA, check_shape, check_wanted
from streamweir.faces.wanted import Wanted, read_body


def assert_named(message: str) -> None:
    assert "nested too deeply: at most 100" in message or "over 1000000 quotes" in message


def deep(body: bytes) -> bool:
    try:
        check_shape(body)
    except RequestError as error:
        assert_named(error.message)
        return True
    return False


def depth_of(value: Any) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if inner is None else 1 + max(map(depth_of, inner), default=0)


@pytest.mark.parametrize(("open_", "close"), [("[", "]"), ('{"a":', "}"), ('[{"a":', "}]"), ('{"[[[":["]]",', "]}")])
def test_the_limit_is_exact(open_: str, close: str) -> None:
    levels = sum(open_.replace('"[[["', "").count(c) for c in "[{")
    for count in (MAX_DEPTH // levels, MAX_DEPTH // levels + 1, 5_000):
        body = (open_ * count + "1" + close * count).encode()
        assert deep(body) == (count * levels > MAX_DEPTH), count


def test_breadth_and_brackets_in_strings_are_no_depth() -> None:
    assert not deep(json.dumps([[{}] * 500] * 500).encode())
    assert not deep(json.dumps({"a": "[" * 5_000, "b": '\\"[{' * 500, "c": "\\" * 999}).encode())
    assert not deep(b'{"a":"' + b"[" * 5_000)


JSON = st.recursive(
    st.none() | st.text('[]{}"\\a', max_size=8),
    lambda inner: st.lists(inner) | st.dictionaries(st.text('[{"\\', max_size=3), inner),
)


@given(JSON, st.integers(0, 110))
def test_it_is_the_depth_of_the_value(value: Any, around: int) -> None:
    for _ in range(around):
        value = [value, "]"]
    assert deep(json.dumps(value).encode()) == (depth_of(value) > MAX_DEPTH)


@pytest.mark.parametrize("piece", [b"[", b"]", b"[]", b'"', b'\\"', b'"\\', b'{"a":', b"\\", b"[[]", b'""['])
def test_no_body_takes_long(piece: bytes) -> None:
    """Four megabytes of anything: a fraction of a second, where one look for each start would take hours."""
    many = 4 * 1024 * 1024 // len(piece)
    for body in (b"[" * 200 + piece * many, b"[" * 200 + piece * many + b"]" * (200 + piece.count(b"[") * many)):
        began = time.process_time()
        deep(body)
        assert time.process_time() - began < 2
    with pytest.raises(RequestError, match="over 1000000 quotes and brackets"):
        check_shape(b"[" + b"[]," * 1_000_000 + b"1]")


def test_it_comes_before_the_reading() -> None:
    with pytest.raises(RequestError, match="nested too deeply"):
        read_body(msgspec.json.decode, b"[" * 101 + b"]" * 101)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"messages": [{"role": "user"}] * (MAX_MESSAGES + 1)}, "there are 2049 messages: at most 2048"),
        ({"metadata": {"a": "x" * MAX_METADATA}}, "metadata has 16392 bytes as JSON: at most 16384"),
        ({"conversation_id": "c" * (MAX_ID + 1)}, "conversation_id must be printable"),
        ({"conversation_id": "c\r\nX-Evil: 1"}, "conversation_id must be printable"),
        ({"conversation_id": "c\0"}, "conversation_id must be printable"),
    ],
)
def test_what_no_client_means(more: dict[str, Any], message: str) -> None:
    with pytest.raises(RequestError, match=message):
        check_wanted(Wanted(**{"profile": "p", "messages": [{"role": "user"}], **more}))


def test_the_most_that_is_taken() -> None:
    check_wanted(
        Wanted(
            profile="p",
            messages=[{"role": "user"}] * MAX_MESSAGES,
            metadata={"a": "x" * (MAX_METADATA - 8)},
            conversation_id="ü" * MAX_ID,
        )
    )
