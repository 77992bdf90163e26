"""What is a number of some kind, and what is not, against python-stdnum: written by others, shipped with nobody here.

Where this guard says something else on purpose, the test that shows it says why.
"""

import ipaddress
import string

import pytest
import stdnum.ca.sin
import stdnum.iban
import stdnum.luhn
import stdnum.us.ssn
from hypothesis import assume, example, given
from hypothesis import strategies as st
from stdnum import numdb

from streamweir.client.guarding import VALIDATORS
from streamweir.guard import validators
from streamweir.guard.iban import BY_COUNTRY
from tests.quality.carriers import fakers

digits = st.text("0123456789", min_size=1, max_size=20)
SEPARATORS = st.sampled_from(("", " ", "-", ".", " - ", "*-*", "**", "_ "))


@given(digits)
def test_luhn(text: str) -> None:
    assert validators.luhn(text) == stdnum.luhn.is_valid(text)
    assert validators.luhn(text + stdnum.luhn.calc_check_digit(text))


@given(st.text("0123456789", min_size=9, max_size=9), SEPARATORS)
@example("078051120", "-")
@example("000123456", "-")
@example("666123456", " ")
@example("899123456", "")
@example("900123456", "")
@example("123001234", "")
@example("123450000", "")
def test_ssn(text: str, separator: str) -> None:
    written = separator.join((text[:3], text[3:5], text[5:]))
    # three numbers that stdnum refuses were printed in advertisements: they are someone's, or look like it
    printed = text in ("078051120", "457555462", "219099999")
    assert validators.ssn(written) == (stdnum.us.ssn.is_valid(text) or printed)


@given(st.text("0123456789", min_size=8, max_size=8), st.booleans(), SEPARATORS)
def test_sin(text: str, right: bool, separator: str) -> None:
    last = int(stdnum.luhn.calc_check_digit(text))
    number = text + str(last if right else (last + 1) % 10)
    written = separator.join((number[:3], number[3:6], number[6:]))
    assert validators.sin(written) == stdnum.ca.sin.is_valid(number)


CHARS = {"n": string.digits, "a": string.ascii_uppercase, "c": string.digits + string.ascii_uppercase}


@st.composite
def bbans(draw: st.DrawFn) -> tuple[str, str]:
    """A country and what its structure allows, one character at times changed into any other."""
    country = draw(st.sampled_from(sorted(BY_COUNTRY)))
    chars = "".join(
        int(count) * CHARS[kind] and draw(st.text(CHARS[kind], min_size=int(count), max_size=int(count)))
        for count, kind in stdnum_structure(country)
    )
    if draw(st.booleans()):
        at = draw(st.integers(0, len(chars) - 1))
        chars = chars[:at] + draw(st.sampled_from(CHARS["c"])) + chars[at + 1 :]
    return country, chars


def stdnum_structure(country: str) -> list[tuple[str, str]]:
    structure = numdb.get("iban").info(country + "00")[0][1]["bban"]
    return stdnum.iban._struct_re.findall(structure)


@given(bbans(), st.booleans(), st.sampled_from(("", " ", "-", "** **")), st.booleans())
def test_iban(bban: tuple[str, str], right: bool, separator: str, small: bool) -> None:
    country, rest = bban
    check = stdnum.iban.calc_check_digits(f"{country}00{rest}")
    number = country + (check if right else f"{(int(check) + 1) % 97:02}") + rest
    written = separator.join(number[at : at + 4] for at in range(0, len(number), 4))
    # the national sums that stdnum knows of some countries are not looked at: an account with a wrong one is one
    expected = stdnum.iban.is_valid(number, check_country=False)
    assert validators.iban(written.lower() if small else written) == expected


def test_every_country_of_stdnum_is_here_with_its_structure() -> None:
    for first in string.ascii_uppercase:
        for second in string.ascii_uppercase:
            info = numdb.get("iban").info(first + second + "00")[0][1]
            assert bool(info) == (first + second in BY_COUNTRY), first + second
            if info:
                ours = sum(int(count) for count, _ in parts(BY_COUNTRY[first + second]))
                assert ours == sum(int(count) for count, _ in stdnum_structure(first + second))
                assert expanded(parts(BY_COUNTRY[first + second])) == expanded(stdnum_structure(first + second))


def parts(structure: str) -> list[tuple[str, str]]:
    import re

    return re.findall(r"(\d+)([nac])", structure)


def expanded(structure: list[tuple[str, str]]) -> str:
    return "".join(int(count) * kind for count, kind in structure)


@given(st.text(string.ascii_uppercase + string.digits, min_size=0, max_size=36))
def test_what_is_no_iban(text: str) -> None:
    assert validators.iban(text) == stdnum.iban.is_valid(text, check_country=False)


TYPES = ("visa16", "visa19", "mastercard", "amex", "discover", "diners", "jcb15")


@pytest.mark.parametrize("kind", TYPES)
def test_cards_of_faker(kind: str) -> None:
    (fake,) = fakers("en_US")
    for _ in range(200):
        number = fake.credit_card_number(kind)
        assert stdnum.luhn.is_valid(number)
        assert validators.card(number)
        assert not validators.card(number[:-1] + str((int(number[-1]) + 1) % 10))


@given(st.text("0123456789", min_size=12, max_size=19))
def test_cards_have_luhns_sum_and_an_issuer(text: str) -> None:
    assume(len(set(text)) > 2)
    if validators.card(text):
        assert stdnum.luhn.is_valid(text)
        assert text[0] not in "079"
    assert validators.announced_card(text) == stdnum.luhn.is_valid(text)


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        ("4111 1111 1111 1111", True), ("4111-1111-1111-1111", True), ("3782 822463 10005", True),
        ("41111 1111111 1111", False), ("411111 1111111111", False), ("4111 1111 1111 1112", False),
        # 13 digits are an EAN's; an unknown issuer's number is none
        ("4222222222222", False), ("9111111111111111", False), ("1111111111111117", False),
    ],
)  # fmt: skip
def test_groups_of_cards(text: str, is_one: bool) -> None:
    assert validators.card(text) == is_one


def test_prefixes_of_national_insurance_numbers() -> None:
    # HMRC's manual NIM39110: these are not used
    assert [p for p in ("BG", "GB", "NK", "KN", "TN", "NT", "ZZ", "AB") if validators.nino(f"{p}123456C")] == ["AB"]


@given(st.ip_addresses(v=4))
def test_ipv4(address: ipaddress.IPv4Address) -> None:
    # 0.x.x.x is no host; 1.3.6.1 begins the identifiers of SNMP
    assert validators.ip(str(address)) == (not str(address).startswith(("0.", "1.3.6.1")))


@given(st.ip_addresses(v=6))
def test_ipv6(address: ipaddress.IPv6Address) -> None:
    for text in (address.compressed, address.exploded):
        # what has no digit, or two short ends around ::, is a slice or the name of a class
        sparse = len([part for part in text.split(":") if part]) < 3
        assert validators.ip(text) or sparse or not any(char.isdigit() for char in text), text


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        ("::1", True), ("::", False), ("::2", False), ("1::2", False), ("fe80::1", True), ("fe80::1%eth0", True), ("a::b", False),
        ("Face::Add", False), ("64:ff9b::1", True), ("::ffff:10.0.0.1", True), ("00:1a:2b:3c:4d:5e", False),
        ("00:1a:2b:ff:fe:3c:4d:5e", False), ("1:2:3:4:5:6:7:8", False), ("2001:db8:0:0:0:0:0:1", True), ("256.1.1.1", False),
        ("01.02.03.04", False), ("10.0.0.1", True),
    ],
)  # fmt: skip
def test_shapes_of_addresses(text: str, is_one: bool) -> None:
    assert validators.ip(text) == is_one


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        ("4155552671", True), ("555-1234", True), ("12.05.2024 10", False), ("2024-05-06 10", False), ("10 000 000", False),
        ("1111111111", False), ("123456", False), ("415-555-2671 ext. 12", True), ("1234567890123456", False),
    ],
)  # fmt: skip
def test_what_a_word_announces_as_a_telephone(text: str, is_one: bool) -> None:
    assert validators.announced_phone(text) == is_one


@pytest.mark.parametrize(
    ("text", "is_one"),
    [("hunter2", True), ("P@ssw0rd!", True), ("required", False), ("incorrect.", False), ("well-chosen", False), ("123456", False),
     ("self.pw2", True), ("self.password", False), ("getpass(", False), ("${PW}", False), ("db_password", False), ("Tr0ub4dor&3", True)],
)  # fmt: skip
def test_passwords_are_no_words(text: str, is_one: bool) -> None:
    assert validators.password(text) == is_one


EVERY = {
    **VALIDATORS,
    **{one.__name__: one for one in (validators.sin, validators.nino, validators.phone, validators.passport,
       validators.password, validators.announced_card, validators.announced_phone)},
}  # fmt: skip
"""By name; those of a table's `validator` see whatever a pattern of one's own matches."""


@pytest.mark.parametrize("name", sorted(EVERY))
@given(st.one_of(st.text(), st.text("0123456789 -.:%xXaABGeE/*"), digits, st.text("٠١２３²½①९")))
@example("")
@example("-")
@example("1")
@example("::1%")
@example("DE")
@example("DE89")
@example("²")
def test_every_validator_reads_any_text(name: str, text: str) -> None:
    assert EVERY[name](text) in (True, False)


@pytest.mark.parametrize("name", sorted({*EVERY} - {"nino", "password", "ip"}))
@given(st.text().filter(lambda text: not any(char.isdigit() for char in text)))
def test_nothing_is_a_number_without_digits(name: str, text: str) -> None:
    assert not EVERY[name](text)


@given(digits)
def test_numbers_of_nine_digits_have_nine(text: str) -> None:
    assume(len(text) != 9)
    assert not validators.ssn(text)
    assert not validators.sin(text)
