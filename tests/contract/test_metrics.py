"""/metrics: Prometheus' own parser reads it, docs/metrics.md lists all of it, and what it counts is what happened."""

import asyncio
from pathlib import Path

import aiohttp
import pytest
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from streamweir.server.keys import digest_of
from streamweir.server.lag import BOUNDS, Lag
from streamweir.server.life import Server
from streamweir.simulator.app import RunningSimulator
from tests.conftest import ROOT
from tests.proxies import FACES, body_of, profile, proxy_with, upstream

pytestmark = pytest.mark.usefixtures("cleared")

Families = dict[str, Metric]


async def scraped(server: Server, **headers: str) -> Families:
    async with aiohttp.ClientSession(server.url) as http, http.get("/metrics", headers=headers) as answer:
        assert answer.status == 200
        assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        return {family.name: family for family in text_string_to_metric_families(await answer.text())}


def value(families: Families, name: str, **labels: str) -> float:
    """The sum of the samples of that name that have these labels; histograms' parts have names of their own."""
    return sum(
        sample.value
        for family in families.values()
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    )


async def reply(server: Server, face: str, name: str) -> int:
    if face != "websocket":
        async with (
            aiohttp.ClientSession(server.url) as http,
            http.post(FACES[face][0], json=body_of(face, name)) as answer,
        ):
            await answer.read()
            return answer.status
    async with aiohttp.ClientSession() as http, http.ws_connect(f"{server.url}/ws") as socket:
        await socket.send_json({"type": "init", "payload": body_of(face, name)})
        while (await socket.receive_json())["type"] not in ("complete", "error"):
            pass
    return 200


def documented() -> dict[str, tuple[str, set[str]]]:
    """Name to type and labels, as docs/metrics.md says."""
    rows = [
        [cell.strip() for cell in line.split("|")[1:4]]
        for line in (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8").splitlines()
        if line.startswith("| `")
    ]
    return {name.strip("`"): (kind, {one.strip() for one in labels.split(",") if one}) for name, kind, labels in rows}


MODELS = {
    "whole": "sim:none?rate=100&tokens=10",
    "cut": "sim:cut?rate=0",
    "once": "sim:cut-once?rate=0",
    "again": "sim:503-twice?rate=0",
    "never": "sim:400",
}


async def test_what_is_documented_is_what_is_given_and_what_happened(simulator: RunningSimulator) -> None:
    policies = {"once": {"on_cut": "continue"}}
    text = upstream(simulator, "sse-gateway") + "".join(
        profile(name, model, **policies.get(name, {})) for name, model in MODELS.items()
    )
    server = await proxy_with(text)
    for face in FACES:
        await reply(server, face, "whole")
    for name in ("cut", "once", "again"):
        assert await reply(server, "sse", name) == 200
    assert await reply(server, "sse", "never") == 502
    assert await reply(server, "sse", "unknown") == 404
    families = await scraped(server)

    given: dict[str, tuple[str, set[str]]] = {}
    for family in families.values():
        name = family.name + ("_total" if family.type == "counter" else "")
        labels = {label for sample in family.samples for label in sample.labels} - {"le"}
        given[name] = (family.type, labels)
    shown = documented()
    # these have no sample here: no upstream told of a budget, there are no keys, no guard found anything, no records
    for name in (
        "streamweir_deliveries_total",
        "streamweir_records_away",
        "streamweir_records_lost_total",
        "streamweir_records_queued",
        "streamweir_records_written_total",
        "streamweir_key_live_streams",
        "streamweir_upstream_budget_used",
        "streamweir_upstream_budget_allowed",
        "streamweir_guard_findings_total",
    ):
        assert given.get(name, (shown[name][0], set()))[1] <= shown[name][1]
        given[name] = shown[name]
    assert given == shown

    streams = "streamweir_streams_total"
    for face, (path, _) in FACES.items():
        count = 2 if path == "/v1/chat/completions" else 1
        assert value(families, streams, route=path, profile="whole", status="completed", code="") == count, face
    assert value(families, streams, profile="cut", status="interrupted", code="stream_interrupted") == 1
    assert value(families, streams, profile="never", status="failed", code="upstream_error") == 1
    assert value(families, streams) == 10
    assert value(families, "streamweir_refusals_total", status="404", code="profile_not_found") == 1
    assert value(families, "streamweir_refusals_total", status="502", code="upstream_refused") == 1
    assert value(families, "streamweir_continuations_total", profile="once") == 1
    assert value(families, "streamweir_upstream_retries_total", profile="once") == 0
    assert value(families, "streamweir_upstream_retries_total", profile="again") == 2
    assert value(families, "streamweir_upstream_requests_total", profile="again") == 3
    tokens = value(families, "streamweir_tokens_total", profile="whole", kind="completion")
    assert tokens == 60
    for name in ("upstream_first_token", "released_first_token", "gap_mean", "gap_p95", "stream"):
        assert value(families, f"streamweir_{name}_seconds_count", profile="whole") == 6, name
    # what is released comes from what came
    first = [
        value(families, f"streamweir_{side}_first_token_seconds_sum", profile="whole")
        for side in ("upstream", "released")
    ]
    assert 0 < first[0] <= first[1]
    # 100 tokens a second
    assert 0.005 < value(families, "streamweir_gap_mean_seconds_sum", profile="whole") / 6 < 1
    assert value(families, "streamweir_guard_held_characters_count", profile="whole") == 6
    assert value(families, "streamweir_live_streams") == 0
    assert value(families, "process_resident_memory_bytes") > 1e6
    await server.stop()


@pytest.mark.parametrize("face", list(FACES))
async def test_a_stream_is_live_from_its_handshake_to_its_end(simulator: RunningSimulator, face: str) -> None:
    window = '[server]\nresume_window = "0s"\n'
    server = await proxy_with(upstream(simulator) + profile("p", "sim:none?tokens=100000&rate=5") + window)
    asking = asyncio.create_task(reply(server, face, "p"))
    async with asyncio.timeout(15):
        while value(families := await scraped(server), "streamweir_live_streams", phase="streaming") < 1:
            await asyncio.sleep(0.01)
    assert value(families, "streamweir_live_streams") == 1
    assert value(families, "streamweir_websockets") == (face == "websocket")
    asking.cancel()
    await asyncio.wait([asking])
    async with asyncio.timeout(15):
        while value(families, "streamweir_live_streams") or value(families, "streamweir_websockets"):
            families = await scraped(server)
    assert value(families, "streamweir_streams_total", status="cancelled", code="cancelled") == 1
    await server.stop()


async def test_what_a_guard_holds_and_finds(simulator: RunningSimulator) -> None:
    text = upstream(simulator) + profile("p", "sim:none?echo=1&rate=50&chars=1", guard="redact")
    server = await proxy_with(text)
    async with aiohttp.ClientSession(server.url) as http:
        body = body_of("sse", "p", "someone@example.com and 10.1.2.3")
        async with http.post("/api/llm/stream", json=body) as answer:
            assert b"someone" not in await answer.read()
    families = await scraped(server)
    assert value(families, "streamweir_guard_findings_total", kind="EMAIL") == 1
    assert value(families, "streamweir_guard_findings_total", kind="IP") == 1
    assert value(families, "streamweir_guard_held_characters_sum") >= len("someone@example.com")
    sums = [value(families, f"streamweir_{side}_first_token_seconds_sum") for side in ("upstream", "released")]
    # 19 characters of the address, 20 ms apart, were held back
    assert sums[1] - sums[0] > 0.2
    await server.stop()


async def test_only_an_operators_key_reads_metrics(simulator: RunningSimulator) -> None:
    keys = "".join(
        f'[[server.keys]]\nname = "{name}"\nsha256 = "{digest_of(name)}"\n{more}'
        for name, more in (("web", ""), ("ops", "admin = true\n"))
    )
    server = await proxy_with(upstream(simulator) + profile("p", "sim:none?rate=0") + keys)
    async with aiohttp.ClientSession(server.url) as http:
        async with http.post("/api/llm/tickets", json={"profile": "p"}, headers={"X-API-Key": "ops"}) as answer:
            ticket = (await answer.json())["ticket"]
        for headers, status, code in (
            ({}, 401, "key_missing"),
            ({"X-API-Key": "wrong"}, 401, "invalid_key"),
            ({"X-API-Key": "web"}, 403, "admin_needed"),
            ({"X-Streamweir-Ticket": ticket}, 403, "admin_needed"),
        ):
            async with http.get("/metrics", headers=headers) as answer:
                assert (answer.status, (await answer.json())["code"]) == (status, code)
        for path in ("/readyz", "/healthz"):
            async with http.get(path) as answer:
                assert answer.status == 200
        async with http.post("/api/llm/stream", json=body_of("sse", "p"), headers={"X-API-Key": "ops"}) as answer:
            assert answer.status == 200
    assert value(await scraped(server, Authorization="Bearer ops"), "streamweir_tickets_open") == 0
    await server.stop()


async def test_two_servers_in_a_process_count_apart(simulator: RunningSimulator) -> None:
    text = upstream(simulator) + profile("p", "sim:none?rate=0")
    one, other = await proxy_with(text), await proxy_with(text)
    await reply(one, "sse", "p")
    assert value(await scraped(one), "streamweir_streams_total") == 1
    assert value(await scraped(other), "streamweir_streams_total") == 0
    await one.stop()
    await other.stop()


def test_lag_is_counted_and_its_worst_is_forgotten_after_a_while() -> None:
    lag = Lag()
    for number, seconds in enumerate((0.0, 0.001, 0.002, 0.3, 99.0)):
        lag.late(seconds, 1000.0 + number)
    assert lag.counts == [2, 1, 0, 0, 0, 0, 0, 0, 1, 0, 0, 1]
    assert (len(lag.counts), lag.total) == (len(BOUNDS) + 1, pytest.approx(99.303))
    assert lag.worst == 99.0
    lag.late(0.1, 1061.0)
    assert lag.worst == 99.0
    lag.late(0.2, 1122.0)
    assert lag.worst == 0.2


async def test_a_loop_that_is_late_is_seen() -> None:
    lag = Lag()
    lag.start()
    async with asyncio.timeout(10):
        while not sum(lag.counts):
            await asyncio.sleep(0.01)
    import time

    time.sleep(0.9)
    async with asyncio.timeout(10):
        while lag.worst < 0.3:
            await asyncio.sleep(0.01)
    lag.stop()


def test_the_alerts_ask_for_metrics_that_there_are() -> None:
    import re

    page = Path(ROOT / "docs" / "metrics.md").read_text(encoding="utf-8").partition("Alerts to begin with")[2]
    asked = set(re.findall(r"streamweir_[a-z_]+", page))
    assert len(asked) >= 4
    for name in asked:
        assert name.removesuffix("_bucket") in documented(), name
