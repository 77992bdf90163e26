"""Tokens kept between processes: an encrypted file that only its owner can read.

Each entry is AES-256-GCM under STREAMWEIR_TOKEN_KEY, with the entry's name as associated data, so that a token cannot
be passed off as another client's. What cannot be decrypted counts as absent. Times are seconds since the epoch, since a
monotonic clock means nothing to another process.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
import time
from base64 import b64decode, b64encode
from collections.abc import Generator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any, Protocol

import msgspec

from streamweir.errors import ConfigError
from streamweir.flows.tokens import CachedToken, cache
from streamweir.genesys.login import Grant

KEY_BYTES = 32
NONCE_BYTES = 12
HOW = "make one with: python3 -c 'import os,base64; print(base64.b64encode(os.urandom(32)).decode())'"


class Kept(msgspec.Struct):
    """A token as it is kept. `asked_at` is seconds since the epoch, `expires_in` seconds."""

    access_token: str
    asked_at: float
    expires_in: float


class Store(Protocol):
    """Where a token outlives its process."""

    def load(self) -> CachedToken | None: ...

    def save(self, grant: Grant) -> None: ...

    def drop(self, token: str) -> None: ...


class FileStore:
    """One upstream's token in a file that several upstreams and processes may share."""

    def __init__(self, path: str, key: str | None, name: str) -> None:
        """`key` is 32 bytes in base64, `name` says whose token it is. Raises ConfigError."""
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        if not key:
            raise ConfigError(f"token_store is a file and STREAMWEIR_TOKEN_KEY is not set: {HOW}")
        try:
            raw = b64decode(key, validate=True)
        except ValueError:
            raw = b""
        if len(raw) != KEY_BYTES:
            raise ConfigError(f"STREAMWEIR_TOKEN_KEY is not {KEY_BYTES} bytes in base64: {HOW}")
        self._path = Path(path)
        self._cipher = AESGCM(raw)
        self._name = sha256(name.encode()).hexdigest()

    def load(self) -> CachedToken | None:
        """The token, where one is kept and still alive; its times are on this process's monotonic clock."""
        sealed = self._entries().get(self._name)
        kept = self._open(sealed) if isinstance(sealed, str) else None
        if kept is None:
            return None
        # a wall clock that was set back must not make a token older than it can be
        age = max(0.0, time.time() - kept.asked_at)
        token = cache(kept.access_token, kept.expires_in, time.monotonic() - age)
        return token if age < kept.expires_in and kept.asked_at <= time.time() + 1 else None

    def save(self, grant: Grant) -> None:
        """Keep a token that was just granted. What cannot be written is only not kept."""
        kept = msgspec.json.encode(Kept(grant.access_token, time.time(), grant.expires_in))
        nonce = os.urandom(NONCE_BYTES)
        sealed = nonce + self._cipher.encrypt(nonce, kept, self._name.encode())
        self._change(b64encode(sealed).decode())

    def drop(self, token: str) -> None:
        """Forget a token that was refused; another one that was kept meanwhile stays."""
        sealed = self._entries().get(self._name)
        kept = self._open(sealed) if isinstance(sealed, str) else None
        if kept is not None and kept.access_token == token:
            self._change(None)

    def _open(self, sealed: str) -> Kept | None:
        from cryptography.exceptions import InvalidTag

        try:
            raw = b64decode(sealed, validate=True)
            opened = self._cipher.decrypt(raw[:NONCE_BYTES], raw[NONCE_BYTES:], self._name.encode())
            return msgspec.json.decode(opened, type=Kept)
        except (InvalidTag, ValueError, msgspec.DecodeError):
            return None

    def _entries(self) -> dict[str, Any]:
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=dict[str, Any])
        except (OSError, msgspec.DecodeError):
            return {}

    def _change(self, sealed: str | None) -> None:
        with contextlib.suppress(OSError), self._locked():
            entries = self._entries()
            if sealed is None:
                entries.pop(self._name, None)
            else:
                entries[self._name] = sealed
            # mkstemp makes the file for its owner only, and a rename is seen whole or not at all
            handle, temporary = tempfile.mkstemp(prefix=self._path.name, dir=self._path.parent)
            try:
                with os.fdopen(handle, "wb") as file:
                    file.write(msgspec.json.encode(entries))
                Path(temporary).replace(self._path)
            except BaseException:
                Path(temporary).unlink(missing_ok=True)
                raise

    @contextmanager
    def _locked(self) -> Generator[None]:
        try:
            import fcntl
        except ImportError:
            # without advisory locks the last writer wins, and another's token is asked for again
            yield
            return
        handle = os.open(f"{self._path}.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)


def store_of(kind: str, key: str | None, name: str) -> Store | None:
    """The store that a `token_store` setting names: None keeps tokens in memory only. Raises ConfigError."""
    if kind == "memory":
        return None
    scheme, _, path = kind.partition(":")
    if scheme != "file" or not path:
        raise ConfigError(f'token_store is {kind!r}: give "memory", or "file:PATH"')
    return FileStore(path, key, name)
