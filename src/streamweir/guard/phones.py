"""How telephone numbers are written: E.164, and the ways of four countries."""

from __future__ import annotations

from typing import Final

from streamweir.guard.spelling import EMPHASIS, announced

DIAL: Final = r"[ ()./-]{0,3}"
EXTENSION: Final = r"(?: ?,? ?(?:x|ext\.?|extension|#) ?\d{1,6})?"
DIGITS: Final = rf"(?:{EMPHASIS}{DIAL}{EMPHASIS}\d)"

BEFORE: Final = "[^0-9A-Za-z+]"

PHONES: Final[tuple[tuple[str, str], ...]] = (
    # E.164; 00 in place of the plus where a country's digits stand apart, or are those of Europe or North America:
    # numbers of orders are filled up with noughts too
    (BEFORE, rf"\+[1-9]{DIGITS}{{7,14}}{EXTENSION}"),
    (BEFORE, rf"00[1-9]\d{{0,2}}[ ()./-]{{1,3}}\d{DIGITS}{{5,12}}{EXTENSION}"),
    (BEFORE, r"00(?:[34]\d{10,13}|1[2-9]\d\d[2-9]\d{6})"),
    # North America, with separators: ten digits alone are too many other things
    (BEFORE, rf"(?:1[ .-])?(?:[2-9]\d\d[ .-]{{1,2}}|\([2-9]\d\d\)[ .-]{{0,2}})\d{{3}}[ .-]\d{{4}}{EXTENSION}"),
    # Germany: an area code, then the number; 11 digits, or 12 of a mobile number, in one piece
    (
        "[^0-9A-Za-z+-]",
        r"\(?0[1-9]\d{1,4}(?:(?: | ?/ ?|\) ?)\d(?:[ -]?\d){4,8}|-\d(?: ?\d){4,8})|01[567]\d[ /-]?\d{7,8}|0[1-9]\d{9}",
    ),
    # United Kingdom
    (
        BEFORE,
        r"0(?:\d{4} \d{6}|\d{3} \d{3} \d{4}|\d{2} \d{4} \d{4}|7\d{3} ?\d{6}|7\d{3} \d{3} \d{3})"
        r"|\(0\d{2,4}\) ?(?:\d{3,4} \d{3,4}|\d{5,8})",
    ),
    # France: pairs, one separator throughout (a date and an hour are pairs too)
    (BEFORE, r"0[1-9](?:\d{8}|(?: \d\d){4}|(?:\.\d\d){4}|(?:-\d\d){4})"),
)
"""What must stand before a number, and the number."""

PHONE_WORDS: Final = (
    "phone|telephone|tel|ph|telefon|téléphone|telefono|mobile|mobil|portable|handy|cell|cellphone|landline|fax|desk|"
    "whatsapp|sms|hotline|call|calls|called|calling|ring|dial|text|texts|texted|messages? to|contact|answering|"
    "reached|reach (?:me|us|him|her|them|you)|direct line|rufnummer|anrufen|appelez|joindre|"
    "(?:my|your|his|her|their) number"
)
PHONE_CONTEXT: Final = announced(
    PHONE_WORDS,
    "me", "us", "him", "her", "them", "you", "at", "on", "to", "back", "via", "under", "unter", "au", "phone", "mobile",
    "cell",
)  # fmt: skip
ANNOUNCED_PHONE: Final = rf"\(?\d{DIGITS}{{6,14}}{EXTENSION}"
