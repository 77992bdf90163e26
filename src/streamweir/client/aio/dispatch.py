"""Callbacks beside an async stream: a task of their own calls them, so that none stands in the token path."""

from __future__ import annotations

import asyncio
import inspect
from collections import deque
from collections.abc import Callable

from streamweir.client.callbacks import Call, Callbacks, join_texts


class Dispatch:
    """Calls what is pushed, in order. `drained` is called when the queue has become short again."""

    def __init__(self, callbacks: Callbacks, low: int, drained: Callable[[], None]) -> None:
        self._callbacks = callbacks
        self._low = low
        self._drained = drained
        self._calls: deque[Call] = deque()
        self._task: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        return len(self._calls)

    def push(self, calls: list[Call]) -> None:
        """Queue calls."""
        self._calls += calls
        if self._calls and (self._task is None or self._task.done()):
            self._task = asyncio.get_running_loop().create_task(self._run())

    def join_texts(self) -> None:
        """Make one call of all that hand a piece of text to on_text."""
        self._calls = join_texts(self._calls)

    def drop_texts(self) -> None:
        """Forget the calls that hand a piece of text to on_text."""
        self._calls = deque(call for call in self._calls if call[0] != "on_text")

    async def finish(self, timeout: float) -> None:
        """Wait until all are called, at most `timeout` seconds."""
        if self._task is not None and not self._task.done():
            await asyncio.wait([self._task], timeout=timeout)
            self._task.cancel()

    async def _run(self) -> None:
        while self._calls:
            name, arguments = self._calls.popleft()
            try:
                answer = self._callbacks.call(name, arguments)
                if inspect.isawaitable(answer):
                    await answer
            except Exception as error:
                self._callbacks.failed(name, error)
            if len(self._calls) == self._low:
                self._drained()
            # a reader gets its turn between two calls
            await asyncio.sleep(0)
