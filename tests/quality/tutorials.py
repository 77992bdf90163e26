"""Where this guard differs from the patterns that tutorials give, on examples that are run: the table in docs/guard.md.

`python -m tests.quality.tutorials --write` writes it.
"""

import re
import sys

from streamweir.guard.build import Spec, build
from streamweir.guard.engine import redact
from streamweir.guard.recognisers import LISTS
from tests.quality import document, planted

THEIRS = {
    "social security number": re.compile(r"\b\d{3}-\d{2}-\d{4}\b"),
    "nine digits": re.compile(r"\b\d{9}\b"),
    "card": re.compile(r"\b(?:\d{4}[- ]?){3}\d{4}\b"),
    "e-mail": re.compile(r"[A-Za-z0-9._%+-]+@[A-Za-z0-9.-]+\.[A-Z|a-z]{2,}"),
    "telephone": re.compile(r"\b\d{3}[-.]?\d{3}[-.]?\d{4}\b"),
    "words": re.compile("|".join(LISTS["tutorial"]), re.IGNORECASE),
}
"""What the tutorials look for in each chunk; a word anywhere, inside others too."""

EXAMPLES = {
    "social security number": (
        "SSN 123-45-6789", "000-12-3456, 666-12-3456, 987-65-4320", "123-00-4567", "123.45.6789", "123 45 6789", "SSN: 123456789",
        "１２３-４５-６７８９", "123\u201145\u20116789", "**123**-45-6789", "x123-45-6789",
    ),
    "nine digits": ("SSN 123456789", "order 123456789", "routing number 021000021", "123-45-6789"),
    "card": (
        "4111 1111 1111 1111", "4111 1111 1111 1112", "order 1234567812345678", "3782 822463 10005", "30569309025904",
        "4000 0000 0000 0000 006", "tracking 9400110200881234567890",
    ),
    "e-mail": ("a@b.de", "o'neil@example.com", "用户@例子.公司", "jane@müller.de", "jаne@exаmple.com", "a@b.c|d", "a@b..com", "%@-.--", "image@2x.png"),
    "telephone": (
        "415-555-2671", "order 4155552671", "call 4155552671", "0123456789", "+49 30 1234567", "(415) 555-2671", "000-000-0000",
        "020 7946 0958", "06 12 34 56 78",
    ),
    "words": ("hack", "HACK the planet", "shackles and hackathons", "bombastic", "self-harm", "self‑harm", "illegally"),
}  # fmt: skip


def table() -> str:
    words = build(Spec(kinds=(), terms=LISTS["tutorial"]), b"")
    rows = ["| their pattern for | text | theirs takes | this guard gives |", "|---|---|---|---|"]
    for name, examples in EXAMPLES.items():
        guard = words if name == "words" else planted.guard()
        for text in examples:
            theirs = ", ".join(f"`{found}`" for found in THEIRS[name].findall(text)) or "-"
            ours = redact(guard, text)[0]
            shown = f"`{ours}`" if ours != text else "-"
            rows.append(f"| {name} | {cell(f'`{text}`')} | {cell(theirs)} | {cell(shown)} |")
    return "\n".join(rows)


def cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    if "--write" in sys.argv:
        document.write("tutorials", table(), document.GUARD)
    else:
        sys.stdout.write(f"{table()}\n")
