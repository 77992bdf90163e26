"""What a verification finds, and what each kind of it means."""

from __future__ import annotations

from typing import Final

import msgspec

MEANS: Final = {
    "leaf": "the record's body, nonce or leaf was changed after it was written",
    "columns": "the row's record id or kind was changed: they are not those that its body was hashed with",
    "gap": "rows were deleted, or their positions changed; checkpoints behind them cannot be compared",
    "order": "a row was inserted or moved; checkpoints behind it cannot be compared",
    "root": "in this range a record was inserted, deleted, moved, or replaced together with its leaf",
    "cut": "the end of the log was deleted, or the whole was put back to an older state",
    "rewritten": "in this range the log was rewritten after it was anchored outside",
    "rolled_back": "the end of the log was deleted, or the whole put back to an older state, after it was anchored",
    "checkpoint": "the checkpoint was changed, or signed with another key; it is not used",
    "anchor": "the anchor was changed, signed with another key, or is another log's; it is not used",
    "unsigned": "no checkpoint covers it: whoever can write to the store could have put it there",
    "body_missing": "bodies were deleted, and no signed record of a purge says so",
    "half": "a row lost its nonce or its body, but not both as a purge deletes them",
    "not_purged": "a body is there that a signed record says was purged: it was put back",
    "purged_ids": "the record id of a purged row was changed, or rows in that range are missing",
    "signed_record": "a record of a purge or of forgetting is not signed by a known key: it proves nothing",
    "text": "the kept text, its salt or its subject was changed after it was written",
    "text_missing": "a kept text was deleted, and no signed record of forgetting says so",
    "not_forgotten": "a text is there that a signed record says was forgotten: it was put back",
    "tree": "the row that the next record is appended to was changed: the log would go on with a wrong root",
    "export": "the export was cut, or changed by hand",
}
"""By kind."""


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that does not fit. `first` and `last` are positions, both included, where it can be located at all."""

    kind: str
    what: str
    first: int | None = None
    last: int | None = None
    record_id: str | None = None

    @property
    def means(self) -> str:
        """What it means, whatever caused it."""
        return MEANS[self.kind]

    @property
    def where(self) -> str:
        """The place, for people."""
        if self.first is None:
            return "the log"
        if self.last is None or self.last == self.first:
            return f"record {self.first}" + (f" ({self.record_id})" if self.record_id else "")
        return f"records {self.first} to {self.last}"

    def to_json(self) -> dict[str, object]:
        """As `--json` prints it."""
        return {**msgspec.structs.asdict(self), "means": self.means}
