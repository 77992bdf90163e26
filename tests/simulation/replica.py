"""One process of the proxy: what it asks of the shared store, produces, and sends to its clients. It may crash or stand still."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from streamweir.resumption import lease
from streamweir.resumption.directory import Made, Reused
from streamweir.resumption.lease import RESEND, SWEEP
from streamweir.resumption.log import LogError, Trimmed
from streamweir.resumption.positions import Reader
from tests.simulation.invariants import Watch
from tests.simulation.production import Production
from tests.simulation.store import Found, Full, Store, TakenOver
from tests.simulation.world import Act, Clock, Connection, Network, World

REFRESH = 4.0
"""Seconds after which a reader asks the store for what it may have missed, and says that it is there."""

PATIENCE = 60.0
"""Seconds after which a request that nobody answers is given up."""


class Attached:
    """A connection over which a stream is sent, from a position on."""

    __slots__ = ("_connection", "_id", "_replica", "reader")

    def __init__(self, replica: Replica, connection: Connection, id: str, after: int) -> None:
        self._replica = replica
        self._connection = connection
        self._id = id
        self.reader = Reader(after)

    def refresh(self) -> None:
        """Ask the store, now and every so often."""
        if self._replica.listens(self._id, self):
            self._ask()
            self._replica.at(REFRESH, self.refresh)

    def _ask(self) -> None:
        self._replica.ask(self._answered, self._replica.store.read, self._id, self.reader.after)

    def _answered(self, reply: Found | LogError) -> None:
        if not self._replica.listens(self._id, self):
            return
        if isinstance(reply, Found):
            self.take(reply)
            if reply.more:
                self._ask()
        else:
            self._finish("trimmed" if isinstance(reply, Trimmed) else "gone")

    def take(self, found: Found) -> None:
        """Send what is new of it; ask the store where something before it is missing."""
        new = self.reader.take(found.first, found.entries)
        if new is None:
            self._replica.world.note("missed", self._id, found.first)
            self._ask()
            return
        if new:
            self._connection.send(("entries", self.reader.after + 1 - len(new), new))
        if found.end is not None and self.reader.after + 1 >= found.end:
            self._finish("over")

    def _finish(self, how: str) -> None:
        self._connection.send((how,))
        self._replica.leave(self._id, self)

    @property
    def gone(self) -> bool:
        return not self._connection.open


class Replica:
    """See the module's docstring. `settings` of a generation: chunks, seconds between them, bytes of an entry."""

    def __init__(self, name: str, world: World, network: Network, store: Store, watch: Watch, size: int) -> None:
        self.name = name
        self.world = world
        self.clock = Clock(world, 0.05)
        self.store = store
        self.producing: dict[str, Production] = {}
        self.up = True
        self.harmed = False
        """Whether anything has happened to it that may cost it its streams."""
        self._network = network
        self.watch = watch
        self._size = size
        self._life = 0
        self._awake_at = 0.0
        self._cut_off_until = 0.0
        self._made = 0
        self._listening: dict[str, list[Attached]] = {}
        self._connections: list[Connection] = []
        self.at(SWEEP * world.random.random(), self._sweep)

    # -- what holds it up ------------------------------------------------------------------------------

    def at(self, seconds: float, act: Act, *args: Any) -> None:
        """Do something after so many seconds of its own clock, unless it crashes."""
        self.world.at(seconds / self.clock.rate, self._do, self._life, act, args)

    def _do(self, life: int, act: Act, args: tuple[Any, ...]) -> None:
        if life != self._life:
            return
        if self._awake_at > self.world.now:
            # it stands still; then everything that waited happens at once, in any order
            self.world.at(
                self._awake_at - self.world.now + 0.01 * self.world.random.random(), self._do, life, act, args
            )
            return
        act(*args)

    def crash(self, back_in: float) -> None:
        """Forget everything; what it has sent is on its way."""
        self.world.note("crash", self.name)
        self._life += 1
        self.up, self.harmed = False, True
        self.producing.clear()
        self._listening.clear()
        for connection in self._connections:
            connection.cut()
        self._connections.clear()
        self.world.at(back_in, self._restart)

    def _restart(self) -> None:
        self.up = True
        self._awake_at = 0.0
        self.at(SWEEP * self.world.random.random(), self._sweep)

    def stand_still(self, seconds: float) -> None:
        """Do nothing for a while, and then go on as if nothing had been."""
        if self.producing:
            self.world.note("zombie", self.name, f"{seconds:.0f} s")
        self.harmed = True
        self._awake_at = self.world.now + seconds

    def cut_off(self, seconds: float) -> None:
        """The store does not hear it, nor it the store."""
        self.world.note("cut off", self.name, f"{seconds:.0f} s")
        self.harmed = True
        self._cut_off_until = self.world.now + seconds

    def trusts(self, id: str, epoch: int) -> bool:
        """Whether it believes that it is the producer, though a later epoch began."""
        one = self.producing.get(id)
        return one is not None and one.producer.epoch < epoch and one.lease.held(self.clock.now())

    # -- the store -------------------------------------------------------------------------------------

    def ask(self, then: Callable[[Any], None], operation: Callable[..., Any], *args: Any) -> None:
        """Ask the store something. It may never hear it, or hear it twice; so with its answer."""
        if self._cut_off_until <= self.world.now:
            self._network.send(self._serve, self._life, then, operation, args)

    def _serve(
        self, life: int, then: Callable[[Any], None], operation: Callable[..., Any], args: tuple[Any, ...]
    ) -> None:
        reply: Any
        if self.store.awake_in:
            if not self.store.deaf:
                delay = self.store.awake_in + 0.01 * self.world.random.random()
                self.world.at(delay, self._serve, life, then, operation, args)
            return
        try:
            reply = operation(*args)
        except (LogError, Reused) as refused:
            reply = refused
        if life == self._life and self._cut_off_until <= self.world.now:
            self._network.send(self._do, life, then, (reply,))

    def published(self, id: str, found: Found) -> None:
        """The store tells those who listen what was appended; they may miss it."""
        if id in self._listening and self._cut_off_until <= self.world.now:
            self._network.send(self._do, self._life, self.show, (id, found))

    def _sweep(self) -> None:
        self.ask(self._silent, self.store.silent)
        self.at(SWEEP, self._sweep)

    def _silent(self, ids: list[str]) -> None:
        for id in ids:
            self.at(lease.DOUBT, self._take_over, id)

    def _take_over(self, id: str) -> None:
        if id not in self.producing:
            asked_at = self.clock.now()
            self.ask(lambda reply: self._took_over(id, asked_at, reply), self.store.take_over, id)

    def _took_over(self, id: str, asked_at: float, reply: TakenOver | LogError) -> None:
        if isinstance(reply, TakenOver) and id not in self.producing:
            production = self.producing[id] = Production(self, id, reply.epoch, reply.next, asked_at, self._size)
            production.end("interrupted")

    # -- clients ---------------------------------------------------------------------------------------

    def create(self, connection: Connection, request: str, digest: bytes, chunks: int, slow: float) -> None:
        """`POST /api/llm/streams`: the stream is the store's, and the upstream is asked where it is a new one."""
        self._made += 1
        id = f"{self.name}.{self._life}.{self._made}"
        self._connections.append(connection)
        request = request or id
        asked_at = self.clock.now()
        answered = False

        def ask() -> None:
            if not answered and self.clock.now() - asked_at < PATIENCE:
                self.ask(then, self.store.create, id, "web", request, digest)
                self.at(RESEND, ask)

        def then(made: Made | Full | Reused) -> None:
            nonlocal answered
            if answered:
                return
            answered = True
            if not isinstance(made, Made):
                connection.send(("full",) if isinstance(made, Full) else ("reused",))
                return
            if made.id == id:
                production = Production(self, id, 1, 0, asked_at, self._size)
                if production.lease.held(self.clock.now()):
                    self.watch.generates(request, id)
                    self.producing[id] = production
                    production.begin(chunks, slow)
                else:
                    # by now another may have ended it: nothing is asked for that nobody could be sent
                    production.done = True
                    self.world.note("too late", id)
            connection.send(("created", made.id))

        ask()

    def attach(self, connection: Connection, id: str, after: int) -> None:
        """`GET /api/llm/streams/{id}`."""
        self._connections = [one for one in self._connections if one.open]
        self._connections.append(connection)
        attached = Attached(self, connection, id, after)
        self._listening.setdefault(id, []).append(attached)
        attached.refresh()

    def cancel(self, id: str) -> None:
        """`DELETE /api/llm/streams/{id}`, whichever process produces it."""
        answered = False

        def ask() -> None:
            if not answered:
                self.ask(then, self.store.cancel, id)
                self.at(RESEND, ask)

        def then(_reply: LogError | None) -> None:
            nonlocal answered
            answered = True

        ask()

    def show(self, id: str, found: Found) -> None:
        """Send entries that are in the log to those who listen."""
        for attached in tuple(self._listening.get(id, ())):
            if self.listens(id, attached):
                attached.take(found)

    def listens(self, id: str, attached: Attached) -> bool:
        """Whether its client is there still."""
        if attached in self._listening.get(id, ()):
            if not attached.gone:
                return True
            self.leave(id, attached)
        return False

    def leave(self, id: str, attached: Attached) -> None:
        """It is sent nothing more."""
        left = [one for one in self._listening.get(id, ()) if one is not attached]
        if left:
            self._listening[id] = left
        else:
            self._listening.pop(id, None)
