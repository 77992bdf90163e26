"""How much of what was written to a client it has not taken, as far as the system says."""

from __future__ import annotations

import asyncio
import sys
from array import array

if sys.platform == "linux":
    from fcntl import ioctl
    from termios import TIOCOUTQ

    def in_kernel(transport: asyncio.WriteTransport) -> int:
        """Bytes that the kernel keeps for the peer, who has not acknowledged them: up to 4 MB."""
        own = transport.get_extra_info("socket")
        if own is None or own.fileno() < 0:
            return 0
        size = array("i", [0])
        try:
            ioctl(own.fileno(), TIOCOUTQ, size)
        except OSError:
            return 0
        return size[0]

else:

    def in_kernel(transport: asyncio.WriteTransport) -> int:
        """Not known here: what leaves our memory counts as taken."""
        return 0


def taken_of(transport: asyncio.WriteTransport | None, written: int) -> tuple[int, int]:
    """Of `written` bytes those that the peer has taken, and those that wait in our own memory."""
    if transport is None:
        return written, 0
    waiting = transport.get_write_buffer_size()
    # where nothing waits here nobody asks what the kernel has
    return written - waiting - (in_kernel(transport) if waiting else 0), waiting
