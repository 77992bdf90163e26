"""The recognisers that come with the guard. Patterns see folded text; docs/guard.md says what each takes and leaves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from streamweir.guard import keys, validators
from streamweir.guard.phones import ANNOUNCED_PHONE, PHONE_CONTEXT, PHONES
from streamweir.guard.spelling import EMPHASIS, SEPARATOR, announced, groups, run

NOT_ALNUM: Final = "[^0-9A-Za-z]"
NOT_DIGIT: Final = "[^0-9]"


@dataclass(frozen=True, slots=True)
class Recogniser:
    """What finds one kind of thing: a pattern, what must stand before and behind it, a context, a validator."""

    kind: str
    pattern: str
    before: str | None = NOT_ALNUM
    after: str | None = NOT_ALNUM
    validator: Callable[[str], bool] | None = None
    context: str | None = None
    group: str = "pii"
    ignore_case: bool = False
    secret_prefixes: tuple[str, ...] = ()


SSN_WORDS: Final = announced(
    r"ssns?|ss#|ss no|social[ _-]?security(?:[ _-]?numbers?| no\.?|[ _-]?num| #)?|soc\.? sec\.?|social",
    "ending",
    "card",
    ends="Ssn|SSN|SocialSecurityNumber",
)
SIN_WORDS: Final = announced(r"sins?|social[ _-]?insurance(?:[ _-]?numbers?| no\.?)?|numéro d'assurance sociale|nas")
NINO_WORDS: Final = announced(r"nino|national[ _-]?insurance(?:[ _-]?numbers?| no\.?)?|ni[ _-]?number|ni no\.?")
CARD_WORDS: Final = announced(
    r"cards?|cc|credit|debit|visa|mastercard|maestro|amex|jcb|diners|kreditkarte|kreditkartennummer|karte|carte"
)
PASSPORT_WORDS: Final = announced(r"passports?|reisepass|passnummer|passeport", "id", "-nr", "numéro", "book")
BIRTH_WORDS: Final = announced(
    r"born|dob|d\.o\.b\.?|(?:date[ _-]?of[ _-]?)?birth(?:[ _-]?(?:day|date))?|geb\.?|geburtsdatum|geburtstag|geboren|"
    r"naissance|née?",
    "on", "am", "der", "le", "in", "its", "'s", "(?:[dmy]{2,4}[/.-]){2}[dmy]{2,4}[)]",
    "(?:mon|tues|wednes|thurs|fri|satur|sun)day",
)  # fmt: skip

MONTH: Final = (
    r"(?i:jan|feb|mar|apr|may|jun|jul|aug|sep|sept|oct|nov|dec|january|february|march|april|june|july|august|september|"
    r"october|november|december|januar|februar|märz|mai|juni|juli|oktober|dezember|janvier|février|mars|avril|juin|"
    r"juillet|août|septembre|octobre|novembre|décembre)"
)
DATE: Final = (
    r"(?:\d{1,2}(?:[-/. ]|\. )\d{1,2}(?:[-/. ]|\. )(?:\d{4}|\d{2})|\d{4}[-/. ]\d{1,2}[-/. ]\d{1,2}|(?:19|20)\d{6}"
    rf"|\d{{1,2}}(?:st|nd|rd|th|er|\.)?[ -](?:of |de )?{MONTH}\.?,?[ -](?:\d{{4}}|\d{{2}})"
    rf"|{MONTH}\.? (?:the )?\d{{1,2}}(?:st|nd|rd|th)?,? (?:of )?\d{{4}})"
)

LOCAL: Final = r"[\w.!#$%&'*+/=?^`{|}~-]"
NAME: Final = r"[\w\u0900-\u0dff]"
"""Of domains; the vowel signs of India's alphabets are no letters to Unicode."""
LETTER: Final = r"[a-zA-Z\u00c0-\u1fff\u2c00-\u2dff\u3040-\ufdff]"
EMAIL: Final = (
    rf"{LOCAL}{{1,64}}@(?:{NAME}(?:[-\w\u0900-\u0dff]{{0,61}}{NAME})?\.){{1,8}}"
    rf"(?:xn--[a-z0-9-]{{2,40}}|{LETTER}{{2,24}})"
)

OCTET: Final = r"(?:25[0-5]|2[0-4]\d|1\d\d|\d{1,2})"
IPV4: Final = rf"{OCTET}(?:\.{OCTET}){{3}}"
IPV6: Final = rf"(?:[0-9A-Fa-f]{{0,4}}:){{2,7}}(?:[0-9A-Fa-f]{{0,4}}|{IPV4})(?:%[0-9A-Za-z]{{1,16}})?"

GAP: Final = f"{EMPHASIS}[ -]?{EMPHASIS}"
IN_IBAN: Final = f"{EMPHASIS}[A-Z0-9]"
IBAN: Final = (
    rf"[A-Z]{{2}}{EMPHASIS}\d{EMPHASIS}\d(?:{GAP}[A-Z0-9](?:{IN_IBAN}){{3}}){{2,7}}"
    rf"(?:{GAP}[A-Z0-9](?:{IN_IBAN}){{0,2}})?"
)
CARD_GROUPS: Final = "|".join(
    (
        groups(SEPARATOR, run(4), run(4), run(4), run(4)) + f"(?:{EMPHASIS}{SEPARATOR}{EMPHASIS}{run(1, 3)})?",
        groups(SEPARATOR, run(4), run(6), run(4, 5)),
    )
)

BUILTIN: Final[tuple[Recogniser, ...]] = (
    Recogniser("US_SSN", groups(SEPARATOR, run(3), run(2), run(4)), NOT_DIGIT, NOT_DIGIT, validators.ssn),
    Recogniser("US_SSN", run(9), NOT_DIGIT, NOT_DIGIT, validators.ssn, SSN_WORDS),
    Recogniser("CARD", CARD_GROUPS, NOT_DIGIT, NOT_DIGIT, validators.card),
    # not behind a point: the decimals of a number are as long
    Recogniser("CARD", run(14, 19), "[^0-9.,]", NOT_DIGIT, validators.card),
    Recogniser("CARD", f"{run(12, 19)}|{CARD_GROUPS}", None, NOT_DIGIT, validators.announced_card, CARD_WORDS),
    Recogniser("IBAN", IBAN, validator=validators.iban, ignore_case=True),
    Recogniser("EMAIL", EMAIL, r"[^\w.!#$%&'*+/=?^`{|}~-]", NOT_ALNUM),
    *(Recogniser("PHONE", pattern, before, NOT_DIGIT, validators.phone) for before, pattern in PHONES),
    Recogniser("PHONE", ANNOUNCED_PHONE, NOT_DIGIT, NOT_DIGIT, validators.announced_phone, PHONE_CONTEXT),
    Recogniser("IP", IPV4, r"[^0-9A-Za-z.]", NOT_ALNUM, validators.ip),
    Recogniser("IP", IPV6, r"[^0-9A-Za-z:.]", r"[^0-9A-Za-z:]", validators.ip),
    Recogniser(
        "UK_NINO",
        r"[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z](?:[ -]?\d\d){3}[ -]?[A-D]",
        validator=validators.nino,
        ignore_case=True,
    ),
    # behind the words those that were never given out too: what forms and examples show
    Recogniser("UK_NINO", r"[A-Z]{2}(?:[ -]?\d\d){3}(?:[ -]?[A-Z])?", context=NINO_WORDS, ignore_case=True),
    Recogniser("CA_SIN", groups("-", run(3), run(3), run(3)), NOT_DIGIT, NOT_DIGIT, validators.sin),
    Recogniser("CA_SIN", groups("[ .]?", run(3), run(3), run(3)), NOT_DIGIT, NOT_DIGIT, validators.sin, SIN_WORDS),
    Recogniser("PASSPORT", "[A-Z0-9]{6,9}", None, NOT_ALNUM, validators.passport, PASSPORT_WORDS, ignore_case=True),
    Recogniser("BIRTH_DATE", DATE, None, NOT_ALNUM, None, BIRTH_WORDS),
    *(
        Recogniser("API_KEY", pattern, "[^0-9A-Za-z_]", None, secret_prefixes=prefixes)
        for pattern, prefixes in keys.ISSUED
    ),
    *(
        Recogniser("API_KEY", pattern, None, after, context=context, secret_prefixes=keys.ALWAYS)
        for pattern, context, after in keys.ANNOUNCED
    ),
    Recogniser(
        "API_KEY",
        keys.PASSWORDS,
        None,
        keys.PASSWORD_ENDS,
        validators.password,
        keys.PASSWORD,
        secret_prefixes=keys.ALWAYS,
    ),
    Recogniser("BEARER", keys.BEARER, None, None, context=r"(?i:bearer)[ :]{1,3}", secret_prefixes=keys.ALWAYS),
    Recogniser("JWT", keys.JWT, "[^0-9A-Za-z_-]", "[^0-9A-Za-z_-]", secret_prefixes=("eyJ",)),
    Recogniser("PRIVATE_KEY", keys.PEM, None, None, secret_prefixes=("-----BEGIN",)),
    Recogniser("CARD_LOOSE", groups("[-. ]?", run(4), run(4), run(4), run(4)), NOT_DIGIT, NOT_DIGIT),
    Recogniser("DIGITS9", run(9), NOT_DIGIT, NOT_DIGIT),
)

DEFAULT_KINDS: Final = (
    "US_SSN",
    "CARD",
    "IBAN",
    "EMAIL",
    "PHONE",
    "IP",
    "UK_NINO",
    "CA_SIN",
    "PASSPORT",
    "BIRTH_DATE",
    "API_KEY",
    "BEARER",
    "JWT",
    "PRIVATE_KEY",
)
KINDS: Final = (*DEFAULT_KINDS, "CARD_LOOSE", "DIGITS9")
SECRET: Final = ("API_KEY", "BEARER", "JWT", "PRIVATE_KEY")
"""What the name SECRET stands for."""

LISTS: Final[dict[str, tuple[str, ...]]] = {"tutorial": ("self-harm", "illegal", "bomb", "hack")}
"""Lists of terms by name; `tutorial` has the safety words of the published tutorials."""
