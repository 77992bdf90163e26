"""The numbers of PostgreSQL's advisory locks that are ours."""

from __future__ import annotations

from hashlib import sha256


def lock_number(name: str) -> int:
    """The number of a lock: 64 bits of a hash, so that no other program in the database has the same by chance."""
    return int.from_bytes(sha256(f"streamweir {name}".encode()).digest()[:8], "big", signed=True)
