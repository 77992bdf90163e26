"""What a client of the proxy asks for, in whatever face it asks; and how bodies are read. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import msgspec

from streamweir.errors import RequestError
from streamweir.faces.bounds import check_shape
from streamweir.request import Message

T = TypeVar("T")


class Wanted(msgspec.Struct, kw_only=True):
    """One completion, as every face hands it on.

    `profile` is the name that clients use for a profile: its configurationId, model or modelId; None asks for the
    default one. `passthrough` holds keys of an OpenAI request that have no field here.
    """

    profile: str | None
    messages: list[Message]
    stream: bool = True
    include_usage: bool = False
    temperature: float | None = None
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    metadata: dict[str, Any] = {}
    conversation_id: str | None = None
    choices: int = 1
    passthrough: dict[str, Any] = {}


class BrowserPrompt(msgspec.Struct, kw_only=True):
    """What both of the browsers' wires take beside their name for a profile."""

    messages: list[Message] = []
    temperature: float | None = None
    max_tokens: int | None = None
    stop: list[str] | str | None = None
    metadata: dict[str, Any] | None = None
    conversation_id: str | None = None

    def wanted(self, profile: str) -> Wanted:
        """What is asked for, of that profile."""
        return Wanted(
            profile=profile,
            messages=self.messages,
            temperature=self.temperature,
            max_tokens=self.max_tokens,
            stop=tuple(stops(self.stop) or ()),
            metadata=self.metadata or {},
            conversation_id=self.conversation_id,
        )


def read_body(decode: Callable[[bytes], T], body: bytes) -> T:
    """The request in a body. Raises RequestError that says which key is wrong and what it should be."""
    check_shape(body)
    try:
        return decode(body)
    except msgspec.ValidationError as error:
        raise RequestError(str(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RequestError(f"the body is not JSON: {error}") from None


def read_object(body: bytes) -> dict[str, Any]:
    """The JSON object in a body, without the keys that are null. Raises RequestError."""
    decoded = read_body(msgspec.json.decode, body)
    if not isinstance(decoded, dict):
        raise RequestError("the body is not a JSON object")
    return {key: value for key, value in cast("dict[str, Any]", decoded).items() if value is not None}


def wanted_of(values: dict[str, Any], profile: str) -> Wanted:
    """A Wanted of untyped values. Raises RequestError, with `profile` for what the face calls that."""
    choices = values["passthrough"].get("n", 1)
    if choices != 1:
        raise RequestError(f"n is {choices!r}: this route gives one reply at a time")
    try:
        return msgspec.convert(values, Wanted)
    except msgspec.ValidationError as error:
        message = str(error).replace("Object missing", "the request lacks the").replace("$.profile", f"$.{profile}")
        raise RequestError(message) from None


def listed(value: Any) -> list[Any]:
    """The items of an untyped list; what is no list is the only item of one."""
    items: list[Any] = value if isinstance(value, list) else [value]  # pyright: ignore[reportUnknownVariableType]
    return items


def stops(value: Any) -> Any:
    """`stop` as OpenAI takes it, one string or a list of them."""
    return [value] if isinstance(value, str) else value
