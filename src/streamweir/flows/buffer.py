"""Events that wait for a reader: above the high mark the upstream is not read, until below the low one. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Literal

from streamweir.events import Ended, Released, Text

OnStall = Literal["fail", "drop", "truncate", "flush"]


class Buffer:
    """`high` and `low` count events; `texts` are the pieces of the reply's text among them."""

    __slots__ = ("_events", "_high", "_low", "texts")

    def __init__(self, high: int = 1000, low: int = 500) -> None:
        self._events: deque[Released] = deque()
        self._high = high
        self._low = low
        self.texts = 0

    def __len__(self) -> int:
        return len(self._events)

    @property
    def events(self) -> tuple[Released, ...]:
        """All that waits."""
        return tuple(self._events)

    @property
    def full(self) -> bool:
        """Whether reading the upstream should pause."""
        return len(self._events) > self._high

    @property
    def drained(self) -> bool:
        """Whether a paused upstream should be read again."""
        return len(self._events) <= self._low

    def push(self, events: Iterable[Released]) -> None:
        """Let events wait."""
        for event in events:
            self._events.append(event)
            self.texts += is_text(event)

    def pop(self) -> Released:
        """The next event. Raises IndexError where none waits."""
        event = self._events.popleft()
        self.texts -= is_text(event)
        return event

    def take(self, count: int) -> list[str]:
        """At most `count` pieces of text; events between them are passed over, but for the last one of the stream."""
        taken: list[str] = []
        while self._events and len(taken) < count and type(self._events[0]) is not Ended:
            event = self.pop()
            if isinstance(event, Text) and is_text(event):
                taken.append(event.content)
        return taken

    def drop_texts(self) -> str:
        """Take all text out, as one piece; everything else goes on waiting."""
        dropped = "".join(event.content for event in self._events if isinstance(event, Text) and is_text(event))
        self._events = deque(event for event in self._events if not is_text(event))
        self.texts = 0
        return dropped


def text_of(event: Released) -> str | None:
    """The piece of the reply's text that an event carries."""
    return event.content if isinstance(event, Text) and event.choice == 0 and event.channel == "content" else None


def is_text(event: Released) -> bool:
    """Whether an event is a piece of the reply's text: choice 0, channel content."""
    return type(event) is Text and event.choice == 0 and event.channel == "content"
