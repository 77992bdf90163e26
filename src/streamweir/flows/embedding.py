"""What is asked of an OpenAI-compatible `/v1/embeddings`, and what its answers mean. Pure."""

from __future__ import annotations

import re
from array import array
from collections.abc import Sequence
from math import isfinite, sqrt
from typing import Any, Final

import msgspec

INPUTS: Final = 32
"""Texts of one request: an assumption that servers on a CPU end it in seconds. OpenAI's takes 2,048."""

CODE: Final = re.compile(r"[\w.-]{1,60}")
"""An error's code as it is shown. Its message is not: it may repeat the text."""


class EmbeddingError(Exception):
    """No vectors; `message` says why, in words. `retry_after` is in seconds, where the server gave it."""

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.retry_after = retry_after


class _Row(msgspec.Struct):
    embedding: list[float]
    index: int | None = None


class _Rows(msgspec.Struct):
    data: list[_Row]


_rows = msgspec.json.Decoder(_Rows)


def request_body(model: str, texts: Sequence[str], dimensions: int | None) -> bytes:
    """The JSON of a request. `dimensions` None: the model's own, and servers that do not know the key never see it."""
    body: dict[str, Any] = {"model": model, "input": texts}
    if dimensions is not None:
        body["dimensions"] = dimensions
    return msgspec.json.encode(body)


def read_vectors(body: bytes, count: int, dimensions: int | None) -> list[array[float]]:
    """The vectors of `count` texts in their order, float32 of length 1. Raises EmbeddingError."""
    try:
        rows = _rows.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise EmbeddingError("the embedder's answer is no list of embeddings: check vectors.embedder") from None
    found = rows.data
    if len(found) != count:
        raise EmbeddingError(f"the embedder gave {len(found)} vectors for {count} texts")
    if all(row.index is not None for row in found):
        found = sorted(found, key=lambda row: row.index or 0)
        if [row.index for row in found] != list(range(count)):
            raise EmbeddingError("the embedder numbered its vectors so that nobody knows whose they are")
    want = dimensions or len(found[0].embedding)
    for row in found:
        if len(row.embedding) != want or not want:
            raise EmbeddingError(
                f"the embedder gave a vector of {len(row.embedding)} numbers, and {want} were expected: "
                "set vectors.dimensions to what its model gives, or leave it out"
            )
    return [_normalised(row.embedding) for row in found]


def refused(status: int, body: bytes, retry_after: float | None) -> EmbeddingError:
    """What an answer other than 200 means."""
    if 300 <= status < 400:
        return EmbeddingError(f"the embedder answered HTTP {status}: give the URL that it leads to as vectors.embedder")
    message = f"the embedder answered HTTP {status}{_code(body)}"
    if status in (401, 403):
        message += ": check the key in the variable that vectors.api_key_env names"
    elif status == 404:
        message += ": check vectors.embedder (the base URL, such as http://127.0.0.1:8000/v1) and vectors.model"
    return EmbeddingError(message, retry_after)


def _normalised(numbers: list[float]) -> array[float]:
    length = sqrt(sum(one * one for one in numbers))
    if not isfinite(length) or not length:
        raise EmbeddingError("the embedder gave a vector without a direction: zeros, or numbers too large")
    return array("f", (one / length for one in numbers))


def _code(body: bytes) -> str:
    try:
        error: Any = msgspec.json.decode(body, type=dict[str, Any]).get("error")
    except (msgspec.DecodeError, UnicodeDecodeError):
        return ""
    for key in ("code", "type"):
        code: Any = error.get(key) if isinstance(error, dict) else None  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType]
        if isinstance(code, str) and CODE.fullmatch(code):
            return f" ({code})"
    return ""
