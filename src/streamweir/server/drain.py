"""Stopping without a cut: nothing new begins, live streams may finish, and what is left then is told of its end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Final

from streamweir.server.census import Census

LINE_EVERY: Final = 3.0
"""Seconds between two lines of progress, at least."""

FLUSH: Final = 2.0
"""Seconds that clients have to take what was written to them, once all streams have ended."""

LOOK: Final = 0.02
"""Seconds between looks at what they have not taken yet."""


class Signals:
    """What an operator asked for: to stop, and to stop now."""

    def __init__(self) -> None:
        self.first = asyncio.Event()
        self.second = asyncio.Event()

    def come(self) -> None:
        """A signal came."""
        (self.second if self.first.is_set() else self.first).set()


async def drain(census: Census, seconds: float, hurried: asyncio.Event, say: Callable[[str], None]) -> None:
    """Let nothing new begin, and wait until nothing is live, until `seconds` have passed, or until it is `hurried`."""
    census.drain()
    loop = asyncio.get_running_loop()
    began_with, ends, said = len(census.streams), loop.time() + seconds, -1
    waits: list[asyncio.Task[Any]] = [loop.create_task(census.empty()), loop.create_task(hurried.wait())]
    try:
        while (count := len(census.streams)) and (rest := ends - loop.time()) > 0 and not hurried.is_set():
            if count != said:
                say(f"draining: {_streams(count)} left, {rest:.0f} s")
                said = count
            if waits[0].done():
                # the slot of the last one went to another that waited
                waits[0] = loop.create_task(census.empty())
            await asyncio.wait(waits, timeout=min(rest, LINE_EVERY), return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
    if count:
        why = "a second signal came" if hurried.is_set() else f"the {seconds:g} s of server.drain are over"
        say(f"draining: {why}: {_streams(count)} of {began_with} {'ends' if count == 1 else 'end'} now")
    elif began_with:
        say(f"draining: all {_streams(began_with)} ended by themselves" if began_with > 1 else "draining: it has ended")


async def left(census: Census, transports: Sequence[asyncio.WriteTransport]) -> None:
    """Wait until every stream has left, and clients have taken what was written to them; not for ever."""
    loop = asyncio.get_running_loop()
    until = loop.time() + FLUSH
    # what was just ended writes its last words in the loop's next rounds
    await asyncio.sleep(0)
    # when its buffer is empty a transport tells its own protocol only, and that is aiohttp's
    while loop.time() < until and (census.streams or any(one.get_write_buffer_size() for one in transports)):  # noqa: ASYNC110
        await asyncio.sleep(LOOK)


def _streams(count: int) -> str:
    return f"{count} stream{'' if count == 1 else 's'}"
