"""Passages in the store: kept, found and forgotten. Each function is one transaction of the database, or reads only."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from sys import byteorder
from typing import Any, Final, NamedTuple

from streamweir.records.database import Database, DatabaseError
from streamweir.records.scan import scan

NO_PGVECTOR: Final = (
    "vectors need the extension pgvector on the PostgreSQL server (0.5 or newer): install it there, and let an "
    "administrator run CREATE EXTENSION vector in this database"
)


class Passage(NamedTuple):
    """One passage and where it comes from. `start_at` and `end_at` are code points of the reply's text."""

    collection: str
    tenant: str
    request_id: str
    chunk: int
    record_id: str
    conversation_id: str | None
    profile: str | None
    model: str
    guard: str
    status: str
    created_at: float
    start_at: int
    end_at: int
    text: str


class Found(NamedTuple):
    """A passage and its cosine with what was looked for: 1 is the same direction."""

    passage: Passage
    score: float


class Wanted(NamedTuple):
    """Among which passages is looked: those of one collection by one embedding model. None: any tenant, any profile."""

    collection: str
    embedder: str
    tenant: str | None = None
    profile: str | None = None


class Held(NamedTuple):
    """The delivery that passages come from: gone from the outbox, its text was forgotten, and is not kept again."""

    message_id: str
    kind: str
    target: str


def prepare(database: Database, dimension: int) -> None:
    """Make the table where it is made on demand. Not inside a transaction. Raises DatabaseError that says the mend."""
    if database.kind != "postgres" or _dimension(database) == dimension:
        return
    if (made := _dimension(database)) is not None:
        raise DatabaseError(
            f"this database's passages are vectors of {made} numbers, and the embedder gives {dimension}: set "
            "vectors.dimensions or vectors.model back, or drop the table streamweir.passages, which is then made anew",
            away=False,
        )
    try:
        database.run("tell_dimension", {"dimension": str(dimension)})
        database.run("make_passages")
    except DatabaseError as error:
        # whatever it is, streams can be recorded without
        raise DatabaseError(f"{error.message}; {NO_PGVECTOR}", away=False) from None


def keep(
    database: Database,
    held: Held,
    embedder: str,
    subject: str | None,
    rows: Sequence[Passage],
    vectors: Sequence[array[float]],
) -> bool:
    """Put a request's passages, all of them, in place of those that it had. Whether they are kept: see Held.

    `rows` are of one request, at least one; vectors have length 1.
    """
    dimension = len(vectors[0])
    first = rows[0]
    more = {"embedder": embedder, "dimension": dimension, "subject": subject}
    params = [
        {**row._asdict(), **more, "vector": _stored(database, vector)}
        for row, vector in zip(rows, vectors, strict=True)
    ]
    prepare(database, dimension)
    with database.transaction(durable=False):
        if not database.run("hold_delivery", held._asdict()):
            return False
        database.many(f"keep_passage_{database.kind}", params)
        key = {"collection": first.collection, "tenant": first.tenant, "request_id": first.request_id}
        # chunks are numbered without gaps: what is beyond the last is of an earlier delivery
        database.run("drop_passages_from", {**key, "chunk": rows[-1].chunk + 1})
    return True


def nearest(database: Database, vector: array[float], wanted: Wanted, most: int) -> list[Found]:
    """The nearest passages, the best first. Raises DatabaseError; ConfigError where numpy is missing."""
    asked: dict[str, Any] = {**wanted._asdict(), "dimension": len(vector)}
    if database.kind != "postgres":
        numbers = scan(database, vector, asked, most)
        read = ((database.run("passage", {"passage": number}), score) for number, score in numbers)
        # one that is not there any more was forgotten meanwhile
        return [Found(Passage(*rows[0]), score) for rows, score in read if rows]
    if not _known(database):
        return []
    asked |= {"vector": _stored(database, vector), "most": most}
    database.run("search_on")
    rows = database.run("nearest_passages", asked)
    if len(rows) < most:
        # the index gave up before it had found enough of those that were asked for
        rows = database.run("exact_passages", asked)
    return [Found(Passage(*row[:-1]), float(row[-1])) for row in rows]


def embedders(database: Database, collection: str) -> list[tuple[str, int, int]]:
    """By whom a collection's passages were embedded: model, dimension, how many."""
    rows = database.run("embedders", {"collection": collection}) if _known(database) else []
    return [(embedder, int(dimension), int(count)) for embedder, dimension, count in rows]


def collections(database: Database) -> list[tuple[str, int]]:
    """The collections that there are, and how many passages each has."""
    rows = database.run("collections") if _known(database) else []
    return [(collection, int(count)) for collection, count in rows]


def forget(database: Database, subject: str) -> int:
    """Delete what a subject or conversation has; how many. In a transaction that deleted its deliveries before."""
    return len(database.run("forget_passages", {"subject": subject})) if _known(database) else 0


def _known(database: Database) -> bool:
    """Whether there is a table: on PostgreSQL the first passage makes it."""
    if database.kind != "postgres":
        return True
    ((known,),) = database.run("know_passages")
    return bool(known)


def _dimension(database: Database) -> int | None:
    rows = database.run("passages_dimension")
    return int(rows[0][0]) if rows else None


def _stored(database: Database, vector: array[float]) -> Any:
    """A vector as the database takes it: float32, little-endian; or pgvector's text."""
    if database.kind == "postgres":
        # nine digits give each float32 back
        return f"[{','.join(f'{one:.9g}' for one in vector)}]"
    if byteorder == "big":
        vector = array("f", vector)
        vector.byteswap()
    return vector.tobytes()
