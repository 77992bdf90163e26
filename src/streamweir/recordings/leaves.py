"""The strings, keys and numbers of a JSON text, where they stand in it, so that they can be replaced in place. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, Literal

import msgspec

TOKEN: Final = re.compile(r'"([^"\\]*(?:\\.[^"\\]*)*)"|-?\d[\d.eE+\-]*|[{}\[\],]', re.DOTALL)
POINT: Final = re.compile(
    r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\u[0-9a-fA-F]{4}|\\.|[^\\]", re.DOTALL
)
"""One code point of a string, as it is spelled."""

ITEM: Final = "#"
"""Stands in a path for the place in an array."""


class Leaf(msgspec.Struct, frozen=True):
    """`start` to `end` may be replaced: of a string what is between its quotation marks, `raw` as it is spelled.

    `path` are the keys that lead to it, `inside` the number of the object or array that it stands in.
    """

    kind: Literal["key", "string", "number"]
    start: int
    end: int
    raw: str
    path: tuple[str, ...]
    inside: int

    @property
    def text(self) -> str:
        """What a string means."""
        return msgspec.json.decode(f'"{self.raw}"', type=str) if "\\" in self.raw else self.raw


def leaves(text: str) -> Iterator[Leaf]:
    """All of them, in order. `text` must be JSON."""
    path: list[str] = []
    arrays: list[bool] = []
    numbers: list[int] = []
    count = 0
    at_key = False
    for found in TOKEN.finditer(text):
        start, end = found.span()
        char = text[start]
        if char in "{[":
            count += 1
            numbers.append(count)
            arrays.append(char == "[")
            path.append("" if char == "{" else ITEM)
            at_key = char == "{"
        elif char in "}]":
            numbers.pop()
            arrays.pop()
            path.pop()
            at_key = False
        elif char == ",":
            at_key = not arrays[-1]
        elif char == '"':
            leaf = Leaf("key" if at_key else "string", start + 1, end - 1, found[1], tuple(path), (numbers or [0])[-1])
            if at_key:
                path[-1] = leaf.text
                at_key = False
            yield leaf
        else:
            yield Leaf("number", start, end, found[0], tuple(path), (numbers or [0])[-1])


def points(raw: str) -> list[str]:
    """The code points of a string, as they are spelled."""
    return POINT.findall(raw) if "\\" in raw else list(raw)
