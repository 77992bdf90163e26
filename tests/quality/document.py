"""Documents with prose by hand, and parts between marks that are written by what measures or runs them."""

from pathlib import Path

from tests.conftest import ROOT

DOC = ROOT / "docs" / "guard-quality.md"
GUARD = ROOT / "docs" / "guard.md"


def marks(part: str) -> tuple[str, str]:
    return f"<!-- {part} begins -->", f"<!-- {part} ends -->"


def read(part: str, doc: Path = DOC) -> str:
    begin, end = marks(part)
    return doc.read_text(encoding="utf-8").split(begin)[1].split(end)[0].strip()


def write(part: str, text: str, doc: Path = DOC) -> None:
    """Put a part in place; a new one goes to the end."""
    begin, end = marks(part)
    whole = doc.read_text(encoding="utf-8")
    if begin not in whole:
        whole = f"{whole.rstrip()}\n\n{begin}\n{end}\n"
    before, rest = whole.split(begin)
    doc.write_text(f"{before}{begin}\n\n{text.strip()}\n\n{end}{rest.split(end)[1]}", encoding="utf-8")
