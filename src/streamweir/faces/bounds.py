"""How large and how deep a request may be, beside the bytes of its body. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from streamweir.errors import RequestError

if TYPE_CHECKING:
    from streamweir.faces.wanted import Wanted

MAX_DEPTH: Final = 100
"""Arrays and objects inside one another. Schemas of tools have some ten; what is written again for an upstream ends
with an error of Python's near 1,000, and nearer where more functions wait."""

MAX_PARTS: Final = 1_000_000
"""Quotes and opening brackets. Each part of a request is an object of some 60 bytes here; a million in 4 MiB is one in
four bytes, which is no prompt."""

MAX_MESSAGES: Final = 2_048
"""Messages of one request; what OpenAI's own route takes is said to be as many. Each is read by itself."""

MAX_METADATA: Final = 16 * 1024
"""Bytes of metadata as JSON. OpenAI's has at most 16 keys of 64 and values of 512 characters, 9 KiB."""

MAX_ID: Final = 256
"""Characters of a conversation's id, which stands in reports and logs."""

BRACES: Final = bytes.maketrans(b"{}", b"[]")
NO_BRACKETS: Final = bytes(set(range(256)) - set(b"[]{}"))
TOO_DEEP: Final = b"[" * (MAX_DEPTH + 1)


def check_shape(body: bytes) -> None:
    """Refuse what is nested too deeply, or falls into too many parts, before any is made. Raises RequestError."""
    brackets = body.count(b"[") + body.count(b"{")
    if brackets + body.count(b'"') > MAX_PARTS:
        raise RequestError(f"the request has over {MAX_PARTS} quotes and brackets: fewer strings, arrays and objects")
    if brackets <= MAX_DEPTH:
        return
    # without escapes, what stands between every second pair of quotes is in no string
    outside = b"".join(body.replace(b"\\\\", b"").replace(b'\\"', b"").split(b'"')[::2])
    left = outside.translate(BRACES, NO_BRACKETS)
    if left.count(b"[") != left.count(b"]"):
        # no JSON: its reader says so
        return
    for _ in range(MAX_DEPTH):
        if TOO_DEEP in left:
            break
        # the innermost ones go: as often as it is deep
        left, before = left.replace(b"[]", b""), len(left)
        if len(left) == before:
            return
    if left:
        raise RequestError(f"the request is nested too deeply: at most {MAX_DEPTH} arrays and objects in one another")


def check_wanted(wanted: Wanted) -> None:
    """Refuse what no client means. Raises RequestError."""
    if len(wanted.messages) > MAX_MESSAGES:
        raise RequestError(f"there are {len(wanted.messages)} messages: at most {MAX_MESSAGES} are taken")
    if wanted.metadata and (size := len(msgspec.json.encode(wanted.metadata))) > MAX_METADATA:
        raise RequestError(f"metadata has {size} bytes as JSON: at most {MAX_METADATA} are taken")
    conversation = wanted.conversation_id
    if conversation is not None and (len(conversation) > MAX_ID or not conversation.isprintable()):
        raise RequestError(f"conversation_id must be printable and have at most {MAX_ID} characters")
