import dataclasses

import pytest

from streamweir.audit.export import Export, ExportError, Header, exported
from streamweir.audit.verify import Verification, verify
from tests.unit.audit.logs import ANCHORED, FORGOTTEN_AT, KEY, ORIGIN, PURGED, PURGED_AT, SIZE, Log, written

LOG = written()
HEADER = Header(origin=ORIGIN, vkeys=[KEY.verifier.vkey])
LINES = list(exported(HEADER, LOG.checkpoints, LOG.rows))
ROWS_AT = 1 + len(LOG.checkpoints)


def read(lines: list[bytes]) -> Export:
    return Export(lambda: lines)


def verification(export: Export) -> Verification:
    return Verification(
        export.header.verifiers,
        export.checkpoints,
        origin=export.header.origin,
        anchors=LOG.anchors,
        signed_rows=export.signed_rows,
    )


def found(lines: list[bytes]) -> list[str]:
    export = read(lines)
    return [one.kind for one in verify(verification(export), export.rows)] + ["export"] * len(export.problems)


def test_what_is_exported_is_read_back() -> None:
    export = read(LINES)
    assert list(export.rows) == LOG.rows
    assert [note for _, note in export.checkpoints] == [note for _, note in LOG.checkpoints]
    assert [row.position for row in export.signed_rows] == [PURGED_AT, FORGOTTEN_AT]
    assert export.problems == []
    assert found(LINES) == []
    assert all(line.endswith(b"\n") and line.count(b"\n") == 1 for line in LINES)


def test_bytes_that_are_no_text_are_read_back_too() -> None:
    rows = [LOG.rows[30]._replace(body=b"\xff\x00{")]
    assert list(read(list(exported(HEADER, [], rows))).rows) == rows


def test_a_part_still_carries_every_leaf() -> None:
    lines = list(exported(HEADER, LOG.checkpoints, LOG.rows, {"rec-005", "rec-030"}))
    export = read(lines)
    assert [row.leaf for row in export.rows] == LOG.leaves
    assert [row.position for row in export.rows if row.body] == [5, PURGED_AT, FORGOTTEN_AT, 30]
    one = verification(export)
    assert list(verify(one, export.rows)) == []
    assert (one.records, one.purged, one.left_out) == (SIZE, len(PURGED), SIZE - len(PURGED) - 4)
    assert (one.signed, one.anchored) == (SIZE, ANCHORED[-1])
    assert found([line.replace(b'"left_out":true', b'"left_out":false') for line in lines])[0] == "body_missing"


@pytest.mark.parametrize("at", range(1, len(LINES)))
def test_any_line_deleted_doubled_or_changed_is_found(at: int) -> None:
    line = LINES[at]
    # without a checkpoint the log is still what the others say
    whole = at >= ROWS_AT
    assert found(LINES[:at] + LINES[at + 1 :]) or not whole
    assert found([*LINES[:at], line, *LINES[at:]]) or not whole
    assert found([*LINES[:at], b"no line\n", *LINES[at + 1 :]])
    if whole:
        assert "export" in found(LINES[:at])
    for byte in range(2, len(line) - 3, 7):
        changed = line[:byte] + bytes([line[byte] ^ 1]) + line[byte + 1 :]
        if changed.lower() != line.lower():
            assert found([*LINES[:at], changed, *LINES[at + 1 :]]), (line, changed)


def test_what_comes_behind_the_end() -> None:
    assert found([*LINES, LINES[-2]]) == ["export"]
    assert found([*LINES[:-1], b'{"records":41}\n']) == ["export"]
    assert found([*LINES[:-1], b'{"records":"many"}\n']) == ["export"]


def test_a_file_of_another_kind() -> None:
    for lines in ([], [b"\x7fELF\xff"], [b'{"format":"x"}\n'], [LINES[1]]):
        with pytest.raises(ExportError, match="no export of an audit log"):
            read(lines)
    with pytest.raises(ExportError, match="version 2"):
        read([LINES[0].replace(b'"version":1', b'"version":2')])
    with pytest.raises(ExportError, match="first line"):
        _ = read([LINES[0].replace(b"log.example/one+", b"log.example/two+")]).header.verifiers


def test_an_export_of_a_changed_log_shows_the_change() -> None:
    body = LOG.rows[30].body
    assert body is not None
    rows = [*LOG.rows[:30], LOG.rows[30]._replace(body=body[:-1] + b"\xff"), *LOG.rows[31:]]
    log: Log = dataclasses.replace(LOG, rows=rows)
    assert found(list(exported(HEADER, log.checkpoints, log.rows))) == ["leaf"]
