"""The producer of one stream in a replica: an upstream's reply, or the end of a stream whose producer is gone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from streamweir.resumption.lease import RESEND, Lease
from streamweir.resumption.log import Append, Hole, LogError
from streamweir.resumption.positions import Producer
from tests.simulation.invariants import Entry
from tests.simulation.store import Found, Kept

if TYPE_CHECKING:
    from tests.simulation.replica import Replica

UNANSWERED: Final = 8
"""Entries that may be on their way to the store; the upstream is not read beyond them."""


class Production:
    """Offers entries, sends them until they are in the log, and shows the replica's own readers what is."""

    def __init__(self, replica: Replica, id: str, epoch: int, next: int, asked_at: float, size: int) -> None:
        self.id = id
        self.producer = Producer(epoch, next)
        self.lease = Lease(asked_at)
        self.done = False
        self._replica = replica
        self._size = size
        self._started = next
        self._entries: list[bytes] = []
        self._shown = next
        self._left = 0
        self._slow = 1.0
        self._newest = Kept(next, crowded=False, wanted=True)
        replica.at(RESEND, self._tick)

    # -- what it produces ------------------------------------------------------------------------------

    def begin(self, chunks: int, slow: float) -> None:
        """An upstream was asked: it has so many chunks, up to `slow` seconds apart."""
        self._left = chunks
        self._slow = slow
        self._replica.at(slow * self._replica.world.random.random(), self._read)

    def end(self, how: str) -> None:
        """Append the end, and produce nothing more."""
        if not self.done and not (self._entries and Entry.decode(self._entries[-1]).end):
            self._left = 0
            self._offer([Entry(self.id, self.producer.epoch, self.producer.next, how).encode()], last=True)

    def _read(self) -> None:
        """One read of the upstream: some chunks, and it may be over."""
        random, producer = self._replica.world.random, self.producer
        if self.done or not self._left:
            return
        waiting = producer.crowded or producer.next - producer.logged >= UNANSWERED
        if not waiting:
            self._replica.watch.that(not self._newest.crowded, "an upstream is read for a log that is full", self.id)
            count = min(self._left, random.choice((1, 1, 1, 2, 4)))
            self._left -= count
            first = producer.next
            new = [
                Entry(self.id, producer.epoch, at, "").encode(random.randbytes(self._size))
                for at in range(first, first + count)
            ]
            if not self._left:
                new.append(Entry(self.id, producer.epoch, first + count, "completed").encode())
            self._offer(new, last=not self._left)
        # now and then a model thinks for longer than a lease
        thinks = 20.0 if random.random() < 0.02 else 0.0
        self._replica.at(thinks + self._slow * random.random(), self._read)

    def _offer(self, entries: list[bytes], *, last: bool) -> None:
        self._entries += entries
        self._send(self.producer.offer(tuple(entries), last=last))
        self._show(last=last)

    # -- the store -------------------------------------------------------------------------------------

    def _send(self, append: Append) -> None:
        asked_at = self._replica.clock.now()
        self._replica.ask(lambda reply: self._answered(asked_at, reply), self._replica.store.append, self.id, append)

    def _answered(self, asked_at: float, reply: Kept | LogError) -> None:
        if self.done:
            return
        if isinstance(reply, Hole):
            # something before it was lost, or is late: it is sent again when its time comes
            self._replica.world.note("hole", self.id)
            self.lease.answered(asked_at)
        elif isinstance(reply, LogError):
            self._replica.world.note("fenced", self.id, self.producer.epoch)
            self._stop()
        else:
            if reply.next >= self._newest.next:
                self._newest = reply
            self.lease.answered(asked_at)
            self.producer.acknowledged(reply.next, crowded=reply.crowded)
            ended = bool(self._entries) and bool(Entry.decode(self._entries[-1]).end)
            self._show(last=ended)
            if ended and not self.producer.unacknowledged:
                self._stop()
            elif not reply.wanted and not ended:
                self._replica.world.note("unwanted", self.id)
                self.end("cancelled")

    def _tick(self) -> None:
        if self.done:
            return
        now = self._replica.clock.now()
        if self.lease.lost(now):
            self._replica.world.note("gave up", self.id, self.producer.epoch)
            self._stop()
            return
        if self.producer.unacknowledged or self.lease.due(now):
            self._send(self.producer.again())
        self._replica.at(RESEND, self._tick)

    def _show(self, *, last: bool) -> None:
        """Send the replica's own readers what the log has."""
        if self.producer.logged > self._shown:
            new = tuple(self._entries[self._shown - self._started : self.producer.logged - self._started])
            end = self.producer.next if last and self.producer.logged == self.producer.next else None
            self._replica.show(self.id, Found(self._shown, new, end))
            self._shown = self.producer.logged

    def _stop(self) -> None:
        self.done = True
        self._replica.producing.pop(self.id, None)
