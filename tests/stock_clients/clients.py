"""Clients of others, as their documents show them; run by the tests in an environment of their own, unchanged.

usage: clients.py NAME BASE_URL LIMIT_SECONDS direct|proxy [MODEL ...]: first the ordinary reply and, through the proxy,
the tool round trip, then all models at once.
Prints one JSON object: {"happy": text, "tool": text or null, "cells": {model: {"text", "error", "seconds"}}}.
"""

import asyncio
import json
import os
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

os.environ.setdefault("OPENAI_API_KEY", "any")
PROMPT = "I have a complaint"
QUESTION = "hello"
PARAMETERS = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "n": {"type": "integer"}},
    "required": ["city"],
}
TOOL = {"name": "order_status", "description": "where an order is", "parameters": PARAMETERS}

Stream = Callable[[str, str], AsyncIterator[str]]
Tool = Callable[[str], Awaitable[str]]


def openai_client(base: str) -> Any:
    import openai

    return openai.AsyncOpenAI(base_url=base, api_key="any", max_retries=0)


def openai_create(base: str) -> tuple[Stream, Tool | None]:
    client = openai_client(base)

    async def stream(model: str, prompt: str) -> AsyncIterator[str]:
        reply = await client.chat.completions.create(
            model=model, messages=[{"role": "user", "content": prompt}], stream=True
        )
        async for chunk in reply:
            if chunk.choices:
                yield chunk.choices[0].delta.content or ""

    async def tool(model: str) -> str:
        tools = [{"type": "function", "function": TOOL}]
        messages: list[Any] = [{"role": "user", "content": QUESTION}]
        asked = await client.chat.completions.create(model=model, messages=messages, tools=tools)
        (call,) = asked.choices[0].message.tool_calls
        result = {
            "role": "tool",
            "tool_call_id": call.id,
            "content": order_status(**json.loads(call.function.arguments)),
        }
        messages += [asked.choices[0].message, result]
        return (
            (await client.chat.completions.create(model=model, messages=messages, tools=tools))
            .choices[0]
            .message.content
        )

    return stream, tool


def openai_stream(base: str) -> tuple[Stream, Tool | None]:
    client = openai_client(base)

    async def stream(model: str, prompt: str) -> AsyncIterator[str]:
        async with client.chat.completions.stream(model=model, messages=[{"role": "user", "content": prompt}]) as reply:
            async for event in reply:
                if event.type == "content.delta":
                    yield event.delta
            await reply.get_final_completion()

    async def tool(model: str) -> str:
        tools = [{"type": "function", "function": TOOL}]
        messages: list[Any] = [{"role": "user", "content": QUESTION}]
        async with client.chat.completions.stream(model=model, messages=messages, tools=tools) as reply:
            asked = (await reply.get_final_completion()).choices[0].message
        (call,) = asked.tool_calls
        said = {"role": "assistant", "tool_calls": [call.model_dump(include={"id", "type", "function"})]}
        said["tool_calls"][0]["function"].pop("parsed_arguments", None)
        result = {
            "role": "tool",
            "tool_call_id": call.id,
            "content": order_status(**json.loads(call.function.arguments)),
        }
        async with client.chat.completions.stream(
            model=model, messages=[*messages, said, result], tools=tools
        ) as reply:
            return (await reply.get_final_completion()).choices[0].message.content

    return stream, tool


def openai_responses(base: str) -> tuple[Stream, Tool | None]:
    client = openai_client(base)

    async def stream(model: str, prompt: str) -> AsyncIterator[str]:
        async for event in await client.responses.create(model=model, input=prompt, stream=True):
            if event.type == "response.output_text.delta":
                yield event.delta

    async def tool(model: str) -> str:
        tools = [{"type": "function", **TOOL}]
        given: list[Any] = [{"role": "user", "content": QUESTION}]
        async with client.responses.stream(model=model, input=given, tools=tools) as reply:
            asked = await reply.get_final_response()
        (call,) = [item for item in asked.output if item.type == "function_call"]
        given += [item.model_dump(exclude={"parsed_arguments"}) for item in asked.output]
        given.append(
            {
                "type": "function_call_output",
                "call_id": call.call_id,
                "output": order_status(**json.loads(call.arguments)),
            }
        )
        return (await client.responses.create(model=model, input=given, tools=tools)).output_text

    return stream, tool


def langchain(base: str) -> tuple[Stream, Tool | None]:
    from langchain_core.messages import HumanMessage
    from langchain_core.tools import StructuredTool
    from langchain_openai import ChatOpenAI

    def chat(model: str) -> Any:
        return ChatOpenAI(model=model, base_url=base, api_key="any", max_retries=0)

    async def stream(model: str, prompt: str) -> AsyncIterator[str]:
        async for chunk in chat(model).astream(prompt):
            yield chunk.content

    async def tool(model: str) -> str:
        def look(city: str, n: int = 0) -> str:
            return order_status(city, n)

        status = StructuredTool.from_function(func=look, name="order_status", description="where an order is")
        bound = chat(model).bind_tools([status])
        asked = None
        async for chunk in bound.astream([HumanMessage(QUESTION)]):
            asked = chunk if asked is None else asked + chunk
        (call,) = asked.tool_calls
        return (await bound.ainvoke([HumanMessage(QUESTION), asked, await status.ainvoke(call)])).content

    return stream, tool


def pydantic_ai(base: str) -> tuple[Stream, Tool | None]:
    from pydantic_ai import Agent
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.providers.openai import OpenAIProvider

    def agent(model: str, **options: Any) -> Any:
        return Agent(OpenAIChatModel(model, provider=OpenAIProvider(openai_client=openai_client(base))), **options)

    async def stream(model: str, prompt: str) -> AsyncIterator[str]:
        async with agent(model).run_stream(prompt) as reply:
            async for piece in reply.stream_text(delta=True, debounce_by=None):
                yield piece

    async def tool(model: str) -> str:
        def look(city: str, n: int = 0) -> str:
            """Where an order is."""
            return order_status(city, n)

        return (await agent(model, tools=[look]).run(QUESTION)).output

    return stream, tool


def litellm(base: str) -> tuple[Stream, Tool | None]:
    import litellm as library

    library.suppress_debug_info = True
    options = {"api_base": base, "api_key": "any", "max_retries": 0}

    async def stream(model: str, prompt: str) -> AsyncIterator[str]:
        reply = await library.acompletion(
            model=f"openai/{model}", messages=[{"role": "user", "content": prompt}], stream=True, **options
        )
        async for chunk in reply:
            yield chunk.choices[0].delta.content or ""

    async def tool(model: str) -> str:
        tools = [{"type": "function", "function": TOOL}]
        messages: list[Any] = [{"role": "user", "content": QUESTION}]
        asked = await library.acompletion(model=f"openai/{model}", messages=messages, tools=tools, **options)
        said = asked.choices[0].message
        (call,) = said.tool_calls
        result = {
            "role": "tool",
            "tool_call_id": call.id,
            "content": order_status(**json.loads(call.function.arguments)),
        }
        answer = await library.acompletion(
            model=f"openai/{model}", messages=[*messages, said, result], tools=tools, **options
        )
        return answer.choices[0].message.content

    return stream, tool


CLIENTS = {
    "openai create": openai_create,
    "openai .stream()": openai_stream,
    "openai responses": openai_responses,
    "langchain-openai": langchain,
    "pydantic-ai": pydantic_ai,
    "litellm": litellm,
}


def order_status(city: str, n: int = 0) -> str:
    return f"left {city} this morning"


async def cell(stream: Stream, model: str, limit: float) -> dict[str, Any]:
    """One stream to its end: the text that its client got, and the error that it got, if any."""
    text, error, began = "", None, time.monotonic()
    try:
        async with asyncio.timeout(limit):
            async for piece in stream(model, PROMPT):
                text += piece
    except TimeoutError:
        error = "hangs"
    except Exception as raised:
        code = getattr(raised, "code", None)
        error = f"{type(raised).__name__}: {f'{code}: ' if code else ''}{raised}"
    return {"text": text, "error": error, "seconds": round(time.monotonic() - began, 3)}


async def main(name: str, base: str, limit: float, where: str, models: list[str]) -> dict[str, Any]:
    stream, tool = CLIENTS[name](base)
    happy = await cell(stream, "support", 60.0)
    used = await tool("support") if tool is not None and where == "proxy" else None
    cells = await asyncio.gather(*(cell(stream, model, limit) for model in models))
    return {"happy": happy, "tool": used, "cells": dict(zip(models, cells, strict=True))}


if __name__ == "__main__":
    print(json.dumps(asyncio.run(main(sys.argv[1], sys.argv[2], float(sys.argv[3]), sys.argv[4], sys.argv[5:]))))
