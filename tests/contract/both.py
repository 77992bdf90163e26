"""One way to drive both clients in tests: what a test says of one it says of the other."""

import asyncio
import inspect
from collections.abc import Callable
from typing import Any

from streamweir import AsyncGateway, Gateway
from streamweir.simulator.app import RunningSimulator

HELLO = [{"role": "user", "content": "hello"}]


class Driver:
    """`kind` is async or sync. Its methods block in either case: the async client runs in a loop of its own."""

    def __init__(self, kind: str, simulator: RunningSimulator | None, **options: Any) -> None:
        self.kind = kind
        self.loop = asyncio.new_event_loop() if kind == "async" else None
        base = {} if simulator is None else {
            "base_url": simulator.url, "client_id": "sim-client", "client_secret": "sim-secret"
        }  # fmt: skip
        self.gateway: Any = self.run(self._make, {**base, **options})

    def _make(self, options: dict[str, Any]) -> Any:
        if self.kind == "sync":
            return Gateway(**options)

        async def make() -> AsyncGateway:
            return AsyncGateway(**options)

        return make()

    def run(self, function: Callable[..., Any], *arguments: Any, **keys: Any) -> Any:
        """Call, and await what is to be awaited."""
        out = function(*arguments, **keys)
        if inspect.isawaitable(out):
            assert self.loop is not None
            return self.loop.run_until_complete(_awaited(out))
        return out

    def stream(self, **ask: Any) -> Any:
        return self.gateway.stream(messages=HELLO, **ask)

    def enter(self, stream: Any) -> Any:
        return self.run(stream.__enter__ if self.kind == "sync" else stream.__aenter__)

    def leave(self, stream: Any) -> None:
        self.run(stream.__exit__ if self.kind == "sync" else stream.__aexit__, None, None, None)

    def read(self, iterator: Any, into: list[Any] | None = None) -> list[Any]:
        """All that an iterator gives; what came before an error is in `into`."""
        out = [] if into is None else into
        if self.kind == "sync":
            for item in iterator:
                out.append(item)
            return out

        async def read() -> None:
            async for item in iterator:
                out.append(item)

        self.run(read)
        return out

    def idle(self, seconds: float) -> None:
        """Let time pass, without reading."""
        if self.loop is None:
            import time

            time.sleep(seconds)
        else:
            self.loop.run_until_complete(asyncio.sleep(seconds))

    def close(self) -> None:
        self.run(self.gateway.close)
        if self.loop is not None:
            self.loop.run_until_complete(asyncio.sleep(0))
            self.loop.close()


async def _awaited(out: Any) -> Any:
    return await out
