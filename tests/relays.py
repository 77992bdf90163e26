"""Relays for tests: everything fixed but what a test is about."""

from collections.abc import Callable, Sequence
from typing import Any

from streamweir.attempt import Attempt
from streamweir.dialects import BUILTIN
from streamweir.dialects.ends import DecodeOptions
from streamweir.events import End, Upstream
from streamweir.flows.continuation import NOTHING_FOLLOWS, AgainPolicy
from streamweir.relay import Relay
from streamweir.stages.integrity import Integrity
from streamweir.stages.limits import TimeLimits
from streamweir.stages.release import Names, release_unguarded
from streamweir.stages.report import Identity
from streamweir.wire.ndjson import NdjsonDecoder
from streamweir.wire.sse import SseDecoder
from streamweir.wire.websocket import WebSocket


def framing(dialect: str) -> Any:
    kinds = {"sse": SseDecoder, "ndjson": NdjsonDecoder, "websocket": lambda: WebSocket(0.0)}
    return kinds[BUILTIN[dialect].framing]()


def attempt(
    dialect: str, limits: TimeLimits = TimeLimits(), policy: AgainPolicy = NOTHING_FOLLOWS, **options: Any
) -> Attempt:
    return Attempt(
        framing(dialect),
        BUILTIN[dialect].decoder(DecodeOptions(**options)),
        Integrity() if BUILTIN[dialect].numbered else None,
        Identity(request_id="r", dialect=dialect, model="m", started_at=1e9, called_at=0.0),
        limits,
        sent_at=0.0,
        policy=policy,
        attempts=0,
    )


def relay(
    dialect: str,
    encode: Callable[[Any], Any] = tuple,
    limits: TimeLimits = TimeLimits(),
    policy: Any = None,
    *,
    coalesced: bool = False,
    **options: Any,
) -> Relay[Any]:
    return Relay(
        attempt(dialect, limits, policy or NOTHING_FOLLOWS, **options),
        release=release_unguarded(Names("r", "m", dialect)),
        encode=encode,
        coalesced=coalesced,
    )


def wire(dialect: str, events: Sequence[Upstream]) -> bytes:
    """The bytes that a gateway of that dialect sends for events."""
    return b"".join(BUILTIN[dialect].encoder(id="c", model="m", created=1).encode(events))


def completed(reason: str = "stop") -> End:
    return End("completed", stop_reasons={0: reason})
