"""docs/guard-quality.md: prose by hand, and parts between marks that are written by what measures them."""

from tests.conftest import ROOT

DOC = ROOT / "docs" / "guard-quality.md"


def marks(part: str) -> tuple[str, str]:
    return f"<!-- {part} begins -->", f"<!-- {part} ends -->"


def read(part: str) -> str:
    begin, end = marks(part)
    return DOC.read_text(encoding="utf-8").split(begin)[1].split(end)[0].strip()


def write(part: str, text: str) -> None:
    """Put a part in place; a new one goes to the end."""
    begin, end = marks(part)
    whole = DOC.read_text(encoding="utf-8") if DOC.exists() else "# How well the guard finds\n"
    if begin not in whole:
        whole = f"{whole.rstrip()}\n\n{begin}\n{end}\n"
    before, rest = whole.split(begin)
    DOC.write_text(f"{before}{begin}\n\n{text.strip()}\n\n{end}{rest.split(end)[1]}", encoding="utf-8")
