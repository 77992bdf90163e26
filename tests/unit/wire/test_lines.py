from hypothesis import given
from hypothesis import strategies as st

from streamweir.wire.lines import LineSplitter


@given(st.lists(st.text("ab\r\n\v\x85", max_size=6).map(lambda text: text.encode("latin-1")), max_size=12))
def test_lines_end_at_cr_lf_and_crlf_alone_under_every_chunking(reads: list[bytes]) -> None:
    splitter = LineSplitter()
    lines: list[bytes] = []
    for data in reads:
        lines += splitter.feed(data)
        assert splitter.held == len(splitter.rest())
    whole = b"".join(reads)
    # bytes, unlike text, are split at these three ends and no others
    expected = whole.splitlines()
    rest = expected.pop() if whole and whole[-1:] not in (b"\r", b"\n") else b""
    assert (lines, splitter.rest()) == (expected, rest)
