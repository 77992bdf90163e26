"""Replies' texts become passages with vectors, through the outbox, whatever the embedder does; over real sockets."""

import asyncio
import json
from array import array
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from streamweir.config import load_text
from streamweir.errors import ConfigError
from streamweir.flows.embedding import EmbeddingError
from streamweir.records import outbox
from streamweir.records.database import Database
from streamweir.records.entry import row_of
from streamweir.records.ledger import OpenRow, write
from streamweir.records.passages import Found, Wanted, forget, nearest
from streamweir.records.settings import Closed, RecordsSettings
from streamweir.records.vector_settings import VectorsSettings, vectors_settings
from streamweir.records.vectors import Vectors, embedded
from streamweir.report import GuardReport, Report
from streamweir.simulator.app import RunningSimulator
from tests.conftest import gateway_for
from tests.embedders import EmbedderServer, embedder_server
from tests.outboxes import Store, store, working

REFUND = "Your refund was sent on Monday. Your bank needs up to five days until you see it on your account."
HOURS = "Our shops open at nine on weekdays and at ten on Saturdays. On Sundays they are closed."
ROUTER = "Please turn the router off, wait a minute, and turn it on again. Then the lamp should be green."


def settings(url: str, environ: dict[str, str] | None = None, **more: Any) -> VectorsSettings:
    lines = "\n".join(
        f"{key} = {json.dumps(value)}" for key, value in {"embedder": url, "model": "small", **more}.items()
    )
    table = load_text(f"[vectors]\n{lines}").vectors
    assert table is not None
    return vectors_settings(table, environ or {})


def closed(
    text: str, request: str = "req", status: Any = "completed", subject: str | None = None, tenant: str = ""
) -> Closed:
    report = Report(
        status=status, request_id=request, conversation_id="talk", dialect="openai", profile="support", model="m",
        started_at="2026-01-01T00:00:00Z", ended_at="2026-01-01T00:00:01Z", guard=GuardReport(mode="redact"), text=msgspec.UNSET,
    )  # fmt: skip
    return Closed(f"rec-{request}", report, text, subject, 1_800_000_000.0, tenant)


async def record(made: Store, vectors: Vectors, *ends: Closed) -> None:
    """What a process does at the end of a stream: the record, and with it what leaves."""
    rows = [row_of(RecordsSettings("", delivers=(vectors.deliver,)), end, {}) for end in ends]
    opens = [OpenRow(row.record_id, made.now, b"{}") for row in rows]
    await made.ask(lambda database: write(database, "run", opens, rows, made.now))
    if made.worker is not None:
        made.worker.wake()


@asynccontextmanager
async def keeping(made: Store, chosen: VectorsSettings, *ends: Closed) -> AsyncIterator[Vectors]:
    vectors = Vectors(chosen)
    await record(made, vectors, *ends)
    async with working(made, vectors.routes(made.writer), [vectors.close]):
        yield vectors


async def search(made: Store, chosen: VectorsSettings, text: str, most: int = 5, **wanted: str) -> list[Found]:
    vector = await embedded(chosen, text)
    asked = Wanted(**{"collection": chosen.collection, "embedder": chosen.embedder.model, **wanted})
    return await made.ask(lambda database: nearest(database, vector, asked, most))


async def rows(made: Store) -> list[Any]:
    def read(database: Any) -> list[Any]:
        return database._execute("SELECT * FROM passages ORDER BY passage").fetchall()

    return await made.ask(read)


async def test_a_reply_is_found_by_what_it_says(tmp_path: Path, simulator: RunningSimulator) -> None:
    chosen = settings(f"{simulator.url}/v1")
    ends = [closed(REFUND, "r1", subject="ann", tenant="web"), closed(HOURS, "r2"), closed(ROUTER, "r3")]
    async with store(tmp_path / "r.db") as made, keeping(made, chosen, *ends):
        await made.empty()
        found = await search(made, chosen, "when will my bank show the refund?")
        assert found[0].passage.request_id == "r1"
        assert found[0].score > 1.5 * found[1].score
        assert len(found) == 3
        passage = found[0].passage
        assert (passage.record_id, passage.conversation_id, passage.profile, passage.model) == (
            "rec-r1",
            "talk",
            "support",
            "m",
        )
        assert (passage.guard, passage.status, passage.tenant, passage.created_at) == (
            "redact",
            "completed",
            "web",
            1_800_000_000.0,
        )
        assert (passage.text, passage.start_at, passage.end_at) == (REFUND, 0, len(REFUND))
        assert [one.passage.request_id for one in await search(made, chosen, "green lamp of a router", 1)] == ["r3"]
        assert [one.passage.request_id for one in await search(made, chosen, "router", tenant="web")] == ["r1"]


async def test_what_is_long_is_kept_in_pieces_that_cover_it(tmp_path: Path) -> None:
    text = " ".join(f"Sentence number {n} says this." for n in range(200)) + " " * 300 + "And an end."
    async with embedder_server() as server, store(tmp_path / "r.db") as made:
        chosen = settings(server.url, size=100, overlap=30)
        async with keeping(made, chosen, closed(text)):
            await made.empty()
        found = sorted((one.passage for one in await search(made, chosen, "number", 999)), key=lambda one: one.chunk)
    assert [one.chunk for one in found] == list(range(len(found)))
    assert all(one.text == text[one.start_at : one.end_at] and one.text.strip() for one in found)
    said = set().union(*(range(one.start_at, one.end_at) for one in found))
    assert not [at for at in range(len(text)) if at not in said and not text[at].isspace()]
    assert max(len(body["input"]) for body in server.seen) == 32
    assert server.texts[:-1] == [one.text for one in found]


@pytest.mark.parametrize(
    "end", [closed(REFUND, status="blocked"), closed(""), closed(" \n\t ")], ids=["blocked", "empty", "blank"]
)
async def test_what_was_blocked_or_says_nothing_leaves_nothing(end: Closed) -> None:
    assert Vectors(settings("http://127.0.0.1:1/v1")).deliver(end) == []


@pytest.mark.parametrize("status", ["completed", "truncated", "cancelled", "interrupted", "failed", "timed_out"])
async def test_every_other_end_leaves_its_text_with_its_status(status: str) -> None:
    (delivery,) = Vectors(settings("http://127.0.0.1:1/v1")).deliver(closed(REFUND, status=status, subject="ann"))
    assert (delivery.kind, delivery.target, delivery.subject) == ("vectors", "llm_responses", "ann")
    assert [row[9] for row in json.loads(delivery.body)["passages"]] == [status]


async def test_masked_text_stays_masked(tmp_path: Path, simulator: RunningSimulator) -> None:
    chosen = settings(f"{simulator.url}/v1")
    said = "Write to jane.doe@example.com about the refund."
    async with gateway_for(simulator) as gateway:
        message = [{"role": "user", "content": said}]
        report = await gateway.complete(model="sim:none?echo=1&rate=0", messages=message, guard="redact")
    assert isinstance(report.text, str)
    end = Closed("rec", report.without_text(), report.text, None, 1.0)
    async with store(tmp_path / "r.db") as made, keeping(made, chosen, end):
        await made.empty()
        (found,) = await search(made, chosen, "refund")
        assert found.passage.text == "Write to [EMAIL] about the refund."
        assert not [file for file in tmp_path.iterdir() if b"jane" in file.read_bytes()]


async def test_the_same_delivery_again_leaves_the_same_rows(tmp_path: Path) -> None:
    async with embedder_server() as server, store(tmp_path / "r.db") as made:
        chosen = settings(server.url, size=60, overlap=10)
        async with keeping(made, chosen, closed(REFUND + " " + HOURS)) as vectors:
            await made.empty()
            before = await rows(made)
            (delivery,) = vectors.deliver(closed(REFUND + " " + HOURS))
            await made.ask(lambda database: enqueue(database, "again", delivery, made.now))
            made.worker.wake()
            await made.empty()
            assert await rows(made) == before
            (shorter,) = vectors.deliver(closed(HOURS))
            await made.ask(lambda database: enqueue(database, "shorter", shorter, made.now))
            made.worker.wake()
            await made.empty()
            after = await rows(made)
    assert len(before) > len(after) > 1
    assert {row[18] for row in after} <= set(server.texts)
    assert "refund" not in "".join(row[18] for row in after)


def enqueue(database: Database, name: str, delivery: Any, now: float) -> None:
    with database.transaction(durable=False):
        outbox.enqueue(database, name, [delivery], now)


def told(**values: Any) -> Callable[[EmbedderServer], None]:
    def change(server: EmbedderServer) -> None:
        for name, value in values.items():
            setattr(server, name, value)

    return change


BROKEN: dict[str, tuple[Callable[[EmbedderServer], None], str]] = {
    "500": (told(status=500, body=b"{}"), "the embedder answered HTTP 500"),
    "401": (told(status=401, body=b'{"error": {"code": "invalid_api_key"}}'), "HTTP 401 (invalid_api_key): check the key in the variable"),
    "404": (told(status=404, body=b""), "HTTP 404: check vectors.embedder"),
    "redirect": (told(status=307, headers={"Location": "/v2"}, body=b""), "HTTP 307: give the URL that it leads to"),
    "no JSON": (told(body=b"<html>hello</html>"), "no list of embeddings"),
    "empty": (told(body=b""), "no list of embeddings"),
    "cut": (told(cut=True), "cut off"),
    "too few": (told(rows=lambda rows: rows[:-1]), "gave 0 vectors for 1 texts"),
    "too many": (told(rows=lambda rows: rows * 2), "gave 2 vectors for 1 texts"),
    "wrong dimension": (told(size=9), "a vector of 9 numbers, and 16 were expected: set vectors.dimensions"),
    "zeros": (told(rows=lambda rows: [{"index": 0, "embedding": [0] * 16}]), "without a direction"),
    "slow": (told(hold=asyncio.Event()), "did not answer within 0.3 s (vectors.timeout)"),
}  # fmt: skip


@pytest.mark.parametrize("kind", BROKEN)
async def test_whatever_the_embedder_does_wrong_is_tried_again_and_kept_once(tmp_path: Path, kind: str) -> None:
    change, message = BROKEN[kind]
    async with embedder_server() as server, store(tmp_path / "r.db") as made:
        change(server)
        chosen = settings(server.url, dimensions=16, timeout=0.3 if kind == "slow" else 20)
        async with keeping(made, chosen, closed(REFUND)):
            (entry,) = await made.rested()
            assert message in (entry.error or "")
            assert (entry.state, entry.attempts, entry.due_at) == ("due", 1, made.now + 5)
            assert REFUND not in str(entry)
            assert await rows(made) == []
        # another one, since the first may still hold a request: the same delivery
        async with embedder_server() as mended, keeping(made, settings(mended.url, dimensions=16)):
            await made.advance(made.now + 5)
            await made.empty()
            assert len(await rows(made)) == 1


async def test_an_embedder_that_is_down_is_asked_when_it_is_back(tmp_path: Path) -> None:
    async with embedder_server() as server:
        port = int(server.url.split(":")[2].split("/")[0])
    async with store(tmp_path / "r.db") as made, keeping(made, settings(server.url), closed(REFUND)):
        (entry,) = await made.rested()
        assert f"no connection to 127.0.0.1:{port}" in (entry.error or "")
        async with embedder_server(port):
            await made.advance(made.now + 5)
            await made.empty()
        assert len(await rows(made)) == 1


async def test_429_says_when_to_come_again(tmp_path: Path) -> None:
    async with embedder_server() as server, store(tmp_path / "r.db") as made:
        server.status, server.headers = 429, {"Retry-After": "77"}
        async with keeping(made, settings(server.url), closed(REFUND)):
            (entry,) = await made.rested()
            assert entry.due_at == made.now + 77
            server.status = 200
            await made.advance(made.now + 77)
            await made.empty()
    assert len(server.seen) == 2


async def test_the_key_comes_from_the_environment_and_is_shown_nowhere(tmp_path: Path) -> None:
    async with embedder_server() as server, store(tmp_path / "r.db") as made:
        with pytest.raises(ConfigError, match="api_key_env names EMBED_KEY, which is not set"):
            settings(server.url, api_key_env="EMBED_KEY")
        chosen = settings(server.url, {"EMBED_KEY": "sk-1"}, api_key_env="EMBED_KEY")
        async with keeping(made, chosen, closed(REFUND)):
            await made.empty()
    assert server.keys == ["Bearer sk-1"]
    assert "sk-1" not in repr(chosen)
    with pytest.raises(ConfigError, match="check URL and key") as caught:
        Vectors(settings(server.url, {"EMBED_KEY": "sk-1\r\nX: y"}, api_key_env="EMBED_KEY"))
    assert "sk-1" not in caught.value.message


async def test_text_that_is_forgotten_while_it_is_embedded_is_not_kept(tmp_path: Path) -> None:
    async with embedder_server() as server, store(tmp_path / "r.db") as made:
        server.hold = asyncio.Event()
        async with keeping(made, settings(server.url), closed(REFUND, subject="ann")):
            async with asyncio.timeout(20):
                while not server.seen:
                    await asyncio.sleep(0.01)

            def forgotten(database: Any) -> int:
                with database.transaction(durable=True):
                    database._execute("DELETE FROM outbox WHERE subject = 'ann'")
                    return forget(database, "ann")

            assert await made.ask(forgotten) == 0
            server.hold.set()
            while made.worker._busy.total():
                await asyncio.sleep(0.01)
            assert await rows(made) == []


async def test_a_kept_connection_that_ends_without_a_word_is_replaced() -> None:
    """The server closes it just when the next request is sent: one that is new takes it, and an error is one all the same."""
    connections: list[int] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(0)
        while len(connections) < 4:
            head = await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(int(head.lower().partition(b"content-length: ")[2].partition(b"\r")[0]))
            connections[-1] += 1
            if connections[-1] == 2:
                break
            body = b'{"data": [{"embedding": [1.0]}]}'
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    vectors = Vectors(settings(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"))
    for _ in range(3):
        assert await vectors._embedder.embed(["a"]) == [array("f", [1])]
    with pytest.raises(EmbeddingError, match="closed the connection before it answered"):
        await vectors._embedder.embed(["a"])
    assert connections == [2, 2, 2, 0]
    await vectors.close()
    server.close()


async def test_a_kept_connection_that_the_server_closed_is_replaced(tmp_path: Path) -> None:
    async with embedder_server() as server:
        vectors, port = Vectors(settings(server.url)), int(server.url.split(":")[2].split("/")[0])
        assert len(await vectors._embedder.embed(["a"])) == 1
    async with embedder_server(port) as server:
        assert len(await vectors._embedder.embed(["a"])) == 1
        assert await vectors._embedder.embed(["a", "b"]) != [array("f"), array("f")]
        assert len(server.seen) == 2
    await vectors.close()
