"""Whether a prompt fits a context window, and which turns go where it does not. Pure: counting is an argument."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, Literal, cast

import msgspec

from streamweir.errors import ContextWindowExceeded
from streamweir.request import Message

Source = Literal["bpe-openai", "tiktoken", "estimate"]
OnOverflow = Literal["reject", "slide"]

DEFAULT_WINDOW: Final = 8192
WINDOWS: Final[dict[str, int]] = {
    "gpt-4-1106-preview": 128_000,
    "gpt-4-0125-preview": 128_000,
    "gpt-4-turbo": 128_000,
    "gpt-4o": 128_000,
    "gpt-4o-mini": 128_000,
    "gpt-4": 8192,
    "gpt-4-32k": 32_768,
    "gpt-3.5-turbo": 16_385,
    "gpt-3.5-turbo-16k": 16_385,
    "gpt-4.1": 1_047_576,
    "gpt-4.1-mini": 1_047_576,
    "o1": 200_000,
    "o3": 200_000,
    "o3-mini": 200_000,
    "o4-mini": 200_000,
}
"""Model to tokens, as OpenAI documents them; any other model has DEFAULT_WINDOW unless configured."""

KEPT: Final = frozenset(("system", "developer"))
"""Roles that no overflow drops."""


class Count(msgspec.Struct, frozen=True):
    """A number of tokens, and what counted them: only an estimate is an upper bound instead of the number."""

    tokens: int
    source: Source

    @property
    def exact(self) -> bool:
        """Whether a tokenizer counted."""
        return self.source != "estimate"


Counter = Callable[[str], Count]


def window_of(model: str, configured: int | None) -> int:
    """The context window of a model, in tokens."""
    return configured if configured is not None else WINDOWS.get(model, DEFAULT_WINDOW)


def prompt_text(messages: Sequence[Message]) -> str:
    """What is counted: the messages as `role: content` lines."""
    return "\n".join(_line(message) for message in messages)


def fit(
    messages: Sequence[Message], limit: int, count: Counter, on_overflow: OnOverflow
) -> tuple[list[Message], Count]:
    """The messages that fit `limit` tokens, and their count. Raises ContextWindowExceeded.

    "slide" drops the oldest turns: a user's message goes with all that answers it, tool calls with their results.
    System messages and the last turn always stay.
    """
    kept = list(messages)
    counted = count(prompt_text(kept))
    if counted.tokens <= limit:
        return kept, counted
    if on_overflow == "reject":
        raise exceeded(counted, limit, dropped=0)
    turns = _turns(kept)
    costs = [count(prompt_text([kept[index] for index in turn])).tokens for turn in turns]
    dropped = 0
    gone: set[int] = set()
    # a turn costs what it costs alone, give or take the line end that joins it: count the whole again at the end
    over = counted.tokens - limit
    while dropped < len(turns) - 1:
        while dropped < len(turns) - 1 and over > 0:
            gone.update(turns[dropped])
            over -= costs[dropped]
            dropped += 1
        left = [message for index, message in enumerate(kept) if index not in gone]
        counted = count(prompt_text(left))
        over = counted.tokens - limit
        if over <= 0:
            return left, counted
    raise exceeded(counted, limit, dropped=dropped)


def exceeded(counted: Count, limit: int, *, dropped: int) -> ContextWindowExceeded:
    """The error for a prompt that does not fit."""
    number = f"{counted.tokens}" if counted.exact else f"at most {counted.tokens}"
    how = "" if counted.exact else "; that is an upper estimate: install streamweir[tokens] for the exact number"
    mend = "shorten it" if dropped else 'shorten it, or set on_overflow = "slide"'
    error = ContextWindowExceeded(
        f"the prompt has {number} tokens and the context window {limit}: {mend}{how}",
        code="context_window_exceeded",
    )
    error.tokens, error.limit, error.source = counted.tokens, limit, counted.source
    return error


def _turns(messages: Sequence[Message]) -> list[list[int]]:
    """Indices of the messages that may go, turn by turn: each begins with a user's message."""
    turns: list[list[int]] = []
    for index, message in enumerate(messages):
        role = message.get("role")
        if isinstance(role, str) and role in KEPT:
            continue
        if role == "user" or not turns:
            turns.append([])
        turns[-1].append(index)
    return turns


def _line(message: Message) -> str:
    content: Any = message.get("content")
    if isinstance(content, list):
        texts = [
            cast("dict[str, Any]", part).get("text")
            for part in content  # pyright: ignore[reportUnknownVariableType]
            if isinstance(part, dict)
        ]
        content = "".join(text for text in texts if isinstance(text, str))
    line = f"{message.get('role', '')}: {content if isinstance(content, str) else ''}"
    calls: Any = message.get("tool_calls")
    return line + msgspec.json.encode(calls).decode() if calls else line
