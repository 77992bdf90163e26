"""Time limits of one stream. Pure: the time is an argument, in seconds on a monotonic clock."""

from __future__ import annotations

import msgspec

from streamweir.events import End

NEVER = float("inf")


class TimeLimits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Seconds. 0 turns a limit off. Defaults and meanings are the wire contract's (section 3)."""

    connect: float = 10.0
    first_token_timeout: float = 20.0
    idle_timeout: float = 30.0
    inactivity_timeout: float = 30.0
    deadline: float = 120.0


class Limits:
    """Watches the time of one stream.

    `called_at` is when the caller asked, `sent_at` when the request went out. Whoever feeds the stream sets `heard_at`
    whenever bytes come, whatever they are, and `content_at` whenever content does. While our own reader has paused the
    upstream, silence is not the upstream's: only the deadline runs on.
    """

    __slots__ = ("_called_at", "_deadline_at", "_first_by", "_paused_at", "content_at", "heard_at", "limits")

    def __init__(self, limits: TimeLimits, called_at: float, sent_at: float) -> None:
        self.limits = limits
        self._called_at = called_at
        self.heard_at = sent_at
        self.content_at: float | None = None
        self._paused_at: float | None = None
        self._first_by = sent_at + (limits.first_token_timeout or NEVER)
        self._deadline_at = called_at + (limits.deadline or NEVER)

    def pause(self, now: float) -> None:
        """We stopped reading."""
        if self._paused_at is None:
            self._paused_at = now

    def resume(self, now: float) -> None:
        """We read again: the time in between counts for no silence."""
        if self._paused_at is None:
            return
        lost = now - self._paused_at
        self._paused_at = None
        self.heard_at += lost
        self._first_by += lost
        if self.content_at is not None:
            self.content_at += lost

    def reopen(self, sent_at: float) -> None:
        """Another request was sent for the same call: its first content is waited for anew."""
        self._deadline_at = self._called_at + (self.limits.deadline or NEVER)
        self._paused_at = None
        self.content_at = None
        self.heard_at = sent_at
        self._first_by = sent_at + (self.limits.first_token_timeout or NEVER)

    def due(self, now: float) -> float:
        """When to look again, at the latest: no limit runs out before, whatever comes."""
        running = self._running()
        if self.content_at is None and self.limits.idle_timeout:
            running["idle_timeout"] = now + self.limits.idle_timeout
        return min(running.values())

    def expired(self, now: float) -> End | None:
        """The end of the stream where a limit has run out by `now`."""
        for name, at in self._running().items():
            if at <= now:
                return timed_out(name, self.limits)
        return None

    def _running(self) -> dict[str, float]:
        running = {"deadline": self._deadline_at}
        if self._paused_at is not None:
            return running
        if self.content_at is None:
            running["first_token_timeout"] = self._first_by
        elif self.limits.idle_timeout:
            running["idle_timeout"] = self.content_at + self.limits.idle_timeout
        if self.limits.inactivity_timeout:
            running["inactivity_timeout"] = self.heard_at + self.limits.inactivity_timeout
        return running


SENTENCES = {
    "connect": "no connection within {0:g} s",
    "deadline": "not finished within the deadline of {0:g} s",
    "first_token_timeout": "no first content within {0:g} s",
    "idle_timeout": "no content for {0:g} s",
    "inactivity_timeout": "not a byte for {0:g} s",
}


def timed_out(limit: str, limits: TimeLimits) -> End:
    """The end of a stream by the time limit of that name."""
    stalled = limit in ("idle_timeout", "inactivity_timeout")
    return End(
        "timed_out",
        code="stream_stalled" if stalled else "stream_timed_out",
        message=f"{SENTENCES[limit].format(getattr(limits, limit))} ({limit})",
        error_type="StreamStalled" if stalled else "StreamTimedOut",
        limit=limit,
    )
