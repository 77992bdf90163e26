"""API keys: only their hashes are kept, and every comparison takes the same time. No input or output."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from hmac import compare_digest
from typing import Final

PREFIX: Final = "sw_"
"""What a key begins with, so that scanners for leaked secrets know one when they see it."""

KEY_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class Who:
    """Who asks: the key's name, and the profiles it may use (None: all).

    `ticket`: a page, by its site's leave. `admin`: an operator, who may see what concerns all.
    """

    name: str | None = None
    profiles: frozenset[str] | None = None
    ticket: bool = False
    admin: bool = False

    def may(self, profile: str) -> bool:
        """Whether a profile may be used."""
        return self.profiles is None or profile in self.profiles


NOBODY: Final = Who(profiles=frozenset())
"""Who has shown no key yet: a WebSocket whose client may still bear a ticket in its first message."""

ANYONE: Final = Who()
"""Everybody, where no keys are configured."""


class Keyring:
    """The configured keys, by the SHA-256 of each in hex."""

    def __init__(self, keys: Sequence[tuple[str, Who]]) -> None:
        self._keys = [(digest.lower().encode(), who) for digest, who in keys]

    def __bool__(self) -> bool:
        return bool(self._keys)

    def has(self, name: str | None) -> bool:
        """Whether there is a key of that name."""
        return any(who.name == name for _, who in self._keys)

    def who(self, key: str) -> Who | None:
        """Whose key it is. Every hash is compared, so that the time says nothing of which is near."""
        given = digest_of(key).encode()
        found: Who | None = None
        for digest, who in self._keys:
            if compare_digest(digest, given):
                found = who
        return found


def digest_of(key: str) -> str:
    """The SHA-256 of a key, in hex: what a configuration holds."""
    return sha256(key.encode("utf-8", "surrogateescape")).hexdigest()
