"""Replies' texts into the vector store: what is delivered of a stream's end, and one try to embed and keep it."""

from __future__ import annotations

import asyncio
from array import array
from functools import partial
from typing import Final

import msgspec

from streamweir.flows.delivery import Outcome
from streamweir.flows.embedding import EmbeddingError
from streamweir.flows.passages import passages
from streamweir.records.database import DatabaseError
from streamweir.records.embedder import Embedder
from streamweir.records.ledger import Delivery
from streamweir.records.outbox import Leased
from streamweir.records.passages import Held, Passage, keep
from streamweir.records.settings import Closed
from streamweir.records.vector_settings import VectorsSettings
from streamweir.records.worker import Calls, Route

KIND: Final = "vectors"


class Body(msgspec.Struct):
    """A delivery: the passages of one reply, as they were released."""

    passages: list[Passage]


_bodies = msgspec.json.Decoder(Body)


class Vectors:
    """What `[vectors]` does with streams that end. Raises ConfigError."""

    def __init__(self, settings: VectorsSettings) -> None:
        self._settings = settings
        self._embedder = Embedder(settings.embedder)

    def deliver(self, closed: Closed) -> list[Delivery]:
        """What leaves because of a stream's end: nothing of one that was blocked, or has no text. A `Deliver`."""
        if closed.report.status == "blocked":
            return []
        rows = self._rows(closed)
        if not rows:
            return []
        message_id = f"vec_{closed.record_id}"
        return [Delivery(message_id, KIND, self._settings.collection, closed.subject, msgspec.json.encode(Body(rows)))]

    def routes(self, writer: Calls) -> list[Route]:
        """For the worker, with `close`. What another collection holds is left to who is configured for it."""
        return [Route(KIND, self._settings.collection, partial(self._send, writer))]

    async def close(self) -> None:
        """End the connections. In the loop that sent."""
        await self._embedder.close()

    def _rows(self, closed: Closed) -> list[Passage]:
        report, text, settings = closed.report, closed.text, self._settings
        pieces = passages(text, settings.size, settings.overlap)
        # embedders refuse what is blank
        told = [(start, end, piece) for start, end in pieces if (piece := text[start:end]).strip()]
        return [
            Passage(
                collection=settings.collection,
                tenant=closed.tenant,
                request_id=report.request_id,
                chunk=number,
                record_id=closed.record_id,
                conversation_id=report.conversation_id,
                profile=report.profile,
                model=report.model,
                guard=report.guard.mode,
                status=report.status,
                created_at=closed.closed_at,
                start_at=start,
                end_at=end,
                text=piece,
            )
            for number, (start, end, piece) in enumerate(told)
        ]

    async def _send(self, writer: Calls, leased: Leased) -> Outcome:
        """One try. However often it is made, the same rows stand there behind it."""
        rows = _bodies.decode(leased.body).passages
        try:
            vectors = await self._embedder.embed([row.text for row in rows])
        except EmbeddingError as error:
            return Outcome("failed", error.message, error.retry_after)
        held = Held(leased.message_id, leased.kind, leased.target)
        model = self._settings.embedder.model
        kept = partial(keep, held=held, embedder=model, subject=leased.subject, rows=rows, vectors=vectors)
        try:
            await asyncio.wrap_future(writer.call(kept))
        except DatabaseError as error:
            return Outcome("failed", error.message)
        return Outcome("delivered")


async def embedded(settings: VectorsSettings, text: str) -> array[float]:
    """The vector of what is looked for. Raises EmbeddingError, ConfigError."""
    embedder = Embedder(settings.embedder)
    try:
        return (await embedder.embed([text]))[0]
    finally:
        await embedder.close()
