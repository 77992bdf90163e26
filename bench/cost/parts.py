"""The parts of an event's way through the proxy, each with what comes into it: read by bench/budget.py.

A part is taken by its public name. One that is no more, or is no stage any more, is left out: what it did is in the
row of the relay itself then.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

from bench.cost.lockstep import HEAD, chunk
from bench.cost.streams import FACES, accepted, profiles, relay, wire

from streamweir.client.opening import Opening
from streamweir.dialects import BUILTIN
from streamweir.dialects.ends import DecodeOptions
from streamweir.stages import entered
from streamweir.stages.limits import TimeLimits
from streamweir.stages.release import Names
from streamweir.stages.report import Identity
from streamweir.wire.http1 import Answer
from streamweir.wire.sse import SseDecoder

Call = Callable[[Any], object]
Made = Callable[[], Call]
"""Makes a part for a new stream."""

Part = tuple[str, Made, Sequence[Any]]
"""Its name, itself, and what comes into it with one event after the other."""

IDENTITY = Identity(request_id="r", dialect="openai", model="m", started_at=1e9, called_at=0.0)
STAGES: tuple[tuple[str, str, tuple[Any, ...]], ...] = (
    ("integrity", "streamweir.stages.integrity:Integrity", ()),
    ("limits", "streamweir.stages.limits:Limits", (TimeLimits(), 0.0, 0.0)),
    ("measure", "streamweir.stages.measure:Measure", (0.0,)),
    ("release", "", ()),
    ("report", "streamweir.stages.report:Conclude", (IDENTITY,)),
)
"""In their order. What releases is asked of the configuration, as the proxy does it."""

NOTHING = "nothing"
RELAY = ("relay.feed", "relay.feed, guard on")
GUARD = "guard, in place of release"


def parts(count: int) -> list[Part]:
    """All parts for the events of one stream, the relay as a whole behind them."""
    served = profiles()
    plain, guarded = accepted(served, "openai"), accepted(served, "openai-guarded")
    body = wire("openai", count)
    out: list[Part] = [(NOTHING, lambda: lambda _: None, body)]

    def add(name: str, make: Made, inputs: Sequence[Any]) -> list[Any]:
        # as the relay enters it
        out.append((name, lambda: entered(make()), inputs))
        call = make()
        return [call(one) for one in inputs]

    add("HTTP", _answer, [chunk(one) for one in body])
    frames = add("SSE", lambda: SseDecoder().feed, body)
    events = add("decode", lambda: BUILTIN["openai"].decoder(DecodeOptions()), frames)
    for name, where, arguments in STAGES:
        make = _released(plain) if not where else _stage(where, arguments)
        if make is None:
            continue
        if not where:
            add(GUARD, _released(guarded), events)
        events = add(name, make, events)
    for name, face in FACES.items():
        add(f"face, {name}", face, events)
    for name, opening in zip(RELAY, (plain, guarded), strict=True):
        out.append((name, _relay(opening), body))
    return out


def _answer() -> Call:
    answer = Answer()
    answer.feed(HEAD)
    return answer.feed


def _stage(where: str, arguments: tuple[Any, ...]) -> Made | None:
    module, _, name = where.partition(":")
    try:
        stage = getattr(import_module(module), name)
        made = stage(*arguments)
    except (ImportError, AttributeError, TypeError):
        return None
    return (lambda: _at(stage(*arguments))) if callable(made) else None


def _released(opening: Opening) -> Made:
    return lambda: _at(opening.release(Names("r", "m", "openai")))


def _relay(opening: Opening) -> Made:
    return lambda: _at(relay(opening, FACES["OpenAI"]()).feed)


def _at(call: Callable[[Any, float], object]) -> Call:
    method = entered(call)
    return lambda events: method(events, 1.0)
