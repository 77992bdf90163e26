"""From what a caller asks for to an opening, for both clients. No input or output: ids and times are arguments."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, TypedDict, cast

import msgspec

from streamweir.client.opening import Opening
from streamweir.client.recorded import settings_of
from streamweir.client.recording import Recording
from streamweir.client.resolve import Client
from streamweir.errors import ConfigError, RequestError
from streamweir.flows.continuation import OnCut, OnGaps
from streamweir.request import Message, Request
from streamweir.stages.limits import TimeLimits
from streamweir.stages.report import rfc3339


class Ask(TypedDict, total=False):
    """What `stream` and `complete` take. Only `messages` is always needed.

    Times are seconds, 0 turns a limit off. Keys of an OpenAI request that are not here (logit_bias …) are taken too,
    and go through where the dialect is openai. `options` is merged into the body, whatever the dialect.
    `record` names a file that keeps what the upstream sends; under a guard what it covers is masked there, unless
    `record_raw` is true.
    """

    messages: Sequence[Message]
    model: str | None
    temperature: float | Sequence[float] | None
    max_tokens: int | None
    stop: str | Sequence[str]
    request_id: str | None
    prompt_id: str | None
    conversation_id: str | None
    metadata: Mapping[str, Any] | None
    options: Mapping[str, Any] | None
    first_token_timeout: float | None
    idle_timeout: float | None
    inactivity_timeout: float | None
    deadline: float | None
    on_cut: OnCut | None
    on_gaps: OnGaps | None
    max_restarts: int | None
    continue_as: Literal["assistant", "system"] | None
    schema: Literal["lenient", "strict"] | None
    malformed: Literal["fail", "skip"] | None
    context_window: int | None
    on_overflow: Literal["reject", "slide"] | None
    guard: str
    record: str | None
    record_raw: bool
    on_text: Callable[..., Any] | None
    on_event: Callable[..., Any] | None
    on_latency: Callable[..., Any] | None
    on_token_rate: Callable[..., Any] | None
    on_audit: Callable[..., Any] | None
    on_dashboard_sync: Callable[..., Any] | None
    buffer_high: int
    buffer_low: int
    stall_timeout: float
    on_stall: Literal["fail", "drop", "truncate", "flush"]
    tools: Sequence[Mapping[str, Any]]
    tool_choice: Any
    response_format: Any
    n: int
    seed: int
    top_p: float


TIMES = ("first_token_timeout", "idle_timeout", "inactivity_timeout", "deadline")
AGAIN = ("on_cut", "on_gaps", "max_restarts", "continue_as")
DECODING = ("schema", "malformed")
READING = (
    "on_text", "on_event", "on_latency", "on_token_rate", "on_audit", "on_dashboard_sync",
    "buffer_high", "buffer_low", "stall_timeout", "on_stall", "record", "record_raw",
)  # fmt: skip
"""Keys that say how the reply is read, and do not concern the request."""


def merge(defaults: Mapping[str, Any], ask: Mapping[str, Any]) -> dict[str, Any]:
    """What `with_options` set, below what the call says; None counts as not said."""
    return {**defaults, **{key: value for key, value in ask.items() if value is not None}}


def how_of(asked: Mapping[str, Any]) -> dict[str, Any]:
    """The keys that say how the reply is read."""
    return {name: asked[name] for name in READING if name in asked}


def opening_for(resolved: Client, asked: Mapping[str, Any], request_id: str, wall: float) -> Opening:
    """The opening of one call. Raises ConfigError without a model, RequestError without messages.

    `request_id` is taken where the caller gives none, `wall` is the present in seconds since the epoch.
    """
    ask = dict(asked)
    settings = resolved.settings
    guard = ask.pop("guard", None) or resolved.guard
    masked = ask.get("record") and not ask.get("record_raw")
    model = ask.pop("model", None) or resolved.model
    if not model:
        raise ConfigError("no model: give model=…, --model, STREAMWEIR_MODEL, or a profile that names one")
    times = {name: ask.pop(name) for name in TIMES if name in ask}
    again = {name: ask.pop(name) for name in AGAIN if name in ask}
    decoding = {name: ask.pop(name) for name in DECODING if name in ask}
    window = ask.pop("context_window", resolved.context_window)
    on_overflow = ask.pop("on_overflow", resolved.on_overflow)
    said = [dict(message) for message in cast("Sequence[Message]", ask.pop("messages", ()))]
    ask, release = resolved.guards.prepare(guard, {**ask, "messages": said})
    request = _request(resolved, ask, ask.pop("messages"), model, request_id, wall)
    return Opening(
        request,
        _converted({**msgspec.structs.asdict(settings.limits), **times}, TimeLimits),
        0.0,
        0.0,
        again=_converted({**msgspec.structs.asdict(settings.again), **again}, type(settings.again)),
        decode=_converted({**msgspec.structs.asdict(settings.decode), **decoding}, type(settings.decode)),
        window=window,
        on_overflow=on_overflow,
        release=release,
        covering=resolved.guards.covering(guard) if masked else None,
    )


def _request(
    resolved: Client, ask: dict[str, Any], messages: list[Message], model: str, request_id: str, wall: float
) -> Request:
    if resolved.system and not any(message.get("role") == "system" for message in messages):
        messages.insert(0, {"role": "system", "content": resolved.system})
    stop: str | Sequence[str] = ask.pop("stop", ())
    ask.setdefault("prompt_id", resolved.prompt_id)
    temperature: float | Sequence[float] | None = ask.pop("temperature", None)
    for name in READING:
        ask.pop(name, None)
    fields: dict[str, Any] = {
        name: ask.pop(name) for name in ("max_tokens", "prompt_id", "conversation_id", "metadata") if name in ask
    }
    request: Request = _converted(
        {
            **fields,
            "model": model,
            "messages": messages,
            "request_id": ask.pop("request_id", None) or request_id,
            "timestamp": rfc3339(wall),
            "temperature": list(temperature) if isinstance(temperature, Sequence) else temperature,
            "stop": [stop] if isinstance(stop, str) else list(stop),
            "options": {**resolved.options, **ask.pop("options", {})},
            "passthrough": ask,
        },
        Request,
    )
    return request


def _converted(values: Mapping[str, Any], kind: Any) -> Any:
    try:
        return msgspec.convert(dict(values), kind)
    except msgspec.ValidationError as error:
        what, _, where = str(error).partition(" - at `$.")
        raise RequestError(f"{where.rstrip('`')}: {what}" if where else what) from None


def replay_opening(recording: Recording, ask: Mapping[str, Any], speed: float) -> Opening:
    """The opening of a replayed call: the recording's own request id and decoding, and the limits that `ask` sets."""
    head = recording.head
    settings = settings_of(recording)
    # the recording holds no prompt, only its size, for the estimate where no counts were given
    messages = [{"role": "user", "content": " " * head.prompt_bytes}]
    told = {"model": head.model, "request_id": head.request_id, "messages": messages}
    # without the recorded pace a time limit would measure this machine
    times = dict.fromkeys(TIMES, 0.0) if not speed else {}
    return opening_for(Client(settings, head.model), {**times, **merge({}, ask), **told}, head.request_id, 0.0)
