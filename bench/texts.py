"""What the guard is measured on: made-up terms, prose of contact centres, hostile shapes. The same in every run.

`python -m bench.texts` writes bench/terms.txt anew.
"""

import base64
import random
import re
from collections.abc import Callable
from pathlib import Path

from streamweir.simulator.replies import SCRIPTS

HERE = Path(__file__).parent
DOCS = HERE.parent / "docs"

SYLLABLES = re.findall("..", "bacodefigrahujokalimonaolpiquarusetaurvewiyoza")
PLAIN = re.findall(
    r"\w+",
    "account annual basic card cover data family flex home insurance international loan mobile monthly office plan "
    "plus premium protection rate roaming savings service starter student travel unlimited upgrade value weekend",
)


def made_up(count: int) -> list[str]:
    """Distinct terms as products are named: half invented words, some with a number, half phrases of plain words."""
    rng = random.Random("terms")
    out: dict[str, None] = {}
    while len(out) < count:
        word = "".join(rng.choice(SYLLABLES) for _ in range(rng.randint(2, 4))).capitalize()
        out[
            rng.choice(
                (
                    word,
                    f"{word} {rng.randint(10, 990)}",
                    f"{word} {rng.choice(PLAIN)}",
                    " ".join(rng.sample(PLAIN, rng.randint(2, 3))),
                )
            )
        ] = None
    return list(out)


def terms() -> list[str]:
    """The committed 1,000."""
    lines = (HERE / "terms.txt").read_text(encoding="utf-8").splitlines()
    return [line for line in lines if not line.startswith("#")]


SENTENCES = """
Thank you for waiting, {name}, I have your account open in front of me now.
Your order from {day} has left the warehouse and should be with you by {time}.
The amount of {money} was charged twice, and I have asked for one of them to be returned.
It takes three to five working days until the money is back on your card.
I can see {small} items in the parcel, and one of them is out of stock until {day}.
Could you please tell me which of the two addresses you would like us to use?
The technician will be at your place on {day} between {time} and {time}.
If the light on the router stays red for more than {small} minutes, please unplug it and wait for a moment.
Your contract runs until {day}, {date}, and can be ended with {small} weeks' notice.
I have noted your complaint under number {order}; a colleague will write to you by {time}.
There is a fee of {money} a month, which you will not be charged for the first {small} months.
We don't have that size any more, but I could offer you {percent} off the next order.
Please don't send us passwords or the number on the back of your card.
You'll find the form under Settings > Billing > Invoices, at the bottom of the page.
The flight leaves at {time} from gate {small}, and your seat is {small}{seat}.
That is covered by your insurance up to {money}, less the excess of {money}.
I am sorry to hear that, {name}; let me look into what went wrong.
Meanwhile, is there anything else that I can help you with today?
Version {small}.{small}.{small} of the app fixes this; you can get it in the store, and it's free.
Reservations for {small} people or more need a deposit of {percent}, which is returned on the day.
**Good news:** your claim was approved on {date}, and {money} are on the way.
1. Open the cover. 2. Press the button for {small} seconds. 3. Wait until the display shows "ready".
We are open from {time} to {time} on weekdays and until {time} at weekends (not on public holidays).
""".strip().splitlines()


def contact_centre(words: int = 6_000) -> str:
    """Replies of contact centres, with the numbers, times and amounts that such replies have, and no one's data."""
    rng = random.Random("prose")
    out: list[str] = []
    count = 0
    while count < words:
        values = {
            "name": rng.choice(("Ms Weber", "Jamie", "Mr. Okafor", "Zoë", "Dr Lindqvist", "Priya")),
            "day": rng.choice(("Monday", "Tuesday", "Thursday", "the 3rd of May", "next Friday", "26 October")),
            "money": rng.choice(("€49.90", "$1,250.00", "12 EUR", "£7.50", "USD 300", "89,99 €")),
            "order": str(rng.randint(10**6, 10**8)),
            "percent": rng.choice(("10 %", "15%", "a third")),
            "date": rng.choice(("March 12, 2026", "12/03/2026", "2026-03-12", "31.12.2026")),
            "seat": rng.choice("ABCDEF"),
        }
        sentence = rng.choice((*SENTENCES, *SENTENCES, *SCRIPTS.values()))
        for slot in ("small", "time"):
            while "{" + slot + "}" in sentence:
                value = str(rng.randint(2, 28)) if slot == "small" else f"{rng.randint(7, 20)}:{rng.randint(0, 5)}0"
                sentence = sentence.replace("{" + slot + "}", value, 1)
        out.append(sentence.format(**values))
        count += len(out[-1].split())
    return " ".join(out)


def documents() -> str:
    """This project's documents without their code."""
    texts = (path.read_text(encoding="utf-8") for path in sorted(DOCS.glob("*.md")))
    return "\n".join(re.sub(r"```.*?```", "", text, flags=re.DOTALL) for text in texts)


def near_terms(rng: random.Random) -> str:
    """A term that breaks off, in front of something that keeps other candidates alive."""
    term = rng.choice(NEAR)
    return rng.choice(("", "x.", "1-", "4")) + term[: rng.randint(2, len(term) - 1)] + rng.choice(" -.1@")


NEAR = made_up(1_000)


def any_character(rng: random.Random) -> str:
    return chr(rng.choice((rng.randint(0x20, 0xD7FF), rng.randint(0xE000, 0x10FFFF))))


def digit(rng: random.Random) -> str:
    return rng.choice("0123456789")


SHAPES: dict[str, Callable[[random.Random], str]] = {
    "digits": digit,
    "digits, emphasised": lambda rng: digit(rng) + "*",
    "cards' digits, emphasised": lambda rng: "4*",
    "digits in fours": lambda rng: f"{rng.randint(0, 9999):04d} ",
    "digits, any separator": lambda rng: digit(rng) + rng.choice(" -.*_/()"),
    "`a@a@`": lambda rng: "a@",
    "`a@a.a.`": lambda rng: rng.choice(("a@", "a.", "a.", "ab-")),
    "`aaaa`": lambda rng: "a",
    "base64": lambda rng: base64.b64encode(rng.randbytes(48)).decode(),
    "hexadecimal": lambda rng: rng.randbytes(16).hex(),
    "long URLs": lambda rng: "https://x.example/" + "a.b-c_d/" * 30 + "?q=1&" + "k=v&" * 20 + " ",
    "IPv6": lambda rng: f"{rng.randint(0, 65535):x}:",
    "IPv4": lambda rng: f"{rng.randint(0, 260)}.",
    "IBANs": lambda rng: rng.choice(("DE12 ", "GB82 ", "1234 ", "AB12-")),
    "partial private keys": lambda rng: rng.choice(("-----BEGIN ", "RSA ", "PRIVATE KEY-----\n", "MIIEp+/=")),
    "one private key": lambda rng: "MIIEpAIBAAKCAQEA7",
    "tokens": lambda rng: rng.choice(("eyJhbGciOi", "eyJ", ".", "Bearer ", "sk-", "ghp_", "AKIA", "a1B2c3D4e5F6")),
    "SSNs": lambda rng: f"{rng.randint(100, 999)}-{rng.randint(10, 99)}-{rng.randint(1000, 9999)} ",
    "words that announce": lambda rng: rng.choice(("ssn ", "passport number ", "born on ", "is ", "12 ", "the ")),
    "near-matches of terms": near_terms,
    "random ASCII": lambda rng: chr(rng.randint(32, 126)),
    "random Unicode": any_character,
    "unseen characters": lambda rng: rng.choice(("1", "2", "\u200b", "\u00ad")),
}
"""What each hostile text repeats."""


def hostile(shape: str, size: int) -> str:
    """A hostile text of so many characters."""
    rng = random.Random(shape)
    piece = SHAPES[shape]
    out = ["-----BEGIN PRIVATE KEY-----\n"] if shape == "one private key" else []
    length = len("".join(out))
    while length < size:
        out.append(piece(rng))
        length += len(out[-1])
    return "".join(out)[:size]


if __name__ == "__main__":
    head = "# 1,000 made-up terms, as products are named; written by `python -m bench.texts`\n"
    (HERE / "terms.txt").write_text(head + "".join(f"{term}\n" for term in made_up(1_000)), encoding="utf-8")
