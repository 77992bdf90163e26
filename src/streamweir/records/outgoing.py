"""What leaves because of records, and how it is tried: webhooks, vectors and anchors are each one of these."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from streamweir.records.ledger import Delivery
from streamweir.records.settings import Closed
from streamweir.records.worker import Calls, Route


class Outgoing(Protocol):
    """Rows of the outbox for each stream's end, in the writer's thread; tries to deliver them, in the worker's loop."""

    def deliver(self, closed: Closed) -> Sequence[Delivery]: ...

    def routes(self, writer: Calls) -> Sequence[Route]: ...

    async def close(self) -> None: ...
