"""Callbacks beside a sync stream: a thread of their own calls them, so that none stands in the token path."""

from __future__ import annotations

import inspect
import threading
import time
from collections import deque
from typing import Any

from streamweir.client.callbacks import Call, Callbacks, join_texts


class SyncDispatch:
    """Calls what is pushed, in order."""

    def __init__(self, callbacks: Callbacks) -> None:
        self._callbacks = callbacks
        self._calls: deque[Call] = deque()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._closed = False

    def __len__(self) -> int:
        return len(self._calls)

    def push(self, calls: list[Call]) -> None:
        """Queue calls."""
        if not calls:
            return
        with self._changed:
            self._calls += calls
            self._changed.notify_all()
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="streamweir-callbacks", daemon=True)
            self._thread.start()

    def join_texts(self) -> None:
        """Make one call of all that hand a piece of text to on_text."""
        with self._changed:
            self._calls = join_texts(self._calls)
            self._changed.notify_all()

    def drop_texts(self) -> None:
        """Forget the calls that hand a piece of text to on_text."""
        with self._changed:
            self._calls = deque(call for call in self._calls if call[0] != "on_text")
            self._changed.notify_all()

    def wait_below(self, low: int, timeout: float) -> bool:
        """Wait until at most `low` calls are left, at most `timeout` seconds. Whether they are."""
        until = time.monotonic() + timeout
        with self._changed:
            while len(self._calls) > low and (left := until - time.monotonic()) > 0:
                self._changed.wait(left)
            return len(self._calls) <= low

    def finish(self, timeout: float) -> None:
        """Wait until all are called, at most `timeout` seconds."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(timeout)
            with self._changed:
                self._calls.clear()

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._calls and not self._closed:
                    self._changed.wait()
                if not self._calls:
                    return
                name, arguments = self._calls.popleft()
                self._changed.notify_all()
            try:
                answer = self._callbacks.call(name, arguments)
                if inspect.isawaitable(answer):
                    run_alone(answer)
            except Exception as error:
                self._callbacks.failed(name, error)


def run_alone(answer: Any) -> None:
    """Await what a coroutine function gave, in a loop of its own."""
    import asyncio

    async def awaited() -> None:
        await answer

    asyncio.run(awaited())
