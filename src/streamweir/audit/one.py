"""One record of a log, by the proof that leads from it to a checkpoint."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from streamweir.audit.findings import Finding
from streamweir.audit.merkle import includes, inclusion_proof
from streamweir.audit.note import Checkpoint
from streamweir.audit.record import leaf_of
from streamweir.audit.rows import Row, finding_at


def verify_one(row: Row, leaves: Sequence[bytes], checkpoint: Checkpoint) -> Iterator[Finding]:
    """The findings of one record: that its body fits its leaf, and that a proof leads from there to a checkpoint.

    `leaves` are the log's, as many as the checkpoint says at least.
    """
    at, size = row.position, checkpoint.size
    if row.body is not None and row.nonce is not None and leaf_of(row.nonce, row.body) != row.leaf:
        yield finding_at(row, "leaf", "its leaf is not the hash of its nonce and body")
    if len(leaves) < size:
        what = f"there are {len(leaves)} records, and the newest checkpoint is of {size}"
        yield Finding(kind="cut", what=what, first=len(leaves), last=size - 1)
    elif at >= size:
        yield finding_at(row, "unsigned", f"the newest checkpoint is of {size} records")
    elif not includes(checkpoint.root, size, at, row.leaf, inclusion_proof(leaves[:size], at)):
        what = f"no proof leads from record {at} to the checkpoint of {size} records"
        yield Finding(kind="root", what=what, first=0, last=size - 1)
