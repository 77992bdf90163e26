"""Who may begin a stream now: limits of each key, limits of the server, and a queue in front. No input or output."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

RETRY_FULL: Final = 5.0
"""Seconds after which one should ask again where nobody knows when a stream will end. An assumption: replies last
some seconds, and everyone who was refused would otherwise come back at once."""

Code = Literal["key_rate_limited", "too_many_streams", "server_full", "server_draining"]


@dataclass(frozen=True, slots=True)
class KeyLimits:
    """What one key may do. `rate`: streams begun, and the seconds that they are counted in. None: no limit."""

    rate: tuple[int, float] | None = None
    concurrent: int | None = None


@dataclass(frozen=True, slots=True)
class Limits:
    """Live streams of the whole server, those that may wait in front of them, and the limits of keys by name."""

    max_streams: int
    queue: int
    keys: Mapping[str, KeyLimits] = field(default_factory=dict[str, KeyLimits])


class Refused(Exception):
    """No stream now. `retry_after` is in seconds."""

    def __init__(self, code: Code, retry_after: float = RETRY_FULL) -> None:
        super().__init__(code)
        self.code: Code = code
        self.retry_after = retry_after


class Place:
    """What one stream holds, from the moment it may wait until it has ended."""

    __slots__ = ("asked_at", "name", "state")

    def __init__(self, name: str | None, asked_at: float) -> None:
        self.name = name
        self.asked_at = asked_at
        self.state: Literal["waiting", "live", "left"] = "waiting"

    @property
    def live(self) -> bool:
        """Whether its stream may begin."""
        return self.state == "live"


NO_LIMITS: Final = KeyLimits()


class Admission:
    """Every live stream of the server, and those that wait to be one, first in first out.

    A key's rate is an exact sliding window: a bucket of tokens would let twice the rate through within one window, and
    could not say exactly when the next is allowed. What was refused, or left the queue, does not count against it.
    A key's concurrent streams include those that wait, so that none fills the queue for all others.
    """

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.live = 0
        self.live_of: Counter[str] = Counter()
        """Live streams by the key's name; keys without any are absent."""
        self.refused: Counter[str] = Counter()
        """How many were refused, by code."""
        self._held: Counter[str] = Counter()
        self._asked: dict[str, deque[float]] = {}
        self._queue: dict[Place, None] = {}

    @property
    def queued(self) -> int:
        """How many wait."""
        return len(self._queue)

    @property
    def full(self) -> bool:
        """Whether all may be live that may, and all wait that may."""
        return self.live >= self.limits.max_streams and len(self._queue) >= self.limits.queue

    def enter(self, name: str | None, now: float) -> Place:
        """A place for a stream of that key, live or waiting. Raises Refused. Every place must `leave`."""
        try:
            self._check(name, now)
        except Refused as refused:
            self.refused[refused.code] += 1
            raise
        place = Place(name, now)
        if name is not None:
            self._held[name] += 1
            if self._limits_of(name).rate is not None:
                self._asked.setdefault(name, deque()).append(now)
        if self.live < self.limits.max_streams and not self._queue:
            self._begin(place)
        else:
            self._queue[place] = None
        return place

    def leave(self, place: Place) -> list[Place]:
        """Give a place back, whatever it was; again: nothing. The answer is who is live from now on."""
        state, place.state = place.state, "left"
        if state == "live":
            self.live -= 1
        elif state == "waiting":
            self._queue.pop(place, None)
            self._forget(place)
        if place.name is not None and state != "left":
            _less(self._held, place.name)
            if state == "live":
                _less(self.live_of, place.name)
        return self._let_in()

    def change(self, limits: Limits) -> list[Place]:
        """Other limits from now on; who is live stays so. The answer is who is live from now on besides."""
        self.limits = limits
        self._asked = {name: asked for name, asked in self._asked.items() if self._limits_of(name).rate is not None}
        return self._let_in()

    def _let_in(self) -> list[Place]:
        came: list[Place] = []
        while self._queue and self.live < self.limits.max_streams:
            place = next(iter(self._queue))
            del self._queue[place]
            self._begin(place)
            came.append(place)
        return came

    def _begin(self, place: Place) -> None:
        place.state = "live"
        self.live += 1
        if place.name is not None:
            self.live_of[place.name] += 1

    def _check(self, name: str | None, now: float) -> None:
        if name is not None:
            limits = self._limits_of(name)
            if limits.rate is not None:
                count, seconds = limits.rate
                asked = self._asked.get(name, deque())
                while asked and asked[0] <= now - seconds:
                    asked.popleft()
                if len(asked) >= count:
                    # a reload may have made the limit smaller than what was let in before
                    raise Refused("key_rate_limited", asked[len(asked) - count] + seconds - now)
            if limits.concurrent is not None and self._held[name] >= limits.concurrent:
                raise Refused("too_many_streams")
        if self.full:
            raise Refused("server_full")

    def _limits_of(self, name: str) -> KeyLimits:
        return self.limits.keys.get(name, NO_LIMITS)

    def _forget(self, place: Place) -> None:
        asked = self._asked.get(place.name or "")
        if asked and place.asked_at in asked:
            asked.remove(place.asked_at)


def _less(counts: Counter[str], name: str) -> None:
    counts[name] -= 1
    if counts[name] <= 0:
        del counts[name]
