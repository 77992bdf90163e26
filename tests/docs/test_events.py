"""docs/events.md lists every field of every released event and of the report; `python -m tests.docs.test_events --write`."""

import re
import sys
import typing
from typing import Any

import msgspec

from streamweir import events, report
from tests.conftest import ROOT

DOC = ROOT / "docs" / "events.md"


def kind(annotation: Any) -> str:
    """A type as JSON has it."""
    origin, inner = typing.get_origin(annotation), typing.get_args(annotation)
    if annotation is msgspec.UnsetType:
        return "absent"
    if annotation is type(None):
        return "null"
    if origin is typing.Literal:
        return ", ".join(f"`{value}`" for value in inner)
    if origin in (list, tuple):
        return f"list of {kind(inner[0])}"
    if origin is dict:
        return "object"
    if inner:
        return " or ".join(dict.fromkeys(kind(one) for one in inner))
    if isinstance(annotation, type) and issubclass(annotation, msgspec.Struct):
        return f"[{annotation.__name__}](#{annotation.__name__.lower()})"
    return {str: "string", int: "integer", float: "number", bool: "true or false"}.get(annotation, "any")


def told(struct: type) -> str:
    return re.sub(r"\s+", " ", struct.__doc__ or "").strip()


def rows(struct: Any) -> list[str]:
    hints = typing.get_type_hints(struct, vars(events) | vars(report))
    return [f"| `{name}` | {kind(hints[name])} |" for name in struct.__struct_fields__]


def text() -> str:
    released = typing.get_args(events.Released)
    parts = [
        "# Events and the report",
        "",
        "What a stream hands out when it is iterated, one a line with `chat --jsonl`. `seq` counts all events of a stream",
        "from 0, without holes. `ended` is the last one, always. `make docs` writes this page from the types; a test holds it.",
        "",
    ]
    for event in released:
        parts += [
            f"## {event.__struct_config__.tag}",
            "",
            told(event),
            "",
            "| field | |",
            "|---|---|",
            *rows(event),
            "",
        ]
    structs = [report.Report, *(s for s in vars(report).values() if is_section(s))]
    for struct in structs:
        parts += [f"## {struct.__name__}", "", told(struct), "", "| field | |", "|---|---|", *rows(struct), ""]
    return "\n".join(parts)


def is_section(value: Any) -> bool:
    return (
        isinstance(value, type) and issubclass(value, msgspec.Struct) and value not in (msgspec.Struct, report.Report)
    )


def test_the_page_is_what_the_types_say() -> None:
    assert DOC.read_text(encoding="utf-8") == text()


if __name__ == "__main__":
    if "--write" in sys.argv:
        DOC.write_text(text(), encoding="utf-8")
    else:
        sys.stdout.write(text())
