"""Standard Webhooks 1.0.0: the headers that say which message this is, when it was sent, and that it is ours. Pure."""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Sequence
from hashlib import sha256
from hmac import digest
from typing import Final

PREFIX: Final = "whsec_"

SECRET_BYTES: Final = range(24, 65)
"""How long a secret may be, by the specification."""


def read_secret(text: str) -> bytes:
    """The key in `whsec_…`. Raises ValueError that does not show it."""
    encoded = text.strip()
    if not encoded.startswith(PREFIX):
        raise ValueError(f"is no webhook secret: it must begin with {PREFIX}, and base64 must follow")
    try:
        key = b64decode(encoded.removeprefix(PREFIX), validate=True)
    except ValueError:
        raise ValueError(f"is no webhook secret: what follows {PREFIX} is not base64") from None
    if len(key) not in SECRET_BYTES:
        raise ValueError(f"is a webhook secret of {len(key)} bytes: it must have 24 to 64")
    return key


def signed(message_id: str, at: float, body: bytes, keys: Sequence[bytes]) -> dict[str, str]:
    """The three headers of a try made `at` (seconds since the epoch), with a signature for each key, in their order."""
    timestamp = str(int(at))
    content = b".".join((message_id.encode(), timestamp.encode(), body))
    signatures = (f"v1,{b64encode(digest(key, content, sha256)).decode()}" for key in keys)
    return {"webhook-id": message_id, "webhook-timestamp": timestamp, "webhook-signature": " ".join(signatures)}
