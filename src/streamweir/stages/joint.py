"""Where a reply goes on behind a cut: what the model repeats of the text so far is taken out. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from streamweir.events import Delta, End, Upstream

MAX_OVERLAP = 1000
"""Code points at the end of the text so far in which a repetition is looked for; it is also the most that is held."""

MIN_OVERLAP = 6
"""Code points: shorter coincidences ("the ", "s.") are common in text that repeats nothing."""


class Overlap:
    """A stage. Holds the first text of a continuation as long as it may still be a repetition, then lets it pass.

    A repetition is the longest beginning of the new text that is also the end of the old one, of at least MIN_OVERLAP
    code points, or the whole of the old text.
    """

    __slots__ = ("_held", "_tail", "done")

    def __init__(self, so_far: str) -> None:
        self._tail = so_far[-MAX_OVERLAP:]
        self._held = ""
        self.done = not so_far

    def __call__(self, events: Sequence[Upstream], now: float) -> Sequence[Upstream]:
        if self.done:
            return events
        out: list[Upstream] = []
        for number, event in enumerate(events):
            if type(event) is End:
                out += self._settle(Delta(""))
                out.append(event)
            elif type(event) is Delta and event.choice == 0 and event.channel == "content":
                self._held += event.text
                at = self._tail.find(self._held)
                if at < 0 or at + len(self._held) == len(self._tail) or len(self._held) > MAX_OVERLAP:
                    return [*out, *self._settle(event), *events[number + 1 :]]
            else:
                out.append(event)
        return out

    def _settle(self, event: Delta) -> list[Upstream]:
        self.done = True
        new = self._held[overlap(self._tail, self._held) :]
        self._held = ""
        return [msgspec.structs.replace(event, text=new)] if new else []


def overlap(old: str, new: str) -> int:
    """How many code points of `new` repeat the end of `old`."""
    for size in range(min(len(old), len(new)), 0, -1):
        if size < MIN_OVERLAP and size < len(old):
            return 0
        if old.endswith(new[:size]):
            return size
    return 0
