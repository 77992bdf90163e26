"""The two kinds of events a stream is made of.

*Upstream* events are what a dialect's decoder reads off the wire. They are private: text in them has
passed no guard. *Released* events are what callers and faces see. Only a release stage (the guard, or the
explicit `streamweir.stages.release.release_unguarded`) turns the first kind into the second, and no type is
in both unions, so that text which slipped past the guard is a type error and not an incident.

All events are frozen, and those that carry text hold nothing that leads back to them: the garbage collector need not
know of them. Released events are tagged: `msgspec.json.encode` of one is the JSON that users see.
"""

from __future__ import annotations

from typing import Any, Literal, TypeAlias, final

import msgspec

from streamweir.report import RateLimitReport, Report, Status

Channel = Literal["content", "reasoning", "refusal"]
"""Where a piece of text belongs. Tool-call arguments travel in events of their own."""

Extra = dict[str, Any]
"""Keys of the wire that the event model does not know, by level: `chunk`, `choice`, `delta`, `function`."""


# -- upstream, private ---------------------------------------------------------------------------------


class Opened(msgspec.Struct, frozen=True, gc=False):
    """The upstream accepted the request. `correlation_id` is its own name for it, where it gave one."""

    correlation_id: str | None = None


class Delta(msgspec.Struct, frozen=True, gc=False):
    """A piece of text of one choice and channel, as received."""

    text: str
    channel: Channel = "content"
    choice: int = 0
    extra: Extra | msgspec.UnsetType = msgspec.UNSET


class ToolCallDelta(msgspec.Struct, frozen=True, gc=False):
    """A piece of a tool call. `id`, `kind` and `name` come with the first piece of a call, `arguments` in pieces."""

    index: int = 0
    id: str | None = None
    name: str | None = None
    arguments: str | None = None
    choice: int = 0
    kind: str | None = None
    extra: Extra | msgspec.UnsetType = msgspec.UNSET


class Numbered(msgspec.Struct, frozen=True, gc=False):
    """One chunk that carried a sequence number, with the content events in it (none: a number without content)."""

    sequence: int
    events: tuple[Delta | ToolCallDelta, ...] = ()


class UsageUpdate(msgspec.Struct, frozen=True):
    """Token counts as the upstream last gave them. Later ones replace earlier ones; they are never summed."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    total_tokens: int | None = None
    details: dict[str, Any] | msgspec.UnsetType = msgspec.UNSET


class Note(msgspec.Struct, frozen=True):
    """Something on the wire that carries no text: a role, an unknown object, a skipped malformed line."""

    kind: str
    extra: Extra | msgspec.UnsetType = msgspec.UNSET


class Limits(msgspec.Struct, frozen=True):
    """What the upstream's rate-limit headers said."""

    rate_limit: RateLimitReport


class Retry(msgspec.Struct, frozen=True):
    """The request was refused and will be sent again after `wait` seconds, or it waited so long for its turn."""

    attempt: int
    wait: float
    reason: str


class Rejoined(msgspec.Struct, frozen=True):
    """The reply goes on behind a cut, from another request."""


class ThrownAway(msgspec.Struct, frozen=True):
    """The text so far is withdrawn, and the reply starts again; `reason` is the code of the end it had."""

    reason: str


class Receipt(msgspec.Struct, frozen=True):
    """What an upstream's own receipt came to: whether the text as received is the one that it is for, and what the
    upstream calls its record of the stream. A section of `End`.
    """

    verified: bool
    record_id: str | None = None


@final
class End(msgspec.Struct, frozen=True):
    """How the upstream ended: exactly one, the last event, and the signal to flush.

    A stage that sees it pass adds its section to `sections`; the report stage makes the report of them.
    `stop_reasons` maps a choice to the finish reason that the upstream gave for it.
    """

    status: Status
    code: str | None = None
    message: str | None = None
    error_type: str | None = None
    error_status: int | None = None
    context_id: str | None = None
    limit: str | None = None
    close_code: int | None = None
    cancelled_by: str | None = None
    stop_reasons: dict[int, str] = {}
    sections: dict[str, Any] = {}


Upstream: TypeAlias = (
    Opened | Delta | ToolCallDelta | Numbered | UsageUpdate | Note | Limits | Retry | Rejoined | ThrownAway | End
)
"""Everything a decoder, a flow or the relay itself may put into the pipeline."""


# -- released, public ----------------------------------------------------------------------------------


class Started(msgspec.Struct, frozen=True, tag="started", tag_field="type"):
    """The first event of a stream that the upstream accepted (`retrying` events may precede it)."""

    seq: int
    request_id: str
    model: str
    dialect: str
    correlation_id: str | None = None


class Text(msgspec.Struct, frozen=True, gc=False, tag="text", tag_field="type", omit_defaults=False):
    """A piece of the reply. `index` counts text events only, `seq` every event of the stream, both from 0."""

    seq: int
    index: int
    content: str
    choice: int = 0
    channel: Literal["content", "refusal"] = "content"
    extra: Extra | msgspec.UnsetType = msgspec.UNSET


class Reasoning(msgspec.Struct, frozen=True, gc=False, tag="reasoning", tag_field="type"):
    """A piece of what the model thinks aloud."""

    seq: int
    content: str
    choice: int = 0
    extra: Extra | msgspec.UnsetType = msgspec.UNSET


class ToolCall(msgspec.Struct, frozen=True, gc=False, tag="tool_call", tag_field="type"):
    """A piece of a tool call; `call` numbers the calls of one choice from 0."""

    seq: int
    call: int
    choice: int = 0
    id: str | None = None
    kind: str | None = None
    name: str | None = None
    arguments: str | None = None
    extra: Extra | msgspec.UnsetType = msgspec.UNSET


class Usage(msgspec.Struct, frozen=True, tag="usage", tag_field="type"):
    """Token counts as the upstream gave them."""

    seq: int
    prompt_tokens: int | None
    completion_tokens: int | None
    total_tokens: int | None
    details: dict[str, Any] | msgspec.UnsetType = msgspec.UNSET


class Diagnostic(msgspec.Struct, frozen=True, tag="diagnostic", tag_field="type"):
    """Something on the wire that carried no text."""

    seq: int
    kind: str
    extra: Extra | msgspec.UnsetType = msgspec.UNSET


class Retrying(msgspec.Struct, frozen=True, tag="retrying", tag_field="type"):
    """The request was refused and is sent again after `wait_ms`; `attempt` is the one that failed, from 1.

    Or it waited so long for its turn at the upstream, behind that attempt or before the first one; `reason` says so.
    """

    seq: int
    attempt: int
    wait_ms: int
    reason: str


class RateLimit(msgspec.Struct, frozen=True, tag="rate_limit", tag_field="type"):
    """The upstream's request budget: `count` used of `allowed`, renewed in `reset` seconds."""

    seq: int
    count: int | None
    allowed: int | None
    reset: int | None


class Joint(msgspec.Struct, frozen=True, tag="joint", tag_field="type"):
    """The reply was cut and goes on, from another request, at `at` code points of its text."""

    seq: int
    at: int = 0


class Restarted(msgspec.Struct, frozen=True, tag="restarted", tag_field="type"):
    """All text so far is withdrawn, and the reply starts again; `reason` is the code of the end it had."""

    seq: int
    reason: str


class Found(msgspec.Struct, frozen=True, tag="finding", tag_field="type"):
    """The guard found something; never the value. `start` and `end` are code points of the text as the upstream sent it
    (decoded, for a tool call's arguments), `hash` is keyed. The channel `prompt` is what was asked.
    """

    seq: int
    kind: str
    group: str
    start: int
    end: int
    channel: Literal["content", "reasoning", "refusal", "tool_call", "prompt"]
    hash: str
    choice: int = 0
    call: int = 0


class Ended(msgspec.Struct, frozen=True, tag="ended", tag_field="type"):
    """The one last event of every stream, however it ended.

    `stop_reasons` is present where a request asked for several choices, and maps each to its finish reason.
    """

    seq: int
    report: Report
    stop_reasons: dict[int, str] | msgspec.UnsetType = msgspec.UNSET


Released: TypeAlias = (
    Started
    | Text
    | Reasoning
    | ToolCall
    | Usage
    | Diagnostic
    | Retrying
    | RateLimit
    | Joint
    | Restarted
    | Found
    | Ended
)
"""Everything a face or a caller may see."""
