"""Entries by position, kept small: what has been sent is packed, since frames of one stream are much alike. Pure."""

from __future__ import annotations

import zlib
from bisect import bisect_right
from collections.abc import Sequence
from operator import attrgetter
from typing import Final

import msgspec

PACK: Final = 16
"""Entries in a pack. Of frames of 250 bytes 26 each are left then, for 2.5 us each; 64 in a pack would leave 15."""

OVERHEAD: Final = 48
"""Bytes that an entry, or a pack, takes beside its own: what Python needs for it."""

_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(list[bytes]).decode


class Pack(msgspec.Struct, frozen=True, gc=False):
    """Entries up to `next`, without it."""

    next: int
    data: bytes


_next_of = attrgetter("next")


class Entries:
    """Those that came last stand as they are, the others packed.

    `first` is the position of the first that is kept, `next` one more than the last one's; `size` is in bytes, of what
    is kept.
    """

    __slots__ = ("_packs", "_tail", "_tail_first", "first", "next", "size")

    def __init__(self) -> None:
        self._packs: list[Pack] = []
        self._tail: list[bytes] = []
        self._tail_first = 0
        self.first = 0
        self.next = 0
        self.size = 0

    def add(self, entries: Sequence[bytes]) -> None:
        """Keep these too. What was there before is what readers that are not behind have been sent."""
        if len(self._tail) >= PACK:
            self._pack()
        self._tail += entries
        self.next += len(entries)
        self.size += sum(map(len, entries)) + OVERHEAD * len(entries)

    def _pack(self) -> None:
        tail = self._tail
        pack = Pack(self.next, zlib.compress(_pack(tail), 1))
        self._packs.append(pack)
        self.size += len(pack.data) + OVERHEAD - sum(map(len, tail)) - OVERHEAD * len(tail)
        self._tail_first = self.next
        self._tail = []

    def since(self, position: int, most: int) -> Sequence[bytes]:
        """The entries from a position on, at least one where there is one, up to about `most` bytes."""
        if position >= self._tail_first:
            return _upto(self._tail[position - self._tail_first :], most)
        pack = self._packs[bisect_right(self._packs, position, key=_next_of)]
        entries = _unpack(zlib.decompress(pack.data))
        return _upto(entries[position - pack.next :], most)

    def trim(self, upto: int, limit: int) -> None:
        """Forget entries up to a position, oldest first, until at most `limit` bytes are kept. Packs go whole."""
        count = 0
        while count < len(self._packs) and self._packs[count].next - 1 <= upto and self.size > limit:
            self.size -= len(self._packs[count].data) + OVERHEAD
            self.first = self._packs[count].next
            count += 1
        del self._packs[:count]
        if self._packs:
            return
        count = 0
        while count < len(self._tail) and self._tail_first + count <= upto and self.size > limit:
            self.size -= len(self._tail[count]) + OVERHEAD
            count += 1
        del self._tail[:count]
        self._tail_first += count
        self.first = self._tail_first


def _upto(entries: Sequence[bytes], most: int) -> Sequence[bytes]:
    size = 0
    for count, entry in enumerate(entries):
        if count and size >= most:
            return entries[:count]
        size += len(entry)
    return entries
