"""`POST /v1/embeddings` of the simulator: texts hashed into vectors, so that those with words in common are near. Pure.

Each word, and each run of three characters in it, adds to one place of the vector with a sign, both from its hash
(feature hashing), once a text; the vector then has length 1. The same text gives the same vector, in every process.
"""

from __future__ import annotations

import re
from array import array
from base64 import b64encode
from collections.abc import Iterator
from hashlib import blake2b
from math import sqrt
from sys import byteorder
from typing import Any, Final, Literal

import msgspec

DIMENSIONS: Final = 384
"""What is given where a request names none: that of widely used small models."""

MAX_DIMENSIONS: Final = 4096
MAX_INPUTS: Final = 2048
"""Inputs of one request, as OpenAI's API has it."""

GRAM: Final = 3
"""Characters that count together, so that "refund" and "refunds" are near."""

TELLING: Final = 8
"""Characters of a word beyond which it counts for no more: short words are in every text, and say little."""

WORD: Final = re.compile(r"\w+")


class EmbeddingsRequest(msgspec.Struct, kw_only=True):
    """The body, as OpenAI's API has it; other keys are passed over."""

    model: str
    input: str | list[str]
    dimensions: int | None = None
    encoding_format: Literal["float", "base64"] = "float"
    user: str | None = None


def embeddings(body: bytes) -> tuple[int, bytes]:
    """The HTTP status and the JSON of an answer."""
    try:
        asked = msgspec.json.decode(body, type=EmbeddingsRequest)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        return 400, _error(f"the request cannot be read: {error}", None)
    texts = [asked.input] if isinstance(asked.input, str) else asked.input
    size = DIMENSIONS if asked.dimensions is None else asked.dimensions
    if not 0 < len(texts) <= MAX_INPUTS:
        return 400, _error(f"'input' has {len(texts)} texts: give 1 to {MAX_INPUTS}", "input")
    if not all(texts):
        return 400, _error("'input' cannot be an empty string.", "input")
    if not 0 < size <= MAX_DIMENSIONS:
        return 400, _error(f"'dimensions' is {size}: give 1 to {MAX_DIMENSIONS}", "dimensions")
    data: list[dict[str, Any]] = []
    for number, text in enumerate(texts):
        vector = embedded(text, size)
        said = vector.tolist() if asked.encoding_format == "float" else _base64(vector)
        data.append({"object": "embedding", "index": number, "embedding": said})
    tokens = sum(max(1, len(WORD.findall(text))) for text in texts)
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return 200, msgspec.json.encode({"object": "list", "data": data, "model": asked.model, "usage": usage})


def embedded(text: str, size: int) -> array[float]:
    """The vector of a text: `size` numbers in float32, of length 1."""
    vector = array("f", bytes(4 * size))
    for feature, weight in _features(text):
        found = int.from_bytes(blake2b(feature.encode("utf-8", "replace"), digest_size=8).digest(), "little")
        vector[(found >> 1) % size] += weight if found & 1 else -weight
    length = sqrt(sum(one * one for one in vector))
    if not length:
        # nothing to hash, or what there was cancelled out: any direction will do, as long as it is always the same
        vector[0] = length = 1.0
    return array("f", (one / length for one in vector))


def _features(text: str) -> Iterator[tuple[str, float]]:
    seen: set[str] = set()
    for word in WORD.findall(text.lower()):
        if word in seen:
            continue
        seen.add(word)
        weight = min(len(word), TELLING) / TELLING
        yield word, 2 * weight * weight
        edged = f"<{word}>"
        for at in range(len(edged) - GRAM + 1):
            yield edged[at : at + GRAM], weight * weight


def _base64(vector: array[float]) -> str:
    """Little-endian float32, which is what OpenAI's clients unpack."""
    if byteorder == "big":
        vector = array("f", vector)
        vector.byteswap()
    return b64encode(vector.tobytes()).decode()


def _error(message: str, param: str | None) -> bytes:
    said = {"message": message, "type": "invalid_request_error", "param": param, "code": None}
    return msgspec.json.encode({"error": said})
