"""The place of the guard, with no guard in it: private events become released ones, unread."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from streamweir.events import (
    Delta,
    Diagnostic,
    End,
    Joint,
    Limits,
    Note,
    Opened,
    RateLimit,
    Reasoning,
    Rejoined,
    Released,
    Restarted,
    Retry,
    Retrying,
    Started,
    Text,
    ThrownAway,
    ToolCall,
    ToolCallDelta,
    Upstream,
    Usage,
    UsageUpdate,
)
from streamweir.report import GuardReport
from streamweir.stages import Stage


class Names(msgspec.Struct, frozen=True):
    """What the first event says of the stream."""

    request_id: str
    model: str
    dialect: str


def release_unguarded(names: Names) -> Stage[Upstream, Released | End]:
    """A stage that releases everything as it came, for callers who chose `guard = "off"`."""
    return Unguarded(names)


class Unguarded:
    """Numbers the released events of one stream. Made by `release_unguarded`, the name that reviews look for."""

    __slots__ = ("_index", "_names", "_seq")

    def __init__(self, names: Names) -> None:
        self._names = names
        self._seq = 0
        self._index = 0

    def __call__(self, events: Sequence[Upstream], now: float) -> Sequence[Released | End]:
        out: list[Released | End] = []
        for event in events:
            if type(event) is Delta:
                if event.channel == "reasoning":
                    out.append(Reasoning(self._seq, event.text, event.choice, event.extra))
                else:
                    out.append(Text(self._seq, self._index, event.text, event.choice, event.channel, event.extra))
                    self._index += 1
                self._seq += 1
            elif type(event) is End:
                event.sections["guard"] = GuardReport(mode="off")
                out.append(event)
            else:
                out.append(released(event, self._seq, self._names))
                self._seq += 1
        return out


def released(event: Upstream, seq: int, names: Names) -> Released:
    """The released form of an event that carries no text of the reply, but for a tool call's pieces."""
    if type(event) is ToolCallDelta:
        return ToolCall(seq, event.index, event.choice, event.id, event.kind, event.name, event.arguments, event.extra)
    if type(event) is Opened:
        return Started(seq, names.request_id, names.model, names.dialect, event.correlation_id)
    if type(event) is UsageUpdate:
        return Usage(seq, event.prompt_tokens, event.completion_tokens, event.total_tokens, event.details)
    if type(event) is Note:
        return Diagnostic(seq, event.kind, event.extra)
    if type(event) is Limits:
        said = event.rate_limit
        return RateLimit(seq, said.count, said.allowed, said.reset)
    if type(event) is Rejoined:
        return Joint(seq)
    if type(event) is ThrownAway:
        return Restarted(seq, event.reason)
    if type(event) is Retry:
        return Retrying(seq, event.attempt, round(event.wait * 1000), event.reason)
    raise TypeError(f"{type(event).__name__} cannot be released")
