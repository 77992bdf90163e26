"""What an embedder's answer means: vectors in order and of length 1, or a sentence."""

import json
import math
from typing import Any

import pytest

from streamweir.flows.embedding import EmbeddingError, read_vectors, refused, request_body


def answer(*rows: Any) -> bytes:
    return json.dumps({"object": "list", "data": rows}).encode()


def row(index: int | None, *numbers: float) -> dict[str, Any]:
    return {"embedding": numbers} if index is None else {"embedding": numbers, "index": index}


def test_a_request_names_dimensions_only_where_they_are_set() -> None:
    assert json.loads(request_body("m", ["a", "ü"], None)) == {"model": "m", "input": ["a", "ü"]}
    assert json.loads(request_body("m", ["a"], 8)) == {"model": "m", "input": ["a"], "dimensions": 8}


def test_vectors_have_length_1_and_come_in_the_order_of_their_texts() -> None:
    found = read_vectors(answer(row(1, 0, -2), row(0, 3, 4)), 2, None)
    assert [vector.tolist() for vector in found] == [pytest.approx([0.6, 0.8]), [0, -1]]
    assert [vector.tolist() for vector in read_vectors(answer(row(None, 1), row(None, -1)), 2, 1)] == [[1], [-1]]
    (long,) = read_vectors(answer(row(0, *range(1, 1537))), 1, 1536)
    assert math.isclose(sum(one * one for one in long), 1, abs_tol=1e-5)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"<html>", "no list of embeddings: check vectors.embedder"),
        (b"\xff", "no list of embeddings"),
        (b'{"data": [{"embedding": "AAAA"}]}', "no list of embeddings"),
        (answer(row(0, 1, 0)), "gave 1 vectors for 2 texts"),
        (answer(row(0, 1, 0), row(1, 1, 0), row(2, 1, 0)), "gave 3 vectors for 2 texts"),
        (answer(), "gave 0 vectors for 2 texts"),
        (answer(row(0, 1, 0), row(0, 1, 0)), "nobody knows whose"),
        (answer(row(1, 1, 0), row(2, 1, 0)), "nobody knows whose"),
        (answer(row(0, 1, 0), row(1, 1)), "a vector of 1 numbers, and 2 were expected: set vectors.dimensions"),
        (answer(row(0), row(1)), "a vector of 0 numbers"),
        (answer(row(0, 1, 0), row(1, 0, 0)), "without a direction"),
        (answer(row(0, 1, 0), row(1, 1e200, 0)), "without a direction"),
    ],
)
def test_what_is_no_answer_is_said_in_words(body: bytes, message: str) -> None:
    with pytest.raises(EmbeddingError, match=message):
        read_vectors(body, 2, None)


def test_a_dimension_that_was_asked_for_is_held_to() -> None:
    with pytest.raises(EmbeddingError, match="a vector of 2 numbers, and 3 were expected"):
        read_vectors(answer(row(0, 1, 0)), 1, 3)


@pytest.mark.parametrize(
    ("status", "body", "message"),
    [
        (
            401,
            b'{"error": {"code": "invalid_api_key", "message": "the key sk-1"}}',
            "HTTP 401 (invalid_api_key): check the key",
        ),
        (404, b"", "HTTP 404: check vectors.embedder"),
        (308, b"", "HTTP 308: give the URL"),
        (429, b'{"error": {"code": 429, "type": "rate_limit"}}', "HTTP 429 (rate_limit)"),
        (500, b'{"error": "the text that failed"}', "HTTP 500"),
        (500, b'{"error": {"code": "what was said in the reply"}}', "HTTP 500"),
        (500, b"[1]", "HTTP 500"),
    ],
)
def test_a_refusal_names_its_code_and_never_its_message(status: int, body: bytes, message: str) -> None:
    error = refused(status, body, 7.0)
    assert error.message.startswith(f"the embedder answered {message}")
    for told in ("sk-1", "the text", "what was said"):
        assert told not in error.message
    assert error.retry_after == (None if status == 308 else 7.0)
