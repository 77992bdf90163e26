"""What a careful client of each face makes of a whole answer: whether it is whole, and its text."""

import json
from collections.abc import Callable

from streamweir.wire.sse import SseDecoder

Read = tuple[bool, str]


def messages(data: bytes) -> list[dict]:
    """The JSON of each event; the end marker of OpenAI's wire is `{}`."""
    return [{} if frame.data == "[DONE]" else json.loads(frame.data) for frame in SseDecoder().feed(data)]


def browser(data: bytes) -> Read:
    text, found = "", messages(data)
    for message in found:
        text = "" if message["type"] == "restarted" else text + message.get("content", "")
    assert sum(m["type"] in ("stop", "blocked", "error") for m in found) == 1
    return found[-1]["type"] == "stop", text


def openai(data: bytes) -> Read:
    found = messages(data)
    choices = [c for m in found for c in m.get("choices", []) if c["index"] == 0]
    whole = found[-1] == {}
    assert whole != ("error" in found[-1])
    assert whole == any(
        choice["finish_reason"] for choice in choices if choice["finish_reason"] != "content_filter"
    ) or any(choice["finish_reason"] == "content_filter" for choice in choices)
    return whole, "".join(choice["delta"].get("content") or "" for choice in choices)


def responses(data: bytes) -> Read:
    found = messages(data)
    assert [m["sequence_number"] for m in found] == list(range(len(found)))
    kinds = [m["type"] for m in found]
    whole = kinds[-1] in ("response.completed", "response.incomplete")
    assert whole != (kinds[-2:] == ["response.failed", "error"] and bool(found[-1]["error"]["code"]))
    # nothing is done before the end is known
    assert whole or not any(kind.endswith(".done") for kind in kinds)
    text = "".join(m["delta"] for m in found if m["type"] == "response.output_text.delta")
    if whole:
        parts = [p for item in found[-1]["response"]["output"] for p in item.get("content", [])]
        assert text == "".join(p["text"] for p in parts if p["type"] == "output_text")
    return whole, text


def ai_sdk(data: bytes) -> Read:
    found = messages(data)
    kinds = [m.get("type") for m in found]
    whole = kinds[-2:] == ["finish", None]
    assert whole != (kinds[-1] == "error")
    assert whole or not {"finish", "finish-step", "tool-input-available"} & set(kinds)
    opened: set[str] = set()
    for message in found:
        kind = message.get("type", "")
        if kind in ("text-start", "reasoning-start"):
            assert message["id"] not in opened
            opened.add(message["id"])
        elif kind in ("text-delta", "reasoning-delta"):
            assert message["id"] in opened
        elif kind in ("text-end", "reasoning-end"):
            opened.remove(message["id"])
        else:
            assert not kind.startswith("data-") or message["transient"]
    assert not (whole and opened)
    return whole, "".join(m["delta"] for m in found if m.get("type") == "text-delta")


def frames(data: bytes) -> list[dict]:
    """The messages in frames as a server sends them."""
    out, at = [], 0
    while at < len(data):
        assert data[at] == 0x81
        size, at = data[at + 1], at + 2
        if size > 125:
            width = 2 if size == 126 else 8
            size, at = int.from_bytes(data[at : at + width]), at + width
        out.append(json.loads(data[at : at + size]))
        at += size
    return out


def websocket(data: bytes) -> Read:
    text, found = "", frames(data)
    assert [m["seq"] for m in found] == list(range(len(found)))
    for message in found:
        text = "" if message["type"] == "restarted" else text
        for choice in message.get("data", {}).get("choices", []):
            text += (choice["delta"].get("content") or "") if choice["index"] == 0 else ""
    assert sum(m["type"] in ("complete", "blocked", "error") for m in found) == 1
    return found[-1]["type"] == "complete", text


READERS: dict[str, Callable[[bytes], Read]] = {
    "browser": browser,
    "openai": openai,
    "responses": responses,
    "ai-sdk": ai_sdk,
    "websocket": websocket,
}
