"""Passages: whole cover, order, overlap, bounded sizes, in texts of any shape."""

import time
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamweir.flows.passages import MAX_SIZE, MIN_SIZE, OVERLAP, SIZE, Passage, passages

LETTERS = st.sampled_from(list("ab .!?\n\"'）。é你🧑\u200d🚀\u0301\ufe0f\t"))
TEXTS = st.one_of(
    st.text(LETTERS, max_size=600),
    st.text(max_size=400),
    st.lists(st.sampled_from(["Hello there. ", "word ", "supercalifragilistic", "What? ", "\n\n", "你好。", "🧑‍🚀"]), max_size=120).map("".join),
)  # fmt: skip
SIZES = st.integers(3, 80).flatmap(lambda size: st.tuples(st.just(size), st.integers(0, (size - 1) // 2)))


@given(TEXTS, SIZES)
def test_a_text_is_covered_wholly_in_order_and_in_bounds(text: str, bounds: tuple[int, int]) -> None:
    size, overlap = bounds
    found = passages(text, size, overlap)
    assert found == passages(text, size, overlap)
    if not text:
        assert found == []
        return
    assert (found[0].start, found[-1].end) == (0, len(text))
    assert all(0 < one.end - one.start <= size for one in found)
    for one, after in pairwise(found):
        assert one.start < after.start <= one.end < after.end
        assert one.end - after.start <= overlap


@given(TEXTS, SIZES)
def test_a_passage_is_its_own_only_passage(text: str, bounds: tuple[int, int]) -> None:
    size, overlap = bounds
    for one in passages(text, size, overlap):
        assert passages(text[one.start : one.end], size, overlap) == [Passage(0, one.end - one.start)]


@given(
    st.lists(
        st.sampled_from(["Yes. ", "Tea is hot. ", "Where is it? ", "No one knows that here!\n"]),
        min_size=1,
        max_size=60,
    )
)
def test_sentences_that_fit_are_never_cut(sentences: list[str]) -> None:
    text, starts, at = "".join(sentences), [], 0
    for sentence in sentences:
        starts.append(at)
        at += len(sentence)
    for one in passages(text, 60, 25):
        assert one.start in starts
        assert one.end in [*starts, len(text)]


@given(st.lists(st.sampled_from(["Yes. ", "Tea is hot. ", "Where is it, please? "]), min_size=1, max_size=60))
def test_a_sentence_that_fits_is_whole_though_neighbours_share_less(sentences: list[str]) -> None:
    text, ends, at = "".join(sentences), [], 0
    for sentence in sentences:
        at += len(sentence)
        ends.append(at)
    assert all(one.end in ends for one in passages(text, 25, 12))


def test_neighbours_share_a_sentence_where_one_fits() -> None:
    text = "The first one here. The second one here. The third one here. The fourth one here. "
    found = [text[one.start : one.end] for one in passages(text, 45, 22)]
    assert found == [
        "The first one here. The second one here. ",
        "The second one here. The third one here. ",
        "The third one here. The fourth one here. ",
    ]


def test_a_long_sentence_is_cut_between_words_and_a_long_word_anywhere() -> None:
    text = "many small words without an end " * 10
    for one in passages(text, 50, 12):
        assert one.start == 0 or text[one.start - 1] == " "
        assert text[one.end - 1] == " "
    found = passages("x" * 100, 40, 10)
    assert found == [Passage(0, 40), Passage(30, 70), Passage(60, 100)]


def test_a_character_keeps_what_belongs_to_it() -> None:
    for character in ("🧑‍🚀", "e\u0301", "👍🏽", "❤️"):
        text = character * 200
        for one in passages(text, 50, 12):
            assert one.start % len(character) == 0
            assert one.end % len(character) == 0


def test_languages_without_spaces_are_cut_at_their_own_full_stops() -> None:
    text = "今天的天气很好。" * 30
    assert all(text[one.end - 1] == "。" for one in passages(text, 50, 12))


@pytest.mark.parametrize(
    "text", ["a" * 300_000, "a " * 150_000, "Hello there. " * 25_000, "\n" * 300_000, "." * 300_000, "\u0301" * 300_000]
)
def test_a_long_text_takes_time_in_proportion(text: str) -> None:
    """CPU of a text against that of a third of it, with room for a busy machine; a quadratic way would take nine times."""
    least = []
    for part in (text[: len(text) // 3], text):
        times = []
        for _ in range(3):
            began = time.process_time()
            passages(part)
            times.append(time.process_time() - began)
        least.append(min(times))
    assert least[1] < 7 * least[0] + 0.05


def test_bounds_go_together() -> None:
    assert MIN_SIZE < SIZE < MAX_SIZE
    assert 2 * OVERLAP < SIZE
    for size, overlap in ((10, 5), (0, 0), (10, -1)):
        with pytest.raises(ValueError, match="overlap"):
            passages("x", size, overlap)
