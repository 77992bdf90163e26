"""What stands in the log: the bytes of a record, its leaf, and the records of what was deleted.

A leaf hashes 16 random bytes and the record's body, so that nobody finds out by trying what a purged body was.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any, Final, Literal, cast

import msgspec

from streamweir.audit.merkle import leaf_hash
from streamweir.audit.note import NoteError, Signer, Verifier, opened
from streamweir.report import Report

NONCE_BYTES: Final = 16
SALT_BYTES: Final = 16
"""Random bytes of a kept text: with them deleted, its HMAC says nothing of it."""

VERSION: Final = 1

HEADING: Final = "streamweir record\n"
"""The first line of what is signed of a record. No log is called so: its name would hold a space."""


class StreamRecord(msgspec.Struct, kw_only=True):
    """The record of one stream. `report` is without text; `asked` says who: key, client address, route.

    `scanned` is what the guard was given to read; the two HMACs are there where the text is kept.
    """

    kind: Literal["stream"] = "stream"
    version: int = VERSION
    record_id: str
    report: Report
    asked: Mapping[str, str | None]
    scanned: Mapping[str, Any]
    retention: str
    subject_hmac: str | None = None
    text_hmac: str | None = None


class Purged(msgspec.Struct, kw_only=True, tag_field="kind", tag="purged"):
    """That bodies and nonces were deleted, by `rule`: those at `ranges` of positions, both ends included.

    `ids_sha256` binds the record ids that stand beside the leaves, in order, each with a newline behind it.
    """

    version: int = VERSION
    record_id: str
    origin: str
    at: str
    rule: str
    before: str
    ranges: Sequence[tuple[int, int]]
    ids_sha256: str
    records: int
    texts: int = 0


class Forgotten(msgspec.Struct, kw_only=True, tag_field="kind", tag="forgotten"):
    """That the texts of `records`, by their ids, were deleted with their salts, vectors and queued deliveries.

    It does not say whose they were.
    """

    version: int = VERSION
    record_id: str
    origin: str
    at: str
    records: Sequence[str]
    texts: int = 0
    passages: int = 0
    deliveries: int = 0


SIGNED: Final = ("purged", "forgotten")
"""Kinds whose bodies are signed, and are never purged."""


def canonical(body: Any) -> bytes:
    """JSON in UTF-8, keys sorted, without white space: the bytes that are hashed and kept."""
    return msgspec.json.encode(body, order="sorted")


def leaf_of(nonce: bytes, body: bytes) -> bytes:
    """The leaf of a record: SHA-256 over a zero byte, the nonce and the body."""
    return leaf_hash(nonce + body)


def commitment(salt: bytes, text: str) -> str:
    """What the log keeps of a text that stands elsewhere: HMAC-SHA256 under its salt, in hex."""
    return hmac.digest(salt, text.encode("utf-8", "surrogatepass"), "sha256").hex()


def ids_digest(record_ids: Sequence[str]) -> str:
    """The `ids_sha256` of these records, in the order of their positions."""
    digest = sha256()
    for record_id in record_ids:
        digest.update(id_line(record_id))
    return digest.hexdigest()


def id_line(record_id: str) -> bytes:
    """One record id as `ids_sha256` hashes it."""
    return record_id.encode("utf-8", "surrogatepass") + b"\n"


def ranges_of(positions: Sequence[int]) -> list[tuple[int, int]]:
    """Ascending positions as ranges, both ends included."""
    ranges: list[tuple[int, int]] = []
    for position in positions:
        if ranges and position == ranges[-1][1] + 1:
            ranges[-1] = (ranges[-1][0], position)
        else:
            ranges.append((position, position))
    return ranges


def signed_body(record: Purged | Forgotten, signer: Signer) -> bytes:
    """The body of a signed record: its fields and `signature`, a line of a signed note over the canonical fields."""
    line = signer.line(_text(msgspec.to_builtins(record)))
    return canonical({**msgspec.to_builtins(record), "signature": line})


def read_signed(body: bytes, verifiers: Sequence[Verifier]) -> Purged | Forgotten:
    """A signed record, which one of the keys must have signed. Raises NoteError."""
    try:
        fields = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        fields = None
    if not isinstance(fields, dict):
        raise NoteError("the body is no JSON object")
    line = cast("dict[str, Any]", fields).pop("signature", None)
    if not isinstance(line, str):
        raise NoteError("the body has no signature")
    opened(f"{_text(fields)}\n{line}\n", verifiers)
    try:
        return msgspec.convert(fields, Purged | Forgotten)
    except msgspec.ValidationError as error:
        raise NoteError(f"the body is signed, and is none of {' and '.join(SIGNED)}: {error}") from None


def _text(fields: Any) -> str:
    return f"{HEADING}{canonical(fields).decode()}\n"
