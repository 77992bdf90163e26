"""The receipt of an upstream that is a proxy of ours: what it sent, as it says itself, beside what came. Pure.

Its first chunk announces one (`{"streamweir": {"receipt": null}}`), the chunk that ends the reply holds it. So nothing
is hashed here of any other upstream's text.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from hashlib import sha256
from typing import Any, Final, cast

from msgspec.structs import replace

from streamweir.events import Delta, End, Extra, Receipt, Upstream
from streamweir.report import WHOLE

KEY: Final = "streamweir"
"""The one key of a chunk that is a proxy's own. It is never carried on: the next proxy writes its own."""

SHA256: Final = re.compile("[0-9a-f]{64}")

RECORD_ID: Final = re.compile("[A-Za-z0-9][A-Za-z0-9_.:-]{0,99}")
"""What a record may be called; anything else is no id, whoever says so."""


def take_ours(asides: Sequence[Extra]) -> tuple[dict[str, Any], Sequence[Extra]]:
    """What stands under KEY in a chunk's unknown keys, and those that are left."""
    carried: dict[str, Any] = asides[0].get("chunk", {}) if asides else {}
    if KEY not in carried:
        return {}, asides
    ours: Any = carried.pop(KEY)
    if not carried:
        del asides[0]["chunk"]
    left = asides if any(asides) else ()
    return (cast("dict[str, Any]", ours) if isinstance(ours, dict) else {}), left


class Receipts:
    """The hash of one answer's text as it came (choice 0, channel content), and the receipt for it."""

    __slots__ = ("_hash", "_record_id", "_said", "_unread")

    def __init__(self, events: Sequence[Upstream]) -> None:
        """`events` are those of the read that announced it; more may still be put behind them."""
        self._hash = sha256()
        self._unread = events
        self._said: str | None = None
        self._record_id: str | None = None

    def take(self, receipt: Any) -> None:
        """The value of the key `receipt`; what is none counts as not given."""
        if not isinstance(receipt, dict):
            return
        given = cast("dict[str, Any]", receipt)
        said, named = given.get("sha256"), given.get("record_id")
        if isinstance(said, str) and SHA256.fullmatch(said):
            self._said = said
            self._record_id = named if isinstance(named, str) and RECORD_ID.fullmatch(named) else None

    def read(self, events: Sequence[Upstream]) -> None:
        """The events of a read, to which more may still come; each read is hashed when the next one is there."""
        if events is self._unread:
            return
        text = [e.text for e in self._unread if type(e) is Delta and not e.choice and e.channel == "content"]
        self._hash.update("".join(text).encode("utf-8", "replace"))
        self._unread = events

    def checked(self, end: End, events: Sequence[Upstream]) -> End:
        """The end with what its receipt came to; `events` are those of its read so far.

        A whole reply that differs from its receipt has failed.
        """
        self.read(events)
        self.read(())
        if self._said is None:
            return end
        verified = self._said == self._hash.hexdigest()
        end.sections["receipt"] = Receipt(verified, self._record_id)
        if verified or end.status not in WHOLE:
            return end
        return replace(
            end,
            status="failed",
            code="receipt_mismatch",
            message="the reply's text is not the text that the upstream's receipt is for: it was changed on its way",
            error_type="StreamIntegrityError",
        )
