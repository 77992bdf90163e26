"""Gets one call accepted: by the profile that was asked for, or else by those that may answer for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streamweir.client.opening import Opening, take_over
from streamweir.errors import RequestError, StreamweirError
from streamweir.flows.fallback import falls_back

if TYPE_CHECKING:
    from streamweir.client.sources import Source


async def open_first(opening: Opening, source: Source) -> Opening:
    """The handshake that was accepted, or the last that was refused, with its error. `source` opens what names none.

    Raises RequestError where the request itself is wrong. Cancelled, `opening` and its successors say how far it came.
    """
    failed: StreamweirError | None = None
    while True:
        try:
            await (opening.source or source).open(opening)
        except RequestError:
            if failed is None:
                raise
            # the caller asked for another profile: that this one cannot carry the request is no mistake of theirs
            opening.error = failed
        failed = opening.error
        if failed is None or not opening.others or not falls_back(failed):
            return opening
        opening = take_over(opening, failed.code or type(failed).__name__)
