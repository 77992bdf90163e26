"""CPU microseconds per event of the pure pipeline, without sockets: python bench/relay.py

Events come one, or fifty, a read. Medians of five; compare figures of one run only, since machines drift.
"""

import statistics
import time
from collections.abc import Callable
from typing import Any

from streamweir.attempt import Attempt
from streamweir.dialects import BUILTIN
from streamweir.dialects.ends import DecodeOptions
from streamweir.events import Delta, Numbered, Upstream
from streamweir.faces.browser_sse import BrowserSse
from streamweir.faces.openai_chat import OpenAIChat
from streamweir.relay import Relay
from streamweir.stages.integrity import Integrity
from streamweir.stages.limits import TimeLimits
from streamweir.stages.release import Names, release_unguarded
from streamweir.stages.report import Identity
from streamweir.wire.ndjson import NdjsonDecoder
from streamweir.wire.sse import SseDecoder
from streamweir.wire.websocket import WebSocket

EVENTS = 10_000
FACES: dict[str, Callable[[], Callable[[Any], Any]]] = {
    "browser SSE": BrowserSse,
    "OpenAI": lambda: OpenAIChat(id="x", model="m", created=1, include_usage=True),
    "events": lambda: tuple,
}


FRAMINGS: dict[str, Callable[[], Any]] = {
    "sse": SseDecoder,
    "ndjson": NdjsonDecoder,
    "websocket": lambda: WebSocket(0.0),
}


def relay(dialect: str, encode: Callable[[Any], Any]) -> Relay[Any]:
    return Relay(
        Attempt(
            FRAMINGS[BUILTIN[dialect].framing](),
            BUILTIN[dialect].decoder(DecodeOptions()),
            Integrity() if BUILTIN[dialect].numbered else None,
            Identity(request_id="r", dialect=dialect, model="m", started_at=1e9, called_at=0.0),
            TimeLimits(),
            sent_at=0.0,
        ),
        release=release_unguarded(Names("r", "m", dialect)),
        encode=encode,
    )


def measure(dialect: str, face: str, together: int) -> float:
    encoder = BUILTIN[dialect].encoder(id="chatcmpl-0000001a", model="mock-model", created=1760000000)
    deltas = [Delta(" order")] * EVENTS
    events: list[Upstream] = (
        [Numbered(n, (d,)) for n, d in enumerate(deltas)] if dialect == "sse-gateway" else [*deltas]
    )
    wire = list(encoder.encode(events))
    reads = [b"".join(wire[at : at + together]) for at in range(0, len(wire), together)]
    times = []
    for _ in range(5):
        stream = relay(dialect, FACES[face]())
        began = time.process_time()
        for number, data in enumerate(reads):
            stream.feed(data, number * 1e-4)
        times.append((time.process_time() - began) / EVENTS * 1e6)
    return statistics.median(times)


if __name__ == "__main__":
    print("| dialect | face | one event a read | fifty |")
    print("|---|---|---|---|")
    for dialect in BUILTIN:
        for face in FACES:
            print(f"| {dialect} | {face} | {measure(dialect, face, 1):.1f} us | {measure(dialect, face, 50):.1f} us |")
