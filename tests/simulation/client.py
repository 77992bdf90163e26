"""A client: it asks for a reply, maybe twice, and reads it over connections that break. What it has is its transcript."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from streamweir.resumption.positions import Reader
from tests.simulation.invariants import Entry, Watch
from tests.simulation.replica import Replica
from tests.simulation.world import Connection, World

PATIENCE = 6.0
"""Seconds after which a client that hears nothing of its request sends it again."""


class Client:
    """Reads one stream. The first one asks for it, mostly under an idempotency key; others are given its id."""

    def __init__(self, name: str, world: World, watch: Watch, replicas: Sequence[Replica], *, tight: bool) -> None:
        self.name = name
        self.done = False
        self._world = world
        self._watch = watch
        self._replicas = replicas
        self._tight = tight
        self._id = ""
        self._reader = Reader()
        self._transcript: list[bytes] = []
        self._connection: Connection | None = None
        self._others: list[Client] = []
        self._request: tuple[Any, ...] = ()

    @property
    def waiting(self) -> bool:
        """Whether it asks or reads. One that was never given an id does neither."""
        return not self.done and bool(self._id or self._request)

    # -- asking ----------------------------------------------------------------------------------------

    def ask(self, key: str, chunks: int, slow: float, others: list[Client]) -> None:
        """Send a create, and again until it is answered; without a key once."""
        self._others = others
        self._request = (key, key.encode(), chunks, slow)
        if key:
            self._create()
        else:
            connection, replica = self._connect()
            if replica is not None:
                replica.create(connection, *self._request)
            self._world.at(10 * PATIENCE, self._give_up)

    def _give_up(self) -> None:
        if not self._id:
            self._world.note("unanswered", self.name)
            self.done = True

    def _create(self) -> None:
        if self.done or self._id:
            return
        world = self._world
        copies = 1 if world.random.random() < 0.7 else 2
        if copies > 1:
            world.note("asked twice", self.name)
        for _ in range(copies):
            connection, replica = self._connect()
            if replica is not None:
                world.at(0.01 * world.random.random(), replica.create, connection, *self._request)
        world.at(PATIENCE, self._create)

    def _misuse(self) -> None:
        """Send another request under the same key: it must be refused."""
        key, _, chunks, slow = self._request
        connection, replica = Connection(self._world, self._misused), self._any()
        if replica is not None:
            replica.create(connection, key, b"another", chunks, slow)

    def _misused(self, _connection: Connection, message: Any) -> None:
        if message is not None:
            self._world.note("key reused", self.name)
            self._watch.that(message[0] in ("reused", "full"), "another request got what a key has made", *message)

    # -- reading ---------------------------------------------------------------------------------------

    def read(self, id: str) -> None:
        """Read a stream from its start."""
        self._id = id
        self._attach()

    def leave(self) -> None:
        """Go, and do not come back."""
        if not self.done:
            self._world.note("left", self.name)
            self.done = True
            self.cut()

    def cancel(self) -> None:
        """Ask for the end of the stream, and read it."""
        replica = self._any()
        if self._id and replica is not None:
            self._world.note("cancel", self.name, self._id)
            replica.cancel(self._id)

    def cut(self) -> None:
        """The connection breaks."""
        if self._connection is not None:
            self._connection.cut()

    def _attach(self) -> None:
        if self.done:
            return
        random = self._world.random.random
        if self._transcript and random() < 0.05:
            # the page was reloaded: it has nothing
            self._world.note("reloaded", self.name)
            self._reader, self._transcript = Reader(), []
        after = self._reader.after
        if after >= 0 and random() < 0.2:
            self._world.note("old position", self.name)
            after = self._world.random.randrange(-1, after + 1)
        self._connection, replica = self._connect()
        if replica is not None:
            self._world.tell("attaches", self.name, f"to {replica.name} behind {after}")
            self._world.at(0.01 * random(), replica.attach, self._connection, self._id, after)

    def _connect(self) -> tuple[Connection, Replica | None]:
        connection, replica = Connection(self._world, self._told), self._any()
        if replica is None:
            connection.cut()
        return connection, replica

    def _any(self) -> Replica | None:
        replica = self._world.random.choice(self._replicas)
        return replica if replica.up else None

    # -- what it is told -------------------------------------------------------------------------------

    def _told(self, connection: Connection, message: Any) -> None:
        if self.done:
            return
        if message is None:
            self._lost(connection)
        elif message[0] == "entries":
            self._got(*message[1:])
        elif message[0] == "created":
            self._created(message[1])
        elif message[0] == "over":
            self._over()
        elif message[0] == "reused":
            self._watch.that(False, "a request that is sent again is taken for another", self.name)
        elif message[0] == "full":
            self._watch.that(self._tight, "refused, though there is room", self.name)
        else:
            self._gone(message[0])

    def _lost(self, connection: Connection) -> None:
        if self._id and connection is self._connection:
            random = self._world.random
            away = random.choice((0.2, 0.2, 1.0, 5.0, 30.0, 100.0))
            self._world.at(away * (0.5 + random.random()), self._attach)

    def _created(self, id: str) -> None:
        self._watch.accepted(id)
        if self._id:
            self._watch.that(id == self._id, "one key has made two streams", self._id, id)
            return
        for other in self._others:
            self._world.at(self._world.random.choice((0.0, 1.0, 10.0)) * self._world.random.random(), other.read, id)
        self.read(id)
        if self._request[0] and self._world.random.random() < 0.1:
            self._misuse()

    def _got(self, first: int, entries: Sequence[bytes]) -> None:
        new = self._reader.take(first, entries)
        self._watch.that(new is not None, "a client is sent entries with a hole before them", self._id, first)
        self._world.tell("delivered", self.name, self._id, f"{first} to {first + len(entries) - 1}")
        if new:
            self._transcript += new
            self._watch.delivered(self._id, self._transcript, len(new))

    def _over(self) -> None:
        self._watch.finished(self._id, self._transcript)
        self._world.note("read " + Entry.decode(self._transcript[-1]).end, self.name)
        self.done = True

    def _gone(self, how: str) -> None:
        if how == "gone":
            self._watch.that(self._id in self._watch.forgotten, "a stream is gone within its window", self._id)
        else:
            self._watch.that(self._tight, "entries are forgotten, though there is room", self._id)
        self._world.note("told " + how, self.name)
        self.done = True
