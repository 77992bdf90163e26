"""Where a stream that outlives its connections comes from: the upstream is asked, and its reply carried here."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence

from streamweir.client.aio.carrier import Carrier
from streamweir.client.aio.opening import open_first
from streamweir.client.aio.wheel import Wheel
from streamweir.client.opening import Opening
from streamweir.ending import Cause
from streamweir.errors import RequestError, StreamFailed
from streamweir.events import Released
from streamweir.relay import Relay
from streamweir.server.census import Live, withdrawn

log = logging.getLogger("streamweir.server")

Frames = list[bytes]
"""What a face makes of released events, an entry for each position."""


class Production:
    """Asks at once. `take` is called with what each read becomes, and `relay.done` tells the last time.

    `begun` is called when there is a `carrier`, which may be held back.
    """

    __slots__ = (
        "_begun", "_cause", "_ended", "_frames", "_take", "_task", "_wheel", "carrier", "live", "opened", "relay",
    )  # fmt: skip

    relay: Relay[Frames]
    """There from the first `take` on."""

    def __init__(
        self,
        opening: Opening,
        frames: Callable[[Sequence[Released]], Frames],
        take: Callable[[Frames], None],
        begun: Callable[[], None],
        live: Live,
        wheel: Wheel,
    ) -> None:
        self._frames = frames
        self._take = take
        self._begun = begun
        self._wheel = wheel
        self._cause: Cause = "client_gone"
        self._ended = False
        self.live = live
        self.carrier: Carrier[Frames] | None = None
        self.opened: asyncio.Future[Opening] = asyncio.get_running_loop().create_future()
        """The handshake by which the upstream took the request or refused it."""
        self._task = asyncio.get_running_loop().create_task(self._open(opening))

    def end(self, cause: Cause) -> None:
        """End the reply from this side; one that has ended stays as it ended."""
        self._cause, self._ended = cause, True
        if self.carrier is not None:
            self.carrier.end(cause)
        else:
            # behind its first step, before which nothing of it would run that says how it ended
            asyncio.get_running_loop().call_soon(self._task.cancel)

    async def _open(self, opening: Opening) -> None:
        self.live.opens()
        opened = opening
        try:
            opened = await open_first(opening, opening.source)
        except RequestError as error:
            # nothing was sent, and nothing is recorded
            opened.error, opened.entry = error, None
        except asyncio.CancelledError:
            opened, self._ended = opening.latest, True
            if self.live.withdrawn():
                opened.error = withdrawn()
            if opened.connection is not None:
                opened.connection.abort()
                opened.connection = None
        except Exception as error:
            # nobody awaits this task: a mistake of our own must end the stream, not hang it
            log.exception("a stream failed before it began")
            opened = opening.latest
            opened.error = StreamFailed(f"an error inside streamweir ({type(error).__name__})", code="stream_failed")
        self.live.opened()
        try:
            await self._carry(opened)
        finally:
            self.opened.set_result(opened)

    async def _carry(self, opened: Opening) -> None:
        first: Frames
        self.relay, first = opened.source.relay(opened, self._frames)
        self._take(first)
        self.carrier = carrier = Carrier(opened.source, self._wheel, opened, self.relay, self._take)
        self.live.carries(carrier)
        if self._ended:
            # cancelled, or ended in the very round of the loop in which the upstream answered
            carrier.end(self._cause)
        carrier.begin()
        self._begun()
        # one that never began has ended
        await carrier.over()
