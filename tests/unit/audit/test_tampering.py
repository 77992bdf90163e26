"""Every way of changing a log, at every record: found, and located as the documents say."""

import dataclasses

import msgspec
import pytest

from streamweir.audit import merkle
from streamweir.audit.findings import MEANS, Finding
from streamweir.audit.merkle import Frontier
from streamweir.audit.note import Checkpoint, open_checkpoint
from streamweir.audit.one import verify_one
from streamweir.audit.record import canonical, read_signed, signed_body
from streamweir.audit.rows import KeptText, Row
from streamweir.audit.verify import verify
from tests.unit.audit.logs import (
    ANCHORED,
    EVERY,
    FORGOTTEN,
    FORGOTTEN_AT,
    KEY,
    PURGED,
    PURGED_AT,
    SIZE,
    THIEF,
    Log,
    note_of,
    purge_of,
    renumbered,
    row_of,
    signed_anew,
    stream_row,
    text_of,
    written,
)

LOG = written()
POSITIONS = range(SIZE)
WITH_BODY = [at for at in POSITIONS if at not in PURGED]
NEW = stream_row(0, name="rec-new")


def kinds(findings: list[Finding]) -> list[str]:
    return [finding.kind for finding in findings]


def changed(data: bytes, at: int = 0) -> bytes:
    at %= len(data)
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def put(log: Log, at: int, row: Row) -> Log:
    return log.but([*log.rows[:at], row, *log.rows[at + 1 :]])


def interval(at: int, every: int = EVERY) -> tuple[int, int]:
    """The records between the checkpoints around a position."""
    return at // every * every, at // every * every + every - 1


def located(findings: list[Finding], kind: str) -> tuple[int | None, int | None]:
    (finding,) = [one for one in findings if one.kind == kind]
    return finding.first, finding.last


def test_an_untouched_log_is_intact() -> None:
    verification = LOG.verification()
    assert list(verify(verification, LOG.rows)) == []
    assert (verification.records, verification.purged, verification.left_out) == (SIZE, len(PURGED), 0)
    assert (verification.signed, verification.anchored) == (SIZE, ANCHORED[-1])


@pytest.mark.parametrize("at", WITH_BODY)
def test_a_byte_of_a_body_or_a_nonce(at: int) -> None:
    row = LOG.rows[at]
    assert row.body is not None
    assert row.nonce is not None
    forms = [row._replace(body=changed(row.body, byte)) for byte in range(0, len(row.body), 29)]
    forms += [row._replace(nonce=changed(row.nonce, byte)) for byte in range(0, 16, 5)]
    forms += [row._replace(body=row.body + b" "), row._replace(body=row.body[:-1]), row._replace(nonce=row.nonce[:-1])]
    for form in forms:
        # a signed record is told from an unsigned one too, and what it said no longer holds
        findings = [
            one for one in put(LOG, at, form).findings() if at not in (PURGED_AT, FORGOTTEN_AT) or one.kind == "leaf"
        ]
        assert [(one.kind, one.first, one.last) for one in findings] == [("leaf", at, at)]


@pytest.mark.parametrize("at", POSITIONS)
def test_a_byte_of_a_leaf(at: int) -> None:
    for byte in range(0, 32, 10):
        findings = put(LOG, at, LOG.rows[at]._replace(leaf=changed(LOG.rows[at].leaf, byte))).findings()
        assert located(findings, "root") == interval(at)
        if at not in PURGED:
            assert located(findings, "leaf") == (at, at)
    for leaf in (b"", LOG.rows[at].leaf[:-1], LOG.rows[at].leaf + b"\x00"):
        assert "leaf" in kinds(put(LOG, at, LOG.rows[at]._replace(leaf=leaf)).findings())


@pytest.mark.parametrize("at", POSITIONS)
def test_a_record_id_or_a_kind(at: int) -> None:
    findings = put(LOG, at, LOG.rows[at]._replace(record_id="rec-999")).findings()
    if at in PURGED:
        assert located(findings, "purged_ids") == (PURGED[0], PURGED[-1])
        assert located(put(LOG, at, LOG.rows[at]._replace(kind="purge")).findings(), "columns") == (at, at)
    else:
        assert located(findings, "columns") == (at, at)
        assert "columns" in kinds(put(LOG, at, LOG.rows[at]._replace(kind="purge")).findings())


@pytest.mark.parametrize("at", POSITIONS)
def test_a_record_in_place_of_another_with_its_leaf(at: int) -> None:
    findings = put(LOG, at, stream_row(at, tokens=8)).findings()
    assert located(findings, "root") == interval(at)


@pytest.mark.parametrize("at", POSITIONS)
def test_a_record_deleted(at: int) -> None:
    rows = [row for row in LOG.rows if row.position != at]
    findings = LOG.but(rows).findings()
    assert located(findings, "cut" if at == SIZE - 1 else "gap") == (interval(at) if at == SIZE - 1 else (at, at))
    findings = LOG.but(renumbered(rows)).findings()
    last = at >= SIZE - EVERY
    assert located(findings, "cut" if last else "root") == interval(at)


@pytest.mark.parametrize("at", POSITIONS)
def test_a_record_inserted(at: int) -> None:
    rows = [*LOG.rows[:at], NEW._replace(position=at), *LOG.rows[at:]]
    assert located(LOG.but(rows).findings(), "order") == (at, at)
    assert located(LOG.but(renumbered(rows)).findings(), "root") == interval(at)


@pytest.mark.parametrize("one", range(SIZE - 1))
def test_two_records_swapped(one: int) -> None:
    for other in range(one + 1, SIZE):
        rows = list(LOG.rows)
        rows[one], rows[other] = rows[other], rows[one]
        assert located(LOG.but(renumbered(rows)).findings(), "root") == interval(one)
    assert {"gap", "order"} <= set(kinds(LOG.but(rows).findings()))


@pytest.mark.parametrize("size", POSITIONS)
def test_the_tail_cut(size: int) -> None:
    findings = LOG.but(LOG.rows[:size]).findings()
    assert located(findings, "cut") == (size // EVERY * EVERY, SIZE - 1)
    if size < ANCHORED[-1]:
        assert located(findings, "rolled_back") == (16 if size >= 16 else 0, ANCHORED[-1] - 1)


@pytest.mark.parametrize("size", POSITIONS)
def test_the_tail_cut_with_its_checkpoints_shows_up_to_the_last_anchor(size: int) -> None:
    """Without any key: what is left is what the log once was. Behind the last anchor nobody can tell."""
    left = [one for one in LOG.checkpoints if int(one[0].split()[1]) <= size]
    findings = dataclasses.replace(LOG.but(LOG.rows[:size]), checkpoints=left).findings()
    if size < ANCHORED[-1]:
        assert located(findings, "rolled_back") == (16 if size >= 16 else 0, ANCHORED[-1] - 1)
    else:
        assert findings == []


@pytest.mark.parametrize("at", POSITIONS)
def test_the_tail_rewritten_and_signed_with_the_stolen_key(at: int) -> None:
    """Found against outside anchors alone, and located between them; behind the last one it is not found."""
    rows = [*LOG.rows[:at], *(stream_row(number, tokens=8) for number in range(at, SIZE))]
    rows[FORGOTTEN_AT] = LOG.rows[FORGOTTEN_AT]
    gone = [number for number in PURGED if number < at]
    if gone:
        # the thief signs the purge anew too, for the bodies that are not there
        body = purge_of([f"rec-{number:03}" for number in gone], gone)
        rows[PURGED_AT] = row_of(PURGED_AT, body, "purged", f"rec-{PURGED_AT:03}")
    texts = {row.record_id: text_of(row.position) for row in rows if row.kind == "stream" and row.body}
    texts = {name: kept for name, kept in texts.items() if name not in {f"rec-{number:03}" for number in FORGOTTEN}}
    forged = signed_anew(dataclasses.replace(LOG, rows=rows, texts=texts))
    assert dataclasses.replace(forged, anchors=[]).findings() == []
    findings = forged.findings()
    if at < ANCHORED[-1]:
        (finding,) = findings
        below = max(size for size in (0, *ANCHORED) if size <= at)
        above = min(size for size in ANCHORED if size > at)
        assert (finding.kind, finding.first, finding.last) == ("rewritten", below, above - 1)
        assert "somebody with the signing key" in finding.what
    else:
        assert findings == []


def test_all_of_it_signed_with_another_key() -> None:
    forged = signed_anew(LOG.but([stream_row(at, tokens=8) for at in POSITIONS]), THIEF)
    forged.texts = {row.record_id: text_of(row.position) for row in forged.rows}
    # the verifier's key is kept elsewhere
    assert kinds(forged.findings()).count("checkpoint") == len(LOG.checkpoints)
    # the thief put their own in its place: what is outside is not signed with it
    assert kinds(forged.findings([THIEF])) == ["anchor"] * len(ANCHORED)
    assert located(forged.findings([KEY, THIEF]), "rewritten") == (0, ANCHORED[0] - 1)


def test_checkpoints_changed_exchanged_or_gone() -> None:
    def log(*checkpoints: tuple[str, str]) -> list[str]:
        return kinds(dataclasses.replace(LOG, checkpoints=list(checkpoints), anchors=[]).findings())

    one, *others = LOG.checkpoints
    assert log((one[0], one[1].replace("8", "9", 1)), *others) == ["checkpoint"]
    assert log(("checkpoint 8", ""), *others) == ["checkpoint"]
    assert log(*others) == []
    assert log() == ["unsigned"]
    assert log((one[0], note_of(LOG.rows, 8).replace("log.example/one\n", "log.example/two\n"))) == [
        "checkpoint",
        "unsigned",
    ]


def test_the_end_that_no_checkpoint_covers_is_told() -> None:
    """Anybody who can write to the store can change what no checkpoint covers yet."""
    verification = dataclasses.replace(LOG, checkpoints=LOG.checkpoints[:-1], anchors=[]).verification()
    rows = [*LOG.rows[:-1], stream_row(SIZE - 1, tokens=8)]
    assert list(verify(verification, rows)) == []
    assert (verification.records, verification.signed) == (SIZE, SIZE - EVERY)


@pytest.mark.parametrize("at", WITH_BODY)
def test_a_body_gone_without_a_purge(at: int) -> None:
    row = LOG.rows[at]
    findings = put(LOG, at, row._replace(nonce=None, body=None)).findings()
    assert (at, at) in [(one.first, one.last) for one in findings if one.kind == "body_missing"]
    for form in (row._replace(nonce=None), row._replace(body=None)):
        assert located(put(LOG, at, form).findings(), "half") == (at, at)
    rows = [row._replace(nonce=None, body=None) if 30 <= row.position < 38 else row for row in LOG.rows]
    assert located(LOG.but(rows).findings(), "body_missing") == (30, 37)


def test_a_purge_covers_nothing_that_came_later() -> None:
    ids = [LOG.rows[at].record_id for at in (*PURGED, 30)]
    log = put(LOG, PURGED_AT, row_of(PURGED_AT, purge_of(ids, [*PURGED, 30]), "purged", f"rec-{PURGED_AT:03}"))
    log = signed_anew(put(log, 30, log.rows[30]._replace(nonce=None, body=None)))
    log.anchors = []
    assert located(log.findings(), "body_missing") == (30, 30)


def test_a_purge_that_nobody_signed() -> None:
    ids = [LOG.rows[at].record_id for at in PURGED]
    body = purge_of(ids, PURGED, THIEF)
    log = signed_anew(put(LOG, PURGED_AT, row_of(PURGED_AT, body, "purged", f"rec-{PURGED_AT:03}")))
    log.anchors = []
    findings = log.findings()
    assert located(findings, "signed_record") == (PURGED_AT, PURGED_AT)
    assert [(one.first, one.last) for one in findings if one.kind == "body_missing"] == [(0, 3), (9, 10)]


def test_a_purged_body_put_back() -> None:
    findings = put(LOG, 2, stream_row(2)).findings()
    assert kinds(findings) == ["not_purged", "text_missing"]
    assert located(findings, "not_purged") == (2, 2)


@pytest.mark.parametrize("at", [12, 13, 22, 39])
def test_texts(at: int) -> None:
    name = f"rec-{at:03}"
    kept = text_of(at)

    def log(text: KeptText | None) -> list[tuple[str, int | None]]:
        texts = {key: value for key, value in LOG.texts.items() if key != name}
        found = dataclasses.replace(LOG, texts=texts | ({name: text} if text else {})).findings()
        return [(one.kind, one.first) for one in found]

    if at in FORGOTTEN:
        assert log(None) == []
        assert log(kept) == [("not_forgotten", at)]
        return
    assert log(kept) == []
    assert log(None) == [("text_missing", at)]
    assert log(kept._replace(text=kept.text + ".")) == [("text", at)]
    assert log(kept._replace(subject="another person")) == [("text", at)]
    assert log(kept._replace(subject=None)) == [("text", at)]
    assert log(kept._replace(salt=bytes(16))) == [("text", at)] * 2


def test_a_text_that_the_log_knows_nothing_of() -> None:
    row = row_of(39, canonical({"kind": "stream", "record_id": "rec-039"}), "stream", "rec-039")
    log = signed_anew(put(LOG, 39, row))
    assert [(one.kind, one.first) for one in log.findings()] == [("text", 39), ("text", 39)]
    assert dataclasses.replace(log, texts={k: v for k, v in LOG.texts.items() if k != "rec-039"}).findings() == []


def test_the_row_that_is_appended_to() -> None:
    frontier = Frontier()
    for leaf in LOG.leaves:
        frontier.append(leaf)

    def log(tree: tuple[int, bytes]) -> list[str]:
        verification = LOG.verification()
        verification._tree = tree
        return kinds(list(verify(verification, LOG.rows)))

    assert log((frontier.size, frontier.to_bytes())) == []
    assert log((frontier.size, changed(frontier.to_bytes()))) == ["tree"]
    assert log((frontier.size - 1, frontier.to_bytes())) == ["tree"]


def test_one_record_by_its_proof() -> None:
    newest = open_checkpoint(LOG.checkpoints[-1][1], [KEY.verifier])
    older = open_checkpoint(LOG.checkpoints[-2][1], [KEY.verifier])

    def found(row: Row, leaves: list[bytes], checkpoint: Checkpoint = newest) -> list[str]:
        return kinds(list(verify_one(row, leaves, checkpoint)))

    for at, row in enumerate(LOG.rows):
        assert found(row, LOG.leaves) == []
        assert found(row, LOG.leaves, older) == ([] if at < SIZE - EVERY else ["unsigned"])
        assert found(row._replace(leaf=NEW.leaf), LOG.leaves)[-1:] == ["root"]
        assert found(row, [*LOG.leaves[: at - 1], NEW.leaf, *LOG.leaves[at:]] if at else LOG.leaves[::-1]) == ["root"]
        assert found(stream_row(at, tokens=8), LOG.leaves) == ["root"]
        assert found(row, LOG.leaves[:-1]) == ["cut"]
        if row.body is not None:
            assert found(row._replace(body=row.body + b" "), LOG.leaves) == ["leaf"]


def test_every_kind_of_finding_says_what_it_means() -> None:
    for kind in MEANS:
        finding = Finding(kind=kind, what="x", first=3, last=3, record_id="r")
        assert finding.to_json()["means"] == MEANS[kind]
    assert Finding(kind="leaf", what="x", first=3, last=3, record_id="r").where == "record 3 (r)"
    assert Finding(kind="root", what="x", first=3, last=9).where == "records 3 to 9"
    assert Finding(kind="tree", what="x").where == "the log"


def test_what_is_of_another_log_of_the_same_key_proves_nothing_here() -> None:
    other = Checkpoint("log.example/two", 16, merkle.root_of(LOG.leaves[:16]))
    anchors = [*LOG.anchors, ("anchor", KEY.sign(other.text))]
    assert kinds(dataclasses.replace(LOG, anchors=anchors).findings()) == ["anchor"]
    record = read_signed(LOG.rows[FORGOTTEN_AT].body or b"", [KEY.verifier])
    body = signed_body(msgspec.structs.replace(record, origin="log.example/two"), KEY)
    log = signed_anew(put(LOG, FORGOTTEN_AT, row_of(FORGOTTEN_AT, body, "forgotten", f"rec-{FORGOTTEN_AT:03}")))
    assert kinds(dataclasses.replace(log, anchors=[]).findings()) == ["signed_record", "text_missing", "text_missing"]
