"""Waits for a stream's record to be opened, before its request is sent."""

from __future__ import annotations

import asyncio
import time
from functools import partial

from streamweir.client.exchange import Exchange
from streamweir.client.opening import Opening, patience, unrecorded
from streamweir.flows.handshake import Failure, Send


async def open_entry(opening: Opening, exchange: Exchange, send: Send) -> Failure | None:
    """Write that the request is about to be sent, once a stream. Why it may not be, where that could not be written."""
    entry = opening.entry
    if entry is None or entry.opened is not None:
        return None
    loop = asyncio.get_running_loop()
    written: asyncio.Future[bool] = loop.create_future()
    tell = partial(_tell, written)
    late = loop.call_later(send.progress.within(time.monotonic(), patience(entry)), tell, False)
    try:
        entry.open(exchange.identity(opening), tell, loop)
        entry.opened = await written
    finally:
        late.cancel()
    if entry.opened or not entry.required:
        return None
    return Failure("unsent", unrecorded(entry))


def _tell(written: asyncio.Future[bool], whether: bool) -> None:
    if not written.done():
        written.set_result(whether)
