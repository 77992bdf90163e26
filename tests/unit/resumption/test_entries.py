"""What is packed reads as what was put in: against a plain list."""

from hypothesis import given
from hypothesis import strategies as st

from streamweir.resumption.entries import PACK, Entries

PIECES = st.lists(st.lists(st.binary(max_size=40), max_size=PACK * 2), max_size=12)
EVERYTHING = 1 << 62


def everything(entries: Entries, position: int, most: int = EVERYTHING) -> list[bytes]:
    out: list[bytes] = []
    while some := entries.since(position + len(out), most):
        out += some
    return out


@given(PIECES, st.integers(0, 200), st.integers(0, 100))
def test_reads_what_was_put_in_from_every_position(pieces: list[list[bytes]], at: int, most: int) -> None:
    entries, plain = Entries(), []
    for piece in pieces:
        entries.add(piece)
        plain += piece
    assert entries.next == len(plain)
    at = min(at, len(plain))
    assert everything(entries, at, most) == plain[at:]
    # what was just added is there without unpacking, for those who are not behind
    last = len(pieces[-1]) if pieces else 0
    assert list(entries.since(len(plain) - last, EVERYTHING)) == plain[len(plain) - last :]


@given(PIECES, st.integers(-1, 100), st.integers(0, 4000))
def test_trims_the_oldest_and_no_more_than_it_may(pieces: list[list[bytes]], upto: int, limit: int) -> None:
    entries, plain = Entries(), []
    for piece in pieces:
        entries.add(piece)
        plain += piece
    before = entries.size
    entries.trim(upto, limit)
    assert entries.first <= max(0, upto + 1)
    assert entries.next == len(plain)
    assert everything(entries, entries.first) == plain[entries.first :]
    assert entries.size <= before
    if upto >= len(plain):
        assert entries.size <= limit
        entries.trim(upto, -1)
        assert (entries.size, entries.first) == (0, len(plain))


def test_frames_that_are_alike_take_little() -> None:
    entries = Entries()
    for number in range(1000):
        entries.add([b'{"type":"chunk","seq":%d,"data":{"id":"chatcmpl-0123","choices":[{"delta":{}}]}}' % number * 3])
    assert entries.size < 1000 * 60
