"""The official OpenAI client for Python, unchanged, against the proxy."""

from collections.abc import AsyncIterator

import openai
import pytest

from streamweir.server.life import Server
from streamweir.simulator.app import RunningSimulator
from streamweir.simulator.replies import SCRIPTS, tokens_of
from tests.conftest import started_proxy

HELLO = [{"role": "user", "content": "hello"}]
FIRST = "".join(tokens_of(SCRIPTS["hello"])[:5])
FAULTS = ("cut", "cut-hard", "reset", "stall", "stall-comments", "error", "error-event", "malformed", "oversized")
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "order_status",
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}, "n": {"type": "integer"}}},
        },
    }
]


@pytest.fixture(params=["sse-gateway", "openai"])
async def proxy(simulator: RunningSimulator, request: pytest.FixtureRequest) -> AsyncIterator[Server]:
    models = {
        "support": "sim:none?rate=200",
        **{fault: f"sim:{fault}?rate=200" for fault in FAULTS},
        "403": "sim:403",
        "429": "sim:429-always",
    }
    server = await started_proxy(simulator, models, request.param)
    yield server
    await server.stop()


@pytest.fixture
async def client(proxy: Server) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=f"{proxy.url}/v1", api_key="any", max_retries=0) as client:
        yield client


async def test_a_reply(client: openai.AsyncOpenAI) -> None:
    stream = await client.chat.completions.create(
        model="support", messages=HELLO, stream=True, stream_options={"include_usage": True}
    )
    chunks = [chunk async for chunk in stream]
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == SCRIPTS["hello"]
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == "stop"
    assert chunks[-1].usage.completion_tokens == len(tokens_of(text))
    assert {chunk.model for chunk in chunks} == {"support"}


async def test_not_streamed(client: openai.AsyncOpenAI) -> None:
    answer = await client.chat.completions.create(model="support", messages=HELLO)
    assert answer.choices[0].message.content == SCRIPTS["hello"]


async def test_models(client: openai.AsyncOpenAI) -> None:
    assert "support" in [model.id async for model in client.models.list()]


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_failure_raises_and_keeps_the_partial_text(client: openai.AsyncOpenAI, fault: str) -> None:
    stream = await client.chat.completions.create(model=fault, messages=HELLO, stream=True)
    text = ""
    with pytest.raises(openai.APIError) as caught:
        async for chunk in stream:
            text += chunk.choices[0].delta.content or ""
    assert text == FIRST
    assert caught.value.code in (
        "stream_interrupted",
        "upstream_lost",
        "stream_stalled",
        "upstream_error",
        "protocol_error",
    )


@pytest.mark.parametrize(
    ("fault", "kind"),
    [("403", openai.InternalServerError), ("429", openai.RateLimitError), ("none", openai.NotFoundError)],
)
async def test_a_refusal_raises_its_own_class(client: openai.AsyncOpenAI, fault: str, kind: type[Exception]) -> None:
    with pytest.raises(kind):
        await client.chat.completions.create(model=fault, messages=HELLO, stream=True)


@pytest.mark.parametrize("proxy", ["openai"], indirect=True)
async def test_a_tool_round_trip(client: openai.AsyncOpenAI) -> None:
    messages = list(HELLO)
    async with client.chat.completions.stream(model="support", messages=messages, tools=TOOLS) as stream:
        await stream.until_done()
        completion = await stream.get_final_completion()
    assert completion.choices[0].finish_reason == "tool_calls"
    (call,) = completion.choices[0].message.tool_calls
    assert (call.function.name, call.function.arguments) == ("order_status", '{"city":"Zürich 😊","n":42}')
    messages += [
        {"role": "assistant", "tool_calls": [call.model_dump(include={"id", "type", "function"})]},
        {"role": "tool", "tool_call_id": call.id, "content": "it left this morning"},
    ]
    answer = await client.chat.completions.create(model="support", messages=messages, tools=TOOLS)
    assert answer.choices[0].message.content == "I have looked it up for you: it left this morning"
    whole = await client.chat.completions.create(model="support", messages=HELLO, tools=TOOLS)
    assert whole.choices[0].message.tool_calls[0].function.arguments == call.function.arguments


@pytest.mark.parametrize("proxy", ["sse-gateway"], indirect=True)
async def test_tools_are_refused_where_the_dialect_cannot_carry_them(client: openai.AsyncOpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="tools cannot be carried by sse-gateway"):
        await client.chat.completions.create(model="support", messages=HELLO, tools=TOOLS, stream=True)


@pytest.mark.parametrize("proxy", ["openai"], indirect=True)
async def test_content_parts_go_through(client: openai.AsyncOpenAI, simulator: RunningSimulator) -> None:
    parts = [{"role": "user", "content": [{"type": "text", "text": "a refund please"}]}]
    answer = await client.chat.completions.create(model="support", messages=parts, seed=1, extra_body={"odd": {"x": 1}})
    assert answer.choices[0].message.content == SCRIPTS["refund"]
