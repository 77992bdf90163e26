"""How a connection fails before the head of an answer, in both clients."""

from __future__ import annotations


class ConnectionLost(Exception):
    """The connection ended before the head of the answer. `reused` and `silent` (not a byte came) tell a stale one."""

    def __init__(self, detail: str, *, reused: bool, silent: bool) -> None:
        super().__init__(detail)
        self.reused = reused
        self.silent = silent


class AnswerTimeout(Exception):
    """No head of an answer in time."""
