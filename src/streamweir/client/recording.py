"""A recording: the bytes of an upstream's answers with their timing, as JSON lines, secrets removed.

Under a guard, what it covers stands there as asterisks (recordings/mask.py), and the head says `masked`.

{"recording": 1, "dialect": …, "model": …, "started_at": …, "schema": …}
{"at": 0.2184, "text": "data: {…"}          seconds since the call; "base64" where the bytes are no UTF-8
{"at": 1.9031, "end": "eof", "detail": ""}  how the answer ended; absent where we closed it ourselves
{"at": 2.0, "answer": 2}                    where another request followed: its answer begins
"""

from __future__ import annotations

import contextlib
import logging
import os
from base64 import b64decode, b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

import msgspec

from streamweir.dialects import BUILTIN
from streamweir.dialects.ends import DecodeOptions
from streamweir.ending import Cause
from streamweir.errors import ConfigError
from streamweir.guard.shapes import Guard
from streamweir.recordings.mask import RecordMask

VERSION = 1
MASK = b"*"

log = logging.getLogger("streamweir")


class Head(msgspec.Struct, kw_only=True):
    """The first line."""

    recording: int = VERSION
    dialect: str
    model: str
    request_id: str
    started_at: str
    correlation_id: str | None = None
    prompt_bytes: int = 0
    decode: DecodeOptions = DecodeOptions()
    masked: bool | msgspec.UnsetType = msgspec.UNSET


class Piece(msgspec.Struct, omit_defaults=True):
    """Any other line."""

    at: float
    text: str | None = None
    base64: str | None = None
    end: Cause | None = None
    detail: str = ""
    answer: int = 1
    correlation_id: str | None = None

    @property
    def data(self) -> bytes:
        """The bytes that came."""
        return b64decode(self.base64, validate=True) if self.base64 is not None else (self.text or "").encode()


class SecretMask:
    """Replaces secrets in a byte stream by as many asterisks, however the stream is cut. Pure."""

    def __init__(self, secrets: tuple[str | None, ...]) -> None:
        self._secrets = tuple(secret.encode() for secret in secrets if secret)
        self._held = b""

    def push(self, data: bytes) -> bytes:
        """The bytes that can hold no beginning of a secret any more."""
        data = self._held + data
        for secret in self._secrets:
            data = data.replace(secret, MASK * len(secret))
        keep = max((_overlap(data, secret) for secret in self._secrets), default=0)
        self._held = data[len(data) - keep :]
        return data[: len(data) - keep]

    def flush(self) -> bytes:
        """What is left: the beginning of a secret that did not come whole is masked too."""
        rest, self._held = self._held, b""
        return MASK * len(rest)


def _overlap(data: bytes, secret: bytes) -> int:
    for size in range(min(len(data), len(secret) - 1), 0, -1):
        if data.endswith(secret[:size]):
            return size
    return 0


class Recorder:
    """Writes one recording. Trouble with the file never breaks the stream: the recording ends there, with a warning."""

    def __init__(self, path: str | os.PathLike[str], called_at: float, guard: Guard | None = None) -> None:
        """What `guard` covers is masked. Raises ConfigError where the file cannot be made.

        It is for its owner's eyes only (mode 0600).
        """
        self._path = path
        self._called_at = called_at
        self._secrets = SecretMask(())
        self._mask = RecordMask(guard) if guard is not None else None
        self._answers = 0
        try:
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        except OSError as error:
            raise ConfigError(f"record: {os.fspath(path)!r} cannot be written: {error.strerror}") from None
        self._file: TextIO | None = os.fdopen(handle, "w", encoding="utf-8", buffering=1)

    def head(self, head: Head, now: float, secrets: tuple[str | None, ...]) -> None:
        """An answer begins: the first one of the stream, or one that follows it."""
        self._answers += 1
        self._secrets = SecretMask(secrets)
        mask, named = self._mask, head.correlation_id
        if mask is not None:
            mask.begin(BUILTIN[head.dialect], head.decode)
            named = mask.shown(named) if named is not None else None
            asked, told = mask.shown(head.model), mask.shown(head.request_id)
            head = msgspec.structs.replace(head, model=asked, request_id=told, correlation_id=named, masked=True)
        self._put(head if self._answers == 1 else Piece(self._at(now), answer=self._answers, correlation_id=named))

    def data(self, data: bytes, now: float) -> None:
        """Bytes came."""
        if shown := self._secrets.push(data):
            self._data(shown, self._at(now))

    def end(self, cause: Cause | None, detail: str, now: float) -> None:
        """The answer is over; without a cause, since we left it."""
        if rest := self._secrets.flush():
            self._data(rest, self._at(now))
        if cause is not None:
            told = self._mask.shown(detail) if self._mask is not None else detail
            self._put(Piece(self._at(now), end=cause, detail=told))

    def close(self) -> None:
        """The stream is over."""
        if self._mask is not None:
            self._mask.finish()
            self._drain(self._mask)
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._file.close()
            self._file = None

    def _at(self, now: float) -> float:
        return round(now - self._called_at, 6)

    def _data(self, data: bytes, at: float) -> None:
        if self._mask is None:
            self._line(piece(at, data))
        elif self._file is not None:
            self._mask.feed(data, at)
            self._drain(self._mask)

    def _put(self, line: Head | Piece) -> None:
        if self._mask is None:
            self._line(line)
        else:
            self._mask.put(line)
            self._drain(self._mask)

    def _drain(self, mask: RecordMask) -> None:
        for ready in mask.ready():
            self._line(piece(*ready) if isinstance(ready, tuple) else ready)

    def _line(self, value: msgspec.Struct) -> None:
        if self._file is None:
            return
        try:
            self._file.write(msgspec.json.encode(value).decode() + "\n")
        except OSError as error:
            log.warning("the recording %s ends early: %s", self._path, error.strerror)
            self.close()


def piece(at: float, data: bytes) -> Piece:
    """One line for bytes."""
    try:
        return Piece(at, text=data.decode())
    except UnicodeDecodeError:
        return Piece(at, base64=b64encode(data).decode())


class Recording(msgspec.Struct):
    """A recording that was read: its head, and of each answer its correlation id and its pieces."""

    head: Head
    answers: list[tuple[str | None, list[Piece]]]


def read_recording(path: str | os.PathLike[str]) -> Recording:
    """Read a file. Raises ConfigError that names the line at fault."""
    try:
        with Path(path).open("rb") as file:
            return parse_recording(iter(file), os.fspath(path))
    except OSError as error:
        raise ConfigError(f"{os.fspath(path)!r} cannot be read: {error.strerror}") from None


def parse_recording(lines: Iterator[bytes], where: Any) -> Recording:
    """A recording from its lines. A last line that is cut off, as a crash leaves it, is passed over."""
    decode_piece = msgspec.json.Decoder(Piece).decode
    try:
        head = msgspec.json.decode(next(lines, b""), type=Head)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{where}: line 1 is no head of a recording: {error}") from None
    if head.recording != VERSION or head.dialect not in BUILTIN:
        raise ConfigError(f"{where}: version {head.recording}, dialect {head.dialect!r}: not known here")
    answers: list[tuple[str | None, list[Piece]]] = [(head.correlation_id, [])]
    for number, line in enumerate(lines, 2):
        try:
            one = decode_piece(line)
            _ = one.data
        except (msgspec.DecodeError, UnicodeDecodeError, ValueError) as error:
            if not line.endswith(b"\n"):
                break
            raise ConfigError(f"{where}: line {number} is no piece of a recording: {error}") from None
        if one.answer > len(answers):
            answers.append((one.correlation_id, []))
        else:
            answers[-1][1].append(one)
    return Recording(head, answers)
