"""Gets one call accepted: by the profile that was asked for, or else by those that may answer for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streamweir.client.opening import Opening, take_over
from streamweir.errors import RequestError
from streamweir.flows.fallback import falls_back

if TYPE_CHECKING:
    from streamweir.client.sources import Source


async def open_first(opening: Opening, source: Source) -> Opening:
    """The handshake that was accepted, or the last that was refused, with its error. `source` opens what names none.

    Raises RequestError where the request itself is wrong. Cancelled, `opening` and its successors say how far it came.
    """
    while True:
        try:
            await (opening.source or source).open(opening)
        except RequestError as error:
            if not opening.before:
                raise
            # another profile was asked for; that this one cannot carry the request is not the caller's mistake
            opening.error = error
        if opening.error is None or not opening.others:
            return opening
        if not falls_back(opening.error) and not (opening.before and isinstance(opening.error, RequestError)):
            return opening
        opening = take_over(opening, opening.error.code or type(opening.error).__name__)
