"""The shared store: what it does with each message, atomically and by its own clock. Logs and directory are the real ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from streamweir.live.memory import MemoryLogs
from streamweir.resumption.directory import Directory, Made
from streamweir.resumption.log import Append, Log, LogError
from tests.simulation.invariants import Watch
from tests.simulation.world import Clock, World


class Gone(LogError):
    """There is no such stream, or no more."""


class Full(LogError):
    """There is no room for another stream."""


class Stream:
    """What the store keeps of a stream."""

    __slots__ = ("capability", "chat", "id", "log", "owner")

    def __init__(self, id: str, owner: str | None) -> None:
        self.id = id
        self.owner = owner
        self.capability = id
        self.chat = None
        self.log = Log()


class Kept(NamedTuple):
    """The answer to an append. `crowded`: the log is full of what nobody has read yet."""

    next: int
    crowded: bool
    wanted: bool


class Found(NamedTuple):
    """Entries of a log from a position on; `end` is the position behind the last one of a stream that has ended,
    `more` says that there are more behind these."""

    first: int
    entries: Sequence[bytes]
    end: int | None
    more: bool = False


class TakenOver(NamedTuple):
    """Where whoever ends a silent stream goes on."""

    epoch: int
    next: int


class Store:
    """See the module's docstring. `publish` is called with what was appended, `trusting` counts the producers
    that believe in their lease, `unharmed` says whether a stream's first one has had no reason to lose it."""

    def __init__(self, world: World, clock: Clock, watch: Watch, logs: MemoryLogs, window: float) -> None:
        self._world = world
        self._clock = clock
        self._watch = watch
        self._logs = logs
        self._window = window
        self._awake_at = 0.0
        self.deaf = False
        self._directory: Directory[Stream] = Directory()
        self.publish: Callable[[str, Found], None] = lambda _id, _found: None
        self.trusting: Callable[[str, int], int] = lambda _id, _epoch: 0
        self.unharmed: Callable[[str], bool] = lambda _id: False

    @property
    def awake_in(self) -> float:
        """Seconds until it takes messages again."""
        return max(0.0, self._awake_at - self._world.now)

    def stand_still(self, seconds: float, deaf: bool) -> None:
        """Take no message for a while; then all that came, in any order, or where it was deaf none of it."""
        self._world.note("store stood", f"{seconds:.0f} s")
        self.deaf = deaf
        self._awake_at = self._world.now + seconds

    def __len__(self) -> int:
        return len(self._directory)

    def create(self, id: str, owner: str, key: str, digest: bytes) -> Made:
        """A stream for a request, or the one that it has made before. Raises Reused and Full."""
        now = self._clock.now()
        if self._logs.full and self._directory.made(owner, key, digest, now) is None:
            self._world.note("refused", id)
            raise Full
        stream = Stream(id, owner)
        made = self._directory.create(stream, key, digest, now)
        if stream.id in self._directory and self._found(id) is stream:
            self._watch.created(id)
            self._watch.took_over(id, stream.log.take_over(now), 0)
            self._world.note("created", id, key)
        return made

    def append(self, id: str, append: Append) -> Kept:
        """Keep entries of the one who produces. Raises LogError."""
        log, now = self._found(id).log, self._clock.now()
        before = log.next
        self._logs.append(log, append, now)
        self._watch.appended(id, append, log)
        if log.next > before:
            self._world.tell("appended", id, f"epoch {append.epoch}", f"{before} to {log.next - 1}")
        elif append.entries:
            self._world.note("repeated", id, f"epoch {append.epoch}", append.first)
        crowded = self._crowded(log)
        if append.entries:
            self.publish(id, Found(append.first, append.entries, log.next if log.ended else None))
        return Kept(log.next, crowded, not log.unwanted(now, self._window))

    def _crowded(self, log: Log) -> bool:
        first = log.first
        crowded = self._logs.crowded(log)
        if log.first != first:
            self._world.note("trimmed", log.first)
            self._watch.trimmed(log, log.read_upto)
        return crowded

    def read(self, id: str, after: int) -> Found:
        """What stands behind a position; it is read for a client, which has everything up to there. Raises LogError."""
        log = self._found(id).log
        self._watch.that(after < log.next, "a client has what is not in the log", id, after, log.next)
        log.attend(after, self._clock.now())
        self._watch.touched[id] = self._world.now
        entries = tuple(log.read(after))
        return Found(after + 1, entries, log.next if log.ended else None, after + 1 + len(entries) < log.next)

    def cancel(self, id: str) -> None:
        """Nobody wants the rest of a stream. Raises Gone."""
        log = self._found(id).log
        log.cancel()
        self._watch.cancelled(id, log.next)

    def silent(self) -> list[str]:
        """The streams that somebody must take over."""
        now = self._clock.now()
        return [stream.id for stream in self._directory.all() if stream.log.silent(now)]

    def take_over(self, id: str) -> TakenOver:
        """Make the one who asks the producer of a silent stream. Raises Held, Closed or Gone."""
        log = self._found(id).log
        epoch = log.take_over(self._clock.now())
        self._watch.took_over(id, epoch, self.trusting(id, epoch), unharmed=self.unharmed(id))
        self._world.note("taken over", id, f"epoch {epoch} from {log.next} on")
        return TakenOver(epoch, log.next)

    def tidy(self) -> None:
        """Forget what nobody came for."""
        now = self._clock.now()
        for stream in () if self.awake_in else self._directory.all():
            if stream.log.over(now, self._window):
                self._watch.forgot(stream.id, self._window)
                self._directory.forget(stream)
                self._logs.forget(stream.log)
                self._world.note("forgotten", stream.id)
        self._world.at(3.0, self.tidy)

    def _found(self, id: str) -> Stream:
        stream = self._directory.find(id, None, id)
        if stream is None:
            raise Gone
        return stream
