import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamweir.flows.sentences import MAX_SENTENCE, Sentences

CASES = [
    ("Hello there. How are you? Fine!", ["Hello there. ", "How are you? ", "Fine!"]),
    ("It costs 3.50 euros. Yes.", ["It costs 3.50 euros. ", "Yes."]),
    ("Ask Mr. Smith or Dr. J. Doe, e.g. today. Bye.", ["Ask Mr. Smith or Dr. J. Doe, e.g. today. ", "Bye."]),
    ('He said "Stop!" Then he left.', ['He said "Stop!" ', "Then he left."]),
    ("Wait... What?! No.", ["Wait... ", "What?! ", "No."]),
    ("One\n\ntwo\nthree", ["One\n\n", "two\n", "three"]),
    ("你好。今天好吗？好！", ["你好。", "今天好吗？", "好！"]),
    ("no end at all", ["no end at all"]),
    ("", []),
    (" . ! ", [" . ", "! "]),
]


def whole(text: str, sizes: list[int]) -> list[str]:
    sentences, out, at = Sentences(), [], 0
    for size in [*sizes, len(text)]:
        out += sentences.push(text[at : at + size])
        at += size
    return out + sentences.flush()


@pytest.mark.parametrize(("text", "expected"), CASES)
def test_sentences_under_every_chunking(text: str, expected: list[str]) -> None:
    assert whole(text, []) == expected
    assert whole(text, [1] * len(text)) == expected
    for at in range(len(text)):
        assert whole(text, [at]) == expected


@given(st.text(st.sampled_from("ab .!?\n\"'）。é3"), max_size=60), st.lists(st.integers(0, 9), max_size=20))
@settings(deadline=None, max_examples=300)
def test_nothing_is_lost_and_chunking_changes_nothing(text: str, sizes: list[int]) -> None:
    assert "".join(whole(text, sizes)) == text
    assert whole(text, sizes) == whole(text, [])


def test_what_never_ends_is_cut_at_white_space() -> None:
    text = "word " * 1000
    out = whole(text, [7] * 800)
    assert "".join(out) == text
    assert max(map(len, out)) <= MAX_SENTENCE + 7
    assert all(piece.endswith(" ") for piece in out)


@pytest.mark.parametrize("text", ["." * 20_000, ".)" * 10_000, "." + ")" * 20_000, "?!" * 10_000])
def test_a_run_of_marks_costs_no_more_than_it_is_long(text: str) -> None:
    """It took 13 s of CPU where each mark began a search of its own."""
    began = time.process_time()
    assert "".join(whole(text, [])) == text
    assert time.process_time() - began < 2
