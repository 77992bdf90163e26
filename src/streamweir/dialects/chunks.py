"""The OpenAI-style chunk that several dialects share: its JSON, and what content is in it.

Only what holds text is typed and every leaf is read as it comes, so that a chunk with one odd value still gives its
text. Keys that nobody here knows are set aside and travel with the event (`extra`). What was read as JSON is a tree:
the garbage collector need not know of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, cast

import msgspec
from msgspec import UNSET, UnsetType

from streamweir.events import Delta, Extra, ToolCallDelta


class Function(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    name: Any = None
    arguments: Any = None


class ToolCallPart(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    index: Any = None
    id: Any = None
    type: Any = None
    function: Function | None = None


class DeltaPart(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    role: Any = None
    content: Any = None
    reasoning_content: Any = None
    reasoning: Any = None
    refusal: Any = None
    tool_calls: list[ToolCallPart] | None = None


class Choice(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    index: Any = 0
    delta: DeltaPart | None = None
    finish_reason: Any = None
    logprobs: Any = None


class Chunk(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    id: Any = None
    object: Any = None
    created: Any = None
    model: Any = None
    choices: list[Choice] | None = None
    usage: Any = None
    sequence: Any = None
    error: Any = None
    type: Any = None
    system_fingerprint: Any = None
    service_tier: Any = None
    obfuscation: Any = None


CARRIED = ("system_fingerprint", "service_tier", "obfuscation")
"""Known keys of a chunk that mean nothing here and are carried as if unknown."""

DOCUMENTED = ("id", "object", "created", "model", "choices")
"""Keys that a chunk has by its documentation; `schema = "strict"` insists on them."""

NONE: Final[Sequence[Extra]] = ()
"""What is set aside of a chunk whose keys are all known."""

decode_chunk = msgspec.json.Decoder(Chunk).decode
"""The chunk in a text. Raises msgspec.ValidationError for JSON that `set_aside` may know what to make of, and its base
msgspec.DecodeError for what is no JSON."""

_decode_any = msgspec.json.Decoder().decode


def set_aside(data: str) -> tuple[Chunk, Sequence[Extra]]:
    """The chunk in `data`, and the keys to carry, one dict a choice; none where nothing is unknown.

    Raises msgspec.ValidationError for JSON that is no chunk.
    """
    tree: Any = _decode_any(data)
    if not isinstance(tree, dict):
        raise msgspec.ValidationError("not a JSON object")
    root = cast("dict[str, Any]", tree)
    top = _take_unknown(root, Chunk)
    asides: list[Extra] = []
    for choice in _objects(root, "choices"):
        levels = {"choice": _take_unknown(choice, Choice), "delta": {}, "tool_call": {}, "function": {}}
        delta: dict[str, Any] = choice.get("delta") or {}
        levels["delta"] = _take_unknown(delta, DeltaPart)
        for call in _objects(delta, "tool_calls"):
            levels["tool_call"] |= _take_unknown(call, ToolCallPart)
            levels["function"] |= _take_unknown(call.get("function") or {}, Function)
        asides.append({level: keys for level, keys in levels.items() if keys})
    if top:
        asides = asides or [{}]
        asides[0]["chunk"] = top
    return msgspec.convert(root, Chunk), asides


def lacking(chunk: Chunk) -> list[str]:
    """The documented keys that a chunk does not have."""
    return [key for key in DOCUMENTED if getattr(chunk, key) is None]


def carry(chunk: Chunk, asides: Sequence[Extra]) -> Sequence[Extra]:
    """The keys to carry, with those of CARRIED that the chunk has."""
    asides = asides or [{}]
    carried = {key: value for key in CARRIED if (value := getattr(chunk, key)) is not None}
    asides[0]["chunk"] = carried | asides[0].get("chunk", {})
    return asides


STRUCTURE: dict[str, type] = {"choices": list, "delta": dict, "tool_calls": list, "function": dict}
"""The known keys whose value has a shape; another shape is as good as an unknown key, and costs no text beside it."""


def _take_unknown(found: dict[str, Any], known: type[msgspec.Struct]) -> dict[str, Any]:
    return {
        key: found.pop(key)
        for key, value in list(found.items())
        if key not in known.__struct_fields__
        or (key in STRUCTURE and value is not None and not isinstance(value, STRUCTURE[key]))
    }


def _objects(found: dict[str, Any], key: str) -> list[dict[str, Any]]:
    """The objects in a list of `found`; what else stands in it is dropped."""
    if not found.get(key):
        return []
    found[key] = [item for item in found[key] if isinstance(item, dict)]
    return cast("list[dict[str, Any]]", found[key])


def take_content(choice: Choice, extra: Extra | UnsetType, events: list[Any]) -> Extra | UnsetType:
    """Put the content in one choice of a chunk behind `events`.

    `extra` travels with the first; without content it is given back.
    """
    part = choice.delta
    if part is None:
        return extra
    number = choice.index if type(choice.index) is int else 0
    if choice.logprobs is not None:
        carried: Extra = extra or {}
        extra = {**carried, "choice": {"logprobs": choice.logprobs, **carried.get("choice", {})}}
    text: Any = part.reasoning_content or part.reasoning
    if text and type(text) is str:
        events.append(Delta(text, "reasoning", number, extra))
        extra = UNSET
    text = part.content
    if text and type(text) is str:
        events.append(Delta(text, "content", number, extra))
        extra = UNSET
    text = part.refusal
    if text and type(text) is str:
        events.append(Delta(text, "refusal", number, extra))
        extra = UNSET
    if part.tool_calls:
        events += _tool_calls(part.tool_calls, number, extra)
        extra = UNSET
    return extra


def _tool_calls(calls: list[ToolCallPart], choice: int, extra: Extra | UnsetType) -> list[ToolCallDelta]:
    events: list[ToolCallDelta] = []
    for position, call in enumerate(calls):
        function = call.function or Function()
        events.append(
            ToolCallDelta(
                index=call.index if type(call.index) is int else position,
                id=_text(call.id),
                name=_text(function.name),
                arguments=_text(function.arguments),
                choice=choice,
                kind=_text(call.type),
                extra=extra,
            )
        )
        extra = UNSET
    return events


def _text(value: Any) -> str | None:
    return value if type(value) is str else None
