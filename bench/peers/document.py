"""Puts the tables into docs/performance.md, between marks, and the plot beside it."""

from __future__ import annotations

from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"
BEGIN, END = "<!-- peers begins -->", "<!-- peers ends -->"
PLOT = "performance.svg"


def replaced(document: str, text: str) -> str:
    """The document with this text between its marks. Raises ValueError where they are missing."""
    before, begin, rest = document.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"docs/performance.md has no {BEGIN} … {END}")
    return f"{before}{BEGIN}\n\n{text.strip()}\n\n{END}{after}"


def write(text: str, svg: str) -> None:
    document = DOCS / "performance.md"
    document.write_text(replaced(document.read_text(encoding="utf-8"), text), encoding="utf-8")
    (DOCS / PLOT).write_text(svg, encoding="utf-8")
