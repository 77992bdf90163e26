"""Scripted contact-centre replies, cut into tokens; which one is chosen depends on the prompt and the seed alone."""

from __future__ import annotations

import re
from hashlib import sha256
from typing import Any, Final

import msgspec

SCRIPTS: Final[dict[str, str]] = {
    "refund": (
        "I have looked into your refund. It was sent on Monday, and it takes three to five working days to reach your "
        "account. Is there anything else I can do for you?"
    ),
    "order": (
        "Your order is on its way. The parcel left our warehouse this morning, and the carrier expects to deliver it "
        "tomorrow between nine and noon. I can send you the tracking link if you like."
    ),
    "bill": (
        "Thank you for asking about your bill. The amount is higher this month because the yearly fee is in it. "
        "I have attached the breakdown, and next month it will be the usual amount again."
    ),
    "appointment": (
        "Gladly! The next free appointments are Tuesday at ten and Thursday at half past two. Which of them suits you "
        "better? 😊 You can change it until the day before, free of charge."
    ),
    "password": (
        "You can set a new password yourself: open the sign-in page, choose “forgotten”, and follow the link in the "
        "message that we send you. The link is good for half an hour."
    ),
    "outage": (
        "I am sorry for the trouble. There is an outage in your area, and our engineers are already on site. We expect "
        "everything to work again by six this evening, and I will send you a message as soon as it does."
    ),
    "complaint": (
        "I am truly sorry that this happened to you; that is not what we want. I have passed your case to "
        "a colleague in the café team in Zürich, who will call you today. Would the afternoon suit you? ☕️🙏"
    ),
    "hello": "Hello, and thank you for calling. My name is Robin. How can I help you today?",
}
"""Keyword to reply."""

TOKEN: Final = re.compile(r"\s?\S{1,5}|\s")


def reply_to(messages: list[dict[str, Any]], seed: int) -> str:
    """The reply to a conversation: by a keyword of the last message, else by a hash of it and the seed."""
    asked = next((m for m in reversed(messages) if m.get("role") not in ("assistant", "system")), None)
    text = str((asked or (messages or [{}])[-1]).get("content", ""))
    if messages and messages[-1].get("role") == "tool":
        return f"I have looked it up for you: {text}"
    for keyword, reply in SCRIPTS.items():
        if keyword in text.lower():
            return reply
    names = list(SCRIPTS)
    return SCRIPTS[names[sha256(f"{seed}:{text}".encode()).digest()[0] % len(names)]]


def echo_of(messages: list[dict[str, Any]]) -> str:
    """The last message's own text."""
    content: Any = messages[-1].get("content") if messages else ""
    return content if isinstance(content, str) else ""


def tokens_of(reply: str, count: int = 0, chars: int = 0) -> list[str]:
    """The reply in token-like pieces that join to it, or of `chars` each; `count`: repeated or cut to that many."""
    pieces: list[str] = (
        [reply[at : at + chars] for at in range(0, len(reply), chars)] if chars > 0 else TOKEN.findall(reply)
    )
    if not count or not pieces:
        return pieces
    return [pieces[number % len(pieces)] for number in range(count)]


def tool_call(tools: list[dict[str, Any]]) -> tuple[str, list[str]]:
    """A call of the first tool: its name, and its arguments in pieces of JSON."""
    function: dict[str, Any] = (tools[0] if tools else {}).get("function", {})
    properties: dict[str, dict[str, Any]] = function.get("parameters", {}).get("properties") or {"query": {}}
    values: dict[str, Any] = {
        name: {"integer": 42, "number": 4.2, "boolean": True}.get(str(schema.get("type")), "Zürich 😊")
        for name, schema in properties.items()
    }
    text = msgspec.json.encode(values).decode()
    return str(function.get("name", "lookup")), [text[at : at + 4] for at in range(0, len(text), 4)]
