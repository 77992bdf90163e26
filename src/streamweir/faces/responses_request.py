"""The request of OpenAI Responses, as a chat completion's. Pure."""

from __future__ import annotations

from typing import Any, cast

import msgspec

from streamweir.faces.wanted import Wanted, listed, read_object, wanted_of
from streamweir.request import Message, refuse

STATEFUL = ("previous_response_id", "conversation", "prompt", "background")
"""Keys that mean something only where responses are stored."""

IGNORED = ("store", "include", "truncation", "stream_options")
ECHOED = ("instructions", "metadata", "parallel_tool_calls", "temperature", "tool_choice", "tools", "top_p", "user")

TEXTS = frozenset(("input_text", "output_text", "text"))


class Asked(msgspec.Struct, frozen=True):
    """The request, and what the response repeats of it."""

    wanted: Wanted
    echo: dict[str, Any]


def read_request(body: bytes) -> Asked:
    """The request in a body; the model names a profile. Raises RequestError that names every problem."""
    found = read_object(body)
    echo = {key: found[key] for key in ECHOED if key in found}
    problems = [
        f"{key} refers to what is stored, and nothing is stored here: send the whole input"
        for key in STATEFUL
        if found.pop(key, None)
    ]
    for key in IGNORED:
        found.pop(key, None)
    messages: list[Message] = []
    if (instructions := found.pop("instructions", None)) is not None:
        messages.append({"role": "system", "content": instructions})
    given = found.pop("input", None)
    if isinstance(given, str):
        messages.append({"role": "user", "content": given})
    elif isinstance(given, list):
        messages += _messages(listed(given), problems)
    else:
        problems.append("input is missing: give a text, or a list of items")
    known: dict[str, Any] = {
        "profile": found.pop("model", None),
        "messages": messages,
        "stream": found.pop("stream", False),
        "metadata": found.pop("metadata", {}),
    }
    if (temperature := found.pop("temperature", None)) is not None:
        known["temperature"] = temperature
    if (most := found.pop("max_output_tokens", None)) is not None:
        found["max_completion_tokens"] = most
    _tools(found, problems)
    _text(found)
    refuse(problems)
    return Asked(wanted_of({**known, "passthrough": found}, "model"), echo)


def _messages(items: list[Any], problems: list[str]) -> list[Message]:
    out: list[Message] = []
    for number, item in enumerate(items):
        if not isinstance(item, dict):
            problems.append(f"input[{number}] is no object")
            continue
        one = cast("dict[str, Any]", item)
        kind = one.get("type", "message")
        if kind == "message":
            out.append({"role": one.get("role"), "content": _content(one.get("content"), number, problems)})
        elif kind == "function_call":
            call = {
                "id": one.get("call_id"),
                "type": "function",
                "function": {"name": one.get("name"), "arguments": one.get("arguments", "")},
            }
            if out and out[-1].get("role") == "assistant":
                out[-1].setdefault("tool_calls", []).append(call)
            else:
                out.append({"role": "assistant", "content": None, "tool_calls": [call]})
        elif kind == "function_call_output":
            content = _content(one.get("output"), number, problems)
            out.append({"role": "tool", "tool_call_id": one.get("call_id"), "content": content})
        elif kind != "reasoning":
            problems.append(f"input[{number}] is of type {kind!r}, which this proxy does not know")
    return out


def _content(content: Any, number: int, problems: list[str]) -> Any:
    if not isinstance(content, list):
        return content
    parts: list[dict[str, Any]] = []
    for item in listed(content):
        one = cast("dict[str, Any]", item) if isinstance(item, dict) else {}
        kind = one.get("type")
        if isinstance(kind, str) and kind in TEXTS:
            parts.append({"type": "text", "text": one.get("text", "")})
        elif kind == "refusal":
            parts.append({"type": "text", "text": one.get("refusal", "")})
        elif kind == "input_image" and one.get("image_url"):
            image = {"url": one["image_url"]} | ({"detail": one["detail"]} if one.get("detail") else {})
            parts.append({"type": "image_url", "image_url": image})
        elif kind == "input_file" and one.get("file_data"):
            file = {key: one[key] for key in ("filename", "file_data") if key in one}
            parts.append({"type": "file", "file": file})
        else:
            problems.append(f"input[{number}] has a part of type {kind!r} that cannot be carried")
    # a text in one piece is what every upstream takes
    if all(isinstance(part.get("text"), str) for part in parts):
        return "".join(part["text"] for part in parts)
    return parts


def _tools(found: dict[str, Any], problems: list[str]) -> None:
    given = found.pop("tools", None)
    if given:
        tools: list[dict[str, Any]] = []
        for number, tool in enumerate(listed(given)):
            if not isinstance(tool, dict) or cast("dict[str, Any]", tool).get("type") != "function":
                problems.append(f"tools[{number}] is no function: others run at OpenAI, and not here")
                continue
            function = {key: value for key, value in cast("dict[str, Any]", tool).items() if key != "type"}
            tools.append({"type": "function", "function": function})
        found["tools"] = tools
    choice = found.get("tool_choice")
    if isinstance(choice, dict) and cast("dict[str, Any]", choice).get("type") == "function":
        found["tool_choice"] = {"type": "function", "function": {"name": cast("dict[str, Any]", choice).get("name")}}
    reasoning = found.pop("reasoning", None)
    if isinstance(reasoning, dict) and (effort := cast("dict[str, Any]", reasoning).get("effort")):
        found["reasoning_effort"] = effort


def _text(found: dict[str, Any]) -> None:
    text = found.pop("text", None)
    if not isinstance(text, dict):
        return
    said = cast("dict[str, Any]", text)
    if said.get("verbosity"):
        found["verbosity"] = said["verbosity"]
    form: Any = said.get("format")
    if isinstance(form, dict) and (kind := cast("dict[str, Any]", form).get("type")) != "text":
        schema = {key: value for key, value in cast("dict[str, Any]", form).items() if key != "type"}
        found["response_format"] = {"type": kind} | ({"json_schema": schema} if kind == "json_schema" else {})
