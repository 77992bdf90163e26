"""What must hold at every step, from what the simulation knows itself: of the code that is tested it asks what a log has."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

from streamweir.live.memory import MemoryLogs
from streamweir.resumption.log import Append, Log
from tests.simulation.world import World

BURST = 11
"""Entries that a producer may have on their way when it is told to wait: seven, and a read of four. Ends take next to nothing."""

SLACK = 0.9
"""Of a duration by another clock, which may run a tenth slower."""


class Violation(AssertionError):
    """The protocol broke a promise."""


class Entry(NamedTuple):
    """What is written into an entry, so that every place can tell whose it is."""

    stream: str
    epoch: int
    position: int
    end: str

    def encode(self, noise: bytes = b"") -> bytes:
        return b"%s|%d|%d|%s|" % (self.stream.encode(), self.epoch, self.position, self.end.encode()) + noise

    @classmethod
    def decode(cls, entry: bytes) -> Entry:
        stream, epoch, position, end, _ = entry.split(b"|", 4)
        return cls(stream.decode(), int(epoch), int(position), end.decode())


class Watch:
    """Sees everything, and says what is wrong with it."""

    def __init__(self, world: World, logs: MemoryLogs, entry_size: int, least: int) -> None:
        self._world = world
        self._logs = logs
        self._size = entry_size
        self._limit, self._least = logs.each, least
        self.kept: dict[str, list[bytes]] = {}
        """Every entry of every stream that was accepted, also those that the log has forgotten since."""
        self.ends: dict[str, str] = {}
        self.epochs: dict[str, int] = {}
        self.generated: set[str] = set()
        self.asked: Counter[str] = Counter()
        self.forgotten: set[str] = set()
        self.touched: dict[str, float] = {}
        self.unwanted: dict[str, int] = {}

    def that(self, holds: bool, what: str, *about: object) -> None:
        """Raises Violation where it does not hold."""
        if not holds:
            raise Violation(f"{self._world.now:.3f} s: {what}: {' '.join(map(str, about))}")

    # -- the store -------------------------------------------------------------------------------------

    def created(self, stream: str) -> None:
        self.that(stream not in self.kept, "a stream is created twice", stream)
        self.kept[stream] = []
        self.touched[stream] = self._world.now

    def took_over(self, stream: str, epoch: int, trusting: int, *, unharmed: bool = False) -> None:
        """`trusting`: producers of the stream that still believe that nobody else is one."""
        lived = unharmed and stream in self.generated
        self.that(not lived, "a stream is taken from a producer to which nothing happened", stream, epoch)
        self.that(epoch > self.epochs.get(stream, 0), "two producers have one epoch", stream, epoch)
        self.that(trusting == 0, "a producer loses its place while it trusts its lease", stream, epoch)
        self.epochs[stream] = epoch

    def appended(self, stream: str, append: Append, log: Log) -> None:
        """The log took an append, and says that it has everything before `log.next`."""
        kept = self.kept[stream]
        self.touched[stream] = self._world.now
        if append.entries:
            self.that(
                append.epoch == self.epochs[stream], "an append of a producer that was replaced", stream, append.epoch
            )
        had = len(kept)
        most = self.unwanted.get(stream, log.next) + BURST + 2
        self.that(log.next <= most, "a stream goes on that was cancelled", stream, log.next)
        for at in range(max(had, log.first), log.next):
            self.that(stream not in self.ends, "something stands behind the end", stream, at)
            found = log.read(at - 1, 1)
            self.that(bool(found), "the log does not give what it has", stream, at)
            entry = found[0]
            read = Entry.decode(entry)
            self.that(at == len(kept), "positions are left out", stream, at, len(kept))
            self.that(
                (read.stream, read.position) == (stream, at), "an entry is not where it belongs", stream, at, read
            )
            self.that(read.epoch == self.epochs[stream], "an entry of a producer that was replaced", stream, read)
            kept.append(entry)
            if read.end:
                self.ends[stream] = read.end
        self.that(
            log.next == len(kept), "the log lost entries, or counts those that it has not", stream, log.next, len(kept)
        )
        self.that(log.ended == (stream in self.ends), "a log ends without its terminal record", stream)
        burst = BURST * (self._size + 100)
        self.that(log.size <= self._limit + burst, "a log is over its bound", stream, log.size)
        running = len(self.kept) - len(self.forgotten)
        most = self._limit + running * (self._least + burst)
        self.that(self._logs.size <= most, "all logs are over their bound", self._logs.size, most)

    def cancelled(self, stream: str, next: int) -> None:
        """The store was told that nobody wants the rest; `next` is where it begins."""
        self.unwanted.setdefault(stream, next)

    def trimmed(self, log: Log, read_upto: int) -> None:
        self.that(log.first <= read_upto + 1, "entries are forgotten that nobody has read", log.first, read_upto)

    def forgot(self, stream: str, window: float) -> None:
        self.that(stream in self.ends, "a stream is forgotten that has not ended", stream)
        self.that(
            self._world.now - self.touched[stream] >= SLACK * window, "a stream is forgotten in its window", stream
        )
        self.forgotten.add(stream)

    # -- upstream and clients --------------------------------------------------------------------------

    def generates(self, request: str, stream: str) -> None:
        """An upstream is asked for what a client asked for."""
        self.generated.add(stream)
        self.asked[request] += 1
        self.that(self.asked[request] == 1, "a generation is started twice for one request", request)

    def accepted(self, stream: str) -> None:
        self.that(stream in self.kept, "a client is told of a stream that is not kept", stream)

    def delivered(self, stream: str, transcript: list[bytes], new: int) -> None:
        """A client's application got entries, the last `new` of what it has."""
        kept = self.kept[stream]
        self.that(
            len(transcript) <= len(kept), "a client was sent what is not in the log", stream, len(transcript), len(kept)
        )
        for at in range(len(transcript) - new, len(transcript)):
            self.that(transcript[at] == kept[at], "a client has another entry than the log", stream, at)

    def finished(self, stream: str, transcript: list[bytes]) -> None:
        """A client was told that there is nothing more."""
        self.that(stream in self.ends, "a client is told of an end that is none", stream)
        self.that(transcript == self.kept[stream], "a client that has all has not all", stream, len(transcript))

    # -- at last ---------------------------------------------------------------------------------------

    def over(self, waiting: int, held: int) -> None:
        """After the faults, and the time that all that is left may take."""
        open_ = sorted(set(self.kept) - set(self.ends))
        self.that(not open_, "a stream never ended", *open_)
        self.that(not waiting, "clients wait for ever", waiting)
        left = sorted(set(self.kept) - self.forgotten)
        self.that(not left, "streams are never forgotten", *left)
        self.that(held == 0 and self._logs.size == 0, "memory is never given back", self._logs.size)
