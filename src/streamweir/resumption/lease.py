"""What a producer may believe while its store is silent. Pure: times are of the producer's own steady clock.

The store alone judges who produces (`Log.take_over`). A producer that hears nothing knows only when it last asked
something that was answered: the store heard it no earlier, so for `TRUST` from then on nobody has taken over.
"""

from __future__ import annotations

from typing import Final

BEAT: Final = 5.0
"""Seconds after which a producer that has nothing to say says that it lives: it has ten more to be heard in."""

RESEND: Final = 1.0
"""Seconds after which what was not acknowledged is sent again."""

TRUST: Final = 12.0
"""Seconds from a question that was answered in which its producer is the only one: a fifth less than the store's lease,
for clocks that do not run alike."""

LOST: Final = 60.0
"""Seconds without an answer after which a producer gives up: by then others have ended its stream, if any could."""

SWEEP: Final = 5.0
"""Seconds between looks of a process at what streams are silent."""

DOUBT: Final = 5.0
"""Seconds between seeing that a stream is silent and taking it over, if it still is: a store that stood still hears
the producers that live before anybody ends their streams."""


class Lease:
    """The lease of one producer, as it sees it itself."""

    __slots__ = ("_asked_at",)

    def __init__(self, asked_at: float) -> None:
        """`asked_at`: when the stream was asked for, the first time where that was done again."""
        self._asked_at = asked_at

    def answered(self, asked_at: float) -> None:
        """The store took what was sent then. Answers may come in any order."""
        self._asked_at = max(self._asked_at, asked_at)

    def due(self, now: float) -> bool:
        """Whether to say that the producer lives: asked every `RESEND` seconds, it is said until it is answered."""
        return now - self._asked_at >= BEAT

    def held(self, now: float) -> bool:
        """Whether nobody else can have taken over: an upstream may be asked. What is appended needs no lease."""
        return now - self._asked_at < TRUST

    def lost(self, now: float) -> bool:
        """Whether to give up: end the upstream's request, and append nothing any more."""
        return now - self._asked_at >= LOST
