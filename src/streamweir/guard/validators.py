"""Whether what looks like a number of some kind can be one. Each takes a match as folded, separators included."""

from __future__ import annotations

import ipaddress
import re
from typing import Final

from streamweir.guard.iban import is_iban

SEPARATED: Final = re.compile(r"[^0-9]+")
EMPHASIS: Final = re.compile(r"[*_~`]")

EXTENSION: Final = re.compile(r"[ ,]*(?:x|ext\.?|extension|#) ?\d{1,6}$", re.IGNORECASE)
NO_NUMBER: Final = re.compile(
    r"\d{1,2}[./-]\d{1,2}[./-](?:\d{4}|\d{2})(?!\d)|\d{4}[./-]\d\d?[./-]\d\d?(?!\d)|\d{1,2}(?:[ .]\d{3})+$"
)
"""Dates, and numbers whose thousands stand apart."""

NAME: Final = r"\(?[^\W\d](?:[^\W\d]|[_.-])*"
CODE_OR_PROSE: Final = re.compile(rf"{NAME}[!?:;)\]*]*$|{NAME}(?<=\w\w\w)(?:\((?:[A-Za-z_)]|$)|\[\w)|\$[({{]|{{{{")
"""A word; a name, a call or an index; a template."""

FOURS: Final = re.compile(r"\d{4} \d{4} \d{2,4}")
"""The last groups of a longer number, such as a card's."""

COUNTED: Final = "012345678901"
"""Alphabets in programs, and examples."""

MAESTRO: Final = (16, 17, 18, 19)

ISSUERS: Final[tuple[tuple[range, int, tuple[int, ...]], ...]] = (
    (range(4, 5), 1, (16, 19)),
    (range(51, 56), 2, (16,)),
    (range(2221, 2721), 4, (16,)),
    (range(34, 35), 2, (15,)),
    (range(37, 38), 2, (15,)),
    (range(300, 306), 3, (14, 16, 17, 18, 19)),
    (range(309, 310), 3, (14, 16, 17, 18, 19)),
    (range(36, 37), 2, (14, 15, 16, 17, 18, 19)),
    (range(38, 40), 2, (14, 16, 17, 18, 19)),
    (range(3528, 3590), 4, (16, 17, 18, 19)),
    (range(1800, 1801), 4, (15,)),
    (range(2131, 2132), 4, (15,)),
    (range(6011, 6012), 4, (16, 17, 18, 19)),
    (range(644, 650), 3, (16, 17, 18, 19)),
    (range(65, 66), 2, (16, 17, 18, 19)),
    (range(62, 63), 2, (16, 17, 18, 19)),
    (range(2200, 2205), 4, (16, 17, 18, 19)),
    (range(50, 51), 2, MAESTRO),
    (range(56, 59), 2, MAESTRO),
    (range(60, 61), 2, (16,)),
    (range(63, 64), 2, MAESTRO),
    (range(67, 70), 2, MAESTRO),
    (range(81, 83), 2, (16,)),
)
"""First digits, how many of them, and lengths: the ranges that ISO/IEC 7812 issuers publish, but for lengths that are
rare and those of other numbers: 13 digits are an EAN's, and one in ten of these has Luhn's sum."""

ISSUED: Final[dict[str, frozenset[int]]] = {
    str(first): frozenset(length for rows, _, lengths in ISSUERS if first in rows for length in lengths)
    for firsts, _, _ in ISSUERS
    for first in firsts
}
"""The same by the first digits, one to four of them: a guard asks for every run of digits that could be a card."""

GROUPINGS: Final = frozenset(((4, 4, 4, 4), (4, 4, 4, 4, 3), (4, 6, 5), (4, 6, 4), (4, 4, 4, 4, 1), (4, 4, 4, 4, 2)))


def digits_of(text: str) -> str:
    """The digits alone."""
    return SEPARATED.sub("", text)


DOUBLED: Final = str.maketrans("0123456789", "0246813579")
"""A digit to the sum of the digits of its double."""


def luhn(digits: str) -> bool:
    """ISO/IEC 7812-1, annex B."""
    return digits != "" and (sum(map(int, digits[-1::-2])) + sum(map(int, digits[-2::-2].translate(DOUBLED)))) % 10 == 0


def card(text: str) -> bool:
    """A payment card: an issuer's range and length, digits in one of the groupings that cards have, and Luhn's sum."""
    digits = digits_of(text)
    if not any(len(digits) in ISSUED.get(digits[:width], ()) for width in (1, 2, 3, 4)) or not luhn(digits):
        return False
    groups = tuple(len(group) for group in SEPARATED.split(EMPHASIS.sub("", text)) if group)
    return len(groups) == 1 or groups in GROUPINGS


def ssn(text: str) -> bool:
    """A US social security number that can have been issued."""
    digits = digits_of(text)
    area, group, serial = digits[:3], digits[3:5], digits[5:]
    return len(digits) == 9 and area not in ("000", "666") and area[0] != "9" and group != "00" and serial != "0000"


def iban(text: str) -> bool:
    """An IBAN: its country's structure, and ISO 7064's sum."""
    return is_iban(re.sub(r"[^0-9A-Za-z]", "", text).upper())


def sin(text: str) -> bool:
    """A Canadian social insurance number."""
    digits = digits_of(text)
    return len(digits) == 9 and digits[0] not in "08" and luhn(digits)


def nino(text: str) -> bool:
    """A UK national insurance number whose prefix is given out."""
    return text[:2].upper() not in ("BG", "GB", "NK", "KN", "TN", "NT", "ZZ")


def ip(text: str) -> bool:
    """An address, not the unspecified one, and not what else has its shape: OIDs, slices, names with `::`, EUI-64."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    if address.version == 4:
        return not text.startswith(("0.", "1.3.6.1"))
    parts = [part for part in text.partition("%")[0].split(":") if part]
    if len(parts) < 2:
        return text == "::1"
    wide = any(len(part) > 2 for part in parts)
    return any(char.isdigit() for char in text) and (wide or (len(parts) > 2 and "::" in text))


def announced_card(text: str) -> bool:
    """What stands behind a word for a card: 12 digits or more with Luhn's sum, whoever issued it."""
    digits = digits_of(text)
    return len(set(digits)) > 2 and luhn(digits)


def passport(text: str) -> bool:
    """What stands behind the word and has digits enough to be a number."""
    return sum(char.isdigit() for char in text) >= 5


def password(text: str) -> bool:
    """What stands behind the word and is neither a word of prose nor a name, a call or a template of some code."""
    return any(char.isalpha() for char in text) and not CODE_OR_PROSE.match(text)


def phone(text: str) -> bool:
    """A number of 8 to 15 digits (E.164), an extension besides; not one digit again and again, counted, or in fours."""
    number = EXTENSION.sub("", text)
    digits = digits_of(number)
    in_fours = number.startswith("0") and FOURS.fullmatch(number) is not None
    return 8 <= len(digits) <= 15 and len(set(digits)) > 2 and not in_fours and number not in COUNTED


def announced_phone(text: str) -> bool:
    """What stands behind a word for a telephone: 7 to 15 digits that are no date and no amount in thousands."""
    number = EXTENSION.sub("", text)
    digits = digits_of(number)
    return 7 <= len(digits) <= 15 and len(set(digits)) > 2 and not NO_NUMBER.match(number)
