"""The recognisers that come with the guard. Patterns see folded text; docs/guard.md says what each takes and leaves.

Digits may have up to four of `* _ ~` and the backtick between them, as Markdown emphasis puts them there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from streamweir.guard import validators

EMPHASIS: Final = "[*_~`]{0,4}"
ALNUM: Final = "[0-9A-Za-z]"
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


def run(least: int, most: int | None = None) -> str:
    """So many digits, emphasis between them."""
    more = f"{{{least - 1},{(most or least) - 1}}}"
    return rf"\d(?:{EMPHASIS}\d){more}" if (most or least) > 1 else r"\d"


def groups(separator: str, *sizes: str) -> str:
    """Groups with a separator between them, and emphasis around it."""
    return f"{EMPHASIS}{separator}{EMPHASIS}".join(sizes)


SSN_WORDS: Final = r"(?i:ssn|social security(?: number| no| num)?|soc sec)"
SIN_WORDS: Final = r"(?i:sin|social insurance(?: number| no)?)"
BETWEEN: Final = r"(?i:[ :#.=]| is| was| number| no| my| the){0,5}"
"""What stands between a word and the value that it announces."""

MONTH: Final = (
    r"(?i:jan|feb|mar|apr|may|jun|jul|aug|sep|sept|oct|nov|dec|january|february|march|april|june|july|august|september|"
    r"october|november|december|januar|februar|märz|mai|juni|juli|oktober|dezember|janvier|février|mars|avril|juin|"
    r"juillet|août|septembre|octobre|novembre|décembre)"
)
DATE: Final = (
    r"(?:\d{1,2}[-/. ]\d{1,2}[-/. ](?:\d{4}|\d{2})|\d{4}[-/.]\d{1,2}[-/.]\d{1,2}"
    rf"|\d{{1,2}}(?:st|nd|rd|th|\.)? (?:of )?{MONTH}\.?,? \d{{4}}|{MONTH}\.? \d{{1,2}}(?:st|nd|rd|th)?,? \d{{4}})"
)

LOCAL: Final = r"[\w.!#$%&'*+/=?^`{|}~-]"
EMAIL: Final = (
    rf"{LOCAL}{{1,64}}@(?:\w(?:[\w-]{{0,61}}\w)?\.){{1,8}}(?:xn--[a-z0-9-]{{2,40}}|[a-zA-Z\u00a1-\uffff]{{2,24}})"
)

OCTET: Final = r"(?:25[0-5]|2[0-4]\d|1\d\d|\d{1,2})"
IPV4: Final = rf"{OCTET}(?:\.{OCTET}){{3}}"
IPV6: Final = rf"(?:[0-9A-Fa-f]{{0,4}}:){{2,7}}(?:[0-9A-Fa-f]{{0,4}}|{IPV4})"

DIAL: Final = r"[ ().-]{0,2}"
PHONES: Final = (
    # E.164, and 00 in place of the plus
    rf"(?:\+|00)[1-9](?:{EMPHASIS}{DIAL}{EMPHASIS}\d){{7,14}}",
    # North America, with separators: ten digits alone are too many other things
    r"(?:1[ .-])?\(?[2-9]\d\d\)?[ .-]{1,2}\d{3}[ .-]\d{4}",
    # Germany: an area code, then the number; mobile numbers in one piece too
    r"0[1-9]\d{1,4}(?:[ /-]|\) ?)\d(?:[ -]?\d){4,8}|01[567]\d[ /-]?\d{7,8}",
    # United Kingdom
    r"0(?:\d{4} \d{6}|\d{3} \d{3} \d{4}|\d{2} \d{4} \d{4}|7\d{3} ?\d{6}|7\d{3} \d{3} \d{3})"
    r"|\(0\d{2,4}\) \d{3,4} \d{3,4}",
    # France
    r"0[1-9](?:[ .-]?\d\d){4}",
)

SEPARATOR: Final = "[-. ]"
BASE64: Final = r"(?:[A-Za-z0-9+/=:,\\\s]|-[A-Za-z0-9])"

BUILTIN: Final[tuple[Recogniser, ...]] = (
    Recogniser("US_SSN", groups(SEPARATOR, run(3), run(2), run(4)), NOT_DIGIT, NOT_DIGIT, validators.ssn),
    Recogniser("US_SSN", run(9), NOT_DIGIT, NOT_DIGIT, validators.ssn, SSN_WORDS + BETWEEN),
    Recogniser(
        "CARD",
        "|".join(
            (
                run(13, 19),
                groups(SEPARATOR, run(4), run(4), run(4), run(4)) + f"(?:{EMPHASIS}{SEPARATOR}{EMPHASIS}{run(1, 3)})?",
                groups(SEPARATOR, run(4), run(6), run(4, 5)),
            )
        ),
        NOT_DIGIT,
        NOT_DIGIT,
        validators.card,
    ),
    Recogniser(
        "IBAN",
        r"[A-Z]{2}\d{2}(?:[ -]?[A-Z0-9]{4}){2,7}(?:[ -]?[A-Z0-9]{1,3})?",
        validator=validators.iban,
        ignore_case=True,
    ),
    Recogniser("EMAIL", EMAIL, r"[^\w.!#$%&'*+/=?^`{|}~@-]", r"\W"),
    *(Recogniser("PHONE", pattern, "[^0-9A-Za-z+]", NOT_DIGIT, validators.phone) for pattern in PHONES),
    Recogniser("IP", IPV4, r"[^0-9A-Za-z.]", r"[^0-9A-Za-z]", validators.ip),
    Recogniser("IP", IPV6, r"[^0-9A-Za-z:.]", r"[^0-9A-Za-z:]", validators.ip),
    Recogniser(
        "UK_NINO",
        r"[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z](?:[ -]?\d\d){3}[ -]?[A-D]",
        validator=validators.nino,
        ignore_case=True,
    ),
    Recogniser("CA_SIN", groups("[- ]", run(3), run(3), run(3)), NOT_DIGIT, NOT_DIGIT, validators.sin),
    Recogniser("CA_SIN", run(9), NOT_DIGIT, NOT_DIGIT, validators.sin, SIN_WORDS + BETWEEN),
    Recogniser(
        "PASSPORT",
        "[A-Z0-9]{6,9}",
        None,
        NOT_ALNUM,
        validators.passport,
        r"(?i:passports?|reisepass|passeport)(?i:[ :#.=]| is| was| number| no| num| nummer| numéro| my| the|-nr){0,6}",
        ignore_case=True,
    ),
    Recogniser(
        "BIRTH_DATE",
        DATE,
        None,
        NOT_ALNUM,
        None,
        r"(?i:born|dob|d\.o\.b\.?|birth|birthday|birthdate|geburtsdatum|geboren|naissance|née?)"
        r"(?i:[ :#.=,]| is| was| on| the| date| am| le| in| my){0,6}",
    ),
    *(
        Recogniser("API_KEY", pattern, "[^0-9A-Za-z_]", None, secret_prefixes=prefixes)
        for pattern, prefixes in (
            (r"(?:AKIA|ASIA|AGPA|AIDA|AROA)[0-9A-Z]{16}", ("AKIA", "ASIA", "AGPA", "AIDA", "AROA")),
            (r"gh[pousr]_[0-9A-Za-z]{20,255}", ("ghp_", "gho_", "ghu_", "ghs_", "ghr_")),
            (r"github_pat_[0-9A-Za-z_]{20,255}", ("github_pat_",)),
            (r"xox[abeoprs]-[0-9A-Za-z-]{10,250}", ("xoxa-", "xoxb-", "xoxe-", "xoxo-", "xoxp-", "xoxr-", "xoxs-")),
            (r"(?:sk|rk|pk)_(?:live|test)_[0-9A-Za-z]{16,247}", ("sk_live_", "rk_live_", "sk_test_", "rk_test_")),
            (r"sk-[0-9A-Za-z_-]{20,250}", ("sk-",)),
            (r"AIza[0-9A-Za-z_-]{35}", ("AIza",)),
            (r"ya29\.[0-9A-Za-z_-]{20,250}", ("ya29.",)),
            (r"sw_[0-9A-Za-z_-]{43}", ("sw_",)),
        )
    ),
    Recogniser(
        "API_KEY",
        "[0-9A-Za-z/+=]{40}",
        None,
        "[^0-9A-Za-z/+=]",
        context=r"(?i:aws.?secret.?access.?key|secret.?access.?key)[ :=\"']{1,4}",
    ),
    Recogniser("BEARER", r"[0-9A-Za-z._~+/=-]{16,250}", None, "[^0-9A-Za-z._~+/=-]", context=r"(?i:bearer)[ :]{1,3}"),
    Recogniser(
        "JWT",
        r"eyJ[0-9A-Za-z_-]{8,}\.[0-9A-Za-z_-]{8,}\.[0-9A-Za-z_-]*",
        "[^0-9A-Za-z_-]",
        "[^0-9A-Za-z_-]",
        secret_prefixes=("eyJ",),
    ),
    Recogniser(
        "PRIVATE_KEY",
        rf"-----BEGIN [A-Z ]{{0,30}}PRIVATE KEY-----{BASE64}*(?:-----END [A-Z ]{{0,30}}PRIVATE KEY-----)?",
        None,
        None,
        secret_prefixes=("-----BEGIN",),
    ),
    Recogniser("CARD_LOOSE", groups(SEPARATOR + "?", run(4), run(4), run(4), run(4)), NOT_DIGIT, NOT_DIGIT),
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
