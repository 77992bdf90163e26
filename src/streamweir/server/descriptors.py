"""How many files and sockets this process may have open: each stream is two of them."""

from __future__ import annotations

import sys
from typing import Final

from streamweir.server.listener import MAX_CONNECTIONS

OTHERS: Final = 64
"""Descriptors that are no connections: the event loop's, logs, libraries, files that are read for a moment."""

WANTED: Final = 65_536
"""What `serve` asks for, where the administrator allows it: connections, and as many upstreams."""


def raise_limit() -> None:
    """Take as many descriptors as are wanted and allowed. A shell's usual 1,024 are 500 streams."""
    if sys.platform == "win32":
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = WANTED if hard == resource.RLIM_INFINITY else min(WANTED, hard)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def connections_for(max_streams: int) -> int:
    """Clients' connections that may be open, so that their streams find descriptors for their upstreams."""
    if sys.platform == "win32":
        return MAX_CONNECTIONS
    import resource

    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if soft == resource.RLIM_INFINITY:
        return MAX_CONNECTIONS
    free = max(2, soft - OTHERS)
    return min(MAX_CONNECTIONS, free - min(max_streams, free // 2))
