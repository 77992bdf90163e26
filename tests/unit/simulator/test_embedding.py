"""The simulator's embeddings: deterministic, near where words are shared, and in OpenAI's shapes."""

import base64
import json
import math
import struct
import subprocess
import sys
from typing import Any

import openai
import pytest

from streamweir.simulator.app import RunningSimulator
from streamweir.simulator.embedding import DIMENSIONS, embedded, embeddings


def near(one: str, other: str) -> float:
    return sum(a * b for a, b in zip(embedded(one, DIMENSIONS), embedded(other, DIMENSIONS), strict=True))


def ask(**body: Any) -> tuple[int, dict[str, Any]]:
    status, answer = embeddings(json.dumps({"model": "sim-embed", **body}).encode())
    return status, json.loads(answer)


@pytest.mark.parametrize("text", ["", " ", "Where is my refund?", "你好。", "🧑‍🚀", "a" * 10_000, "\ud800"])
@pytest.mark.parametrize("size", [1, 3, 384])
def test_every_vector_has_the_size_that_was_asked_for_and_length_1(text: str, size: int) -> None:
    vector = embedded(text, size)
    assert len(vector) == size
    assert math.isclose(sum(one * one for one in vector), 1.0, abs_tol=1e-5)


def test_another_process_gives_the_same() -> None:
    code = "from streamweir.simulator.embedding import embedded; print(embedded('the same text', 8).tolist())"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert json.loads(said) == embedded("the same text", 8).tolist()


def test_words_in_common_are_near_and_so_are_their_forms() -> None:
    question = "When do I get my refund?"
    about = near(question, "Your refund was sent today; you get it when your bank has it.")
    forms = near("refunded payments", "refunds of a payment")
    other = near(question, "Our offices open at nine on weekdays.")
    assert about > 2 * abs(other)
    assert forms > 0.2
    assert near(question, question.upper()) > 0.999


def test_one_text_or_many_in_their_order() -> None:
    status, one = ask(input="a cup of tea")
    assert (status, one["object"], len(one["data"])) == (200, "list", 1)
    assert one["usage"] == {"prompt_tokens": 4, "total_tokens": 4}
    _, many = ask(input=["x y", "a cup of tea"])
    assert [row["index"] for row in many["data"]] == [0, 1]
    assert many["data"][1]["embedding"] == one["data"][0]["embedding"]
    assert many["usage"]["total_tokens"] == 6


def test_base64_is_little_endian_float32() -> None:
    _, floats = ask(input="tea", dimensions=5)
    _, packed = ask(input="tea", dimensions=5, encoding_format="base64")
    raw = base64.b64decode(packed["data"][0]["embedding"])
    assert list(struct.unpack("<5f", raw)) == floats["data"][0]["embedding"]


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"input": []}, "input"),
        ({"input": ""}, "input"),
        ({"input": ["x", ""]}, "input"),
        ({"input": ["x"] * 2049}, "input"),
        ({"input": "x", "dimensions": 0}, "dimensions"),
        ({"input": "x", "dimensions": 5000}, "dimensions"),
        ({"input": 7}, None),
        ({"input": "x", "encoding_format": "hex"}, None),
        ({}, None),
    ],
)
def test_errors_have_openais_shape(body: dict[str, Any], param: str | None) -> None:
    status, answer = ask(**body)
    assert status == 400
    assert answer["error"]["type"] == "invalid_request_error"
    assert answer["error"]["param"] == param
    assert answer["error"]["message"]


async def test_the_stock_client_reads_it(simulator: RunningSimulator) -> None:
    async with openai.AsyncOpenAI(base_url=f"{simulator.url}/v1", api_key="k", max_retries=0) as client:
        packed = await client.embeddings.create(model="sim-embed", input=["tea", "coffee"], dimensions=16)
        floats = await client.embeddings.create(model="sim-embed", input="tea", dimensions=16, encoding_format="float")
        assert packed.data[0].embedding == pytest.approx(floats.data[0].embedding)
        assert packed.data[0].embedding == pytest.approx(list(embedded("tea", 16)))
        assert (packed.model, packed.usage.total_tokens) == ("sim-embed", 2)
        with pytest.raises(openai.BadRequestError, match="empty string"):
            await client.embeddings.create(model="sim-embed", input="")
