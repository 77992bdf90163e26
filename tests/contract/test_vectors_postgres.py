"""Passages in PostgreSQL with pgvector, on a server of the test's own."""

import itertools
from array import array
from collections.abc import Iterator
from pathlib import Path

import pytest

from streamweir.records.database import NO_PARAMS, Database, DatabaseError
from streamweir.records.ledger import Delivery
from streamweir.records.opening import open_database
from streamweir.records.outbox import enqueue
from streamweir.records.passages import (
    Held,
    Passage,
    Wanted,
    collections,
    embedders,
    forget,
    keep,
    nearest,
)
from streamweir.records.vectors import Vectors, embedded
from streamweir.simulator.app import RunningSimulator
from streamweir.simulator.embedding import embedded as hashed
from tests.contract.test_vectors import HOURS, REFUND, ROUTER, closed, record, settings
from tests.outboxes import Store, working
from tests.postgres import PostgresServer, binaries

pytestmark = pytest.mark.check

HELD = Held("vec_1", "vectors", "c")
_numbers = itertools.count()


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    made = PostgresServer(binaries(vector=True))
    try:
        made.start()
        yield made
    finally:
        made.remove()


@pytest.fixture
def url(server: PostgresServer) -> str:
    name = f"vectors{next(_numbers)}"
    server.sql(f"CREATE DATABASE {name}")
    return server.url(name)


@pytest.fixture
def database(url: str) -> Iterator[Database]:
    made = open_database(url)
    with made.transaction(durable=False):
        enqueue(made, "rec", [Delivery(*HELD, None, b"")], 1.0)
    yield made
    made.close()


def row(request: str, chunk: int = 0, **more: object) -> Passage:
    usual = {"collection": "c", "tenant": "", "record_id": f"rec-{request}", "conversation_id": None, "profile": "p"}
    rest = {"model": "m", "guard": "redact", "status": "completed", "created_at": 1.5, "start_at": 0, "end_at": 4}
    return Passage(**{**usual, **rest, "request_id": request, "chunk": chunk, "text": f"{request}-{chunk}", **more})  # type: ignore[arg-type]


def put(database: Database, rows: list[Passage], vectors: list[list[float]], subject: str | None = None) -> bool:
    return keep(database, HELD, "e", subject, rows, [array("f", one) for one in vectors])


def found(database: Database, vector: list[float], most: int = 10, **wanted: str) -> list[tuple[str, float]]:
    rows = nearest(database, array("f", vector), Wanted(**{"collection": "c", "embedder": "e", **wanted}), most)
    return [(one.passage.text, pytest.approx(one.score, abs=1e-6)) for one in rows]


def test_before_the_first_passage_there_is_no_table_and_nothing_to_find(database: Database) -> None:
    assert found(database, [1, 0]) == []
    assert collections(database) == embedders(database, "c") == []
    with database.transaction(durable=True):
        assert forget(database, "ann") == 0


def test_kept_found_replaced_and_forgotten_as_in_sqlite(database: Database, url: str) -> None:
    assert put(database, [row("a", 0), row("a", 1), row("a", 2)], [[1, 0], [0, 1], [-1, 0]], subject="ann")
    assert put(database, [row("b", tenant="web", text="b\x00")], [[0.6, 0.8]], subject="bob")
    reader = open_database(url, read_only=True)
    assert found(reader, [1, 0]) == [("a-0", 1.0), ("b\ufffd", 0.6), ("a-1", 0.0), ("a-2", -1.0)]
    reader.close()
    assert found(database, [1, 0], tenant="web") == [("b\ufffd", 0.6)]
    assert found(database, [1, 0], tenant="") == [("a-0", 1.0), ("a-1", 0.0), ("a-2", -1.0)]
    assert found(database, [1, 0], profile="nobody") == []
    assert put(database, [row("a", 0), row("a", 1), row("a", 2)], [[1, 0], [0, 1], [-1, 0]], subject="ann")
    assert (collections(database), embedders(database, "c")) == ([("c", 4)], [("e", 2, 4)])
    assert put(database, [row("a", 0, text="anew", created_at=7.0)], [[0, 1]], subject="ann")
    assert found(database, [0, 1]) == [("anew", 1.0), ("b\ufffd", 0.8)]
    with database.transaction(durable=True):
        assert forget(database, "bob") == 1
    with database.transaction(durable=True):
        database.run("drop_deliveries", {"kind": "", "target": "", "state": "", "id": ""})
        assert forget(database, "ann") == 1
    assert not put(database, [row("a", 0)], [[1, 0]], subject="ann")
    assert found(database, [0, 1]) == []


def test_vectors_come_back_as_they_were(database: Database, server: PostgresServer, url: str) -> None:
    vector = hashed("a text of some words", 384)
    assert keep(database, HELD, "e", None, [row("a")], [vector])
    said = server.sql("SELECT vector FROM streamweir.passages", url.rpartition("/")[2])
    assert array("f", map(float, said.strip("[]").split(","))) == vector


def test_a_tenant_with_few_passages_among_many_finds_all_of_them(database: Database) -> None:
    """By the index alone, the nearest forty would be others', and none would be left."""
    many = [row("a", number) for number in range(600)]
    put(database, many, [[1.0, 0.001 * number] for number in range(600)])
    put(
        database,
        [row("b", number, tenant="small") for number in range(7)],
        [[-1.0, 0.1 * number] for number in range(7)],
    )
    assert [text for text, _ in found(database, [1, 0], 7, tenant="small")] == [
        f"b-{number}" for number in reversed(range(7))
    ]
    assert [text for text, _ in found(database, [1, 0], 100)] == [f"a-{number}" for number in range(100)]


def test_what_the_index_leaves_out_is_found_without_it(database: Database, server: PostgresServer, url: str) -> None:
    """As with a pgvector before 0.8, whose index gives the nearest forty of all and no more."""
    put(database, [row("a", number) for number in range(600)], [[1.0, 0.001 * number] for number in range(600)])
    put(database, [row("b", tenant="small")], [[-1.0, 0.1]])
    server.sql(f"ALTER DATABASE {url.rpartition('/')[2]} SET enable_sort = off")
    older = open_database(url)
    run = older.run
    older.run = lambda name, params=NO_PARAMS, /: [] if name == "search_on" else run(name, params)  # type: ignore[method-assign]
    try:
        asked = {"collection": "c", "embedder": "e", "profile": None, "dimension": 2, "vector": "[1,0]", "most": 50}
        assert len(run("nearest_passages", {**asked, "tenant": None})) == 40
        assert run("nearest_passages", {**asked, "tenant": "small"}) == []
        assert [text for text, _ in found(older, [1, 0], 5, tenant="small")] == ["b-0"]
        assert len(found(older, [1, 0], 50)) == 50
    finally:
        older.close()


def test_the_index_of_vectors_is_used(database: Database, server: PostgresServer, url: str) -> None:
    put(database, [row("a", number) for number in range(2000)], [[1.0, 0.001 * number] for number in range(2000)])
    name = url.rpartition("/")[2]
    server.sql("ANALYZE streamweir.passages", name)
    plan = server.sql(
        "SET search_path = streamweir, public; EXPLAIN SELECT text FROM passages WHERE collection = 'c' AND embedder = 'e' "
        "ORDER BY vector <=> CAST('[1,0]' AS vector) LIMIT 5",
        name,
    )
    assert "passages_near" in plan
    assert "hnsw" in server.sql("SELECT indexdef FROM pg_indexes WHERE indexname = 'passages_near'", name)


def test_another_dimension_is_refused_in_words_and_streams_go_on(database: Database) -> None:
    put(database, [row("a")], [[1, 0]])
    with pytest.raises(
        DatabaseError, match="vectors of 2 numbers, and the embedder gives 3: set vectors.dimensions"
    ) as caught:
        put(database, [row("b")], [[1, 0, 0]])
    assert not caught.value.away
    assert found(database, [1, 0]) == [("a-0", 1.0)]
    assert put(database, [row("b")], [[0, 1]])


def test_more_numbers_than_the_index_takes_are_kept_without_it(database: Database) -> None:
    long = [[1.0] + [0.0] * 2499, [0.0] * 2499 + [1.0]]
    put(database, [row("a", 0), row("a", 1)], long)
    assert [text for text, _ in found(database, long[1])] == ["a-1", "a-0"]


def test_two_processes_may_make_the_table_at_once(url: str) -> None:
    from concurrent.futures import ThreadPoolExecutor

    open_database(url).close()

    def once(number: int) -> bool:
        made = open_database(url)
        try:
            with made.transaction(durable=False):
                enqueue(made, "rec", [Delivery(f"vec_{number}", "vectors", "c", None, b"")], 1.0)
            held = Held(f"vec_{number}", "vectors", "c")
            return keep(made, held, "e", None, [row(f"r{number}")], [array("f", [1, 0])])
        finally:
            made.close()

    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(once, range(6))) == [True] * 6


def test_without_pgvector_the_mend_is_named(url: str, database: Database, server: PostgresServer) -> None:
    name = url.rpartition("/")[2]
    server.sql("CREATE ROLE plain LOGIN PASSWORD 'x'; GRANT CREATE, CONNECT ON DATABASE " + name + " TO plain", name)
    server.sql("GRANT ALL ON SCHEMA streamweir TO plain; GRANT ALL ON ALL TABLES IN SCHEMA streamweir TO plain", name)
    plain = open_database(url.replace("streamweir:not-for-logs", "plain:x"))
    try:
        with pytest.raises(DatabaseError, match="CREATE EXTENSION vector in this database") as caught:
            put(plain, [row("a")], [[1, 0]])
        assert not caught.value.away
    finally:
        plain.close()
        server.sql("DROP OWNED BY plain; DROP ROLE plain", name)


async def test_a_reply_is_found_by_what_it_says(tmp_path: Path, url: str, simulator: RunningSimulator) -> None:
    chosen = settings(f"{simulator.url}/v1")
    made, vectors = Store(tmp_path / "unused", 1_800_000_000.0), Vectors(chosen)
    made.writer._connect = lambda: open_database(url)
    made.writer.start(open_database(url))
    try:
        async with working(made, vectors.routes(made.writer), [vectors.close]):
            await record(made, vectors, closed(REFUND, "r1", tenant="web"), closed(HOURS, "r2"), closed(ROUTER, "r3"))
            await made.empty()
        vector = await embedded(chosen, "when will my bank show the refund?")
        rows = await made.ask(lambda database: nearest(database, vector, Wanted("llm_responses", "small"), 5))
        assert [one.passage.request_id for one in rows][:1] == ["r1"]
        assert len(rows) == 3
        rows = await made.ask(lambda database: nearest(database, vector, Wanted("llm_responses", "small", "web"), 5))
        assert [one.passage.request_id for one in rows] == ["r1"]
    finally:
        assert made.writer.stop(10.0)
