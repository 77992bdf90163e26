"""What may follow a reply that broke off: nothing, a continuation, or a new start. Wire contract 4. Pure.

Nothing is sent again behind the caller's back: each of these is asked for by configuration, and told in an event.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from streamweir.events import End
from streamweir.flows.fallback import ended_early
from streamweir.request import Message, Request

OnCut = Literal["fail", "continue", "restart"]
OnGaps = Literal["fail", "restart", "ignore"]
Kind = Literal["continue", "restart", "retry", "fallback"]

CUT = frozenset(("stream_interrupted", "upstream_lost", "stream_stalled"))
"""Codes of ends that `on_cut` is about."""

AMBIGUOUS = frozenset(("stream_interrupted", "upstream_lost", "stream_timed_out"))
"""Codes of ends that, before any content, may have cost a generation."""

CONTINUE_AS_SYSTEM = (
    "The reply so far was cut off. Continue it exactly where it ends, and repeat none of it. The reply so far:\n\n"
)


class AgainPolicy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`max_restarts` bounds restarts and continuations together.

    `retry` is on where ambiguous failures are retried, `fallback` where another profile may be asked instead.
    """

    on_cut: OnCut = "fail"
    on_gaps: OnGaps = "fail"
    max_restarts: int = 1
    continue_as: Literal["assistant", "system"] = "assistant"
    retry: bool = False
    fallback: bool = False


NOTHING_FOLLOWS = AgainPolicy()
"""What holds unless a caller asks for more."""


def without_restart(policy: AgainPolicy) -> AgainPolicy:
    """The policy where text that was sent cannot be withdrawn: what would start again ends as it ended."""
    if policy is NOTHING_FOLLOWS:
        return policy
    return msgspec.structs.replace(
        policy,
        on_cut="fail" if policy.on_cut == "restart" else policy.on_cut,
        on_gaps="fail" if policy.on_gaps == "restart" else policy.on_gaps,
    )


class Again(msgspec.Struct, frozen=True):
    """The request is to be sent again: `continue` behind the text so far, `restart` from nothing; since nothing had
    come, `retry` to the same upstream or `fallback` to another profile's. `end` is how the reply ended, and stays its
    end where nothing comes of this.
    """

    kind: Kind
    end: End


class Carried(msgspec.Struct, frozen=True):
    """What a reply has carried so far, as the decision needs it."""

    content: bool = False
    tools: bool = False
    used: int = 0


def decide(policy: AgainPolicy, end: End, so_far: Carried) -> Again | None:
    """What follows `end`. A reply that called a tool cannot be continued: half a call is nobody's text."""
    if not so_far.content and policy.retry and (end.code in AMBIGUOUS and end.limit != "deadline"):
        return Again("retry", end)
    if not so_far.content and policy.fallback and ended_early(end):
        return Again("fallback", end)
    if so_far.used >= policy.max_restarts:
        return None
    if end.code == "integrity_failed":
        return Again("restart", end) if policy.on_gaps == "restart" else None
    if end.code in CUT and policy.on_cut == "restart":
        return Again("restart", end)
    cut_short = end.code in CUT or (end.status == "truncated" and end.code is None)
    if cut_short and policy.on_cut == "continue" and not so_far.tools:
        return Again("continue", end)
    return None


def follow_up(request: Request, again: Again, text: str, policy: AgainPolicy) -> Request:
    """The request to send. `text` is the reply so far."""
    if again.kind != "continue" or not text:
        return request
    said: Message = (
        {"role": "assistant", "content": text}
        if policy.continue_as == "assistant"
        else {"role": "system", "content": CONTINUE_AS_SYSTEM + text}
    )
    return msgspec.structs.replace(request, messages=[*request.messages, said])
