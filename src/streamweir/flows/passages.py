"""A text in overlapping passages of whole sentences, for a vector store. Pure.

Passages come in order, cover the text wholly, and each is at most as long as asked; what one ends with, the next begins
with, so that a sentence is found with what stands around it. All positions are code points.
"""

from __future__ import annotations

import unicodedata
from bisect import bisect_left, bisect_right
from typing import Final, NamedTuple

from streamweir.flows.sentences import Sentences

SIZE: Final = 800
"""Code points of a passage: some 200 tokens of English, well inside the 256 to 512 that small embedding models read."""

OVERLAP: Final = 120
"""Code points that two neighbours share at most: a sentence or two."""

MIN_SIZE: Final = 50
MAX_SIZE: Final = 4000
"""Bounds of what may be configured. 8,191 tokens is what hosted models take, and a code point may cost two of them."""

JOINERS: Final = "\u200d\ufe0e\ufe0f\U0001f3fb\U0001f3fc\U0001f3fd\U0001f3fe\U0001f3ff"
"""What belongs to the character before it: zero-width joiner, variation selectors, skin tones; and combining marks."""

CLUSTER: Final = 16
"""Code points by which a cut inside a word gives way so as not to split a character from what belongs to it."""


class Passage(NamedTuple):
    """`text[start:end]`."""

    start: int
    end: int


def passages(text: str, size: int = SIZE, overlap: int = OVERLAP) -> list[Passage]:
    """The passages of a text, each of at most `size` code points; none of an empty one.

    `overlap` must be less than half of `size`. Raises ValueError.
    """
    if not 0 <= overlap * 2 < size:
        raise ValueError(f"an overlap of {overlap} does not go with passages of {size}")
    if len(text) <= size:
        return [Passage(0, len(text))] if text else []
    ends = _sentence_ends(text)
    found = [Passage(0, _end(text, ends, 0, 0, size))]
    while found[-1].end < len(text):
        before = found[-1].end
        start = _start(text, ends, found[-1], overlap)
        whole = ends[bisect_right(ends, before)]
        if start < whole - size <= before:
            # less overlap rather than half a sentence
            start = _word_start(text, whole - size, before)
        found.append(Passage(start, _end(text, ends, start, before, size)))
    return found


def _sentence_ends(text: str) -> list[int]:
    """Where sentences end, the last at the text's end."""
    sentences = Sentences()
    ends: list[int] = []
    at = 0
    for sentence in (*sentences.push(text), *sentences.flush()):
        at += len(sentence)
        ends.append(at)
    return ends


def _end(text: str, ends: list[int], start: int, before: int, size: int) -> int:
    """Where a passage ends that begins at `start` and must reach beyond `before`."""
    limit = start + size
    fits = bisect_right(ends, limit) - 1
    if fits >= 0 and ends[fits] > before:
        return ends[fits]
    # the sentence goes on beyond what fits: behind its last white space, if there is some
    at = limit
    while at > before and not text[at - 1].isspace():
        at -= 1
    return at if at > before else _whole_character(text, limit, before)


def _start(text: str, ends: list[int], last: Passage, overlap: int) -> int:
    """Where the passage after `last` begins: with a sentence, else with a word, else with what fits."""
    least = max(last.start + 1, last.end - overlap)
    sentence = bisect_left(ends, least)
    if ends[sentence] < last.end:
        return ends[sentence]
    return _word_start(text, least, last.end)


def _word_start(text: str, least: int, most: int) -> int:
    """The first place from `least` on where a word begins, or `most`; inside an endless word, a character's begin."""
    at = least
    while at < most and not text[at - 1].isspace():
        at += 1
    if at < most or text[most - 1].isspace():
        return at
    at = least
    while at < most and _belongs(text, at):
        at += 1
    return at


def _whole_character(text: str, at: int, before: int) -> int:
    """The cut at `at`, or a little before it, that splits no character from what belongs to it."""
    for earlier in range(at, max(before, at - CLUSTER), -1):
        if not _belongs(text, earlier):
            return earlier
    return at


def _belongs(text: str, at: int) -> bool:
    """Whether the code point at `at` belongs to the one before it."""
    if at >= len(text):
        return False
    return text[at] in JOINERS or text[at - 1] == "\u200d" or unicodedata.category(text[at]) in ("Mn", "Me", "Mc")
