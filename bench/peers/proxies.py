"""What is measured: how each proxy is started, and how one gets it where it is missing."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bench.peers import settings
from bench.texts import terms

ROOT = Path(__file__).parents[2]
NODE = Path(__file__).parent / "node"
LITELLM = ROOT / ".peers" / "litellm" / "bin" / "litellm"
PORTKEY = NODE / "node_modules" / "@portkey-ai" / "gateway" / "build" / "start-server.js"
FETCH = "make bench-peers"
CHAT = "/v1/chat/completions"


@dataclass(frozen=True)
class Place:
    """Where a proxy listens, its upstream's port, and a folder for its files."""

    port: int
    upstream: int
    folder: Path

    def file(self, name: str, text: str) -> str:
        """Write a file of the proxy's; returns its path."""
        path = self.folder / f"{self.port}-{name}"
        path.write_text(text, encoding="utf-8")
        return str(path)


@dataclass(frozen=True)
class Proxy:
    """A process that is measured. `command` makes its words; `missing` says how to get it, or nothing."""

    name: str
    command: Callable[[Place], list[str]]
    missing: Callable[[], str] = str
    environ: Mapping[str, str] = field(default_factory=dict[str, str])
    headers: Callable[[Place], list[str]] = lambda _place: []
    slow: bool = False
    """So slow that full loads would take minutes: it has shorter ones, and one round of what overwhelms it."""

    ours: bool = False


@dataclass(frozen=True)
class Column:
    """One way to ask a proxy: over SSE, or over a WebSocket."""

    name: str
    proxy: Proxy
    path: str = CHAT
    websocket: bool = False


def nginx_path() -> str | None:
    """Debian has it where only root looks."""
    return shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")


def _nginx(place: Place) -> list[str]:
    folder = place.folder / f"nginx-{place.port}"
    folder.mkdir()
    config = place.file("nginx.conf", settings.nginx(folder, place.port, place.upstream))
    return [nginx_path() or "nginx", "-e", str(folder / "error.log"), "-c", config]


def _ours(place: Place, guard: bool, records: bool = False) -> list[str]:
    words = place.file("terms.txt", "\n".join(terms())) if guard else None
    kept = f"sqlite:///{place.folder}/records-{place.port}.db" if records else "off"
    config = place.file("streamweir.toml", settings.streamweir(place.upstream, words, kept))
    return [sys.executable, "-m", "streamweir", "serve", "-c", config, "--port", str(place.port)]


def _floor(place: Place, *words: str) -> list[str]:
    return [sys.executable, "-m", "bench.peers.floor", str(place.port), str(place.upstream), *words]


def _tutorial(place: Place) -> list[str]:
    return ["node", str(NODE / "tutorial.js"), str(place.port), str(place.upstream)]


def _litellm(place: Place) -> list[str]:
    config = place.file("litellm.yaml", settings.litellm(place.upstream))
    return [str(LITELLM), "--config", config, "--host", "127.0.0.1", "--port", str(place.port)]


def _portkey(place: Place) -> list[str]:
    shim = str(NODE / "portkey-shim.cjs")
    return ["node", "-r", shim, str(PORTKEY), f"--port={place.port}", "--headless"]


def _portkey_headers(place: Place) -> list[str]:
    return ["x-portkey-provider: openai", f"x-portkey-custom-host: http://127.0.0.1:{place.upstream}/v1"]


def _node(package: Path) -> str:
    if shutil.which("node") is None:
        return "make deps"
    return "" if package.exists() else FETCH


PATHS = {"PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}"}

NGINX = Proxy("nginx", _nginx, lambda: "" if nginx_path() else "make deps")
OFF = Proxy("streamweir, guard off", lambda place: _ours(place, guard=False), ours=True)
ON = Proxy("streamweir, guard on", lambda place: _ours(place, guard=True), ours=True)
RECORDING = Proxy("streamweir, records on", lambda place: _ours(place, guard=False, records=True), ours=True)
FLOOR = "bytes passed on in Python"
PASSING = Proxy(f"{FLOOR}, unread", _floor, environ=PATHS)
READING = Proxy(f"{FLOOR}, read", lambda place: _floor(place, "--read"), environ=PATHS)
TUTORIAL = Proxy("Express and axios", _tutorial, lambda: _node(NODE / "node_modules" / "express"))
PORTKEY_GATEWAY = Proxy("Portkey", _portkey, lambda: _node(PORTKEY), headers=_portkey_headers)
LITELLM_PROXY = Proxy(
    "LiteLLM",
    _litellm,
    lambda: "" if LITELLM.exists() else FETCH,
    # its table of prices comes from the package and not from the network
    {"LITELLM_LOCAL_MODEL_COST_MAP": "True"},
    slow=True,
)

COLUMNS = (
    Column("nginx", NGINX),
    Column(PASSING.name, PASSING),
    Column(READING.name, READING),
    Column("streamweir, guard off", OFF),
    Column("streamweir, guard on", ON),
    Column("streamweir, guard off, records on", RECORDING),
    Column("streamweir, guard off, WebSocket", OFF, "/ws", websocket=True),
    Column("streamweir, guard on, WebSocket", ON, "/ws", websocket=True),
    Column("Express and axios", TUTORIAL),
    Column("Portkey", PORTKEY_GATEWAY),
    Column("LiteLLM", LITELLM_PROXY),
)
QUICK = tuple(one for one in COLUMNS if one.proxy in (NGINX, OFF, ON, RECORDING) and not one.websocket)


def environ(proxy: Proxy, folder: Path) -> dict[str, str]:
    """What a proxy sees of the environment: nothing of this machine's that could change what it does."""
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": str(folder),
        "LANG": "C.UTF-8",
        "NO_PROXY": "127.0.0.1",
        **({"PYTHONPATH": str(ROOT / "src")} if proxy.ours else {}),
        **proxy.environ,
    }
