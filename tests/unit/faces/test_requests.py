"""What the faces read: requests of every shape, to the one thing that is wanted."""

import json
from typing import Any

import pytest

from streamweir.errors import RequestError
from streamweir.faces import ai_sdk_request, browser_sse, openai_completion, responses_request
from streamweir.faces.browser_ws import Init, read_message
from streamweir.faces.wanted import Wanted

HELLO = [{"role": "user", "content": "hello"}]
TOOL = {"name": "f", "description": "d", "parameters": {"type": "object"}}


def encoded(value: Any) -> bytes:
    return json.dumps(value).encode()


def ui(*parts: dict[str, Any], role: str = "user", id: str = "m1") -> dict[str, Any]:
    return {"id": id, "role": role, "parts": list(parts)}


def part(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (ui(part("a"), part("b")), [{"role": "user", "content": "ab"}]),
        (ui(part("be kind"), role="system"), [{"role": "system", "content": "be kind"}]),
        (
            ui(part("look"), {"type": "file", "mediaType": "image/png", "url": "data:image/png;base64,AA"}),
            [
                {
                    "role": "user",
                    "content": [part("look"), {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA"}}],
                }
            ],
        ),
        (
            ui({"type": "file", "mediaType": "text/plain", "url": "data:,x", "filename": "x.txt"}),
            [{"role": "user", "content": [{"type": "file", "file": {"filename": "x.txt", "file_data": "data:,x"}}]}],
        ),
        (
            ui({"type": "step-start"}, {"type": "reasoning", "text": "hm"}, part("yes"), role="assistant"),
            [{"role": "assistant", "content": "yes"}],
        ),
        (ui({"type": "data-x", "data": 1}, role="assistant"), []),
        (
            ui(
                part("I look."),
                {
                    "type": "tool-f",
                    "toolCallId": "c1",
                    "state": "output-available",
                    "input": {"a": 1},
                    "output": {"b": 2},
                },
                {
                    "type": "dynamic-tool",
                    "toolName": "g",
                    "toolCallId": "c2",
                    "state": "output-error",
                    "input": {},
                    "errorText": "no",
                },
                {"type": "tool-f", "toolCallId": "c3", "state": "input-available", "input": {}},
                part("It is two."),
                role="assistant",
            ),
            [
                {
                    "role": "assistant",
                    "content": "I look.",
                    "tool_calls": [
                        {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}},
                        {"id": "c2", "type": "function", "function": {"name": "g", "arguments": "{}"}},
                    ],
                },
                {"role": "tool", "tool_call_id": "c1", "content": '{"b":2}'},
                {"role": "tool", "tool_call_id": "c2", "content": "no"},
                {"role": "assistant", "content": "It is two."},
            ],
        ),
        ({"role": "user", "content": "by hand"}, [{"role": "user", "content": "by hand"}]),
    ],
)
def test_ui_messages(message: dict[str, Any], expected: list[dict[str, Any]]) -> None:
    asked = ai_sdk_request.read_request(
        encoded({"id": "chat", "trigger": "submit-message", "messages": [message], "profile": "p"})
    )
    assert asked.wanted.messages == expected
    assert (asked.wanted.profile, asked.wanted.passthrough) == ("p", {})
    assert asked.continues == ("m1" if message["role"] == "assistant" else None)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, "messages are required"),
        ({"messages": []}, "messages are required"),
        ({"messages": ["x"]}, r"messages\[0\] is no object"),
        ({"messages": [{"role": "user"}]}, r"messages\[0\].parts is missing"),
        ({"messages": [{"role": "tool", "parts": []}]}, r"messages\[0\].role is 'tool'"),
        ({"messages": [ui(part("x"))], "temperature": "hot"}, "temperature"),
    ],
)
def test_ui_messages_that_are_none(body: Any, message: str) -> None:
    with pytest.raises(RequestError, match=message):
        ai_sdk_request.read_request(encoded(body))


def test_a_responses_request() -> None:
    body = {
        "model": "p",
        "instructions": "be kind",
        "input": [
            {"role": "user", "content": [{"type": "input_text", "text": "a"}, {"type": "input_text", "text": "b"}]},
            {"type": "reasoning", "id": "rs_1", "summary": []},
            {
                "type": "message",
                "role": "assistant",
                "content": [{"type": "output_text", "text": "I look", "annotations": []}],
            },
            {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "c1", "output": "42"},
            {
                "role": "user",
                "content": [
                    {"type": "input_text", "text": "see"},
                    {"type": "input_image", "image_url": "data:x", "detail": "low"},
                ],
            },
        ],
        "tools": [{"type": "function", **TOOL, "strict": True}],
        "tool_choice": {"type": "function", "name": "f"},
        "text": {"format": {"type": "json_schema", "name": "s", "schema": {}}, "verbosity": "low"},
        "reasoning": {"effort": "low"},
        "max_output_tokens": 50,
        "temperature": 0.5,
        "top_p": 0.9,
        "store": False,
        "include": [],
        "stream": True,
        "metadata": {"k": "v"},
        "previous_response_id": None,
    }
    asked = responses_request.read_request(encoded(body))
    wanted = asked.wanted
    assert wanted.messages == [
        {"role": "system", "content": "be kind"},
        {"role": "user", "content": "ab"},
        {
            "role": "assistant",
            "content": "I look",
            "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "42"},
        {
            "role": "user",
            "content": [part("see"), {"type": "image_url", "image_url": {"url": "data:x", "detail": "low"}}],
        },
    ]
    assert (wanted.profile, wanted.stream, wanted.temperature, wanted.metadata) == ("p", True, 0.5, {"k": "v"})
    assert wanted.passthrough == {
        "tools": [{"type": "function", "function": {**TOOL, "strict": True}}],
        "tool_choice": {"type": "function", "function": {"name": "f"}},
        "response_format": {"type": "json_schema", "json_schema": {"name": "s", "schema": {}}},
        "verbosity": "low",
        "reasoning_effort": "low",
        "max_completion_tokens": 50,
        "top_p": 0.9,
    }
    assert asked.echo["instructions"] == "be kind"
    assert asked.echo["tools"] == body["tools"]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"input": None}, "input is missing"),
        ({"previous_response_id": "resp_1"}, "previous_response_id refers to what is stored"),
        ({"background": True}, "background refers to what is stored"),
        ({"tools": [{"type": "web_search"}]}, r"tools\[0\] is no function"),
        ({"tools": {"type": "x"}}, r"tools\[0\] is no function"),
        ({"input": [{"type": "item_reference", "id": "x"}]}, r"input\[0\] is of type 'item_reference'"),
        (
            {"input": [{"role": "user", "content": [{"type": "input_audio"}]}]},
            r"input\[0\] has a part of type 'input_audio'",
        ),
        ({"input": [3]}, r"input\[0\] is no object"),
        ({"model": 3}, r"\$\.model"),
        ({"temperature": "hot"}, "temperature"),
    ],
)
def test_responses_requests_that_are_none(more: Any, message: str) -> None:
    with pytest.raises(RequestError, match=message):
        responses_request.read_request(encoded({"model": "p", "input": "x", **more}))


def test_a_chat_request() -> None:
    body = {
        "model": "p",
        "messages": HELLO,
        "stream": True,
        "stop": "x",
        "n": 2,
        "max_completion_tokens": 5,
        "stream_options": {"include_usage": True, "odd": 1},
        "user": None,
    }
    wanted = openai_completion.read_request(encoded(body))
    assert (wanted.profile, wanted.stream, wanted.include_usage, wanted.stop, wanted.choices) == (
        "p",
        True,
        True,
        ("x",),
        2,
    )
    assert wanted.passthrough == {"n": 2, "max_completion_tokens": 5, "stream_options": {"odd": 1}}
    plain = openai_completion.read_request(encoded({"model": "p", "messages": HELLO}))
    assert (plain.stream, plain.choices, plain.passthrough) == (False, 1, {})


@pytest.mark.parametrize(
    "read",
    [
        openai_completion.read_request,
        responses_request.read_request,
        ai_sdk_request.read_request,
        browser_sse.read_request,
    ],
)
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"3",
        b"null",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"messages": 3, "input": 3, "configurationId": 3}',
    ],
)
def test_bodies_that_are_no_request(read: Any, body: bytes) -> None:
    with pytest.raises(RequestError):
        read(body)


def test_messages_of_a_websocket() -> None:
    said = read_message(
        json.dumps(
            {"type": "init", "payload": {"modelId": "p", "messages": HELLO, "stop": "x", "ticket": "t", "other": 1}}
        )
    )
    assert isinstance(said, Init)
    assert (said.wanted.profile, said.wanted.stop, said.ticket) == ("p", ("x",), "t")
    assert [read_message(json.dumps({"type": kind, "more": 1})) for kind in ("cancel", "ping", "pong")] == [
        "cancel",
        "ping",
        "pong",
    ]


@pytest.mark.parametrize(("stop", "stops"), [("x", ("x",)), (["x", "y"], ("x", "y")), (None, ())])
def test_both_of_the_browsers_wires_want_the_same(stop: Any, stops: tuple[str, ...]) -> None:
    said = {
        "messages": HELLO,
        "temperature": 0.5,
        "max_tokens": 7,
        "stop": stop,
        "metadata": {"a": 1},
        "conversation_id": "c",
    }
    wanted = Wanted(
        profile="p",
        messages=HELLO,
        temperature=0.5,
        max_tokens=7,
        stop=stops,
        metadata={"a": 1},
        conversation_id="c",
    )
    assert browser_sse.read_request(encoded({"configurationId": "p", **said})) == wanted
    assert read_message(encoded({"type": "init", "payload": {"modelId": "p", **said}})) == Init(wanted, None)
