"""What a recording under a guard holds of bodies, and what a replay reads in it."""

import re
from collections.abc import Iterable, Sequence
from typing import Any

from streamweir.client.guarding import Guards
from streamweir.dialects import BUILTIN
from streamweir.dialects.ends import DecodeOptions
from streamweir.events import Delta, Numbered, ToolCallDelta
from streamweir.guard.engine import redact
from streamweir.recordings.mask import RecordMask
from tests.contract.test_guard import VALUES
from tests.relays import framing

GUARD = Guards().guard("redact")


def masked(dialect: str, *bodies: Iterable[bytes], guard: Any = GUARD, **options: Any) -> list[bytes]:
    """What is written of the answers, an entry an answer. Each read is a second."""
    mask, at = RecordMask(guard), 0
    out: list[Any] = []
    for body in bodies:
        mask.begin(BUILTIN[dialect], DecodeOptions(**options))
        for read in body:
            at += 1
            mask.feed(read, float(at))
            out += mask.ready()
        mask.put(DecodeOptions(**options))
        out += mask.ready()
    mask.finish()
    out += mask.ready()
    times = [entry[0] for entry in out if isinstance(entry, tuple)]
    assert times == sorted(times)
    answers = [b""]
    for entry in out:
        if isinstance(entry, tuple):
            answers[-1] += entry[1]
        else:
            answers.append(b"")
    assert answers.pop() == b""
    return answers


def events_of(dialect: str, data: bytes, **options: Any) -> list[Any]:
    """What a replay's decoder makes of a body."""
    return list(BUILTIN[dialect].decoder(DecodeOptions(**options))(framing(dialect).feed(data)))


def texts_of(events: Sequence[Any]) -> dict[Any, str]:
    """The text of each channel."""
    out: dict[Any, str] = {}
    for event in events:
        for one in event.events if type(event) is Numbered else [event]:
            if type(one) is Delta:
                out[one.channel, one.choice] = out.get((one.channel, one.choice), "") + one.text
            elif type(one) is ToolCallDelta and one.arguments:
                key = "arguments", one.choice, one.index
                out[key] = out.get(key, "") + one.arguments
    return out


def covered(text: str, *, whole: bool = True, guard: Any = GUARD) -> str:
    """The text with what the guard covers of it masked."""
    out = list(text)
    for one in redact(guard, text, whole=whole)[1]:
        out[one.start : one.end] = "*" * (one.end - one.start)
    return "".join(out)


def runs(data: bytes) -> set[str]:
    """The runs of six digits of the planted values that stand in data, escapes and separators taken out.

    Looked for in each line, and in all strings and comments in a row: counts that go up from line to line are no text.
    """
    plain = re.sub(r"\\+u00(3[0-9])", lambda found: chr(int(found[1], 16)), data.decode("utf-8", "replace"))
    said = [
        found[1] or found[2] or ""
        for found in re.finditer(r'"((?:[^"\\]|\\.)*)"|^(?:[:*]|[a-z]+: )([^{]*)$', plain, re.MULTILINE)
    ]
    rows = {re.sub(r"[^0-9]", "", row) for row in (*re.split("[\n\x81\x82]|\ufffd", plain), "".join(said))}
    bared = (re.sub(r"[^0-9]", "", value) for value in VALUES.values())
    six = {digits[at : at + 6] for digits in bared for at in range(len(digits) - 5)}
    return {run for run in six if any(run in row for row in rows)}


def reads(data: bytes, sizes: Sequence[int]) -> list[bytes]:
    """Data in pieces of those sizes, over and over."""
    out: list[bytes] = []
    at = number = 0
    while at < len(data):
        size = sizes[number % len(sizes)] if sizes else len(data)
        out.append(data[at : at + size])
        at, number = at + size, number + 1
    return out
