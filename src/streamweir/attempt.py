"""What belongs to one answer of the upstream: how it is read, whose it is, and what it may take."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec

from streamweir.events import Upstream
from streamweir.flows.continuation import NOTHING_FOLLOWS, AgainPolicy
from streamweir.stages.integrity import Integrity
from streamweir.stages.limits import TimeLimits
from streamweir.stages.report import Identity
from streamweir.wire.frames import Frame


class Framing(Protocol):
    """Body bytes to frames, as wire/sse.py does it."""

    def feed(self, data: bytes, /) -> Sequence[Frame]: ...


class Decode(Protocol):
    """Frames to upstream events, as a dialect's decoder does it."""

    def __call__(self, frames: Sequence[Frame], /) -> Sequence[Upstream]: ...

    def rest(self) -> Sequence[Upstream]: ...


class Attempt(msgspec.Struct, frozen=True):
    """What belongs to one answer of the upstream, and to the requests that led to it.

    `integrity` is none where the dialect numbers nothing. `received` counts bytes of the answer that were read before
    the relay saw it, `attempts` all requests of the call.
    Whose answer it is (`identity`, `limits`, `policy`) changes only where another profile is asked instead.
    """

    framing: Framing
    decode: Decode
    integrity: Integrity | None
    identity: Identity
    limits: TimeLimits
    sent_at: float
    policy: AgainPolicy = NOTHING_FOLLOWS
    attempts: int = 1
    received: int = 0
    correlation_id: str | None = None
