"""Relays for tests: everything fixed but what a test is about."""

from collections.abc import Callable, Sequence
from typing import Any

from streamweir.dialects import BUILTIN
from streamweir.dialects.chunk_stream import DecodeOptions
from streamweir.events import End, Upstream
from streamweir.relay import Relay
from streamweir.stages.integrity import Integrity
from streamweir.stages.limits import TimeLimits
from streamweir.stages.release import release_unguarded
from streamweir.stages.report import Identity
from streamweir.wire.sse import SseDecoder


def relay(
    dialect: str, encode: Callable[[Any], Any] = tuple, limits: TimeLimits = TimeLimits(), **options: Any
) -> Relay[Any]:
    return Relay(
        Identity(request_id="r", dialect=dialect, model="m", started_at=1e9, called_at=0.0),
        framing=SseDecoder(),
        decode=BUILTIN[dialect].decoder(DecodeOptions(**options)),
        integrity=Integrity(),
        release=release_unguarded(request_id="r", model="m", dialect=dialect),
        encode=encode,
        limits=limits,
        sent_at=0.0,
    )


def wire(dialect: str, events: Sequence[Upstream]) -> bytes:
    """The bytes that a gateway of that dialect sends for events."""
    return b"".join(BUILTIN[dialect].encoder(id="c", model="m", created=1).encode(events))


def completed(reason: str = "stop") -> End:
    return End("completed", stop_reasons={0: reason})
