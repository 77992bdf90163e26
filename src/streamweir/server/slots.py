"""A slot for each stream: waits for it as `admission.py` decides, and gives it back however the stream ended."""

from __future__ import annotations

import asyncio
import time
from typing import Final

from streamweir.faces.problems import Problem
from streamweir.server.admission import Admission, Code, Limits, Place, Refused
from streamweir.server.keys import Who

REFUSALS: Final[dict[Code, tuple[int, str]]] = {
    "key_rate_limited": (429, "this key's requests are used up: `rate` of its server.keys says how many it has"),
    "too_many_streams": (429, "this key has as many streams as it may: `concurrent` of its server.keys says how many"),
    "server_full": (503, "the server has as many streams as it may: try again later"),
    "server_draining": (503, "the server is shutting down"),
}


class Slots:
    """All streams of the server: who takes one gives it back. Counts for metrics are in `admission`."""

    def __init__(self, limits: Limits, wait: float) -> None:
        """`wait`: seconds that a request waits in the queue at most."""
        self.admission = Admission(limits)
        self._wait = wait
        self._waiting: dict[Place, asyncio.Future[bool]] = {}

    @property
    def full(self) -> bool:
        """Whether a request would find no place, not even one to wait in."""
        return self.admission.full

    def change(self, limits: Limits, wait: float) -> None:
        """Other limits from now on; who has a slot keeps it."""
        self._wait = wait
        self._wake(self.admission.change(limits))

    def dismiss(self) -> None:
        """Send away all that wait: the server stops."""
        for come in self._waiting.values():
            if not come.done():
                come.set_result(False)

    async def take(self, who: Who) -> Place:
        """A slot for a stream, waited for where all are taken; whoever has it gives it back.

        Raises Problem (429, 503).
        """
        place = self.enter(who)
        if not place.live:
            try:
                await self.turn(place)
            except BaseException:
                self.leave(place)
                raise
        return place

    def enter(self, who: Who) -> Place:
        """A place for a stream, live or in the queue; whoever has it gives it back. Raises Problem (429, 503)."""
        try:
            return self.admission.enter(who.name, time.monotonic())
        except Refused as refused:
            raise problem(refused) from None

    def leave(self, place: Place) -> None:
        """Give a place back; again: nothing."""
        if come := self.admission.leave(place):
            self._wake(come)

    async def turn(self, place: Place) -> None:
        """Wait until a place is live. Raises Problem (503) where it does not become so in time."""
        if place.live:
            return
        come = self._waiting[place] = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(self._wait):
                stays = await come
        except TimeoutError:
            stays = True
        finally:
            del self._waiting[place]
        # let in at the very moment at which the time was up: in
        if not place.live:
            refused = Refused("server_full" if stays else "server_draining")
            self.admission.refused[refused.code] += 1
            raise problem(refused)

    def _wake(self, places: list[Place]) -> None:
        for place in places:
            come = self._waiting.get(place)
            if come is not None and not come.done():
                come.set_result(True)


def problem(refused: Refused) -> Problem:
    """What a client is told that gets no slot."""
    status, message = REFUSALS[refused.code]
    told = Problem(status, refused.code, message)
    told.retry_after = refused.retry_after
    return told
