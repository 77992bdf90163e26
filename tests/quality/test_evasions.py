"""How values are hidden in vain, whatever the pieces; and how they are hidden still, as docs/guard.md says."""

import base64
import random
import re

import pytest

from streamweir.guard.engine import Scan, redact
from tests.conftest import ROOT
from tests.quality import planted

VALUES = {
    "US_SSN": "123-45-6789",
    "CARD": "4111 1111 1111 1111",
    "IBAN": "DE89 3704 0044 0532 0130 00",
    "EMAIL": "jane.doe@example.com",
    "PHONE": "+49 30 1234567",
    "IP": "192.168.178.21",
    "CA_SIN": "130-692-544",
}
FULL_WIDTH = {
    ord(char): ord(char) + 0xFEE0 for char in "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz@.+-"
}
LOOK_ALIKES = str.maketrans("aeopcxyijs", "аеорсхуіјѕ")


def between(text: str, mark: str) -> str:
    return mark.join(text)


def between_digits(text: str, mark: str) -> str:
    return re.sub(r"(?<=\d)(?=\d)", mark, text)


CAUGHT = {
    "full-width": lambda text: text.translate(FULL_WIDTH),
    "Arabic-Indic digits": lambda text: text.translate(str.maketrans("0123456789", "٠١٢٣٤٥٦٧٨٩")),
    "Devanagari digits": lambda text: text.translate(str.maketrans("0123456789", "०१२३४५६७८९")),
    "mathematical digits": lambda text: text.translate({48 + n: 0x1D7CE + n for n in range(10)}),
    "zero-width spaces": lambda text: between(text, "\u200b"),
    "zero-width joiners": lambda text: between(text, "\u200d"),
    "word joiners": lambda text: between(text, "\u2060"),
    "soft hyphens": lambda text: between(text, "\u00ad"),
    "byte order marks": lambda text: between(text, "\ufeff"),
    "variation selectors": lambda text: between(text, "\ufe0f"),
    "combining marks": lambda text: between(text, "\u0336"),
    "no-break spaces": lambda text: text.replace(" ", "\u00a0"),
    "narrow no-break spaces": lambda text: text.replace(" ", "\u202f"),
    "figure dashes": lambda text: text.replace("-", "\u2012"),
    "minus signs": lambda text: text.replace("-", "\u2212"),
    "one dot leaders": lambda text: text.replace(".", "\u2024"),
    "look-alikes in letters": lambda text: text.translate(LOOK_ALIKES),
    "bold": lambda text: f"**{text}**",
    "italics": lambda text: f"_{text}_",
    "struck": lambda text: f"~~{text}~~",
    "code": lambda text: f"`{text}`",
    "right-to-left override": lambda text: f"\u202e{text}\u202c",
}
EMPHASIS = {
    "stars between digits": lambda text: between_digits(text, "**"),
    "underscores between digits": lambda text: between_digits(text, "_"),
    "backticks between digits": lambda text: between_digits(text, "`"),
    "tildes between digits": lambda text: between_digits(text, "~~"),
}
EMPHASISED = ("US_SSN", "CARD", "IBAN", "PHONE", "CA_SIN")
"""Kinds that emphasis inside does not hide."""

HIDDEN = {
    "spelled in words": "one two three, four five, six seven eight nine",
    "backwards": "9876-54-321",
    "in base64": base64.b64encode(b"123-45-6789").decode(),
    "a space or hyphen between every two digits": "1 2 3 4 5 6 7 8 9",
    "the letter O for a nought": "4O12 8888 8888 1881",
    "a line break between groups": "4111 1111\n1111 1111",
    "a cell of a table for each group": "| 4111 | 1111 | 1111 | 1111 |",
    "HTML's entities": "jane&#64;example.com",
    "percent-encoding": "jane%40example.com",
    r"`jane\u0040example.com`": r"mail jane\u0040example.com now",
    "`(at) and (dot)`": "jane (at) example (dot) com",
    "emphasis inside a domain": "jane@exa**mple**.com",
    "emphasis inside an IP address": "192.168.1**7**8.21",
    "cards with two spaces between groups": "4111  1111  1111  1111",
    "`411111 1111111111`": "card 411111 1111111111",
    "`123_45_6789`": "it is 123_45_6789",
    "`123--45--6789`": "it is 123--45--6789",
    "`123/45/6789`": "it is 123/45/6789",
    "`homePhone`": '"homePhone": "4155552671"',
    "ten bare American digits that nothing announces": "4155552671",
    "the last four digits": "my SSN ends in 6789",
}
"""Name in docs/guard.md, and a text in which nothing is found."""


def pieces(text: str, rng: random.Random) -> list[str]:
    out, at = [], 0
    while at < len(text):
        size = rng.choice((1, 1, 2, 3, 7))
        out.append(text[at : at + size])
        at += size
    return out


@pytest.mark.parametrize(
    ("kind", "way"),
    [(kind, way) for kind in VALUES for way in CAUGHT] + [(kind, way) for kind in EMPHASISED for way in EMPHASIS],
)
def test_hidden_in_vain(kind: str, way: str) -> None:
    hidden = (CAUGHT | EMPHASIS)[way](VALUES[kind])
    text = f"Here: {hidden}, that is all."
    rng = random.Random(way)
    guard = planted.guard()
    found = redact(guard, text)[1]
    inner = [at for at in range(6, 6 + len(hidden)) if hidden[at - 6].isalnum()]
    assert kind in {f.kind for f in found}, (text, found)
    assert all(any(f.start <= at < f.end for f in found) for at in inner), redact(guard, text)[0]
    for _ in range(20):
        scan = Scan(guard)
        assert "".join(map(scan.push, pieces(text, rng))) + scan.finish(whole=True) == redact(guard, text)[0]


@pytest.mark.parametrize("way", HIDDEN)
def test_what_is_hidden_still_is_said(way: str) -> None:
    assert redact(planted.guard(), HIDDEN[way])[1] == []
    said = " ".join((ROOT / "docs" / "guard.md").read_text(encoding="utf-8").split())
    assert way in said
