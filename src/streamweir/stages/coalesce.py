"""What one read held of a text, as one piece: a busy proxy then guards, encodes and writes it once. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from msgspec import UNSET

from streamweir.events import Delta, Upstream

FEW: Final = 8
"""Events of one read that stay as they are: a network bunches a few tokens of one that writes at a reader's pace."""

MAX_PIECE: Final = 1024
"""Characters from which on a piece grows no more: pages draw it at once, and clients bound what one event may have."""


def coalesce(events: Sequence[Upstream]) -> Sequence[Upstream]:
    """The events, neighbouring pieces of one choice and channel joined; what carries other keys stays as it is."""
    if len(events) <= FEW:
        return events
    out: list[Upstream] = []
    run: list[Delta] = []
    size = 0
    for event in events:
        if type(event) is Delta and event.extra is UNSET:
            if run and (event.channel != run[0].channel or event.choice != run[0].choice or size >= MAX_PIECE):
                out.append(_joined(run))
                run, size = [], 0
            run.append(event)
            size += len(event.text)
            continue
        if run:
            out.append(_joined(run))
            run, size = [], 0
        out.append(event)
    if run:
        out.append(_joined(run))
    return out


def _joined(run: list[Delta]) -> Delta:
    first = run[0]
    return first if len(run) == 1 else Delta("".join([one.text for one in run]), first.channel, first.choice)
