"""Webhooks over real sockets: what is sent, and what every misbehaviour of an endpoint comes to."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from streamweir.flows.delivery import DAY, TRIES
from streamweir.flows.signature import signed
from streamweir.records import outbox
from streamweir.records.outbox import Filter
from tests.endpoints import OK, Endpoint, answer
from tests.networks import free_port
from tests.outboxes import KEY, Store, delivering, hook, store


@pytest.fixture
async def kept(tmp_path: Path) -> AsyncIterator[Store]:
    async with store(tmp_path / "records.db") as made:
        yield made


async def test_a_delivery_is_signed_posted_and_gone(kept: Store) -> None:
    async with (
        Endpoint(lambda _: OK).running() as endpoint,
        delivering(kept, hook(endpoint.url, keys=(KEY, b"k" * 32))),
    ):
        await kept.put("hook", "msg_1", body=b'{"a": 1}')
        await kept.empty()
    (received,) = endpoint.received
    assert (received.path, received.body) == ("/hook", b'{"a": 1}')
    expected = signed("msg_1", kept.now, b'{"a": 1}', [KEY, b"k" * 32])
    assert {name: received.headers[name] for name in expected} == expected
    assert received.headers["content-type"] == "application/json"
    assert "cookie" not in received.headers


async def test_connections_are_used_again_and_long_bodies_arrive(kept: Store) -> None:
    async with Endpoint(lambda _: OK).running() as endpoint, delivering(kept, hook(endpoint.url)):
        for number in range(3):
            await kept.put("hook", f"msg_{number}", body=b"x" * (3 << 20 if number == 1 else 10))
            await kept.empty()
    assert [len(one.body) for one in endpoint.received] == [10, 3 << 20, 10]
    assert endpoint.connections == 1


@pytest.mark.parametrize(
    ("says", "error", "wait"),
    [
        (answer(500), "HTTP 500", 5),
        (answer(404), "HTTP 404", 5),
        (answer(429, "Retry-After: 120"), "HTTP 429", 120),
        (answer(503, "Retry-After: 99999999"), "HTTP 503", DAY),
        (answer(500, "Retry-After: 120"), "HTTP 500", 5),
        ("close", "it closed the connection without an answer", 5),
        ((b"HTTP/1.1 200 O", "close"), "it closed the connection without an answer", 5),
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", "the connection failed (ClientResponseError)", 5),
        ("hang", "no answer within 2 s", 5),
        ((b"HTTP/1.1 200 OK\r\nX: ", "hang"), "no answer within 2 s", 5),
    ],
    ids=[
        "500",
        "404",
        "429",
        "503",
        "500 with Retry-After",
        "closes",
        "closes early",
        "no HTTP",
        "hangs",
        "hangs early",
    ],
)
async def test_a_failure_is_tried_again(
    kept: Store, says: bytes | str | tuple[bytes, str], error: str, wait: float
) -> None:
    endpoint = Endpoint(lambda number: says if number == 1 else OK)
    async with endpoint.running(), delivering(kept, hook(endpoint.url, timeout=2.0 if "within" in error else 10.0)):
        await kept.put("hook", "msg_1")
        (entry,) = await kept.rested()
        assert (entry.state, entry.attempts, entry.error, entry.due_at) == ("due", 1, error, kept.now + wait)
        await kept.advance(entry.due_at)
        await kept.empty()
    assert endpoint.ids == ["msg_1", "msg_1"]
    first, second = (int(one.headers["webhook-timestamp"]) for one in endpoint.received)
    assert second - first == wait
    assert (
        endpoint.received[1].headers["webhook-signature"] == signed("msg_1", second, b"{}", [KEY])["webhook-signature"]
    )


@pytest.mark.parametrize(
    "says",
    [
        answer(204),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nx", "hang"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nx", "close"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n" + b"x" * 100_000, "hang"),
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nnope",
    ],
    ids=["204", "its body hangs", "its body ends early", "its body has no end", "its body is broken"],
)
async def test_what_follows_a_2xx_changes_nothing(kept: Store, says: bytes | tuple[bytes, str]) -> None:
    async with Endpoint(lambda _: says).running() as endpoint, delivering(kept, hook(endpoint.url, timeout=2.0)):
        await kept.put("hook", "msg_1")
        await kept.empty()
    assert len(endpoint.received) == 1


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirects_are_failures_and_not_followed(kept: Store, status: int) -> None:
    async with Endpoint(lambda _: OK).running() as other:
        says = answer(status, f"Location: {other.url}", "Set-Cookie: a=b")
        async with Endpoint(lambda _: says).running() as endpoint, delivering(kept, hook(endpoint.url)):
            await kept.put("hook", "msg_1")
            (entry,) = await kept.rested()
            assert (entry.state, entry.attempts) == ("due", 1)
            assert f"HTTP {status}: redirects are not followed" in (entry.error or "")
            await kept.advance(entry.due_at)
            await kept.until(lambda entries: len(endpoint.received) == 2)
    assert not other.received
    assert "cookie" not in endpoint.received[1].headers


async def test_an_endpoint_that_is_gone_is_left_alone(kept: Store) -> None:
    async with (
        Endpoint(lambda _: answer(410)).running() as gone,
        Endpoint(lambda _: OK).running() as other,
        delivering(kept, hook(gone.url, "gone"), hook(other.url, "other")),
    ):
        await kept.put("gone", *(f"msg_{number}" for number in range(30)))
        entries = await kept.until(lambda entries: all(one.state == "dead" for one in entries))
        assert len(entries) == 30
        tried = len(gone.received)
        assert tried <= 8
        assert [target for _, target, _, _ in await kept.ask(outbox.disabled)] == ["gone"]
        await kept.put("gone", "msg_new")
        await kept.put("other", "msg_other")
        await kept.until(lambda entries: other.ids == ["msg_other"])
        assert len(gone.received) == tried
        assert len(await kept.until(lambda entries: all(one.state == "dead" for one in entries))) == 30
        gone.says = lambda _: OK
        await kept.ask(lambda database: outbox.retry(database, Filter(target="gone"), kept.now))
        await kept.empty()
        await kept.put("gone", "msg_again")
        await kept.empty()
    assert gone.ids[-1] == "msg_again"


async def test_three_days_of_a_dead_endpoint_leave_one_dead_letter(kept: Store) -> None:
    began = kept.now
    async with delivering(kept, hook(f"http://127.0.0.1:{free_port()}/")):
        await kept.put("hook", "msg_1")
        for tries in range(1, TRIES):
            (entry,) = await kept.rested()
            assert (entry.state, entry.attempts) == ("due", tries)
            assert "cannot be reached" in (entry.error or "")
            # not before its time
            await kept.advance(entry.due_at - 0.5)
            await asyncio.sleep(0.05)
            (again,) = await kept.rested()
            assert again.attempts == tries
            await kept.advance(entry.due_at)
        (entry,) = await kept.until(lambda entries: entries[0].state == "dead")
        assert entry.attempts == TRIES
        assert 2.9 * DAY < kept.now - began < 3 * DAY
        await kept.advance(kept.now + 30 * DAY)
        await asyncio.sleep(0.05)
        assert [one.state for one in await kept.rested()] == ["dead"]


async def test_a_dead_endpoint_that_comes_back_gets_everything_once(kept: Store) -> None:
    endpoint = Endpoint(lambda _: OK)
    async with endpoint.running():
        pass
    async with delivering(kept, hook(endpoint.url)):
        await kept.put("hook", *(f"msg_{number}" for number in range(40)))
        await kept.rested()
        async with endpoint.running():
            await kept.advance(kept.now + 5)
            await kept.empty()
            assert sorted(endpoint.ids) == sorted(f"msg_{number}" for number in range(40))
            assert endpoint.most <= 8


async def test_endpoints_that_hang_delay_no_other(kept: Store) -> None:
    """Nine that hang for longer than the test lasts, each with more than it may have under way."""
    async with Endpoint(lambda _: "hang").running() as stuck, Endpoint(lambda _: OK).running() as good:
        hanging = [hook(stuck.url, f"stuck{number}", timeout=45.0) for number in range(9)]
        async with delivering(kept, *hanging, hook(good.url, "good")):
            for number in range(9):
                await kept.put(f"stuck{number}", *(f"msg_{number}_{one}" for one in range(20)))
            await kept.until(lambda entries: len(stuck.received) == 9 * 6)
            for number in range(20):
                await kept.put("good", f"msg_good_{number}")
            await kept.until(lambda entries: len(good.received) == 20)
            left = [one for one in await kept.until(lambda entries: len(entries) == 180) if one.state == "leased"]
            assert len(left) == 9 * 6
        # stopping gave back what was under way
        entries = await kept.entries()
        assert {(one.state, one.attempts) for one in entries} == {("due", 0)}
        assert len(entries) == 180


async def test_the_body_is_what_the_specification_says(kept: Store) -> None:
    async with Endpoint(lambda _: OK).running() as endpoint, delivering(kept, hook(endpoint.url)) as webhooks:
        found = webhooks.event("stream.completed", "msg_1", 1_800_000_000.25, {"size": 3})
        await kept.put("hook", "msg_1", body=found[0].body)
        await kept.empty()
    assert json.loads(endpoint.received[0].body) == {
        "type": "stream.completed",
        "timestamp": "2027-01-15T08:00:00.250Z",
        "data": {"size": 3},
    }
