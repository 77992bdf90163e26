"""Asks an OpenAI-compatible server for vectors, over the library's own connections."""

from __future__ import annotations

import asyncio
import time
from array import array
from collections.abc import Sequence
from typing import Final

from streamweir.client.aio.connection import Connection
from streamweir.client.aio.oauth import read_body
from streamweir.client.aio.pool import Pool
from streamweir.client.lost import AnswerTimeout, ConnectionLost
from streamweir.client.origin import origin_of
from streamweir.errors import APIError, ConfigError
from streamweir.flows.backoff import parse_retry_after
from streamweir.flows.embedding import INPUTS, EmbeddingError, read_vectors, refused, request_body
from streamweir.records.vector_settings import EmbedderSettings
from streamweir.wire.http1 import Answer, encode_request

PATH: Final = "/embeddings"

MAX_BODY: Final = 16 * 1024 * 1024
"""Bytes of an answer: 32 vectors of 16,000 numbers with 25 digits are 13 MB."""


class Embedder:
    """See the module's docstring. One event loop uses it; `close` ends its connections. Raises ConfigError."""

    def __init__(self, settings: EmbedderSettings) -> None:
        self._settings = settings
        self._origin, base = origin_of(settings.url, settings.ca_file, settings.proxy)
        base = base.rstrip("/")
        self._target = self._origin.target(base if base.endswith(PATH) else base + PATH)
        self._headers = [
            ("Content-Type", "application/json"),
            ("Accept", "application/json"),
            ("Accept-Encoding", "identity"),
            ("User-Agent", "streamweir"),
        ]
        if settings.api_key is not None:
            self._headers.append(("Authorization", f"Bearer {settings.api_key}"))
        self._encode(b"")
        self._pool = Pool()

    async def embed(self, texts: Sequence[str]) -> list[array[float]]:
        """Their vectors, float32 of length 1, all of one dimension. Raises EmbeddingError."""
        vectors: list[array[float]] = []
        limit = self._settings.timeout
        try:
            async with asyncio.timeout(limit):
                for at in range(0, len(texts), INPUTS):
                    asked = texts[at : at + INPUTS]
                    dimensions = len(vectors[0]) if vectors else self._settings.dimensions
                    vectors += read_vectors(await self._ask(asked), len(asked), dimensions)
        except TimeoutError:
            raise EmbeddingError(f"the embedder did not answer within {limit:g} s (vectors.timeout)") from None
        return vectors

    async def close(self) -> None:
        """Close the connections."""
        await self._pool.close()

    async def _ask(self, texts: Sequence[str]) -> bytes:
        settings = self._settings
        request = self._encode(request_body(settings.model, texts, settings.dimensions))
        while True:
            try:
                connection = await self._pool.take(self._origin, settings.timeout)
                return await self._exchange(connection, request)
            except ConnectionLost as error:
                # a kept connection that the server closed meanwhile: it has seen nothing
                if not (error.reused and error.silent):
                    raise EmbeddingError(f"the embedder closed the connection before it answered: {error}") from None
            except AnswerTimeout:
                raise TimeoutError from None
            except APIError as error:
                told = error.message.partition("; check base_url")[0]
                raise EmbeddingError(f"the embedder: {told}; check vectors.embedder") from None

    async def _exchange(self, connection: Connection, request: bytes) -> bytes:
        try:
            answer = await connection.exchange(request, self._settings.timeout)
            body = await read_body(connection, self._settings.timeout, MAX_BODY)
        except asyncio.CancelledError:
            connection.abort()
            raise
        self._check(answer, body)
        return body

    def _check(self, answer: Answer, body: bytes) -> None:
        if answer.status != 200:
            wait = parse_retry_after(answer.headers.get("retry-after"), time.time())
            raise refused(answer.status, body, wait)
        if len(body) >= MAX_BODY:
            raise EmbeddingError(f"the embedder's answer has {MAX_BODY} bytes or more")
        if answer.framed and not answer.complete:
            raise EmbeddingError("the embedder's answer was cut off")

    def _encode(self, body: bytes) -> bytes:
        try:
            return encode_request("POST", self._target, self._origin.authority, self._headers, body)
        except ValueError as error:
            raise ConfigError(f"a request to vectors.embedder cannot be written: {error}; check URL and key") from None
