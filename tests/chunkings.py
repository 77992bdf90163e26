"""Every way of feeding a decoder that a case must survive."""

from collections.abc import Callable, Iterator
from typing import Any


def chunkings(data: bytes) -> Iterator[list[bytes]]:
    """Whole, byte by byte, and every cut in two."""
    yield [data]
    yield [data[at : at + 1] for at in range(len(data))]
    for at in range(1, len(data)):
        yield [data[:at], data[at:]]


def fed(make: Callable[[], Any], data: bytes) -> list[Any]:
    """What a decoder makes of `data`, the same under every chunking."""
    outcomes = []
    for pieces in chunkings(data):
        feed = make()
        outcomes.append([item for piece in pieces for item in feed(piece)])
    assert all(outcome == outcomes[0] for outcome in outcomes)
    return outcomes[0]
