"""The outbox: deliveries are leased, tried, and done with or dead letters. At least once, never twice at a time.

A lease names who tries and until when; what its holder has not settled by then is taken over. Times are seconds since
the epoch. Each function is one transaction of the database that it is given, or none.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Literal, NamedTuple

from streamweir.flows.delivery import Next
from streamweir.records.database import Database
from streamweir.records.ledger import Delivery

ERROR_CHARS: Final = 300
"""Of what went wrong with a try: a sentence."""

SHOWN: Final = 1000
"""Deliveries that are listed at most: whoever has more wants a filter."""

UNCLAIMED: Final = 7 * 86400.0
"""Seconds in which whoever is configured for a delivery has tried it for the last time, and more than twice that."""

State = Literal["due", "leased", "dead"]


class Leased(NamedTuple):
    """A delivery that is ours to try until the lease ends. `attempts` counts this one."""

    message_id: str
    record_id: str
    kind: str
    target: str
    subject: str | None
    created_at: float
    attempts: int
    body: bytes
    lease: str


class Wanted(NamedTuple):
    """How many deliveries to a target are to be leased, at most."""

    kind: str
    target: str
    most: int


class Settled(NamedTuple):
    """A try that ended: what follows, and what went wrong. `next` is None for one that is given back untried."""

    leased: Leased
    next: Next | None
    error: str = ""


class Entry(NamedTuple):
    """A delivery as it is listed."""

    message_id: str
    record_id: str
    kind: str
    target: str
    state: State
    attempts: int
    created_at: float
    due_at: float
    leased_until: float | None
    error: str | None


class Filter(NamedTuple):
    """Which deliveries are meant; empty fields do not choose. `id` is a message's or a record's."""

    kind: str = ""
    target: str = ""
    state: str = ""
    id: str = ""


def enqueue(database: Database, record_id: str, deliveries: Sequence[Delivery], now: float) -> None:
    """Deliveries that belong to no stream's record. Call it inside a transaction."""
    rows = [{"record_id": record_id, **one._asdict(), "created_at": now, "due_at": now} for one in deliveries]
    if rows:
        database.many("enqueue", rows)


def turn(
    database: Database, settled: Sequence[Settled], wanted: Sequence[Wanted], lease: str, now: float, until: float
) -> list[Leased]:
    """Settle what ended, then lease what is due. `lease` names this one lease, and no other ever."""
    if not settled and not any(_due(database, one, now) for one in wanted):
        return []
    leased: list[Leased] = []
    with database.transaction(durable=False):
        for one in settled:
            _settle(database, one, now)
        disabled = {(kind, target) for kind, target, _, _ in database.run("disabled_targets")}
        for ask in wanted:
            key = {"kind": ask.kind, "target": ask.target}
            if (ask.kind, ask.target) in disabled:
                database.run("bury_target", {**key, "reason": "the endpoint wants no more deliveries"})
                continue
            database.run("take_over", {**key, "now": now})
            asked = {**key, "lease": lease, "now": now, "until": until, "most": ask.most}
            database.run(f"lease_due_{database.kind}", asked)
            leased += [Leased(*row) for row in database.run("leased_now", {**key, "lease": lease})]
    return leased


def _due(database: Database, wanted: Wanted, now: float) -> bool:
    found = {"kind": wanted.kind, "target": wanted.target, "now": now}
    return bool(database.run("is_due", found) or database.run("is_left", found))


def _settle(database: Database, settled: Settled, now: float) -> None:
    """What its holder says of a delivery; nothing, where somebody else took the lease over."""
    leased, follows, error = settled
    key: dict[str, Any] = {"message_id": leased.message_id, "kind": leased.kind, "target": leased.target}
    if follows is None:
        database.run("give_back_delivery", {**key, "lease": leased.lease})
    elif follows.state == "done":
        database.run("delivered", {**key, "lease": leased.lease})
    else:
        what = {"state": follows.state, "due_at": follows.due_at or now, "error": error[:ERROR_CHARS]}
        database.run("settle_delivery", {**key, "lease": leased.lease, **what})
        if follows.disable:
            target = {"kind": leased.kind, "target": leased.target, "reason": error[:ERROR_CHARS]}
            database.run("disable_target", {**target, "at": now})
            database.run("bury_target", target)


def listed(database: Database, chosen: Filter, most: int = SHOWN) -> list[Entry]:
    """The deliveries that there are, oldest first."""
    return [Entry(*row) for row in database.run("deliveries", {**chosen._asdict(), "most": most})]


def retry(database: Database, chosen: Filter, now: float) -> int:
    """Try these at once, with all tries before them again, and believe again in targets that were disabled. How many.

    Those that are leased are being tried already.
    """
    asked = chosen._asdict()
    with database.transaction(durable=True):
        ((count,),) = database.run("count_deliveries", asked)
        database.run("enable_targets", asked)
        if chosen.target:
            database.run("enable_target", {"kind": chosen.kind, "target": chosen.target})
        database.run("retry_deliveries", {**asked, "now": now})
    return int(count)


def drop(database: Database, chosen: Filter) -> int:
    """Forget these deliveries. How many; those that are leased stay."""
    asked = chosen._asdict()
    with database.transaction(durable=True):
        ((count,),) = database.run("count_deliveries", asked)
        database.run("drop_deliveries", asked)
    return int(count)


def drop_old(database: Database, retention: float, now: float) -> None:
    """Forget dead letters of what was closed so many seconds ago, and what nobody is configured to deliver.

    They hold what records held. Call it inside a transaction.
    """
    database.run("drop_dead", {"before": now - retention, "unclaimed": now - max(retention, UNCLAIMED)})


def disabled(database: Database) -> list[tuple[str, str, float, str]]:
    """Targets that want no more deliveries: kind, target, since when, and why."""
    return [(kind, target, at, reason) for kind, target, at, reason in database.run("disabled_targets")]
