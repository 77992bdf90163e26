"""What is counted: the events of a stream and whole requests, and a yardstick beside them. Run by callgrind.py."""

from __future__ import annotations

import msgspec
from bench.cost.marks import Lengths, Run, Scene, run
from bench.cost.streams import FACES, accepted, profiles, reads, relay, wire

from streamweir.server.profiles import Profiles

EVENTS = (100, 300)
"""The two lengths of a scene. Both are multiples of fifty; of the words of the prose, neither is."""

REQUESTS = (4, 12)
YARDSTICK = (100, 300)


def stream(served: Profiles, profile: str, face: str, together: int) -> Scene:
    dialect = profile.removesuffix("-guarded")

    def prepare(count: int) -> Run:
        pieces = reads(wire(dialect, count), together)
        feed = relay(accepted(served, profile), FACES[face]()).feed

        def part() -> None:
            now = 0.0
            for data in pieces:
                now += 0.001
                feed(data, now)

        return part

    return prepare


def request(served: Profiles, profile: str, face: str) -> Scene:
    pieces = wire(profile.removesuffix("-guarded"), 16, end=True)

    def once() -> None:
        opening = accepted(served, profile)
        opening.source.exchange.body(opening)
        one = relay(opening, FACES[face]())
        now = 0.0
        for data in pieces:
            now += 0.001
            one.feed(data, now)
        one.end("eof", now)
        if one.report is None or not one.report.complete:
            raise SystemExit(f"the reply did not end whole: {one.report}")

    def prepare(count: int) -> Run:
        def part() -> None:
            for _ in range(count):
                once()

        return part

    return prepare


class Chunk(msgspec.Struct):
    id: str
    choices: list[dict[str, object]]


class Counter:
    __slots__ = ("seen", "text")

    def __init__(self) -> None:
        self.seen = 0
        self.text = bytearray()

    def __call__(self, items: list[object], now: float) -> list[object]:
        out: list[object] = []
        for item in items:
            if type(item) is Chunk:
                self.text += item.id.encode()
            out.append(item)
        self.seen += len(out)
        return out


def calls(count: int) -> Run:
    """Plain Python as a stage is: a call, a loop over one item, an object or two."""
    stages = [Counter() for _ in range(5)]
    items: list[object] = [Chunk("order ", [])]

    def part() -> None:
        for _ in range(count):
            events = items
            for stage in stages:
                events = stage(events, 1.0)

    return part


def json_both_ways(count: int) -> Run:
    """What a library in C does for an event: a chunk read, and a short string written."""
    decode, encode = msgspec.json.Decoder(Chunk).decode, msgspec.json.Encoder().encode
    data = wire("openai", 1)[0][6:-2]

    def part() -> None:
        for _ in range(count):
            b"data: %b\n\n" % encode(decode(data).id)

    return part


def scenes() -> dict[str, tuple[Scene, Lengths]]:
    served = profiles()
    out: dict[str, tuple[Scene, Lengths]] = {
        "yardstick: calls": (calls, YARDSTICK),
        "yardstick: JSON": (json_both_ways, YARDSTICK),
    }
    for profile, face in (
        ("openai", "OpenAI"),
        ("openai", "browser SSE"),
        ("openai-guarded", "OpenAI"),
        ("openai-guarded", "browser SSE"),
        ("sse-gateway", "browser SSE"),
    ):
        for together in (1, 50):
            name = f"{profile}, {face}, {together} a read"
            out[name] = (stream(served, profile, face, together), EVENTS)
    for profile in ("openai", "openai-guarded"):
        out[f"{profile}, OpenAI, a request"] = (request(served, profile, "OpenAI"), REQUESTS)
    return out


if __name__ == "__main__":
    run(scenes())
