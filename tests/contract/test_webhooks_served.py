"""A proxy with a webhook: every end of a stream arrives, also where the endpoint was away and the proxy was killed."""

import asyncio
import json
from collections import Counter
from pathlib import Path
from typing import Any

import aiohttp
from standardwebhooks import Webhook

from streamweir.simulator.app import RunningSimulator
from tests.contract.test_outbox_cli import outbox
from tests.endpoints import OK, Endpoint
from tests.proxies import profile, upstream
from tests.servers import Serve

SECRET = f"whsec_{'A' * 43}="
MODELS = {"good": "none", "short": "length", "cut": "cut", "bad": "error"}
STATUSES = {"good": "completed", "short": "truncated", "cut": "interrupted", "bad": "failed"}

DELIVERED = 'streamweir_deliveries_total{kind="webhook",outcome="delivered",target="hook"}'


def configured(folder: Path, simulator: RunningSimulator, endpoint: Endpoint) -> Path:
    (folder / "secret").write_text(SECRET, encoding="utf-8")
    file = folder / "streamweir.toml"
    profiles = "".join(profile(name, f"sim:{fault}?rate=0") for name, fault in MODELS.items())
    file.write_text(
        f'{upstream(simulator)}{profiles}[records]\nurl = "sqlite:///{folder}/records.db"\n'
        f'[[webhooks]]\nurl = "{endpoint.url}"\nname = "hook"\nsecret_file = "{folder}/secret"\nallow_loopback = true\n',
        encoding="utf-8",
    )
    return file


async def streamed(serve: Serve, model: str) -> None:
    """One reply, read to its end, whatever that is."""
    asked = {"model": model, "stream": True, "messages": [{"role": "user", "content": "hello"}]}
    url = f"{serve.url}/v1/chat/completions"
    async with aiohttp.ClientSession() as session, session.post(url, json=asked) as response:
        await response.read()


async def metrics(serve: Serve) -> str:
    async with aiohttp.ClientSession() as session, session.get(f"{serve.url}/metrics") as response:
        return await response.text()


async def listed(folder: Path) -> list[dict[str, Any]]:
    return json.loads((await outbox(folder, "list", "--json")).stdout)["deliveries"]


async def test_every_end_arrives_once_and_verifies(tmp_path: Path, simulator: RunningSimulator) -> None:
    async with Endpoint(lambda _: OK).running() as endpoint:
        serve = await Serve.start(configured(tmp_path, simulator, endpoint))
        try:
            for model in MODELS:
                await streamed(serve, model)
            async with asyncio.timeout(30):
                while len(endpoint.received) < len(MODELS):
                    await asyncio.sleep(0.02)
                while f"{DELIVERED} {len(MODELS)}.0" not in await metrics(serve):
                    await asyncio.sleep(0.02)
            serve.terminate()
            assert await serve.ended() == 0
        finally:
            await serve.kill()
    events = [Webhook(SECRET).verify(one.body, one.headers) for one in endpoint.received]
    assert Counter(one["type"] for one in events) == Counter(f"stream.{one}" for one in STATUSES.values())
    assert {one["data"]["profile"]: one["data"]["status"] for one in events} == STATUSES
    assert not any("text" in one["data"] for one in events)
    assert await listed(tmp_path) == []


async def test_a_kill_loses_no_delivery(tmp_path: Path, simulator: RunningSimulator) -> None:
    endpoint = Endpoint(lambda _: OK)
    async with endpoint.running():
        pass
    file = configured(tmp_path, simulator, endpoint)
    serve = await Serve.start(file)
    try:
        for _ in range(10):
            await streamed(serve, "good")
        async with asyncio.timeout(30):
            # the endpoint is away: each was tried, and waits
            while [one["state"] for one in await listed(tmp_path) if one["error"]] != ["due"] * 10:
                await asyncio.sleep(0.05)
    finally:
        await serve.kill()
    waiting = {one["message_id"] for one in await listed(tmp_path)}
    assert (await outbox(tmp_path, "retry", "--all")).returncode == 0
    async with endpoint.running():
        serve = await Serve.start(file)
        try:
            # what was being tried when it was killed waits for the end of its lease
            async with asyncio.timeout(120):
                while await listed(tmp_path):
                    await asyncio.sleep(0.05)
        finally:
            await serve.kill()
    assert set(endpoint.ids) == waiting
    assert len(waiting) == 10
