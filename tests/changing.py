"""A TCP relay that changes what a server says: a man in the middle, for what no connection's own checks can see."""

import asyncio
import contextlib


class Changer:
    """The relay. In what the server sends, each `old` becomes `new`, of the same length, however it is cut into reads."""

    def __init__(self, target: int, old: str, new: str) -> None:
        self.target = target
        self.old, self.new = old.encode(), new.encode()
        assert len(self.old) == len(self.new)
        self.changed = 0
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> "Changer":
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def url(self) -> str:
        assert self._server is not None
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        inner_reader, inner = await asyncio.open_connection("127.0.0.1", self.target)
        asking = asyncio.create_task(self._pass(reader, inner, b"", b""))
        try:
            with contextlib.suppress(asyncio.CancelledError, ConnectionError):
                await self._pass(inner_reader, writer, self.old, self.new)
        finally:
            inner.close()
            writer.close()
            asking.cancel()
            await asyncio.gather(asking, inner.wait_closed(), writer.wait_closed(), return_exceptions=True)

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, old: bytes, new: bytes) -> None:
        held = b""
        while piece := await reader.read(65536):
            held += piece
            if old:
                self.changed += held.count(old)
                held = held.replace(old, new)
            # what may be the beginning of it waits for what follows, and nothing else does
            keep = max((size for size in range(1, len(old)) if held.endswith(old[:size])), default=0)
            writer.write(held[: len(held) - keep])
            held = held[len(held) - keep :]
            await writer.drain()
        writer.write(held)
        if writer.can_write_eof():
            writer.write_eof()
