"""The key that signs a log's checkpoints, in a file that is made at first start, and its public half beside it.

The key's name is the log's: `streamweir/` and random digits. The `.vkey` file holds the public half of every key that
the log ever had, a line each, the newest last. Take the key's file away, and the next start makes a new key of the
same name.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import Final

from streamweir.audit.note import SEED_BYTES, NoteError, Signer, Verifier
from streamweir.errors import ConfigError
from streamweir.records.opening import sqlite_file

KEY: Final = ".key"
VKEY: Final = ".vkey"

NAME_BYTES: Final = 8
"""Random bytes of a log's name: two logs of one owner are told apart, and the name says nothing of its machine."""


def key_file(url: str, given: str | None) -> Path:
    """Where the key is: as configured, else beside an SQLite file. Raises ConfigError."""
    if given is not None:
        return Path(given)
    path = sqlite_file(url)
    if path is None:
        raise ConfigError(
            "records.signing_key_file is missing: a store that machines share has no file to keep the key beside; "
            "name a file, and give every machine the same"
        )
    return Path(path + KEY)


def signer_of(path: Path) -> Signer:
    """The key in a file, which is made where there is none, readable by its owner alone. Raises ConfigError."""
    try:
        try:
            return _read(path)
        except FileNotFoundError:
            return _made(path)
    except OSError as error:
        raise ConfigError(f"the signing key {path}: {error.strerror or error}; see records.signing_key_file") from None


def verifiers_of(path: Path) -> list[Verifier]:
    """The keys in a `.vkey` file. Raises ConfigError."""
    try:
        lines = path.read_text(encoding="utf-8").split()
    except FileNotFoundError:
        raise ConfigError(
            f"there is no {path}: it holds the public key of the log, and is made where the log is; give --key FILE"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"the public keys in {path} cannot be read: {error}") from None
    try:
        found = [Verifier.of(line) for line in lines]
    except NoteError as error:
        raise ConfigError(f"{path}: {error}") from None
    if not found:
        raise ConfigError(f"{path} is empty: it should hold the public key of the log")
    return found


def vkey_file(key: Path) -> Path:
    """Where the public half of a key is."""
    return key.with_name(key.name.removesuffix(KEY) + VKEY)


def _read(path: Path) -> Signer:
    with path.open("rb") as file:
        mode = os.fstat(file.fileno()).st_mode
        text = file.read(4096)
    if os.name == "posix" and mode & 0o077:
        raise ConfigError(f"others may read the signing key {path}: chmod 600 it, and make a new one if they have")
    try:
        signer = Signer.of(text.decode("utf-8", "replace"))
    except NoteError as error:
        raise ConfigError(f"the signing key {path}: {error}") from None
    _publish(vkey_file(path), signer.verifier)
    return signer


def _made(path: Path) -> Signer:
    """A new key, of the name that the log has already where it has one."""
    public = vkey_file(path)
    name = verifiers_of(public)[-1].name if public.exists() else f"streamweir/{secrets.token_hex(NAME_BYTES)}"
    signer = Signer(name, secrets.token_bytes(SEED_BYTES))
    beside = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    with os.fdopen(os.open(beside, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w", encoding="utf-8") as file:
        file.write(signer.skey + "\n")
        file.flush()
        os.fsync(file.fileno())
    try:
        # whole or not at all, and never over one that another process made meanwhile
        os.link(beside, path)
    except FileExistsError:
        return _read(path)
    finally:
        beside.unlink()
    _publish(public, signer.verifier)
    return signer


def _publish(path: Path, verifier: Verifier) -> None:
    known = path.read_text(encoding="utf-8").split() if path.exists() else []
    if verifier.vkey not in known:
        with path.open("a", encoding="utf-8") as file:
            file.write(verifier.vkey + "\n")
