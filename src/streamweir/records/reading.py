"""The log as it is read for an audit, a page at a time. Whatever somebody wrote into a column is given as its type."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import msgspec

from streamweir.audit.rows import KeptText, Note, Row
from streamweir.records.database import Database

PAGE: Final = 1000
"""Rows that are read at a time: some megabytes."""

LEAVES: Final = 10_000


class Reader:
    """Reads from a connection, for one thread. Every method raises DatabaseError."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def rows(self) -> Iterator[Row]:
        """All rows, in order."""
        return self._paged("log_rows")

    def signed_rows(self) -> Iterator[Row]:
        """Those that no stream made: purged, forgotten."""
        return self._paged("signed_rows")

    def row(self, record_id: str) -> Row | None:
        """One row."""
        found = self._database.run("log_row", {"record_id": record_id})
        return _row(found[0]) if found else None

    def of_request(self, request_id: str) -> Row | None:
        """The newest record of a request whose body is there: all are looked through."""
        named = msgspec.json.encode(request_id)
        found = None
        for row in self.rows():
            if row.body is not None and b'"request_id":' + named in row.body:
                found = row
        return found

    def newest(self, most: int) -> list[Row]:
        """The last rows, in order."""
        return [_row(one) for one in reversed(self._database.run("newest_rows", {"most": most}))]

    def checkpoints(self) -> Iterator[Note]:
        """The log's own checkpoints."""
        size = -1
        while page := self._database.run("checkpoints_behind", {"size": size, "most": PAGE}):
            for size, note in page:
                yield f"checkpoint {size}", _text(note)

    def newest_checkpoint(self) -> Note | None:
        """The last of them."""
        found = self._database.run("newest_checkpoint")
        return (f"checkpoint {found[0][0]}", _text(found[0][2])) if found else None

    def leaves(self, size: int) -> list[bytes]:
        """The first leaves, as many as `size`; fewer where a position is missing."""
        leaves: list[bytes] = []
        while page := self._database.run("log_leaves", {"first": len(leaves), "last": size, "most": LEAVES}):
            for position, leaf in page:
                if position != len(leaves):
                    return leaves
                leaves.append(_bytes(leaf))
        return leaves

    def text(self, record_id: str) -> KeptText | None:
        """The text that is kept for a record."""
        if any("\ud800" <= char <= "\udfff" for char in record_id):
            # a changed id that is no text: nothing is kept under it, and no database can be asked for it
            return None
        found = self._database.run("kept_text", {"record_id": record_id})
        if not found:
            return None
        subject, salt, text = found[0]
        return KeptText(None if subject is None else _text(subject), _bytes(salt), _text(text))

    def tree(self) -> tuple[int, bytes] | None:
        """The row that the next record is appended to."""
        found = self._database.run("tree")
        return (found[0][0], _bytes(found[0][1])) if found else None

    def _paged(self, name: str) -> Iterator[Row]:
        first = 0
        while page := self._database.run(name, {"first": first, "most": PAGE}):
            for one in page:
                yield _row(one)
            first = page[-1][0] + 1


def _row(columns: tuple[Any, ...]) -> Row:
    position, record_id, kind, leaf, nonce, body = columns
    return Row(
        position,
        _text(record_id),
        _text(kind),
        _bytes(leaf),
        None if nonce is None else _bytes(nonce),
        None if body is None else _bytes(body),
    )


def _bytes(value: Any) -> bytes:
    if isinstance(value, bytes):
        return value
    return _text(value).encode("utf-8", "surrogateescape")


def _text(value: Any) -> str:
    if isinstance(value, bytes):
        return value.decode("utf-8", "surrogateescape")
    return value if isinstance(value, str) else f"{value}"
