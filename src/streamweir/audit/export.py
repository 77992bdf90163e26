"""A log as a file of JSON lines, which is verified without the database.

The first line says whose log it is, then come its checkpoints, then the rows, then how many there were. A row whose
body is left out still has its leaf, so that the others can be verified; texts are never in it.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Final

import msgspec

from streamweir.audit.note import NoteError, Verifier
from streamweir.audit.record import SIGNED
from streamweir.audit.rows import Note, Row

FORMAT: Final = "streamweir audit export"
VERSION: Final = 1

MAX_HEADER: Final = 1024 * 1024
"""Bytes of a first line that are read, so that a file of another kind is not read whole to be refused."""


class ExportError(ValueError):
    """A file that is no export; the message is a sentence for people."""


class Header(msgspec.Struct, kw_only=True):
    """The first line. `vkeys` serve those who have none from elsewhere: who changes the file can change them too."""

    format: str = FORMAT
    version: int = VERSION
    origin: str
    vkeys: list[str]

    @property
    def verifiers(self) -> list[Verifier]:
        """The keys. Raises ExportError."""
        try:
            return [Verifier.of(vkey) for vkey in self.vkeys]
        except NoteError as error:
            raise ExportError(f"the export's first line: {error}") from None


class NoteLine(msgspec.Struct, forbid_unknown_fields=True):
    """A checkpoint."""

    checkpoint: str


class RowLine(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A row. Bytes are base64; a body is text where it is UTF-8, as all are that nobody changed."""

    position: int
    record_id: str
    kind: str
    leaf: str
    nonce: str | None = None
    body: str | None = None
    body_base64: str | None = None
    left_out: bool = False


class EndLine(msgspec.Struct, forbid_unknown_fields=True):
    """The last line: how many rows there were."""

    records: int


def exported(
    header: Header, checkpoints: Iterable[Note], rows: Iterable[Row], wanted: Collection[str] = ()
) -> Iterator[bytes]:
    """The lines of an export, each with its newline. `wanted`: the ids of records whose bodies are in it (none: all).

    Records of purges and of forgetting always have theirs, for the others cannot be verified without.
    """
    yield msgspec.json.encode(header) + b"\n"
    for _, note in checkpoints:
        yield msgspec.json.encode(NoteLine(note)) + b"\n"
    count = 0
    for row in rows:
        count += 1
        kept = not wanted or row.kind in SIGNED or row.body is None or row.record_id in wanted
        yield msgspec.json.encode(_line(row if kept else row._replace(nonce=None, body=None, left_out=True))) + b"\n"
    yield msgspec.json.encode(EndLine(count)) + b"\n"


class Export:
    """An export that is read: `lines` gives the file's lines anew whenever it is called.

    Raises ExportError at once where the file is of another kind; what is wrong further below is in `problems` after
    `rows`.
    """

    def __init__(self, lines: Callable[[], Iterable[bytes]]) -> None:
        self._lines = lines
        self.problems: list[str] = []
        first = next(iter(lines()), b"")
        try:
            self.header = msgspec.json.decode(first[:MAX_HEADER], type=Header)
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise ExportError("this is no export of an audit log: its first line is none of one") from None
        if self.header.format != FORMAT or self.header.version != VERSION:
            raise ExportError(
                f"the export has format {self.header.format!r} version {self.header.version}; this reads {VERSION}"
            )

    @property
    def checkpoints(self) -> Iterator[Note]:
        """Its checkpoints."""
        for number, line in self._from(2):
            if not line.startswith(b'{"checkpoint"'):
                return
            try:
                yield f"line {number}", msgspec.json.decode(line, type=NoteLine).checkpoint
            except (msgspec.DecodeError, UnicodeDecodeError):
                yield f"line {number}", ""

    @property
    def signed_rows(self) -> Iterator[Row]:
        """Its rows of kind purged or forgotten. Lines that cannot be read are left to `rows`."""
        for _, line in self._from(2):
            if any(f'"kind":"{kind}"'.encode() in line for kind in SIGNED):
                try:
                    row = _row(msgspec.json.decode(line, type=RowLine))
                except (msgspec.DecodeError, UnicodeDecodeError, ValueError):
                    continue
                if row.kind in SIGNED:
                    yield row

    @property
    def rows(self) -> Iterator[Row]:
        """Its rows."""
        count, end = 0, None
        for number, line in self._from(2):
            if end is not None:
                self.problems.append(f"line {number} stands behind the export's end")
            elif line.startswith(b'{"records"'):
                end = _end(line)
            elif not line.startswith(b'{"checkpoint"'):
                try:
                    row = _row(msgspec.json.decode(line, type=RowLine))
                except (msgspec.DecodeError, UnicodeDecodeError, ValueError) as error:
                    self.problems.append(f"line {number} is no row: {error}")
                    continue
                count += 1
                yield row
        if end is None:
            self.problems.append(f"it ends behind {count} rows, without its last line")
        elif end != count:
            self.problems.append(f"it has {count} rows, and its last line says {end}")

    def _from(self, first: int) -> Iterator[tuple[int, bytes]]:
        for number, line in enumerate(self._lines(), 1):
            if number >= first:
                yield number, line


def _line(row: Row) -> RowLine:
    body = encoded = None
    if row.body is not None:
        try:
            body = row.body.decode()
        except UnicodeDecodeError:
            encoded = b64encode(row.body).decode()
    return RowLine(
        position=row.position,
        record_id=row.record_id,
        kind=row.kind,
        leaf=b64encode(row.leaf).decode(),
        nonce=None if row.nonce is None else b64encode(row.nonce).decode(),
        body=body,
        body_base64=encoded,
        left_out=row.left_out,
    )


def _row(line: RowLine) -> Row:
    """Raises ValueError."""
    body = None if line.body is None else line.body.encode()
    if line.body_base64 is not None:
        body = b64decode(line.body_base64, validate=True)
    nonce = None if line.nonce is None else b64decode(line.nonce, validate=True)
    leaf = b64decode(line.leaf, validate=True)
    return Row(line.position, line.record_id, line.kind, leaf, nonce, body, line.left_out)


def _end(line: bytes) -> int:
    try:
        return msgspec.json.decode(line, type=EndLine).records
    except (msgspec.DecodeError, UnicodeDecodeError):
        return -1
