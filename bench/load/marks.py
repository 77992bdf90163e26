"""What each event of a load carries: its number and the moment at which it was written, in letters.

Digits would be read, and held, by a guard that looks for card numbers; letters pass as any prose does.
"""

from __future__ import annotations

import json
import re
import time

LETTERS = "abcdefghijklmnop"
MARK = re.compile(r"n([a-p]+)z t([a-p]+)z ")
PROSE = ("Your ", "order ", "left ", "our ", "warehouse ", "this ", "morning, ", "and ", "the carrier ", "expects ")


def letters(number: int) -> str:
    """A number in base 16, with letters for digits."""
    return "".join(LETTERS[int(digit, 16)] for digit in f"{number:x}")


def number_of(text: str) -> int:
    """The number that letters say."""
    return int("".join(f"{LETTERS.index(letter):x}" for letter in text), 16)


def event(number: int, more: int = 0) -> bytes:
    """One chunk of an OpenAI-style answer, marked, with so many characters besides."""
    text = f"{PROSE[number % len(PROSE)]}n{letters(number)}z t{letters(time.monotonic_ns() // 1000)}z "
    text += "x" * more
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": None}
    chunk = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}
    return b"data: " + json.dumps(chunk).encode() + b"\n\n"


def marks(text: str) -> list[tuple[int, int]]:
    """The numbers in a text, and the microseconds at which each was written."""
    return [(number_of(found[1]), number_of(found[2])) for found in MARK.finditer(text)]


END = (
    b'data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"m",'
    b'"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
)
