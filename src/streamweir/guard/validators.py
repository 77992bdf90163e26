"""Whether what looks like a number of some kind can be one. Each takes a match as folded, separators included."""

from __future__ import annotations

import ipaddress
import re
from typing import Final

SEPARATED: Final = re.compile(r"[^0-9]+")
EMPHASIS: Final = re.compile(r"[*_~`]")

IBAN_LENGTHS: Final[dict[str, int]] = {
    code: int(length)
    for code, length in (
        pair.split(":")
        for pair in [
            "AD:24",
            "AE:23",
            "AL:28",
            "AT:20",
            "AZ:28",
            "BA:20",
            "BE:16",
            "BG:22",
            "BH:22",
            "BI:27",
            "BR:29",
            "BY:28",
            "CH:21",
            "CR:22",
            "CY:28",
            "CZ:24",
            "DE:22",
            "DJ:27",
            "DK:18",
            "DO:28",
            "EE:20",
            "EG:29",
            "ES:24",
            "FI:18",
            "FK:18",
            "FO:18",
            "FR:27",
            "GB:22",
            "GE:22",
            "GI:23",
            "GL:18",
            "GR:27",
            "GT:28",
            "HN:28",
            "HR:21",
            "HU:28",
            "IE:22",
            "IL:23",
            "IQ:23",
            "IS:26",
            "IT:27",
            "JO:30",
            "KW:30",
            "KZ:20",
            "LB:28",
            "LC:32",
            "LI:21",
            "LT:20",
            "LU:20",
            "LV:21",
            "LY:25",
            "MC:27",
            "MD:24",
            "ME:22",
            "MK:19",
            "MN:20",
            "MR:27",
            "MT:31",
            "MU:30",
            "NI:28",
            "NL:18",
            "NO:15",
            "OM:23",
            "PK:24",
            "PL:28",
            "PS:29",
            "PT:25",
            "QA:29",
            "RO:24",
            "RS:22",
            "RU:33",
            "SA:24",
            "SC:31",
            "SD:18",
            "SE:24",
            "SI:19",
            "SK:24",
            "SM:27",
            "SO:23",
            "ST:25",
            "SV:28",
            "TL:23",
            "TN:24",
            "TR:26",
            "UA:29",
            "VA:22",
            "VG:24",
            "XK:20",
            "YE:30",
        ]
    )
}
"""Country to the length of its IBANs (SWIFT's registry, release 99)."""

ISSUERS: Final[tuple[tuple[range, int, tuple[int, ...]], ...]] = (
    (range(4, 5), 1, (13, 16, 19)),
    (range(51, 56), 2, (16,)),
    (range(2221, 2721), 4, (16,)),
    (range(34, 35), 2, (15,)),
    (range(37, 38), 2, (15,)),
    (range(300, 306), 3, (14, 16, 17, 18, 19)),
    (range(309, 310), 3, (14, 16, 17, 18, 19)),
    (range(36, 37), 2, (14, 15, 16, 17, 18, 19)),
    (range(38, 40), 2, (14, 16, 17, 18, 19)),
    (range(3528, 3590), 4, (16, 17, 18, 19)),
    (range(6011, 6012), 4, (16, 17, 18, 19)),
    (range(644, 650), 3, (16, 17, 18, 19)),
    (range(65, 66), 2, (16, 17, 18, 19)),
    (range(62, 63), 2, (16, 17, 18, 19)),
    (range(2200, 2205), 4, (16, 17, 18, 19)),
    (range(50, 51), 2, (13, 14, 15, 16, 17, 18, 19)),
    (range(56, 59), 2, (13, 14, 15, 16, 17, 18, 19)),
    (range(60, 61), 2, (16,)),
    (range(63, 64), 2, (13, 14, 15, 16, 17, 18, 19)),
    (range(67, 70), 2, (13, 14, 15, 16, 17, 18, 19)),
    (range(81, 83), 2, (16,)),
)
"""First digits, how many of them, and lengths: the ranges that ISO/IEC 7812 issuers publish."""

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
    return (sum(map(int, digits[-1::-2])) + sum(map(int, digits[-2::-2].translate(DOUBLED)))) % 10 == 0


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
    return area not in ("000", "666") and area[0] != "9" and group != "00" and serial != "0000"


def iban(text: str) -> bool:
    """An IBAN: its country's length, and ISO 7064's sum."""
    plain = re.sub(r"[^0-9A-Za-z]", "", text).upper()
    if IBAN_LENGTHS.get(plain[:2]) != len(plain):
        return False
    return int("".join(str(int(char, 36)) for char in plain[4:] + plain[:4])) % 97 == 1


def sin(text: str) -> bool:
    """A Canadian social insurance number."""
    digits = digits_of(text)
    return digits[0] not in "08" and luhn(digits)


def nino(text: str) -> bool:
    """A UK national insurance number whose prefix is given out."""
    return text[:2].upper() not in ("BG", "GB", "NK", "KN", "TN", "NT", "ZZ")


def ip(text: str) -> bool:
    """An address, and not the unspecified one."""
    try:
        return not ipaddress.ip_address(text).is_unspecified
    except ValueError:
        return False


def passport(text: str) -> bool:
    """What stands behind the word and has digits enough to be a number."""
    return sum(char.isdigit() for char in text) >= 5


def phone(text: str) -> bool:
    """A number of 8 to 15 digits (E.164), not one digit again and again."""
    digits = digits_of(text)
    return 8 <= len(digits) <= 15 and len(set(digits)) > 2
