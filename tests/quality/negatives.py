"""What looks like something and is nothing that the guard looks for: numbers of orders, goods, parcels, builds, times.

Every shape is filled by Faker, or by a rule of those who give such numbers out; a shape has `expected` findings of none
but where the same digits can be both, and then says why.
"""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from faker import Faker

from streamweir.guard.validators import luhn

EACH = 50


@dataclass(frozen=True)
class Negative:
    """A shape: `?` is any digit, `^` a capital letter; or what makes one. `why` says why some are found."""

    name: str
    carriers: tuple[str, ...]
    make: str | Callable[[Faker, random.Random], str]
    why: str = ""


def upc_sum(digits: str) -> str:
    """GS1's check digit."""
    total = sum(int(digit) * (3 if place % 2 == 0 else 1) for place, digit in enumerate(reversed(digits)))
    return str(-total % 10)


def ean(rng: random.Random, prefix: str, size: int) -> str:
    body = prefix + "".join(rng.choice("0123456789") for _ in range(size - 1 - len(prefix)))
    return body + upc_sum(body)


def imei(rng: random.Random) -> str:
    body = rng.choice(("35", "86", "01", "49")) + "".join(rng.choice("0123456789") for _ in range(12))
    return next(body + digit for digit in "0123456789" if luhn(body + digit))


def isbn10(rng: random.Random, first: str) -> str:
    body = first + "".join(rng.choice("0123456789") for _ in range(8))
    total = -sum(int(digit) * (10 - place) for place, digit in enumerate(body)) % 11
    return body + ("X" if total == 10 else str(total))


def hexes(size: int) -> Callable[[Faker, random.Random], str]:
    return lambda fake, rng: "".join(rng.choice("0123456789abcdef") for _ in range(size))


NEGATIVES = (
    Negative("order number, 8 digits", ("order {}", "Bestellung {}", "your order {} has shipped"), "????????"),
    Negative("order number, 9 digits", ("order {}", "order no. {} was sent"), "?????????"),
    Negative("order number, 10 digits", ("order {}", "order #{}"), "[1-9]?????????"),
    Negative("order number, 12 digits", ("order {}", "order number: {}"), "????????????"),
    Negative("order number of Amazon", ("order {}", "Order # {}"), "1??-???????-???????"),
    Negative("invoice, filled with noughts", ("invoice {}", "Rechnung Nr. {}"), "000???????"),
    Negative("invoice with year", ("invoice {}", "facture {}"), "INV-2024-?????"),
    Negative("ticket", ("ticket {}", "see {}"), "#?????-????"),
    Negative("case number", ("case {}", "case number {}"), "CS???????"),
    Negative("customer number", ("customer {}", "account {}", "Kundennummer {}"), "[1-9]???????"),
    Negative("EAN-13", ("EAN {}", "barcode {}"), lambda _, rng: ean(rng, rng.choice(("400", "500", "30", "76", "978")), 13)),
    Negative("EAN-8", ("EAN {}",), lambda _, rng: ean(rng, "4", 8)),
    Negative("UPC-A", ("UPC {}", "item {}"), lambda _, rng: ean(rng, "0", 12), "of those from 015 to 017: a German mobile number in one piece has twelve digits"),
    Negative("GTIN-14", ("GTIN {}",), lambda _, rng: ean(rng, "1", 14)),
    Negative("ISBN-13, bare", ("ISBN {}",), lambda _, rng: ean(rng, "978", 13)),
    Negative("ISBN-13 with hyphens", ("ISBN {}",), "978-3-??-??????-?"),
    Negative("ISBN-10 with hyphens", ("ISBN {}",), "0-???-?????-?"),
    Negative("ISBN-10 that begins with 3", ("ISBN {}",), lambda _, rng: isbn10(rng, "3")),
    Negative("ISBN-10 that begins with 0", ("ISBN {}",), lambda _, rng: isbn10(rng, "0"),
             "ten digits from 01 to 09 are how a French number is written in one piece"),
    Negative("ISSN", ("ISSN {}",), "????-????"),
    Negative("UPS tracking", ("tracking {}", "UPS {}"), "1Z999AA1????????[1-9]?"),
    Negative("FedEx tracking, 12 digits", ("tracking {}", "FedEx {}"), "????????????"),
    Negative("FedEx tracking, 15 digits", ("tracking {}",), "[1269]??????????????"),
    Negative("DHL tracking", ("DHL {}", "Sendung {}"), "JJD0???????????????"),
    Negative("DHL Express, 10 digits", ("DHL {}",), "[1-9]?????????"),
    Negative("USPS tracking in groups", ("USPS {}",), "9400 1??? ???? ???? ???? ??",
             "groups behind one that begins with a nought are like a number and its area code"),
    Negative("Royal Mail tracking", ("parcel {}",), "RM?????????GB"),
    Negative("IMEI", ("IMEI {}", "my phone's IMEI is {}"), lambda _, rng: imei(rng)),
    Negative("ICCID", ("ICCID {}",), "8949?????????????[1-9]?"),
    Negative("VIN", ("VIN {}",), "WVWZZZ1KZ?W??????"),
    Negative("version, three parts", ("version {}", "v{}", "python {}"), "[1-9].[1-9]?.?"),
    Negative("version, four parts, build above 255", ("version {}", "Chrome {}"), "1??.0.[3-9]???.??"),
    Negative("version, four parts", ("version {}",), "[1-9].[1-9].?.?", "an address is written the same way"),
    Negative("section", ("section {}", "see {}"), "[1-9].?.?"),
    Negative("OID", ("OID {}",), "1.3.6.1.4.1.???.?"),
    Negative("date, ISO", ("on {}", "due {}"), lambda fake, _: fake.date()),
    Negative("date, written", ("on {}",), lambda fake, _: fake.date("%B %d, %Y")),
    Negative("date with dots, and an hour", ("am {} Uhr", "called on {}"), lambda fake, _: fake.date("%d.%m.%Y") + " 10.30"),
    Negative("date with hyphens, and an hour", ("am {}",), lambda fake, _: fake.date("%d-%m-%Y") + " 10:30"),
    Negative("time stamp", ("at {}",), lambda fake, _: fake.date("%Y-%m-%d") + "T12:34:56.789Z"),
    Negative("Unix time", ("ts={}", "at {}"), "17????????"),
    Negative("Unix time in milliseconds", ("ts={}",), "17???????????"),
    Negative("hours", ("open {}", "from {}"), "08:00-1?:00"),
    Negative("time with seconds", ("at {}", "{} elapsed"), "1?:[0-5]?:[0-5]?"),
    Negative("price", ("{} EUR", "it costs {}"), "[1-9],???.??"),
    Negative("price, German", ("{} EUR",), "[1-9].???.???,??"),
    Negative("amount with spaces", ("{} people", "reach {} users", "call {} of them"), "[1-9]? ??? ???"),
    Negative("amount of nine digits in threes", ("{} EUR", "{} inhabitants"), "[1-9]?? ??? ???"),
    Negative("percentages", ("{} more",), "[1-9]?.?? %"),
    Negative("decimals", ("pi is {}", "{} V"), "[1-9].??????????????"),
    Negative("UUID", ("id {}", "{}"), lambda fake, rng: str(fake.uuid4(cast_to=None))),
    Negative("Git commit", ("commit {}", "{}"), hexes(40)),
    Negative("Git commit, short", ("commit {}", "fixed in {}"), hexes(7)),
    Negative("SHA-256", ("sha256:{}", "{}"), hexes(64)),
    Negative("MD5", ("md5 {}",), hexes(32)),
    Negative("MAC address", ("MAC {}", "{}"), lambda fake, _: fake.mac_address()),
    Negative("EUI-64", ("EUI {}",), lambda fake, _: fake.mac_address() + ":0a:0b"),
    Negative("coordinates", ("at {}",), lambda fake, _: f"{fake.latitude()}, {fake.longitude()}"),
    Negative("US postcode", ("{}", "Springfield, IL {}"), "?????-????"),
    Negative("UK postcode", ("London {}",), "SW1A ?AA"),
    Negative("German postcode and city", ("{} Berlin",), "1????"),
    Negative("part number", ("part {}", "{} fits"), "^^-????-^?"),
    Negative("article number", ("article {}", "SKU {}"), "???-???-??"),
    Negative("flight", ("flight {}", "{} is late"), "LH ????"),
    Negative("flight and gate", ("{}",), "BA??? gate B?? 1?:?0"),
    Negative("booking reference", ("booking {}",), "^^^^^?"),
    Negative("hex colour", ("colour {}", "{}"), lambda fake, _: fake.hex_color()),
    Negative("sort code", ("sort code {}",), "[1-9]?-??-??"),
    Negative("UK bank account", ("account {}",), "????????"),
    Negative("US routing number", ("routing {}", "ABA {}"), lambda fake, _: fake.aba()),
    Negative("BIC", ("BIC {}",), lambda fake, _: fake.swift()),
    Negative("VAT number", ("VAT {}",), "DE?????????"),
    Negative("resolution", ("{}",), "1920x1080 and 38??x21??"),
    Negative("range of years", ("{}",), "19??-20??"),
    Negative("phone extension alone", ("extension {}",), "?????"),
    Negative("chapter and verse", ("{}",), "John [1-9]:1?-1?"),
    Negative("score", ("won {}",), "?-?, ?-?, ?-?"),
    Negative("Python slice", ("`x[{}]`",), "[1-9]::2"),
    Negative("Python step", ("`x[{}]`",), "::?", "`::1` is an address"),
    Negative("C++ name", ("use {}",), lambda _, rng: rng.choice(("std::vector", "A::B", "abc::def", "Face::Add", "ns::a::b"))),
    Negative("CSS class", ("class {}",), lambda _, rng: "sk-" + rng.choice(("fading-circle", "chasing-dot-animated", "folding-cube-container-outer"))),
    Negative("decorator or handle", ("{}", "thanks {}"), lambda fake, _: "@" + fake.user_name()),
    Negative("package and version", ("{}",), "react@18.?.?"),
    Negative("bearer in prose", ("{}",), lambda _, rng: rng.choice(("bearer of responsibilities", "bearer responsibilities", "the ring bearer misunderstandings"))),
    Negative("password in prose", ("{}",), lambda _, rng: rng.choice(("Password: required", "password is incorrect.", "your password: please choose one", "password = well-chosen"))),
    Negative("password in code", ("{}",), lambda _, rng: rng.choice(("password = os.getcwd()", "passwd = self.lexer.get_token()", "password=${DB_PASSWORD}", "password = auth[2]", "pwd = (self.password.encode(", "password: {{ secret }}", "password=settings.db_password"))),
    Negative("digits in code", ("`{}`",), "0123456789"),
    Negative("key in prose", ("{}",), lambda _, rng: rng.choice(("the API key is important", "api key: see the documentation", "secret key = configuration-of-yours"))),
    Negative("passport in prose", ("{}",), "passport control from ? to 1?"),
    Negative("birth in prose", ("{}",), "born in 19??, gave birth at 1?"),
    Negative("call in prose", ("{}",), "call at 1?:30, or call 911, or text 74174"),
    Negative("PEM header in prose", ("the line {} begins it",), "-----BEGIN CERTIFICATE-----"),
)  # fmt: skip


def texts(negative: Negative) -> Iterator[str]:
    fake = Faker("en_US")
    fake.seed_instance(negative.name)
    rng = random.Random(negative.name)
    for number in range(EACH):
        made = drawn(negative.make, rng) if isinstance(negative.make, str) else negative.make(fake, rng)
        yield negative.carriers[number % len(negative.carriers)].replace("{}", made)


def drawn(shape: str, rng: random.Random) -> str:
    """`?` is a digit, `^` a letter, a set in brackets one of it."""
    out, at = "", 0
    while at < len(shape):
        char = shape[at]
        if char == "[":
            end = shape.index("]", at)
            low, dash, high = shape[at + 1 : end].partition("-")
            out += rng.choice("0123456789"[int(low) : int(high) + 1] if dash else low)
            at = end
        else:
            out += {"?": rng.choice("0123456789"), "^": rng.choice("ABCDEFGHJKLMNP")}.get(char, char)
        at += 1
    return out
