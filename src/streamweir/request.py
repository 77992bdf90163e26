"""What a caller asks for, before a dialect makes bytes of it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from streamweir.errors import RequestError

Message = dict[str, Any]
"""`{"role": str, "content": str | list of parts, …}`; keys a dialect does not know are its business."""


class Request(msgspec.Struct, kw_only=True, frozen=True):
    """One completion. `options` is merged into the body for whatever else a tenant takes.

    `passthrough` holds keys of an OpenAI request that have no field here (tools, response_format, seed …); only
    a dialect that can carry them takes them.
    """

    model: str
    messages: list[Message]
    request_id: str
    timestamp: str
    temperature: float | None = None
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    prompt_id: str | None = None
    conversation_id: str | None = None
    metadata: dict[str, Any] = {}
    options: dict[str, Any] = {}
    passthrough: dict[str, Any] = {}


def refuse(problems: Iterable[str]) -> None:
    """Raise one RequestError that names all `problems`; none: do nothing."""
    found = tuple(problems)
    if found:
        raise RequestError("; ".join(found), problems=found)


def shape_problems(request: Request) -> list[str]:
    """What is wrong with a request in any dialect."""
    problems: list[str] = []
    if not request.model:
        problems.append("model is empty: name the model to ask")
    if not request.messages:
        problems.append("messages is empty: at least one message is needed")
    for number, message in enumerate(request.messages):
        if not isinstance(message.get("role"), str) or not message["role"]:
            problems.append(f"messages[{number}] has no role: give one such as 'user'")
    if request.temperature is not None and not 0 <= request.temperature <= 2:
        problems.append(f"temperature is {request.temperature:g}: it must be from 0 to 2")
    if request.max_tokens is not None and request.max_tokens < 1:
        problems.append(f"max_tokens is {request.max_tokens}: it must be at least 1")
    return problems


def uncarried(dialect: str, request: Request, *names: str) -> list[str]:
    """A problem for each parameter that the request sets and `dialect` has no place for.

    `names` are fields; keys in `passthrough` always count.
    """
    present = [name for name in names if getattr(request, name) not in (None, ())] + list(request.passthrough)
    return [
        f"{name} cannot be carried by {dialect}: leave it out, or put what your tenant takes into options"
        for name in present
    ]
