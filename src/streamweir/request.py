"""What a caller asks for, before a dialect makes bytes of it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, cast

import msgspec

from streamweir.errors import RequestError

Message = dict[str, Any]
"""`{"role": str, "content": str | list of parts, …}`; keys a dialect does not know are its business."""


class Bounds(msgspec.Struct, frozen=True):
    """What an upstream's configuration adds to a request: characters a message may have (None: the dialect's own), and
    the time limits in seconds, for gateways that keep them too (0: none).
    """

    message_chars: int | None = None
    deadline: float = 120.0
    inactivity: float = 30.0


class Request(msgspec.Struct, kw_only=True, frozen=True):
    """One completion. `options` is merged into the body for whatever else a tenant takes.

    `passthrough` holds keys of an OpenAI request that have no field here (tools, response_format, seed …); only
    a dialect that can carry them takes them.
    """

    model: str
    messages: list[Message]
    request_id: str
    timestamp: str
    temperature: float | tuple[float, ...] | None = None
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    prompt_id: str | None = None
    conversation_id: str | None = None
    metadata: dict[str, Any] = {}
    options: dict[str, Any] = {}
    passthrough: dict[str, Any] = {}

    @property
    def prompt_bytes(self) -> int:
        """The size of the prompt, for an estimate of its tokens."""
        size = 0
        for message in self.messages:
            size += len(str(message.get("content", "")))
        return size


def refuse(problems: Iterable[str]) -> None:
    """Raise one RequestError that names all `problems`; none: do nothing."""
    if found := tuple(problems):
        raise RequestError("; ".join(found), problems=found)


def shape_problems(request: Request, *, many_temperatures: bool = False) -> list[str]:
    """What is wrong with a request in any dialect."""
    problems: list[str] = []
    if not request.model:
        problems.append("model is empty: name the model to ask")
    if not request.messages:
        problems.append("messages is empty: at least one message is needed")
    for number, message in enumerate(request.messages):
        if not isinstance(message.get("role"), str) or not message["role"]:
            problems.append(f"messages[{number}] has no role: give one such as 'user'")
    if request.temperature is not None:
        problems += _temperature_problems(request.temperature, many=many_temperatures)
    if request.max_tokens is not None and request.max_tokens < 1:
        problems.append(f"max_tokens is {request.max_tokens}: it must be at least 1")
    return problems


def _temperature_problems(given: float | tuple[float, ...], *, many: bool) -> list[str]:
    several = isinstance(given, tuple)
    if several and not many:
        return ["temperature is a list: this dialect takes one number"]
    values = given if isinstance(given, tuple) else (given,)
    problems = [f"temperature is {value:g}: it must be from 0 to 2" for value in values if not 0 <= value <= 2]
    return problems if values else ["temperature is an empty list: give at least one number, or leave it out"]


def role_problems(request: Request, roles: tuple[str, ...]) -> list[str]:
    """A problem for each message whose role is none of `roles`."""
    return [
        f"messages[{number}] has the role {role!r}: it must be one of {', '.join(roles)}"
        for number, message in enumerate(request.messages)
        if (role := message.get("role")) and role not in roles
    ]


def size_problems(request: Request, limit: int) -> list[str]:
    """A problem for each message whose content is no text, or has more than `limit` characters (0: no limit)."""
    problems: list[str] = []
    for number, message in enumerate(request.messages):
        content = message.get("content")
        if not isinstance(content, str):
            problems.append(f"messages[{number}] has no text as its content: give a string")
        elif limit and len(content) > limit:
            problems.append(
                f"messages[{number}] has {len(content)} characters: at most {limit} are taken (max_message_chars)"
            )
    return problems


def uncarried(dialect: str, request: Request, *names: str) -> list[str]:
    """A problem for each parameter that the request sets and `dialect` has no place for.

    `names` are fields; keys in `passthrough` always count.
    """
    present = [name for name in names if getattr(request, name) not in (None, (), {})] + list(request.passthrough)
    return [
        f"{name} cannot be carried by {dialect}: leave it out, or put what your tenant takes into options"
        for name in present
    ]


def merged(body: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """`options` over `body`: objects are merged key by key, anything else is replaced."""
    out = dict(body)
    for key, value in options.items():
        old = out.get(key)
        if isinstance(old, dict) and isinstance(value, dict):
            out[key] = merged(cast("dict[str, Any]", old), cast("dict[str, Any]", value))
        else:
            out[key] = value
    return out
