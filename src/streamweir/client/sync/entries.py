"""Waits for a stream's record to be opened, before its request is sent, and for it to be closed, behind its end."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from streamweir.client.exchange import Exchange
from streamweir.client.opening import CLOSE_WITHIN, OPEN_WITHIN, Entry, Opening, unrecorded
from streamweir.client.sync.turns import Turns
from streamweir.flows.handshake import Failure, Send
from streamweir.report import Report


def open_entry(opening: Opening, exchange: Exchange, send: Send, turns: Turns) -> Failure | None:
    """Write that the request is about to be sent, once a stream. Why it may not be, where that could not be written."""
    entry = opening.entry
    if entry is None or entry.opened is not None:
        return None
    identity = exchange.identity(opening)
    within = send.progress.within(time.monotonic(), OPEN_WITHIN)
    try:
        entry.opened = _written(lambda told: entry.open(identity, told, None), within)
    except BaseException:
        turns.over(send.turn)
        raise
    if entry.opened or not entry.required:
        return None
    turns.over(send.turn)
    return Failure("final", unrecorded(entry))


def close_entry(entry: Entry, report: Report) -> bool:
    """Write the record of a stream that has ended. Whether it was written in time."""
    within = CLOSE_WITHIN if entry.opened is not False else 0.0
    return _written(lambda told: entry.close(report, told, None), within)


def _written(write: Callable[[Callable[[bool], None]], None], within: float) -> bool:
    answers: list[bool] = []
    told = threading.Event()

    def tell(whether: bool) -> None:
        answers.append(whether)
        told.set()

    write(tell)
    return told.wait(within) and answers[0]
