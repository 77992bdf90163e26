"""Where webhooks do not go: names that lead inside, addresses in odd forms, answers of the DNS that change."""

import asyncio
import ssl
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from streamweir.client.trust import ssl_context
from tests.endpoints import OK, Endpoint
from tests.networks import make_ca
from tests.outboxes import Store, delivering, hook, store


@pytest.fixture
async def kept(tmp_path: Path) -> AsyncIterator[Store]:
    async with store(tmp_path / "records.db") as made:
        yield made


@pytest.fixture
async def tls(tmp_path: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """The client's settings and the server's, whose certificate is for hook.example."""
    ca_file, server = make_ca(tmp_path, "hook.example")
    return ssl_context(str(ca_file)), server


class Dns:
    """Answers in this order, the last one again and again."""

    def __init__(self, *answers: list[str]) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[str, int]] = []

    def __call__(self, host: str, port: int) -> list[str]:
        self.asked.append((host, port))
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


@pytest.mark.parametrize(
    "answer",
    [
        ["127.0.0.1"], ["10.0.0.1"], ["169.254.169.254"], ["::1"], ["fd00::1"], ["fe80::1%lo"], ["::ffff:127.0.0.1"], ["0.0.0.0"],
        ["64:ff9b::7f00:1"], ["2002:7f00:1::"], ["127.1"], ["nonsense"],
    ],
    ids=lambda answer: " ".join(answer),
)  # fmt: skip
async def test_a_name_that_leads_inside_gets_nothing(kept: Store, answer: list[str]) -> None:
    dns = Dns(answer)
    async with Endpoint(lambda _: OK).running() as endpoint:
        inside = hook(f"https://hook.example:{endpoint.port}/", allow_loopback=False)
        async with delivering(kept, inside, lookup=dns):
            await kept.put("hook", "msg_1")
            (entry,) = await kept.rested()
    assert endpoint.connections == 0
    assert (entry.state, entry.attempts) == ("due", 1)
    assert "webhooks go to public addresses only" in (entry.error or "")
    assert dns.asked == [("hook.example", endpoint.port)]


@pytest.mark.parametrize("answer", [["127.0.0.1", "10.0.0.1"], ["10.0.0.1", "127.0.0.1"], ["127.0.0.1", "fe80::1%lo"]])
async def test_one_bad_address_of_a_name_is_enough(kept: Store, answer: list[str]) -> None:
    async with (
        Endpoint(lambda _: OK).running() as endpoint,
        delivering(kept, hook(f"http://hook.example:{endpoint.port}/"), lookup=Dns(answer)),
    ):
        await kept.put("hook", "msg_1")
        (entry,) = await kept.rested()
    assert endpoint.connections == 0
    assert "webhooks go to public addresses only" in (entry.error or "")


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1", "127.0.0.1.", "127.1", "0x7f.1", "0x7f000001", "017700000001", "2130706433", "localhost", "localhost.",
        "[::1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::]", "0.0.0.0", "0", "①②⑦.0.0.1", "127。0。0。1", "[::1%25lo]",
        "[64:ff9b::7f00:1]",
    ],
)  # fmt: skip
async def test_a_host_that_is_this_machine_in_any_form_is_not_reached(kept: Store, host: str) -> None:
    """What the configuration would not take in the first place."""
    async with Endpoint(lambda _: OK).running() as four, Endpoint(lambda _: OK).running("::1") as six:
        for number, port in enumerate((four.port, six.port)):
            async with delivering(kept, hook(f"https://{host}:{port}/", str(number), allow_loopback=False)):
                await kept.put(str(number), f"msg_{number}")
                entries = await kept.rested()
                assert {(one.state, one.attempts) for one in entries} == {("due", 1)}
        assert four.connections == six.connections == 0


async def test_what_was_checked_is_what_is_connected_to(
    kept: Store, tls: tuple[ssl.SSLContext, ssl.SSLContext]
) -> None:
    """No name of this test is in any DNS: who asks another resolver reaches nothing."""
    names: list[str | None] = []
    tls[1].sni_callback = lambda _socket, name, _context: names.append(name)
    answer = OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
    async with Endpoint(lambda _: (answer, "close")).running(tls=tls[1]) as endpoint:
        dns = Dns(["127.0.0.1"], ["10.255.255.1"], ["127.0.0.1"])
        async with delivering(kept, hook(f"https://hook.example:{endpoint.port}/"), lookup=dns, tls=tls[0]):
            await kept.put("hook", "msg_1")
            await kept.empty()
            await kept.put("hook", "msg_2")
            (entry,) = await kept.rested()
            assert "10.255.255.1, which is private" in (entry.error or "")
            assert (endpoint.ids, len(dns.asked)) == (["msg_1"], 2)
            await kept.advance(entry.due_at)
            await kept.empty()
    assert (endpoint.ids, len(dns.asked)) == (["msg_1", "msg_2"], 3)
    assert names == ["hook.example", "hook.example"]
    assert endpoint.received[0].headers["host"] == f"hook.example:{endpoint.port}"


@pytest.mark.parametrize("name", ["other.example", "127.0.0.1.nip.example"])
async def test_a_certificate_must_be_for_the_name(
    kept: Store, tls: tuple[ssl.SSLContext, ssl.SSLContext], name: str
) -> None:
    async with Endpoint(lambda _: OK).running(tls=tls[1]) as endpoint:
        other = hook(f"https://{name}:{endpoint.port}/")
        async with delivering(kept, other, lookup=Dns(["127.0.0.1"]), tls=tls[0]):
            await kept.put("hook", "msg_1")
            (entry,) = await kept.rested()
    assert not endpoint.received
    assert "certificate is not trusted" in (entry.error or "")


async def test_without_tls_only_this_machine_is_reached(kept: Store) -> None:
    async with Endpoint(lambda _: OK).running() as endpoint:
        dns = Dns(["1.1.1.1"], ["127.0.0.1"])
        async with delivering(kept, hook(f"http://hook.example:{endpoint.port}/"), lookup=dns):
            await kept.put("hook", "msg_1")
            (entry,) = await kept.rested()
            assert "http:// is for this machine only" in (entry.error or "")
            await kept.advance(entry.due_at)
            await kept.empty()
    assert len(endpoint.received) == 1


async def test_the_environments_proxies_are_not_asked(kept: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    async with Endpoint(lambda _: OK).running() as proxy, Endpoint(lambda _: OK).running() as endpoint:
        for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        async with delivering(kept, hook(f"http://hook.example:{endpoint.port}/"), lookup=Dns(["127.0.0.1"])):
            await kept.put("hook", "msg_1")
            await kept.empty()
    assert (proxy.connections, len(endpoint.received)) == (0, 1)


async def test_a_resolver_that_hangs_takes_one_thread_and_delays_no_other(kept: Store) -> None:
    go_on = threading.Event()
    asked: list[str] = []

    def lookup(host: str, port: int) -> list[str]:
        asked.append(host)
        if host == "stuck.example":
            go_on.wait(60)
        return ["127.0.0.1"]

    async with Endpoint(lambda _: OK).running() as endpoint:
        stuck = hook(f"http://stuck.example:{endpoint.port}/", "stuck", timeout=0.2)
        good = hook(f"http://good.example:{endpoint.port}/", "good")
        try:
            async with delivering(kept, stuck, good, lookup=lookup):
                await kept.put("stuck", *(f"msg_{number}" for number in range(20)))
                await kept.put("good", "msg_good")
                entries = await kept.until(lambda entries: len(entries) == 20 and all(one.error for one in entries))
                assert {one.error for one in entries} == {"no answer within 0.2 s"}
                assert endpoint.ids == ["msg_good"]
                assert asked.count("stuck.example") == 1
        finally:
            go_on.set()


async def test_a_name_without_an_address_is_tried_again(kept: Store) -> None:
    def lookup(host: str, port: int) -> list[str]:
        raise OSError(-2, "Name or service not known")

    async with delivering(kept, hook("https://hook.example/", allow_loopback=False), lookup=lookup):
        await kept.put("hook", "msg_1")
        (entry,) = await kept.rested()
        assert entry.error == "cannot be reached: Name or service not known"
    await asyncio.sleep(0)
