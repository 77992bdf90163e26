"""Proxies' configurations for tests that kill: records, a webhook, vectors and an anchor, each with its own store."""

import asyncio
import shutil
from base64 import b64encode
from pathlib import Path

from streamweir.simulator.app import RunningSimulator
from tests.acceptance.accounts import Place, Saw, account, faults, is_done, webhooks
from tests.acceptance.forks import Forked
from tests.endpoints import Endpoint
from tests.postgres import PostgresServer
from tests.proxies import profile, upstream

SETTLED = 15.0
"""Seconds in which a process that was started again has closed and delivered everything."""

LEFT = """
[records]
url = "{store}"
signing_key_file = "log.key"
checkpoint_every = 1
anchors = ["anchor"]
[[webhooks]]
url = "{hook}"
secret_file = "secret"
allow_loopback = true
"""

VECTORS = """
[vectors]
embedder = "{simulator}/v1"
model = "sim-embed"
"""


class Stores:
    """Makes stores: files, or databases on a server. `vectors`: they can hold some."""

    def __init__(self, server: PostgresServer | None, *, vectors: bool) -> None:
        self.server, self.vectors = server, vectors

    def make(self, folder: Path, like: Path | None) -> tuple[str, str]:
        """A new store's URL for a proxy in that folder, and for others. `like`: the folder whose store it is a copy of."""
        if self.server is None:
            return "sqlite:///records.db", f"sqlite:///{folder}/records.db"
        name, template = (one.name.rstrip(".").replace("-", "_") if one else "template1" for one in (folder, like))
        self.server.sql(f"CREATE DATABASE {name} TEMPLATE {template}")
        return self.server.url(name), self.server.url(name)


class Site:
    """A proxy's configuration and its store; all of it in one folder, which can be copied."""

    def __init__(
        self,
        folder: Path,
        stores: Stores,
        simulator: RunningSimulator,
        endpoint: Endpoint,
        models: dict[str, str],
        like: "Site | None" = None,
    ) -> None:
        """`like`: with a copy of that one's store."""
        if like is not None:
            shutil.copytree(like.config.parent, folder)
        folder.mkdir(exist_ok=True)
        store, url = stores.make(folder, like.config.parent if like is not None else None)
        self.simulator, self.endpoint = simulator, endpoint
        self.hook = f"/{folder.name}"
        self.hooks = {self.hook, like.hook} if like is not None else {self.hook}
        self.place = Place(url, folder / "log.vkey", folder / "anchor", stores.vectors)
        self.config = folder / "streamweir.toml"
        (folder / "secret").write_text(f"whsec_{b64encode(bytes(32)).decode()}")
        text = upstream(simulator, "sse-gateway") + "".join(profile(name, model) for name, model in models.items())
        hook = f"http://127.0.0.1:{endpoint.port}{self.hook}"
        text += LEFT.format(store=store, hook=hook)
        self.config.write_text(text + (VECTORS.format(simulator=simulator.url) if stores.vectors else ""))

    def seen(self, prefix: str) -> set[str]:
        """The requests that the upstream saw, of those whose ids begin so."""
        return {one.request_id for one in self.simulator.simulator.seen if (one.request_id or "").startswith(prefix)}

    async def settled(self) -> None:
        """Wait until nothing is open, and nothing is to be delivered, or for as long as that may take."""
        until = asyncio.get_running_loop().time() + SETTLED
        while asyncio.get_running_loop().time() < until and not is_done(self.place.url):
            await asyncio.sleep(0.02)

    def faults(self, seen: set[str], saws: list[Saw], served: list[Forked], new: int = 0) -> list[str]:
        reports = [line["report"] for forked in served for line in forked.told if "report" in line]
        # on some wires only the proxy's own line says so
        unrecorded = frozenset(report["request_id"] for report in reports if report.get("recorded") is False)
        delivered = webhooks(one for one in self.endpoint.received if one.path in self.hooks)
        return faults(account(self.place), seen, saws, delivered, unrecorded, new)
