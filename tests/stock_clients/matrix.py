"""The clients that people have, against the proxy and without it: what each makes of every failure.

python -m tests.stock_clients.matrix [--write]
"""

import asyncio
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from streamweir.simulator.app import RunningSimulator
from streamweir.simulator.replies import SCRIPTS, tokens_of
from tests.conftest import ROOT, needs, started_proxy

HERE = Path(__file__).parent
DOC = ROOT / "docs" / "stock-clients.md"
MARKS = ("<!-- the matrix begins -->", "<!-- the matrix ends -->")

FAULTS = {
    "cut": "clean cut",
    "reset": "reset",
    "stall": "silent stall",
    "stall-comments": "stall with comments",
    "error": "in-stream error",
    "malformed": "malformed chunk",
    "403": "upstream refusal",
}
MODELS = {fault: f"sim:{fault}?rate=200" for fault in FAULTS}
WHOLE = SCRIPTS["complaint"]
FIRST = "".join(tokens_of(WHOLE)[:5])
LOOKED_UP = "I have looked it up for you: left Zürich 😊 this morning"
IDLE = 0.4
"""Seconds: the idle limit of the tests' proxy."""
HANGS = 3.0
"""Seconds after which a client is said to hang. No stall of the simulator ever ends by itself."""

PYTHON = ("openai create", "openai .stream()", "openai responses", "langchain-openai", "pydantic-ai")
NODE = ("openai", "langchain", "ai-sdk", "useChat", "eventsource", "eventsource-parser")
NAMES = {
    "openai": "openai",
    "langchain": "@langchain/openai",
    "ai-sdk": "ai + @ai-sdk/openai-compatible",
    "useChat": "useChat's core (AbstractChat)",
    "eventsource": "eventsource",
    "eventsource-parser": "eventsource-parser",
}
WITHOUT_TOOLS = ("eventsource", "eventsource-parser")
ONLY_HERE = ("openai responses",)
"""Clients of an interface that the upstream itself does not have."""


@dataclass(frozen=True)
class Client:
    """One stock client: how it is run, and where."""

    label: str
    command: tuple[str, ...]
    folder: Path
    tools: bool
    direct: bool


def clients() -> list[Client]:
    """All of them, in the order of the table. Skips, or fails, where one is not installed."""
    out: list[Client] = []
    python = needs("clients/python")["clients/python"]
    for name in PYTHON:
        command = (python, str(HERE / "clients.py"), name)
        out.append(Client(f"Python: {name}", command, HERE, True, name not in ONLY_HERE))
    litellm = needs("litellm/python")["litellm/python"]
    out.append(Client("Python: litellm", (litellm, str(HERE / "clients.py"), "litellm"), HERE, True, True))
    for folder, program in (("node22", needs("node22")["node22"]), ("node20", needs("node")["node"])):
        if not (HERE / folder / "node_modules").is_dir():
            needs(f"the packages of tests/stock_clients/{folder}")
        for name in NODE:
            label = f"Node {folder.removeprefix('node')}: {NAMES[name]}"
            command = (program, str(HERE / "clients.mjs"), name)
            out.append(Client(label, command, HERE / folder, name not in WITHOUT_TOOLS, True))
    return out


async def run(client: Client, base: str, models: dict[str, str], *, direct: bool) -> dict[str, Any]:
    """What a client saw: {"happy", "tool", "cells": {fault: {"text", "error", "seconds"}}}."""
    process = await asyncio.create_subprocess_exec(
        *client.command,
        base,
        str(HANGS),
        "direct" if direct else "proxy",
        *models.values(),
        cwd=client.folder,
        env={**os.environ, "LITELLM_LOCAL_MODEL_COST_MAP": "True", "OPENAI_API_KEY": "any", "PYTHONPATH": ""},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(120):
            out, err = await process.communicate()
    except BaseException:
        process.kill()
        await process.wait()
        raise
    assert process.returncode == 0, f"{client.label}: {err.decode()[-2000:]}"
    seen = json.loads(out.decode().splitlines()[-1])
    seen["cells"] = {fault: seen["cells"][model] for fault, model in models.items()}
    return seen


async def measured(direct: bool = True) -> dict[str, dict[str, Any]]:
    """Every client with the proxy and, with `direct`, without it; two at a time."""
    simulator = RunningSimulator()
    await simulator.start()
    proxy = await started_proxy(simulator, {"support": "sim:none?rate=200", **MODELS}, "openai")
    turn = asyncio.Semaphore(2)

    async def one(client: Client) -> tuple[str, dict[str, Any]]:
        async with turn:
            with_proxy = await run(client, f"{proxy.url}/v1", {f: f for f in FAULTS}, direct=False)
            without = None
            if direct and client.direct:
                without = await run(client, f"{simulator.url}/v1", MODELS, direct=True)
            return client.label, {"client": client, "proxy": with_proxy, "direct": without}

    try:
        return dict(await asyncio.gather(*(one(client) for client in clients())))
    finally:
        await proxy.stop()
        await simulator.stop()


def word(cell: dict[str, Any], fault: str) -> str:
    """What became of one failure, in the table's words."""
    if cell["error"] is None:
        return "**looks whole**"
    if cell["error"] == "hangs":
        return "**hangs**"
    kept = cell["text"] == FIRST or fault == "403"
    return "error" if kept else "error, text lost"


def table(found: dict[str, dict[str, Any]]) -> str:
    """Both matrices as Markdown."""
    out: list[str] = []
    for key, title in (
        ("proxy", "Behind streamweir"),
        ("direct", "Without it: the same clients, straight to the upstream"),
    ):
        out += [f"### {title}", "", f"| client | {' | '.join(FAULTS.values())} |", f"|---|{'---|' * len(FAULTS)}"]
        for label, one in found.items():
            if one[key] is not None:
                cells = one[key]["cells"]
                out.append(f"| {label} | {' | '.join(word(cells[f], f) for f in FAULTS)} |")
        shown = [word(one[key]["cells"][f], f) for one in found.values() if one[key] is not None for f in FAULTS]
        whole, hang, lost = (shown.count(w) for w in ("**looks whole**", "**hangs**", "error, text lost"))
        out += ["", f"{len(shown)} cells: {whole} look whole, {hang} hang, {lost} lose the text.", ""]
    return "\n".join(out).strip()


def written() -> str:
    """The table as it stands in the documents."""
    text = DOC.read_text(encoding="utf-8")
    return text.split(MARKS[0])[1].split(MARKS[1])[0].strip()


def main() -> None:
    found = asyncio.run(measured())
    text = table(found)
    print(text)
    slowest = max(cell["seconds"] for one in found.values() for cell in one["proxy"]["cells"].values())
    print(f"\nslowest end of a failed stream behind the proxy: {slowest:.2f} s, with an idle limit of {IDLE} s")
    if "--write" in sys.argv:
        before, rest = DOC.read_text(encoding="utf-8").split(MARKS[0])
        DOC.write_text(f"{before}{MARKS[0]}\n\n{text}\n\n{MARKS[1]}{rest.split(MARKS[1])[1]}", encoding="utf-8")


if __name__ == "__main__":
    main()
