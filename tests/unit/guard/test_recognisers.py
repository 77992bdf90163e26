"""What the recognisers find, what they leave, and how it is hidden from them in vain."""

import itertools
import os
import random

import pytest

from streamweir.errors import ConfigError
from streamweir.guard.build import Spec, build
from streamweir.guard.engine import Scan, redact
from streamweir.guard.recognisers import BUILTIN, DEFAULT_KINDS, KINDS, Recogniser
from tests.unit.guard import oracle
from tests.unit.guard.oracle import Rule

GUARD = build(Spec(), b"key")

FOUND = {
    "US_SSN": ["123-45-6789", "123.45.6789", "123 45 6789", "ssn 123456789", "social security number is 123456789",
               "123 - 45 - 6789", "customer_ssn: 123456789", "SSN\r\n123456789", 'ssn\\": \\"123456789', "ssn\\n123456789", "SSN; 123456789",
               "SSN | 123456789", "SSN — 123456789", '"customerSsn": "123456789"', "social_security_number=123456789", '"socialSecurityNumber": "123456789"'],
    "CARD": [
        "4111111111111111", "4111 1111 1111 1111", "4111-1111-1111-1111", "378282246310005", "3782 822463 10005",
        "3056 930902 5904", "6011111111111117", "5555 5555 5555 4444", "2223003122003222", "6200000000000005",
        "4000 0000 0000 0000 006", "4111 - 1111 - 1111 - 1111", "4111 1111 1111 1111 123",
    ],
    "IBAN": ["DE89370400440532013000", "GB29 NWBK 6016 1331 9268 19", "fr14 2004 1010 0505 0001 3m02 606", "NO93 8601 1117 947",
             "DE89 3704 0044 0532 0130 00 THANK YOU"],
    "EMAIL": ["a@b.de", "jane.doe+x@sub.example.co.uk", "o'neil@müller.de", "用户@例子.公司", "a_b@c.de", "x@xn--bcher-kva.example",
              "x@उदाहरण.भारत", "_a@b.de_", "mailto:a@b.de?subject=x", "<a@b.de>"],
    "PHONE": [
        "+49 30 1234567", "+14155552671", "0049 30 1234567", "(415) 555-2671", "415-555-2671", "1-415-555-2671",
        "030/1234567", "0171 2345678", "020 7946 0958", "07700 900123", "01 23 45 67 89", "+33 1 23 45 67 89",
        "+1 (415) 555-2671", "+49 (0)30 123456", "tel:+49301234567", "415-555-2671x123", "(415)555-2671 ext. 12", "(0113)4960123",
        "call 4155552671", "my phone number is 14155552671", "Tel.: 555-1234", '"phone": "4155552671"', "001-415-555-2671",
    ],
    "IP": ["10.0.0.1", "192.168.178.255", "2001:db8::1", "::1", "::ffff:10.0.0.1", "fe80:0:0:0:1:2:3:4",
           "fe80::1%eth0"],
    "UK_NINO": ["AB123456C", "AB 12 34 56 C", "ab123456c", "NINO QQ 12 34 56 C", "national insurance number ZZ123456T", '"national_insurance_number": "ZZ123456T"', "niNumber: ZZ123456T"],
    "CA_SIN": ["sin 130692544", "130-692-544", "SIN: 130 692 544", "social_insurance_number 130692544", '"socialInsuranceNumber": "130692544"'],
    "PASSPORT": ["passport number C01X00T47", "Passport: 123456789", "Reisepassnummer C01X00T47",
                 "passeport n° 12AB34567"],
    "BIRTH_DATE": ["born on 12/03/1980", "DOB: 1980-03-12", "date of birth is 12 March 1980", "birthday is March 12th, 1980",
                   "geb. 12.3.80", "né le 1er mars 1980", '"date_of_birth": "1980-03-12"', "born on Wednesday, March 12, 1980"],
    "API_KEY": [
        "AKIAIOSFODNN7EXAMPLE", "ghp_" + "a1B2" * 9, "xoxb-123456789012-abcdefghij", "sk_live_" + "a1" * 12,
        "sk-proj-" + "a1B2" * 8, "AIza" + "a" * 35, "aws_secret_access_key = " + "a1B2/" * 8,
        "glpat-" + "a1B2" * 5, "npm_" + "a1B2" * 9, "pypi-" + "a1B2" * 30, "hf_" + "a1B2" * 9, "SG." + "a1" * 11 + "." + "b2" * 20,
        "sk-ant-api03-" + "a1B2" * 20, "AccountKey=" + "a1B2/" * 17 + "==", "hooks.slack.com/services/T01ABCDEF/B01ABCDEF/" + "a1" * 12,
        "api_key=" + "a1B2" * 8, "password: hunter2", "postgres://me:s3cret!@db/x", "TWILIO_AUTH_TOKEN=" + "a1b2" * 8,
        '"secret": "' + "a1B2" * 4, "TOKEN=" + "a1B2" * 4, r'\"token\": \"' + "a1B2" * 4, '"userPassword": "hunter2x', r'\"password\": \"hunter2x',
    ],
    "BEARER": ["Authorization: Bearer abcdefghijklmnop.123"],
    "JWT": ["eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.abcDEF_-12"],
    "PRIVATE_KEY": ["-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEA7\nabc=\n-----END RSA PRIVATE KEY-----", "-----BEGIN PRIVATE KEY-----",
                    "-----BEGIN PRIVATE KEY-----\\nMIIEvQIBADANBgkqhkiG9w0BAQ\\nabc=\\n-----END PRIVATE KEY-----"],
}  # fmt: skip

LEFT = [
    "order 123456789012", "EAN 4006381333931", "IMEI 490154203237518", "ISBN 978-3-16-148410-0", "version 1.2.3",
    "000-12-3456 and 666-12-3456 and 912-12-3456 and 123-00-4567 and 123-45-0000", "4111 1111 1111 1112",
    "DE89370400440532013001", "at 12:34:56 on 2024-05-06", "1,234,567.89 EUR", "tracking 1Z999AA10123456784",
    "the year 2024, in 1999-2000", "a@b, @c.de, x@y", "300.1.2.3 and 1.2.3", "UUID 123e4567-e89b-12d3-a456-426614174000",
    "BG123456A", "sha 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08", "skill-based routing",
    "passport control is open from 8 to 18", "she was born in Berlin", "bearer of good news to all of them",
    "called on 12.05.2024 10:30", "reach 10 000 000 users",
    "bearer responsibilities of his", "password is incorrect.", "Password: must be long", "the API key is important",
    "x[1::2], x[::2], std::vector, Face::Add", "130 692 544 EUR", "invoice 0012345678", "0.4111111111111111", "sk-fading-circle-and-more-of-it",
    "token = self.layer1.tokenizer", "token: bert-base-uncased-v1", "the secret is out of 2026-05-12", "cell-1234567", "card-1234567",
    r'{\"password\": \"required\"}', "userPassword: required", "lessn 123456789", "getPassword() is called", "passwordSsnless 123456789",
    "1.3.6.1.4.1.311", "http://localhost:8787/v1", "room 101, floor 12, 50 %", "ticket #4711-0815", "Section 12.34.56", "00000000", "3.14159265358979",
]  # fmt: skip


ANNOUNCES = (
    "ssn ", "customer_ssn: ", "social security number is ", "sin ", "SIN: ", "passport number ", "Passport: ", "Reisepassnummer ", "passeport n° ",
    "born on Wednesday, ", "born on ", "DOB: ", "date of birth is ", "birthday is ", "geb. ", "né le ", '"date_of_birth": "',
    "aws_secret_access_key = ", "Authorization: Bearer ", "AccountKey=", "hooks.slack.com/services/", "api_key=", "password: ",
    "postgres://me:", "TWILIO_AUTH_TOKEN=", "NINO ", "national insurance number ", "call ", "my phone number is ", "Tel.: ",
    '"phone": "', "tel:", "mailto:", "<", "_", "SSN\r\n", 'ssn\\": \\"', "ssn\\n", "SSN; ", "SSN | ", "SSN — ", '"customerSsn": "', '"secret": "', "TOKEN=", r'\"token\": \"',
    '"userPassword": "', r'\"password\": \"', "social_security_number=",
    '"socialSecurityNumber": "', '"national_insurance_number": "', "niNumber: ", "social_insurance_number ",
    '"socialInsuranceNumber": "',
)  # fmt: skip
BEHIND = (" THANK YOU", "?subject=x", " 123", "@db/x", ">", "_", '"')


def value_of(text: str) -> str:
    """The part of an example that must be gone: what is neither announcement nor what follows."""
    for word in ANNOUNCES:
        text = text.removeprefix(word)
    for word in BEHIND:
        text = text.removesuffix(word)
    return text


@pytest.mark.parametrize(("kind", "text"), [(kind, text) for kind, texts in FOUND.items() for text in texts])
def test_what_is_found(kind: str, text: str) -> None:
    value = value_of(text)
    for before, after in (("", ""), ("Here: ", "."), ("(", ")"), ('"', '"'), ("say ", ", and more")):
        whole = before + text + after
        out, findings = redact(GUARD, whole)
        assert value not in out, whole
        covered = [(f.start, f.end) for f in findings]
        at = whole.index(value)
        assert any(start <= at and at + len(value) <= end for start, end in covered), (whole, out)
    kinds = {f.kind for f in redact(GUARD, text)[1]}
    assert kind in kinds or kinds <= {"PHONE", "CARD"}, kinds


@pytest.mark.parametrize("text", LEFT)
def test_what_is_left(text: str) -> None:
    assert redact(GUARD, text)[0] == text


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("１２３-４５-６７８９", "６７８９"),
        ("٤١١١ ١١١١ ١١١١ ١١١١", "١١١١"),
        ("123\u200b-45\u200d-67\u00ad89", "45"),
        ("4111\u00a01111\u00a01111\u00a01111", "1111"),
        ("123\u201145\u20116789", "6789"),
        ("**123**-**45**-**6789**", "6789"),
        ("4`1`1`1 1111 1111 1111", "1111"),
        ("jаne@exаmple.com", "ne@ex"),
        ("jane＠example．com", "example"),
    ],
)
def test_what_hides_in_vain(text: str, value: str) -> None:
    for pieces in (list(text), [text]):
        scan = Scan(GUARD)
        out = "".join(map(scan.push, pieces)) + scan.finish(whole=True)
        assert value not in out


@pytest.mark.parametrize("before", ["cc @", "a@", "x@@", "@", "a@b@"])
def test_an_at_sign_before_an_address_does_not_hide_it(before: str) -> None:
    for text in (f"{before}jane@example.com", f"{before}jane@example.com, more"):
        assert redact(GUARD, text)[0] == text.replace("jane@example.com", "[EMAIL]")


def test_a_private_key_is_covered_and_the_prose_behind_it_is_not() -> None:
    header = "-----BEGIN PRIVATE KEY-----"
    assert redact(GUARD, f"The line {header} and then some prose.")[0] == "The line [PRIVATE_KEY] and then some prose."
    key = f"{header}\n{'abcd' * 16}\n{'abcd' * 3}\n-----END PRIVATE KEY-----"
    assert redact(GUARD, f"{key}\nis mine")[0] == "[PRIVATE_KEY]\nis mine"


@pytest.mark.parametrize(
    "text", ["api_key=abc", "password: secre", "Authorization: Bearer abcd", "sk-abc", "-----BEGIN PRI", "eyJhb"]
)
def test_a_reply_that_breaks_off_shows_no_beginning_of_a_secret(text: str) -> None:
    out = redact(GUARD, text, whole=False)[0]
    assert out.endswith(("[API_KEY]", "[BEARER]", "[PRIVATE_KEY]", "[JWT]"))


def test_every_cut_of_a_corpus() -> None:
    corpus = [text for texts in FOUND.values() for text in texts] + LEFT
    rng = random.Random(7)
    count = 0
    for text in [*corpus, *(" ".join(rng.sample(corpus, 3)) for _ in range(20))]:
        whole = redact(GUARD, text)[0]
        for at in range(1, len(text)):
            scan = Scan(GUARD)
            assert scan.push(text[:at]) + scan.push(text[at:]) + scan.finish(whole=True) == whole, (text, at)
            count += 1
        scan = Scan(GUARD)
        assert "".join(map(scan.push, text)) + scan.finish(whole=True) == whole
        assert scan.held_max <= GUARD.cap
    print(f"\n{count} two-way splits")


RULES = [
    Rule(
        f"(?i:{one.pattern})" if one.ignore_case else one.pattern,
        one.before,
        one.after,
        one.validator,
        one.context,
        r"[\W_]",
        f"[{one.kind}]",
    )
    for one in BUILTIN
    if one.kind in DEFAULT_KINDS
]


def test_the_recognisers_against_the_oracle() -> None:
    corpus = [*(text for texts in FOUND.values() for text in texts), *LEFT]
    short = [text for text in corpus if len(text) < 60]
    for text in short[:: 1 if os.environ.get("STREAMWEIR_REQUIRE_ALL") else 12]:
        out, findings = redact(GUARD, text)
        expected, spans = oracle.redact(RULES, text, GUARD.cap)
        assert out == expected, text
        assert [(f.start, f.end, f"[{f.kind}]") for f in findings] == spans, text


@pytest.mark.parametrize("kinds", [(kind,) for kind in KINDS] + [("SECRET",)])
def test_every_kind_alone(kinds: tuple[str, ...]) -> None:
    build(Spec(kinds=kinds), b"")


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (Spec(kinds=("EMIAL",)), "did you mean 'EMAIL'"),
        (Spec(kinds=("JWT", "SECRET")), "JWT is there twice"),
        (Spec(patterns=(Recogniser("X", "a(?=b)"),)), "X: the pattern has a look-ahead"),
        (Spec(patterns=(Recogniser("X", r"\bab"),)), "X: the pattern has an anchor"),
        (Spec(patterns=(Recogniser("X", r"(a)\1"),)), "back-reference"),
        (Spec(patterns=(Recogniser("X", "a*"),)), "matches the empty text"),
        (Spec(patterns=(Recogniser("X", "a("),)), "the pattern is none"),
        (Spec(patterns=(Recogniser("X", "a+", validator=bool),)), "a validator needs the whole"),
        (Spec(patterns=(Recogniser("X", "(?:a{1000}){1000}"),)), "over 20000 states"),
        (Spec(patterns=(Recogniser("X", "ab", before="abc"),)), "X, before is 'abc': give one set"),
        (Spec(terms=("",)), r"terms\[0\]: a term has 1 to 200 characters"),
        (Spec(labels=(("X", "y"),)), "labels: 'X' is no kind"),
    ],
)
def test_what_is_refused(spec: Spec, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build(spec, b"")


def test_terms_in_either_case_as_words_and_within() -> None:
    words = build(Spec(kinds=(), terms=("Bad Word", "straße", "x")), b"")
    assert (
        redact(words, "a BAD WORD, bad words, Straße; STRASSE xx x")[0]
        == "a [TERM], bad words, [TERM]; STRASSE xx [TERM]"
    )
    within = build(Spec(kinds=(), terms=("ab", "abc", "bcd"), match="substring"), b"")
    for text, expected in (("xabcdx", "x[TERM]x"), ("ab", "[TERM]"), ("aab", "a[TERM]"), ("abab", "[TERM][TERM]")):
        for pieces in ([text], list(text)):
            scan = Scan(within)
            assert "".join(map(scan.push, pieces)) + scan.finish(whole=True) == expected
    many = ["".join(p) for p in itertools.product("abcdefghij", repeat=4)]
    assert redact(build(Spec(kinds=(), terms=tuple(many)), b""), "abcd efgh abce1")[0] == "[TERM] [TERM] abce1"
