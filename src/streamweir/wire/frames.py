"""What framings make of body bytes, and decoders read. Pure."""

from __future__ import annotations

from typing import TypeAlias

import msgspec

MAX_EVENT = 1024 * 1024
"""Bytes that one line, event, object or message may have. A reply's chunk has some hundred; a megabyte is an attack or
a server that speaks something else, and held text is memory."""


class Event(msgspec.Struct, frozen=True, gc=False):
    """One dispatched server-sent event. `id` is the last event id as of this event."""

    data: str
    event: str = "message"
    id: str = ""


class Value(msgspec.Struct, frozen=True, gc=False):
    """The text of one JSON value, not yet known to be valid: of an NDJSON body, or a WebSocket message."""

    data: str


class Closed(msgspec.Struct, frozen=True, gc=False):
    """A WebSocket's close frame: `code` as in RFC 6455 7.4, 1005 where the frame held none."""

    code: int
    reason: str = ""


class Malformed(msgspec.Struct, frozen=True, gc=False):
    """The last frame of a stream that broke the framing; nothing follows it."""

    message: str


Frame: TypeAlias = Event | Value | Closed | Malformed
