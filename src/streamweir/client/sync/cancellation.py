"""One call's cancel flag, which any thread may set, and what that wakes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager


class Cancelled(Exception):
    """The call was cancelled; it never leaves the client, which raises StreamCancelled for it."""


class Cancellation:
    """Set once, from any thread. Whoever blocks says how to be woken."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self._lock = threading.Lock()
        self._wakers: list[Callable[[], None]] = []

    @property
    def requested(self) -> bool:
        """Whether the call is cancelled."""
        return self._event.is_set()

    def cancel(self) -> None:
        """Cancel; more than once changes nothing."""
        with self._lock:
            self._event.set()
            wakers = list(self._wakers)
        for wake in wakers:
            wake()

    def check(self) -> None:
        """Raise Cancelled where the call is cancelled."""
        if self._event.is_set():
            raise Cancelled

    def sleep(self, seconds: float) -> None:
        """Wait. Raises Cancelled."""
        if self._event.wait(seconds):
            raise Cancelled

    @contextmanager
    def waking(self, wake: Callable[[], None]) -> Generator[None]:
        """While in here, `cancel` calls `wake`, from its own thread. Raises Cancelled."""
        with self._lock:
            if self._event.is_set():
                raise Cancelled
            self._wakers.append(wake)
        try:
            yield
        finally:
            with self._lock:
                self._wakers.remove(wake)
