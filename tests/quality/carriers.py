"""Sentences of our own around values of others, for the kinds and spellings that presidio's templates do not have.

Values are Faker's, respelled as people do; keys are the prefix that their issuer documents with Faker's random characters
in the documented number; private keys and tokens are made by `cryptography` and `hmac`. Nothing needs a network.
"""

import base64
import datetime as dt
import hashlib
import hmac
import ipaddress
import itertools
import json
import random
from collections.abc import Callable, Iterator

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from faker import Faker

from tests.quality.planted import Planted, plant
from tests.quality.templates import BORN, IBAN_LOCALES, UNTIL

EACH = 200

PLAIN = (
    "{}", "Here it is: {}", "I wrote {} on the form.", "Is it {}?", "It says \"{}\" on the letter", "({})", "- {}\n- and more",
    "Please use {}, not the old one.", "| value | {} |", "**{}** is what I have", "<p>{}</p>", "They sent {}; I never asked",
)  # fmt: skip

WORDS = {
    "US_SSN": ("My SSN is {}.", "SSN: {}", "social security number {}", "**SSN:** {}", '{{"ssn": "{}"}}',
               "What is your social security number? {}", "the last SSN was {}"),
    "CARD": ("card number {}", "Card: {}", "my credit card is {}.", "Kreditkarte {}", "numéro de carte : {}", '"card": "{}"',
             "Visa {}", "charge the card no. {}"),
    "CA_SIN": ("My SIN is {}.", "SIN: {}", "social insurance number {}", "**SIN** {}", '{{"sin": "{}"}}',
               "numéro d'assurance sociale : {}"),
    "UK_NINO": ("My NI number is {}.", "NINO: {}", "national insurance number {}", "National Insurance no. {}", '{{"nino": "{}"}}'),
    "PASSPORT": ("My passport number is {}.", "Passport: {}", "Passport No.: {}", "passport no {}", "Reisepassnummer {}",
                 "Reisepass-Nr. {}", "numéro de passeport : {}", "passeport n° {}", '{{"passport_number": "{}"}}', "**Passport:** {}"),
    "PHONE": ("Call me at {}.", "phone: {}", "Tel.: {}", "my number is {}", "Mobile {}", "text me on {}", "Meine Telefonnummer ist {}",
              "Rufnummer: {}", "mon téléphone : {}", "Fax {}", '{{"phone": "{}"}}', "**Phone:** {}"),
    "en": ("I was born on {}.", "DOB: {}", "Date of birth: {}", "date of birth is {}", "my birthday is {}", "Birthdate {}",
           "D.O.B. {}", '{{"date_of_birth": "{}"}}', "**Born:** {}"),
    "de": ("geboren am {}.", "Geburtsdatum: {}", "geb. {}", "Ich bin am Freitag geboren, geb. am {}", "Mein Geburtsdatum ist der {}"),
    "fr": ("né le {}.", "née le {}", "date de naissance : {}", "ma date de naissance est le {}"),
}  # fmt: skip
WORDS = {name: tuple(one.replace("{{", "\0").replace("}}", "\1") for one in all_) for name, all_ in WORDS.items()}

PHONE_LOCALES = ("en_US", "en_CA", "en_GB", "de_DE", "fr_FR")
CARD_TYPES = ("visa16", "visa13", "visa19", "mastercard", "amex", "discover", "diners", "jcb15", "jcb16", "maestro")


def fakers(*locales: str) -> list[Faker]:
    made = [Faker(locale) for locale in locales]
    for number, one in enumerate(made):
        one.seed_instance(number)
    return made


def in_sentences(row: str, kind: str, carriers: tuple[str, ...], value: Callable[[], str], count: int = EACH) -> Iterator[Planted]:  # fmt: skip
    for carrier in itertools.islice(itertools.cycle(carriers), count):
        made = plant(carrier, value(), kind, row)
        yield Planted(made.text.replace("\0", "{").replace("\1", "}"), made.values)


def numbers() -> Iterator[Planted]:
    fake, canada, britain, austria, italy = fakers("en_US", "en_CA", "en_GB", "de_AT", "it_IT")
    for name, mark in (("hyphens", "-"), ("dots", "."), ("spaces", " ")):
        yield from in_sentences(f"US_SSN, {name}", "US_SSN", PLAIN, lambda mark=mark: fake.ssn().replace("-", mark))
    yield from in_sentences("US_SSN, bare, announced", "US_SSN", WORDS["US_SSN"], lambda: fake.ssn().replace("-", ""))
    for name in CARD_TYPES[:-1]:
        issuers = "jcb16 of 3528 to 3589" if name == "jcb16" else name
        yield from in_sentences(f"CARD, {issuers}", "CARD", PLAIN, lambda name=name: card(fake, name))
    yield from in_sentences("CARD, any of Faker's, announced", "CARD", WORDS["CARD"], lambda: fake.credit_card_number())
    for mark, name in ((" ", "spaces"), ("-", "hyphens")):
        yield from in_sentences(
            f"CARD, in groups with {name}",
            "CARD",
            PLAIN,
            lambda mark=mark: grouped(fake.credit_card_number("visa16"), mark),
        )
        yield from in_sentences(
            f"CARD, amex in groups with {name}",
            "CARD",
            PLAIN,
            lambda mark=mark: mark.join(
                (number := fake.credit_card_number("amex"), number[:4], number[4:10], number[10:])[1:]
            ),
        )
    yield from in_sentences("CA_SIN, announced", "CA_SIN", WORDS["CA_SIN"], lambda: canada.ssn())
    yield from in_sentences("CA_SIN, hyphens", "CA_SIN", PLAIN, lambda: canada.ssn().replace(" ", "-"))
    yield from in_sentences("UK_NINO, announced", "UK_NINO", WORDS["UK_NINO"], lambda: britain.ssn())
    for one, name in ((fake, "en_US"), (austria, "de_AT"), (italy, "it_IT")):
        yield from in_sentences(
            f"PASSPORT, {name}, announced", "PASSPORT", WORDS["PASSPORT"], lambda one=one: one.passport_number()
        )


def card(fake: Faker, name: str) -> str:
    """Faker's JCB numbers begin with 35 and anything; JCB has 3528 to 3589."""
    while True:
        number = fake.credit_card_number(name)
        if name != "jcb16" or 3528 <= int(number[:4]) <= 3589:
            return number


def grouped(text: str, mark: str) -> str:
    return mark.join(text[at : at + 4] for at in range(0, len(text), 4))


def accounts() -> Iterator[Planted]:
    for locale, bank in zip(IBAN_LOCALES, fakers(*IBAN_LOCALES), strict=True):
        yield from in_sentences(f"IBAN, {locale}", "IBAN", PLAIN, lambda bank=bank: bank.iban(), 60)
    (bank,) = fakers("fr_FR")
    yield from in_sentences("IBAN, spaces", "IBAN", PLAIN, lambda: grouped(bank.iban(), " "))
    yield from in_sentences(
        "IBAN, spaces, capitals behind", "IBAN", ("IBAN {} BIC XX", "{} THANK YOU"), lambda: grouped(bank.iban(), " ")
    )
    yield from in_sentences("IBAN, small letters", "IBAN", PLAIN, lambda: bank.iban().lower())


def addresses() -> Iterator[Planted]:
    fake, german, french = fakers("en_US", "de_DE", "fr_FR")
    rng = random.Random(4)
    carriers = (*PLAIN, "mail {}.", "<{}>", "[write](mailto:{})", "mailto:{}?subject=x", "_{}_", "`{}`", "E-Mail:{}")
    for name, one in (("en_US", fake), ("de_DE", german), ("fr_FR", french)):
        yield from in_sentences(f"EMAIL, {name}", "EMAIL", carriers, lambda one=one: one.email())
    yield from in_sentences(
        "EMAIL, with a plus and a subdomain", "EMAIL", carriers,
        lambda: f"{fake.user_name()}+{fake.word()}@{fake.word()}.{fake.domain_name()}",
    )  # fmt: skip
    words = ("müller", "bücher", "例子", "пример", "παράδειγμα", "उदाहरण")
    tlds = ("de", "公司", "рф", "ελ", "भारत", "com")
    yield from in_sentences(
        "EMAIL, domains of other alphabets",
        "EMAIL",
        carriers,
        lambda: f"{fake.user_name()}@{rng.choice(words)}.{rng.choice(tlds)}",
    )
    hosts = (*PLAIN, "ping {}.", "http://{}/x", "{}:8080", "[{}]", "from {} to")
    yield from in_sentences("IP, IPv4", "IP", (*hosts, "{}/24"), lambda: fake.ipv4())
    sixes = (*PLAIN, "ping {}.", "http://[{}]:80/x", "[{}]", "{}/64")
    yield from in_sentences("IP, IPv6", "IP", sixes, lambda: fake.ipv6())
    yield from in_sentences("IP, IPv6 with ::", "IP", sixes, lambda: short(fake.ipv6()))
    yield from in_sentences("IP, IPv4 mapped into IPv6", "IP", sixes, lambda: f"::ffff:{fake.ipv4()}")
    yield from in_sentences(
        "IP, IPv6 with a zone", "IP", PLAIN, lambda: f"fe80::{short(fake.ipv6())[-9:].lstrip(':')}%eth0"
    )
    for locale, one in zip(PHONE_LOCALES, fakers(*PHONE_LOCALES), strict=True):
        yield from in_sentences(
            f"PHONE, {locale}, announced", "PHONE", WORDS["PHONE"], lambda one=one: one.phone_number()
        )
        yield from in_sentences(f"PHONE, {locale}, alone", "PHONE", PLAIN, lambda one=one: one.phone_number())


def short(address: str) -> str:
    """Four groups in the middle are nought."""
    parts = address.split(":")
    return ipaddress.ip_address(":".join((*parts[:2], "0", "0", "0", "0", *parts[6:]))).compressed


def births() -> Iterator[Planted]:
    written = {
        "en": (
            "%m/%d/%Y",
            "%d/%m/%Y",
            "%Y-%m-%d",
            "%d %B %Y",
            "%B %d, %Y",
            "%b %d, %Y",
            "%d-%b-%Y",
            "%d.%m.%Y",
            "%m/%d/%y",
        ),
        "de": ("%d.%m.%Y", "%d. %B %Y", "%d.%m.%y", "%Y-%m-%d", "%d. %m. %Y"),
        "fr": ("%d/%m/%Y", "%d %B %Y", "%d-%m-%Y", "%d.%m.%Y"),
    }
    for (name, ways), fake in zip(written.items(), fakers("en_US", "de_DE", "fr_FR"), strict=True):
        rng = random.Random(name)
        months = {number: fake.month_name() for number in range(1, 13)} if name == "en" else MONTHS[name]

        def date(fake: Faker = fake, ways: tuple[str, ...] = ways, rng: random.Random = rng, months: dict[int, str] = months, name: str = name) -> str:  # fmt: skip
            day: dt.date = fake.date_between_dates(BORN, UNTIL)
            way = rng.choice(ways)
            return day.strftime(way if name == "en" else way.replace("%B", months[day.month]))

        yield from in_sentences(f"BIRTH_DATE, as in {name}, announced", "BIRTH_DATE", WORDS[name], date)


GERMAN = "Januar Februar März April Mai Juni Juli August September Oktober November Dezember"
FRENCH = "janvier février mars avril mai juin juillet août septembre octobre novembre décembre"
MONTHS = {name: dict(enumerate(months.split(), 1)) for name, months in (("de", GERMAN), ("fr", FRENCH))}

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
MIXED = LETTERS + LETTERS.lower() + "0123456789"
HEX = "0123456789abcdef"

ISSUED: dict[str, tuple[str, int, str]] = {
    "AWS key id": ("AKIA", 16, LETTERS + "234567"),
    "GitHub": ("ghp_", 36, MIXED),
    "GitHub, fine-grained": ("github_pat_", 82, MIXED + "_"),
    "GitLab": ("glpat-", 20, MIXED + "-_"),
    "Slack bot": ("xoxb-123456789012-1234567890123-", 24, MIXED),
    "Stripe": ("sk_live_", 24, MIXED),
    "OpenAI project": ("sk-proj-", 156, MIXED + "-_"),
    "OpenAI": ("sk-", 48, MIXED),
    "Anthropic": ("sk-ant-api03-", 95, MIXED + "-_"),
    "Google API": ("AIza", 35, MIXED + "-_"),
    "npm": ("npm_", 36, MIXED),
    "PyPI": ("pypi-AgEIcHlwaS5vcmc", 150, MIXED + "-_"),
    "Hugging Face": ("hf_", 34, MIXED),
}
ASSIGNED: dict[str, tuple[tuple[str, ...], int, str]] = {
    "AWS secret": (("aws_secret_access_key = {}", "AWS_SECRET_ACCESS_KEY={}", '"SecretAccessKey": "{}"'), 40, MIXED + "/+"),
    "Azure account key": (("DefaultEndpointsProtocol=https;AccountName=x;AccountKey={};", "SharedAccessKey={}"), 86, MIXED + "/+"),
    "Slack webhook": (("https://hooks.slack.com/services/{}",), 24, MIXED),
    "Twilio": (("TWILIO_AUTH_TOKEN={}", "auth token: {}"), 32, HEX),
    "api_key=": (("api_key={}", 'API_KEY = "{}"', "x-api-key: {}", "The API key is {}", "**API key:** `{}`"), 32, MIXED),
    "password:": (("password: {}", 'PASSWORD="{}"', "My password is {}", "DB_PASSWORD={}", "Passwort: {}"), 12, ""),
    "password in a URL": (("postgres://app:{}@db.example:5432/x", "https://me:{}@host/x"), 14, MIXED),
}  # fmt: skip


def keys() -> Iterator[Planted]:
    (fake,) = fakers("en_US")
    rng = random.Random(5)

    def drawn(prefix: str, size: int, chars: str) -> str:
        return prefix + "".join(rng.choice(chars) for _ in range(size))

    carriers = (*PLAIN, "export TOKEN={}", "`{}`", "key:{}")
    for name, (prefix, size, chars) in ISSUED.items():
        yield from in_sentences(f"API_KEY, {name}", "API_KEY", carriers, lambda a=(prefix, size, chars): drawn(*a), 60)
    sendgrid = ("SG." + drawn("", 22, MIXED) + "." + drawn("", 43, MIXED) for _ in itertools.count())
    yield from in_sentences("API_KEY, SendGrid", "API_KEY", carriers, lambda: next(sendgrid), 60)
    for name, (sentences, size, chars) in ASSIGNED.items():
        prefix = {"Slack webhook": "T01ABCDEF23/B01ABCDEF45/"}.get(name, "")
        made = (lambda size=size: fake.password(size)) if not chars else (lambda a=(prefix, size, chars): drawn(*a))
        yield from in_sentences(f"API_KEY, {name}", "API_KEY", sentences, made, 60)
    yield from in_sentences(
        "BEARER",
        "BEARER",
        ("Authorization: Bearer {}", "curl -H 'Authorization: Bearer {}'", "bearer {}"),
        lambda: drawn("", 40, MIXED + "-_"),
    )
    yield from in_sentences("JWT", "JWT", (*carriers, "token={}"), lambda: jwt(fake))
    pems = [pem(maker) for maker in MAKERS for _ in range(3)]
    yield from in_sentences("PRIVATE_KEY", "PRIVATE_KEY", PLAIN, lambda: rng.choice(pems), 60)
    yield from in_sentences(
        "PRIVATE_KEY, in JSON",
        "PRIVATE_KEY",
        ('"private_key": "{}",', "key={}"),
        lambda: rng.choice(pems).replace("\n", "\\n"),
        60,
    )


MAKERS: tuple[Callable[[], "rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey"], ...] = (
    lambda: rsa.generate_private_key(65537, 2048),
    lambda: ec.generate_private_key(ec.SECP256R1()),
    ed25519.Ed25519PrivateKey.generate,
)


def pem(make: Callable[[], "rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey"]) -> str:
    form = PrivateFormat.PKCS8
    return make().private_bytes(Encoding.PEM, form, NoEncryption()).decode().strip()


def jwt(fake: Faker) -> str:
    parts = (
        {"alg": "HS256", "typ": "JWT"},
        {"sub": str(fake.random_int()), "name": fake.name(), "email": fake.email()},
    )
    body = ".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts)
    digest = hmac.digest(b"key", body.encode(), hashlib.sha256)
    return f"{body}.{base64.urlsafe_b64encode(digest).rstrip(b'=').decode()}"


def texts() -> Iterator[Planted]:
    for part in (numbers, accounts, addresses, births, keys):
        yield from part()
