"""What callbacks are told, for both clients. No input or output; docs/reading.md lists the payloads."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from streamweir.events import Ended, Released, Text
from streamweir.flows.buffer import is_text
from streamweir.stages.report import rfc3339

NAMES: Final = ("on_text", "on_event", "on_latency", "on_token_rate", "on_audit", "on_dashboard_sync")

log = logging.getLogger("streamweir")

Call = tuple[str, tuple[Any, ...]]
"""A callback's name, and its arguments."""


def join_texts(calls: deque[Call]) -> deque[Call]:
    """The same calls, with all pieces of text handed to on_text at once, behind the rest."""
    texts = [arguments for name, arguments in calls if name == "on_text"]
    kept = deque(call for call in calls if call[0] != "on_text")
    if texts:
        kept.append(("on_text", ("".join(text for text, _ in texts), texts[-1][1])))
    return kept


class Callbacks:
    """The callbacks of one stream. `called_at` is on the monotonic clock, `started_at` in seconds since the epoch."""

    def __init__(self, given: Mapping[str, Any], called_at: float, started_at: float) -> None:
        self._given: dict[str, Callable[..., Any]] = {name: given[name] for name in NAMES if given.get(name)}
        self._called_at = called_at
        self._started_at = started_at
        self._first_at: float | None = None
        self._tokens = 0
        self._failed: set[str] = set()

    def __bool__(self) -> bool:
        return bool(self._given)

    def calls(self, event: Released, now: float) -> list[Call]:
        """What is to be called for one event that came at `now`."""
        calls: list[Call] = [("on_event", (event,))]
        if isinstance(event, Text) and is_text(event):
            calls += self._text_calls(event.content, event.index, now)
        elif isinstance(event, Ended):
            report = event.report
            record = msgspec.to_builtins(report.without_text())
            told = "complete" if report.complete else "blocked" if report.status == "blocked" else "error"
            calls += [
                ("on_latency", (report.timing.total_ms,)),
                ("on_token_rate", (report.timing.tokens_per_second,)),
                ("on_audit", (record,)),
                ("on_dashboard_sync", ({"type": told, "timestamp": self._stamp(now), "data": record},)),
            ]
        return [call for call in calls if call[0] in self._given]

    def _text_calls(self, text: str, index: int, now: float) -> list[Call]:
        if self._first_at is None:
            self._first_at = now
        self._tokens += 1
        generating = now - self._first_at
        measures = {
            "chunk_index": index,
            "tokens_per_second": round(self._tokens / generating, 2) if generating else None,
            "elapsed": round(now - self._called_at, 6),
        }
        chunk = {"type": "chunk", "timestamp": self._stamp(now), "data": {"content": text, "index": index}}
        return [("on_text", (text, measures)), ("on_dashboard_sync", (chunk,))]

    def call(self, name: str, arguments: tuple[Any, ...]) -> Any:
        """Call one; what it returns is awaited by whoever can. Raises what it raises."""
        return self._given[name](*arguments)

    def failed(self, name: str, error: BaseException) -> None:
        """A callback that fails is told of once, without what it was given, and never breaks a stream."""
        if name not in self._failed:
            self._failed.add(name)
            log.warning("callback %s failed (%s); the stream goes on", name, type(error).__name__)

    def _stamp(self, now: float) -> str:
        return rfc3339(self._started_at + now - self._called_at)
