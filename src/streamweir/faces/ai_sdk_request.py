"""The request that the AI SDK's chat sends, with its UI messages as chat messages. Pure."""

from __future__ import annotations

from typing import Any, cast

import msgspec

from streamweir.errors import RequestError
from streamweir.faces.wanted import Wanted, listed, read_object, stops, wanted_of
from streamweir.request import Message

OWN = ("id", "trigger", "messageId")
"""Keys of the client's own protocol, which no upstream is told."""


class Asked(msgspec.Struct, frozen=True):
    """The request, and the id of the assistant's message that the answer goes on with, where there is one.

    `chat` names the chat, by which its reply is found again; none where `resumable` is false.
    """

    wanted: Wanted
    continues: str | None
    chat: str | None = None


def read_request(body: bytes) -> Asked:
    """The request in a body. Raises RequestError that says which key is wrong and what it should be."""
    found = read_object(body)
    given = found.pop("messages", None)
    if not isinstance(given, list) or not given:
        raise RequestError("messages are required: the UI messages of the chat")
    messages: list[Message] = []
    for number, message in enumerate(listed(given)):
        if not isinstance(message, dict):
            raise RequestError(f"messages[{number}] is no object")
        messages += _messages(cast("dict[str, Any]", message), number)
    chat = found.get("id") if found.pop("resumable", True) is not False else None
    last = cast("dict[str, Any]", listed(given)[-1])
    for key in OWN:
        found.pop(key, None)
    known: dict[str, Any] = {
        key: found.pop(key) for key in ("profile", "temperature", "max_tokens", "metadata") if key in found
    }
    known["stop"] = stops(found.pop("stop", ()))
    wanted = wanted_of({"profile": None, **known, "messages": messages, "passthrough": found}, "profile")
    continues = str(last["id"]) if last.get("role") == "assistant" and last.get("id") else None
    return Asked(wanted, continues, chat if isinstance(chat, str) and chat else None)


def _messages(message: dict[str, Any], number: int) -> list[Message]:
    role, parts = message.get("role"), message.get("parts")
    if role not in ("system", "user", "assistant"):
        raise RequestError(f"messages[{number}].role is {role!r}: it must be system, user or assistant")
    if not isinstance(parts, list):
        # earlier versions of the SDK, and people with curl, write the text here
        if isinstance(message.get("content"), str):
            return [{"role": role, "content": message["content"]}]
        raise RequestError(f"messages[{number}].parts is missing: a UI message has a list of parts")
    kept = [cast("dict[str, Any]", part) for part in listed(parts) if isinstance(part, dict)]
    return _assistant(kept) if role == "assistant" else [{"role": role, "content": _content(kept)}]


def _content(parts: list[dict[str, Any]]) -> Any:
    out: list[dict[str, Any]] = []
    for part in parts:
        if part.get("type") == "text":
            out.append({"type": "text", "text": part.get("text", "")})
        elif part.get("type") == "file":
            url, kind = part.get("url"), str(part.get("mediaType", ""))
            if kind.startswith("image/"):
                out.append({"type": "image_url", "image_url": {"url": url}})
            else:
                out.append({"type": "file", "file": {"filename": part.get("filename", "file"), "file_data": url}})
    if all(isinstance(part.get("text"), str) for part in out):
        return "".join(part["text"] for part in out)
    return out


def _assistant(parts: list[dict[str, Any]]) -> list[Message]:
    """An assistant's UI message: its steps, each with the tools it called and what they gave."""
    out: list[Message] = []
    texts: list[str] = []
    calls: list[dict[str, Any]] = []
    results: list[Message] = []

    def step() -> None:
        if texts or calls:
            said: Message = {"role": "assistant", "content": "".join(texts) or (None if calls else "")}
            out.append(said | ({"tool_calls": list(calls)} if calls else {}))
            out.extend(results)
        texts.clear()
        calls.clear()
        results.clear()

    for part in parts:
        kind = str(part.get("type", ""))
        if kind == "step-start" or (kind == "text" and calls):
            step()
        if kind == "text":
            texts.append(str(part.get("text", "")))
        elif kind == "dynamic-tool" or kind.startswith("tool-"):
            name = str(part.get("toolName") or kind.removeprefix("tool-"))
            _call(part, name, calls, results)
    step()
    return out


def _call(part: dict[str, Any], name: str, calls: list[dict[str, Any]], results: list[Message]) -> None:
    if part.get("state") == "output-available":
        output = part.get("output")
    elif part.get("state") == "output-error":
        output = part.get("errorText")
    else:
        # a call without a result cannot be sent: upstreams refuse it
        return
    arguments = msgspec.json.encode(part.get("input", {})).decode()
    function = {"name": name, "arguments": arguments}
    calls.append({"id": part.get("toolCallId"), "type": "function", "function": function})
    content = output if isinstance(output, str) else msgspec.json.encode(output).decode()
    results.append({"role": "tool", "tool_call_id": part.get("toolCallId"), "content": content})
