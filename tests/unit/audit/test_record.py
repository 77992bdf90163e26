import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamweir.audit.note import NoteError, Signer
from streamweir.audit.record import (
    Forgotten,
    Purged,
    StreamRecord,
    canonical,
    commitment,
    ids_digest,
    leaf_of,
    ranges_of,
    read_signed,
    signed_body,
)
from streamweir.report import Report

SIGNER = Signer("example.com/log", bytes(range(32)))
PURGED = Purged(
    record_id="p1",
    origin="example.com/log",
    at="2026-01-09T00:00:00Z",
    rule="retention 7d",
    before="2026-01-02T00:00:00Z",
    ranges=[(0, 3), (7, 7)],
    ids_sha256=ids_digest(["a", "b", "c", "d", "h"]),
    records=5,
)
FORGOTTEN = Forgotten(
    record_id="f1", origin="example.com/log", at="2026-01-09T00:00:00Z", records=["a", "ü"], texts=2, passages=9
)


def report() -> Report:
    at = "2026-01-01T00:00:00Z"
    whole = Report(
        status="completed", text="secret", request_id="r", dialect="openai", model="m", started_at=at, ended_at=at
    )
    return whole.without_text()


def test_a_streams_body_has_no_text_and_sorted_keys() -> None:
    record = StreamRecord(
        record_id="a",
        report=report(),
        asked={"route": "/v1", "key": "web", "client": None},
        scanned={"reply": "redact"},
        retention="7d",
    )
    body = canonical(record)
    assert b"secret" not in body
    assert b'"text"' not in body
    assert body == json.dumps(json.loads(body), sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    assert json.loads(body)["kind"] == "stream"


def test_a_leaf_and_a_commitment_by_hand() -> None:
    import hashlib
    import hmac

    nonce, body = bytes(16), b'{"kind":"stream"}'
    assert leaf_of(nonce, body) == hashlib.sha256(b"\x00" + nonce + body).digest()
    assert commitment(b"salt", "grüß") == hmac.new(b"salt", "grüß".encode(), hashlib.sha256).hexdigest()
    assert commitment(b"salt", "a") != commitment(b"tlas", "a")


@given(st.sets(st.integers(0, 40)))
def test_ranges_name_exactly_the_positions(positions: set[int]) -> None:
    ranges = ranges_of(sorted(positions))
    assert [at for first, last in ranges for at in range(first, last + 1)] == sorted(positions)
    assert all(first[1] + 1 < second[0] for first, second in pairwise(ranges))


@pytest.mark.parametrize("record", [PURGED, FORGOTTEN], ids=["purged", "forgotten"])
def test_a_signed_record_is_read_back_and_any_change_seen(record: Purged | Forgotten) -> None:
    body = signed_body(record, SIGNER)
    assert read_signed(body, [SIGNER.verifier]) == record
    assert body == canonical(json.loads(body))
    for key, value in json.loads(body).items():
        others = {**json.loads(body), key: f"{value}x" if isinstance(value, str) else [value]}
        without = {name: one for name, one in json.loads(body).items() if name != key}
        for changed in (others, without):
            with pytest.raises(NoteError):
                read_signed(canonical(changed), [SIGNER.verifier])
    with pytest.raises(NoteError, match="none of the known keys"):
        read_signed(body, [Signer("example.com/log", bytes(32)).verifier])


def test_a_checkpoints_signature_signs_no_record() -> None:
    fields = json.loads(signed_body(PURGED, SIGNER))
    del fields["signature"]
    text = canonical(fields).decode() + "\n"
    with pytest.raises(NoteError, match="does not fit"):
        read_signed(canonical({**fields, "signature": SIGNER.line(text)}), [SIGNER.verifier])


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b"\xff", b'{"signature":1}', b'{"signature":"x"}'])
def test_what_is_no_signed_record(body: bytes) -> None:
    with pytest.raises(NoteError):
        read_signed(body, [SIGNER.verifier])


def test_a_signed_body_of_another_kind_is_refused() -> None:
    fields = {"kind": "stream", "record_id": "a"}
    line = SIGNER.line(f"streamweir record\n{canonical(fields).decode()}\n")
    with pytest.raises(NoteError, match="none of purged and forgotten"):
        read_signed(canonical({**fields, "signature": line}), [SIGNER.verifier])
