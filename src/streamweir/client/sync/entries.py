"""Waits for a stream's record to be opened, before its request is sent, and for it to be closed, behind its end."""

from __future__ import annotations

import threading
import time

from streamweir.client.exchange import Exchange
from streamweir.client.opening import CLOSE_WITHIN, Entry, Opening, patience, unrecorded
from streamweir.client.sync.cancellation import Cancellation
from streamweir.flows.handshake import Failure, Send
from streamweir.report import Report


class Answer:
    """What the store says of one row, from its own thread; behind `within` seconds it counts as not written."""

    def __init__(self, within: float) -> None:
        self._until = time.monotonic() + within
        self._told = threading.Event()
        self._written = False

    def tell(self, written: bool) -> None:
        """For the store, once."""
        self._written = written
        self._told.set()

    def wake(self) -> None:
        """Let nobody wait any longer."""
        self._told.set()

    def come(self, most: float) -> bool:
        """Wait, for so many seconds at most; whether the answer is there, or too late."""
        left = self._until - time.monotonic()
        return self._told.wait(max(0.0, min(left, most))) or left <= most

    @property
    def written(self) -> bool:
        """Whether the row was written, as far as it is known."""
        return self._written


def open_entry(opening: Opening, exchange: Exchange, send: Send, cancellation: Cancellation) -> Failure | None:
    """Write that the request is about to be sent, once a stream. Why it may not be, where that could not be written.

    Raises Cancelled.
    """
    entry = opening.entry
    if entry is None or entry.opened is not None:
        return None
    within = send.progress.within(time.monotonic(), patience(entry))
    answer = Answer(within)
    with cancellation.waking(answer.wake):
        entry.open(exchange.identity(opening), answer.tell, None)
        answer.come(within)
    cancellation.check()
    entry.opened = answer.written
    return None if entry.opened or not entry.required else Failure("unsent", unrecorded(entry))


def close_entry(entry: Entry, report: Report) -> Answer:
    """Begin to write the record of a stream that has ended."""
    # where not even its beginning could be written, nothing is waited for
    answer = Answer(CLOSE_WITHIN if entry.opened is not False else 0.0)
    entry.close(report, answer.tell, None)
    return answer
