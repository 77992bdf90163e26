"""A TCP relay that loses connections: between a client and a server, at positions that a plan names."""

import asyncio
import contextlib
import random
import socket
import struct
from dataclasses import dataclass
from typing import Literal

Kind = Literal["close", "reset", "hang"]


@dataclass(frozen=True, slots=True)
class Cut:
    """What happens when that many bytes of the server's have passed: the end, a TCP reset, or silence."""

    after: int
    kind: Kind


def plan(seed: int, count: int, most: int, hangs: int = 0) -> list[Cut]:
    """Cuts at random positions; every fourth falls into what comes before a reply: no byte of an answer, or its head."""
    draw = random.Random(seed)
    cuts = [
        Cut(draw.choice((0, draw.randrange(1, 250))) if n % 4 == 0 else draw.randrange(250, most), "close")
        for n in range(count)
    ]
    kinds: list[Kind] = ["hang"] * hangs + [draw.choice(("close", "reset")) for _ in range(count - hangs)]
    draw.shuffle(kinds)
    return [Cut(cut.after, kind) for cut, kind in zip(cuts, kinds, strict=True)]


class Cutter:
    """The relay. Each connection takes the next cut of the plan; one that ends before its cut gives it back.

    The first request that begins with `unanswered` reaches the server, and its answer nobody.
    """

    def __init__(self, target: int, cuts: list[Cut], unanswered: bytes | None = None) -> None:
        self.target = target
        self.left = list(cuts)
        self.unanswered = unanswered
        self.made = 0
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> int:
        """Listen; the port."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self._server.sockets[0].getsockname()[1]

    def lose(self) -> None:
        """Lose what is connected now."""
        for task in self._tasks:
            task.cancel()

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        cut = self.left.pop(0) if self.left else None
        inner_reader, inner = await asyncio.open_connection("127.0.0.1", self.target)
        unanswered = asyncio.Event()
        asking = asyncio.create_task(self._ask(reader, inner, unanswered))
        try:
            if await self._answer(inner_reader, writer, cut, unanswered) and cut is not None:
                self.made += 1
                inner.transport.abort()
                if cut.kind == "hang":
                    await asking
                elif cut.kind == "reset":
                    _reset(writer)
            elif cut is not None:
                self.left.insert(0, cut)
        finally:
            asking.cancel()
            for one in (writer, inner):
                one.transport.abort()

    async def _ask(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, unanswered: asyncio.Event) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                # behind a cut nobody takes it any more
                if writer.transport.is_closing():
                    continue
                if self.unanswered is not None and data.startswith(self.unanswered):
                    self.unanswered = None
                    unanswered.set()
                writer.write(data)
        # the client left, and a server that streams would not notice half of an end
        writer.transport.abort()

    async def _answer(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, cut: Cut | None, unanswered: asyncio.Event
    ) -> bool:
        """Pass the server's bytes on. True where the cut's position was reached."""
        left = cut.after if cut is not None else None
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                if unanswered.is_set():
                    return False
                if left is not None and len(data) > left:
                    writer.write(data[:left])
                    await writer.drain()
                    return True
                writer.write(data)
                await writer.drain()
                left = None if left is None else left - len(data)
        return False


def _reset(writer: asyncio.StreamWriter) -> None:
    own = writer.get_extra_info("socket")
    own.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
