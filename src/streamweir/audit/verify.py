"""Whether a log is what was written: over its rows, its checkpoints, and what was anchored outside.

A row whose body no longer fits its leaf is located exactly. What fits by itself (a leaf that was computed anew, a row
deleted, inserted or moved with the positions put right) is located between the last checkpoint that fits and the first
that does not. Against somebody who has the signing key only outside anchors count.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from hashlib import sha256
from typing import NamedTuple

import msgspec

from streamweir.audit.findings import Finding
from streamweir.audit.merkle import HASH_BYTES, Frontier
from streamweir.audit.note import NoteError, Verifier, open_checkpoint
from streamweir.audit.record import Forgotten, Purged, commitment, id_line, leaf_of, read_signed
from streamweir.audit.rows import KeptText, Note, Row, finding_at


class Head(msgspec.Struct):
    """What is looked at in a body."""

    record_id: str = ""
    kind: str = ""
    subject_hmac: str | None = None
    text_hmac: str | None = None


class Mark(NamedTuple):
    """What the tree must be at a size."""

    size: int
    outside: bool
    root: bytes
    source: str


class Purge:
    """One purge, while the rows pass that it names. `ids` hashes their record ids; `restored`: one has its body."""

    __slots__ = ("ids", "record", "restored")

    def __init__(self, record: Purged) -> None:
        self.record = record
        self.ids = sha256()
        self.restored = False


class Verification:
    """Give it `begin`, then every row in order of positions, then `end`; each yields findings.

    Afterwards `records`, `purged`, `left_out` count rows; `signed` and `anchored` are the sizes up to which checkpoints
    of the log, and those from outside, fit. `signed_rows` are those of kind purged or forgotten, which are read first.
    """

    def __init__(
        self,
        verifiers: Sequence[Verifier],
        checkpoints: Iterable[Note],
        *,
        origin: str | None = None,
        anchors: Iterable[Note] = (),
        signed_rows: Iterable[Row] = (),
        texts: Callable[[str], KeptText | None] | None = None,
        tree: tuple[int, bytes] | None = None,
    ) -> None:
        self._verifiers = verifiers
        self._origin = origin
        self._notes = (checkpoints, anchors)
        self._signed_rows = signed_rows
        self._texts = texts
        self._tree = tree
        self._frontier = Frontier()
        self._marks: list[Mark] = []
        self._passed = 0
        self._ranges: list[tuple[int, int, Purge]] = []
        self._range = 0
        self._forgotten: dict[str, int] = {}
        self._missing: tuple[int, int] | None = None
        self._next = 0
        self._whole = True
        self._wrong: set[bool] = set()
        self.records = self.purged = self.left_out = 0
        self.signed = self.anchored = 0

    def begin(self) -> Iterator[Finding]:
        """Read checkpoints, anchors and signed records."""
        for outside, notes in enumerate(self._notes):
            for source, note in notes:
                try:
                    checkpoint = open_checkpoint(note, self._verifiers, self._origin)
                except NoteError as error:
                    yield Finding(kind="anchor" if outside else "checkpoint", what=f"{source}: {error}")
                else:
                    self._marks.append(Mark(checkpoint.size, bool(outside), checkpoint.root, source))
        self._marks.sort()
        for row in self._signed_rows:
            yield from self._read_signed(row)
        self._ranges.sort(key=lambda one: one[:2])
        yield from self._compare()

    def row(self, row: Row) -> Iterator[Finding]:
        """The next row."""
        at = row.position
        if at > self._next:
            yield Finding(kind="gap", what="no row has these positions", first=self._next, last=at - 1)
            self._whole = False
        elif at < self._next:
            yield finding_at(row, "order", "its position was there before")
            self._whole = False
        self._next = max(self._next, at + 1)
        self.records += 1
        if len(row.leaf) != HASH_BYTES:
            yield finding_at(row, "leaf", f"its leaf has {len(row.leaf)} bytes, and a hash has {HASH_BYTES}")
        if row.body is None or row.nonce is None:
            yield from self._without_body(row)
        else:
            yield from self._end_of_missing()
            yield from self._with_body(row, row.nonce, row.body)
        if self._whole:
            self._frontier.append(row.leaf)
            yield from self._compare()

    def end(self) -> Iterator[Finding]:
        """What only shows behind the last row."""
        yield from self._end_of_missing()
        for purge in {id(one): one for _, _, one in self._ranges}.values():
            record = purge.record
            if not purge.restored and purge.ids.hexdigest() != record.ids_sha256:
                what = f"the ids of these rows are not those that {record.record_id} says were purged"
                yield Finding(kind="purged_ids", what=what, first=record.ranges[0][0], last=record.ranges[-1][1])
        for outside in (False, True):
            beyond = [mark for mark in self._marks if mark.outside is outside and mark.size > self._next]
            if beyond:
                mark = beyond[-1]
                what = f"there are {self._next} records, and {mark.source} is of {mark.size}"
                # a row that was deleted with the positions put right may be any behind the last fitting one
                first = self.anchored if outside else max(self.signed, self.anchored)
                kind = "rolled_back" if outside else "cut"
                yield Finding(kind=kind, what=what, first=first, last=mark.size - 1)
        if self.records and not self._marks:
            yield Finding(kind="unsigned", what="there is no checkpoint", first=0, last=self._next - 1)
        now = (self._frontier.size, self._frontier.to_bytes())
        if self._tree is not None and self._whole and self._tree != now:
            yield Finding(kind="tree", what=f"it is not that of {now[0]} records with these leaves")

    # -- parts ---------------------------------------------------------------------------------------

    def _read_signed(self, row: Row) -> Iterator[Finding]:
        try:
            record = read_signed(row.body or b"", self._verifiers)
        except NoteError as error:
            yield finding_at(row, "signed_record", str(error))
            return
        if self._origin is not None and record.origin != self._origin:
            yield finding_at(row, "signed_record", f"it is one of the log {record.origin}, not of {self._origin}")
        elif isinstance(record, Forgotten):
            self._forgotten.update(dict.fromkeys(record.records, row.position))
        else:
            # nothing that came later can have been purged by it
            purge = Purge(record)
            self._ranges += [(first, min(last, row.position - 1), purge) for first, last in record.ranges]

    def _purge_of(self, position: int) -> Purge | None:
        ranges = self._ranges
        while self._range < len(ranges) and ranges[self._range][1] < position:
            self._range += 1
        if self._range < len(ranges) and ranges[self._range][0] <= position:
            return ranges[self._range][2]
        return None

    def _without_body(self, row: Row) -> Iterator[Finding]:
        if row.left_out:
            self.left_out += 1
            yield from self._end_of_missing()
        elif row.body is not None or row.nonce is not None:
            yield from self._end_of_missing()
            yield finding_at(row, "half", "it has no nonce" if row.nonce is None else "it has no body")
        elif (purge := self._purge_of(row.position)) is not None:
            self.purged += 1
            if row.kind != "stream":
                yield finding_at(row, "columns", "it is purged, and only records of streams are")
            purge.ids.update(id_line(row.record_id))
            yield from self._end_of_missing()
        else:
            first = self._missing[0] if self._missing else row.position
            self._missing = (first, row.position)

    def _end_of_missing(self) -> Iterator[Finding]:
        if self._missing is not None:
            first, last = self._missing
            self._missing = None
            yield Finding(kind="body_missing", what="no body, and no signed purge of it", first=first, last=last)

    def _with_body(self, row: Row, nonce: bytes, body: bytes) -> Iterator[Finding]:
        if leaf_of(nonce, body) != row.leaf:
            yield finding_at(row, "leaf", "its leaf is not the hash of its nonce and body")
            return
        try:
            head = msgspec.json.decode(body, type=Head)
        except (msgspec.DecodeError, UnicodeDecodeError):
            head = Head()
        if (head.record_id, head.kind) != (row.record_id, row.kind):
            yield finding_at(
                row, "columns", f"its body is that of {head.kind or 'no'} record {head.record_id}".rstrip()
            )
        if (purge := self._purge_of(row.position)) is not None:
            purge.restored = True
            yield finding_at(row, "not_purged", f"{purge.record.record_id} says that it was purged")
        if self._texts is not None:
            yield from self._text(row, head, self._texts(row.record_id))

    def _text(self, row: Row, head: Head, kept: KeptText | None) -> Iterator[Finding]:
        forgotten = self._forgotten.get(row.record_id)
        if kept is None:
            if forgotten is None and head.text_hmac is not None:
                yield finding_at(row, "text_missing", "its text is not there")
            return
        if forgotten is not None:
            yield finding_at(row, "not_forgotten", f"record {forgotten} says that its text was forgotten")
        subject = None if kept.subject is None else commitment(kept.salt, kept.subject)
        for what, found, said in (
            ("text", commitment(kept.salt, kept.text), head.text_hmac),
            ("subject", subject, head.subject_hmac),
        ):
            if found != said:
                yield finding_at(row, "text", f"its {what} does not fit what its body says: {said or 'none'}")

    def _compare(self) -> Iterator[Finding]:
        """Hold the tree against what is said of its size."""
        size, marks = self._frontier.size, self._marks
        while self._passed < len(marks) and marks[self._passed].size == size:
            mark = marks[self._passed]
            self._passed += 1
            if self._frontier.root() != mark.root:
                if mark.outside not in self._wrong:
                    yield self._differs(mark)
                self._wrong.add(mark.outside)
            elif mark.outside:
                self.anchored = size
            else:
                self.signed = size

    def _differs(self, mark: Mark) -> Finding:
        what = f"the root over {mark.size} records is not that of {mark.source}"
        if not mark.outside:
            first = max(self.signed, self.anchored)
            return Finding(kind="root", what=what, first=first, last=mark.size - 1)
        # the log's own checkpoints prove nothing here: whoever has the key has signed them anew
        if False not in self._wrong:
            what += ", while the log's own checkpoints fit: it was changed by somebody with the signing key"
        return Finding(kind="rewritten", what=what, first=self.anchored, last=mark.size - 1)


def verify(verification: Verification, rows: Iterable[Row]) -> Iterator[Finding]:
    """All findings of a log, as they show."""
    yield from verification.begin()
    for row in rows:
        yield from verification.row(row)
    yield from verification.end()
