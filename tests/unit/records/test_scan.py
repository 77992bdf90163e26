"""The scan of vectors in SQLite: exact, whatever the blocks, and only among what was asked for."""

import subprocess
import sys
from array import array
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamweir.records import scan as scanning
from streamweir.records.ledger import Delivery
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
from streamweir.records.sqlite import Sqlite
from tests.conftest import ROOT

HELD = Held("vec_1", "vectors", "c")


def row(request: str, chunk: int = 0, **more: object) -> Passage:
    usual = {"collection": "c", "tenant": "", "record_id": f"rec-{request}", "conversation_id": None, "profile": "p"}
    rest = {"model": "m", "guard": "redact", "status": "completed", "created_at": 1.0, "start_at": 0, "end_at": 4}
    return Passage(**{**usual, **rest, "request_id": request, "chunk": chunk, "text": f"{request}-{chunk}", **more})  # type: ignore[arg-type]


def opened(path: Path) -> Sqlite:
    database = Sqlite(str(path / "r.db"))
    with database.transaction(durable=False):
        enqueue(database, "rec", [Delivery(*HELD, None, b"")], 1.0)
    return database


def put(
    database: Sqlite, rows: list[Passage], vectors: list[list[float]], embedder: str = "e", subject: str | None = None
) -> bool:
    return keep(database, HELD, embedder, subject, rows, [array("f", one) for one in vectors])


def found(database: Sqlite, vector: list[float], most: int = 10, **wanted: str) -> list[tuple[str, float]]:
    rows = nearest(database, array("f", vector), Wanted(**{"collection": "c", "embedder": "e", **wanted}), most)
    return [(one.passage.text, pytest.approx(one.score, abs=1e-6)) for one in rows]


@given(
    st.lists(st.tuples(st.integers(-3, 3), st.integers(-3, 3)).filter(any), max_size=25),
    st.integers(1, 12),
    st.integers(1, 6),
)
def test_the_best_are_found_whatever_the_blocks(
    tmp_path_factory: pytest.TempPathFactory, vectors: list[tuple[int, int]], most: int, rows_a_block: int
) -> None:
    unit = [[x / (x * x + y * y) ** 0.5, y / (x * x + y * y) ** 0.5] for x, y in vectors]
    database = opened(tmp_path_factory.mktemp("scan"))
    try:
        for at, vector in enumerate(unit):
            assert put(database, [row(f"r{at}")], [vector])
        scores = [array("f", one)[0] for one in unit]
        order = sorted(range(len(unit)), key=lambda at: (-scores[at], at))[:most]
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(scanning, "BLOCK", 8 * rows_a_block)
            assert found(database, [1.0, 0.0], most) == [(f"r{at}-0", scores[at]) for at in order]
    finally:
        database.close()


def test_only_what_was_asked_for_is_compared(tmp_path: Path) -> None:
    database = opened(tmp_path)
    put(database, [row("a", tenant="web")], [[1, 0]])
    put(database, [row("a", tenant="app", profile="other")], [[0.8, 0.6]])
    put(database, [row("b", collection="d")], [[1, 0]])
    put(database, [row("x")], [[1, 0]], embedder="another")
    put(database, [row("y")], [[1, 0, 0]])
    assert found(database, [1, 0]) == [("a-0", 1.0), ("a-0", 0.8)]
    assert found(database, [1, 0], tenant="app") == [("a-0", 0.8)]
    assert found(database, [1, 0], profile="other") == [("a-0", 0.8)]
    assert found(database, [1, 0], tenant="nobody") == []
    assert found(database, [1, 0], tenant="") == []
    assert found(database, [1, 0], collection="d") == [("b-0", 1.0)]
    assert found(database, [1, 0], most=1) == [("a-0", 1.0)]
    assert embedders(database, "c") == [("another", 2, 1), ("e", 2, 2), ("e", 3, 1)]
    assert collections(database) == [("c", 4), ("d", 1)]
    database.close()


def test_a_request_has_the_passages_of_its_last_delivery_and_no_others(tmp_path: Path) -> None:
    database = opened(tmp_path)
    put(database, [row("a", 0), row("a", 1), row("a", 2)], [[1, 0], [0, 1], [-1, 0]])
    put(database, [row("b", 0)], [[0, -1]])
    before = database.run("passages_block", {"collection": "c", "embedder": "e", "dimension": 2, "beyond": -1, "tenant": None, "profile": None, "most": 99})  # fmt: skip
    put(database, [row("a", 0), row("a", 1), row("a", 2)], [[1, 0], [0, 1], [-1, 0]])
    after = database.run("passages_block", {"collection": "c", "embedder": "e", "dimension": 2, "beyond": -1, "tenant": None, "profile": None, "most": 99})  # fmt: skip
    assert before == after
    assert len(after) == 4
    put(database, [row("a", 0, text="anew")], [[0, 1]])
    assert found(database, [0, 1]) == [("anew", 1.0), ("b-0", -1.0)]
    database.close()


def test_what_was_forgotten_goes_and_does_not_come_back(tmp_path: Path) -> None:
    database = opened(tmp_path)
    put(database, [row("a", 0), row("a", 1)], [[1, 0], [0, 1]], subject="ann")
    put(database, [row("b")], [[1, 0]], subject="bob")
    put(database, [row("c", conversation_id="talk")], [[1, 0]], subject="bob")
    with database.transaction(durable=True):
        assert forget(database, "talk") == 1
    with database.transaction(durable=True):
        assert forget(database, "ann") == 2
    assert found(database, [1, 0]) == [("b-0", 1.0)]
    database._execute("DELETE FROM outbox")
    assert not put(database, [row("a", 0)], [[1, 0]], subject="ann")
    assert found(database, [1, 0]) == [("b-0", 1.0)]
    database.close()


def test_vectors_are_kept_as_little_endian_float32(tmp_path: Path) -> None:
    database = opened(tmp_path)
    put(database, [row("a")], [[1.0, -0.5]])
    assert database._execute("SELECT hex(vector) FROM passages").fetchall() == [("0000803F000000BF",)]
    database.close()


def test_without_numpy_the_command_that_brings_it_is_named(tmp_path: Path) -> None:
    opened(tmp_path).close()
    code = (
        "import sys; sys.modules['numpy'] = None\n"
        "from array import array\nfrom streamweir.errors import ConfigError\n"
        "from streamweir.records.passages import Wanted, nearest\nfrom streamweir.records.sqlite import Sqlite\n"
        f"database = Sqlite({str(tmp_path / 'r.db')!r}, read_only=True)\n"
        "try:\n    nearest(database, array('f', [1]), Wanted('c', 'e'), 1)\nexcept ConfigError as error:\n    print(error.message)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"PYTHONPATH": str(ROOT / "src")}
    )
    assert "pip install 'streamweir[vectors]'" in done.stdout
