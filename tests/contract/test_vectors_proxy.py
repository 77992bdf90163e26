"""From the proxy's own streams to passages: `serve`, its records and its worker, as a process of its own."""

import asyncio
import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import aiohttp

from streamweir.records.sqlite import Sqlite
from streamweir.simulator.app import RunningSimulator
from tests.contract.test_vectors_cli import search
from tests.servers import Serve

CONFIG = """
[upstreams.sim]
dialect = "openai"
base_url = "{url}"
api_key = "k"
[profiles.masked]
upstream = "sim"
model = "sim:none?echo=1&rate=0"
[profiles.strict]
upstream = "sim"
model = "sim:none?echo=1&rate=0"
guard = "block"
[profiles.cut]
upstream = "sim"
model = "sim:cut?echo=1&rate=0&at=3"
[records]
url = "sqlite:///{path}"
[vectors]
embedder = "{url}"
model = "small"
[[server.keys]]
name = "web"
sha256 = "{web}"
[[server.keys]]
name = "app"
sha256 = "{app}"
"""

SAYS = "Write to jane.doe@example.com when the refund has not arrived by Friday."


def held(path: Path) -> tuple[list[Any], list[Any]]:
    database = Sqlite(str(path), read_only=True)
    try:
        rows = database._execute(
            "SELECT request_id, tenant, profile, guard, status, text FROM passages ORDER BY request_id"
        )
        return rows.fetchall(), database._execute("SELECT * FROM outbox").fetchall()
    finally:
        database.close()


async def test_what_the_proxy_released_is_found_and_nothing_else(tmp_path: Path, simulator: RunningSimulator) -> None:
    path, file = tmp_path / "r.db", tmp_path / "streamweir.toml"
    hashes = {name: sha256(f"key-{name}".encode()).hexdigest() for name in ("web", "app")}
    file.write_text(CONFIG.format(url=f"{simulator.url}/v1", path=path, **hashes), encoding="utf-8")
    serve = await Serve.start(file)
    try:
        async with aiohttp.ClientSession() as session:
            for request, key, profile in (
                ("r1", "web", "masked"),
                ("r2", "app", "masked"),
                ("r3", "web", "strict"),
                ("r4", "web", "cut"),
            ):
                body = {
                    "model": profile,
                    "messages": [{"role": "user", "content": f"{request}. {SAYS}"}],
                    "stream": True,
                }
                headers = {"Authorization": f"Bearer key-{key}", "X-Request-Id": request}
                async with session.post(f"{serve.url}/v1/chat/completions", json=body, headers=headers) as reply:
                    await reply.read()
        async with asyncio.timeout(30):
            while len(held(path)[0]) < 3 or held(path)[1]:
                await asyncio.sleep(0.05)
        rows, _ = held(path)
        assert [row[:5] for row in rows] == [
            ("r1", "web", "masked", "redact", "completed"),
            ("r2", "app", "masked", "redact", "completed"),
            ("r4", "web", "cut", "redact", "interrupted"),
        ]
        assert rows[0][5] == "r1. Write to [EMAIL] when the refund has not arrived by Friday."
        assert SAYS.startswith(rows[2][5].removeprefix("r4. ").strip())
        done = await search("has the refund arrived?", "-c", str(file), "--tenant", "app", "--json")
        assert [one["request_id"] for one in json.loads(done.stdout)["passages"]] == ["r2"]
    finally:
        serve.terminate()
        assert await serve.ended() == 0
    assert not [one for one in tmp_path.iterdir() if b"jane" in one.read_bytes()]
