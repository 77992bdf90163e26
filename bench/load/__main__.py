"""See the package's docstring."""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import aiohttp
import uvloop
from bench.load.client import Result, one, silent

CONFIG = """
[upstreams.up]
dialect = "openai"
base_url = "http://127.0.0.1:{port}/v1"

[profiles.paced]
upstream = "up"
model = "paced"
guard = "{guard}"

[profiles.flood]
upstream = "up"
model = "flood"
guard = "off"

[records]
url = "off"
"""
OVER = 2.0
"""Seconds in which the clients of one round begin, so that their events are spread as those of strangers are."""


class Child:
    """A process of the load's own."""

    def __init__(self, *arguments: str) -> None:
        self.arguments = arguments
        self.process = subprocess.Popen(
            [sys.executable, "-m", *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )

    def line(self, stream: str) -> str:
        return (getattr(self.process, stream).readline() or b"").decode().strip()

    def kib(self) -> int:
        """Resident memory now."""
        text = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(text.partition("VmRSS:")[2].split()[0])

    def cpu(self) -> float:
        """Seconds of processor time so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / 100

    def stop(self) -> str:
        """End it, politely; what it said last."""
        if "serve" in self.arguments:
            self.process.terminate()
        return self.process.communicate(timeout=30)[0].decode().strip()


async def round_of(base: str, face: str, given: argparse.Namespace, proxy: Child | None) -> dict[str, object]:
    """All clients at once; what they saw together."""
    # a walk of this process's own collector would be a late moment of everybody's
    gc.collect()
    gc.disable()
    count, events = given.streams, int(given.rate * given.seconds)
    timeout = aiohttp.ClientTimeout(total=given.seconds + 60)
    before = proxy.kib() if proxy else 0
    cpu = proxy.cpu() if proxy else 0.0
    kib, paced = 0, 0.0
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), timeout=timeout) as http:

        async def client(number: int) -> Result:
            await asyncio.sleep(OVER * number / count)
            return await one(http, base, face, events, given.cuts, number)

        running = [asyncio.create_task(client(number)) for number in range(count)]
        if proxy and given.seconds > 2 * OVER:
            # all have begun, none has ended: what an event costs by itself
            await asyncio.sleep(1.1 * OVER)
            since, begun = time.monotonic(), proxy.cpu()
            await asyncio.sleep(given.seconds / 2)
            kib = proxy.kib()
            await asyncio.sleep(given.seconds / 2 - 1.2 * OVER)
            paced = (proxy.cpu() - begun) / (count * given.rate * (time.monotonic() - since))
        results = await asyncio.gather(*running)
    late = sorted(moment for result in results for moment in result.late)
    failures = [result.failed for result in results if result.failed]
    return {
        "face": face,
        "streams": count,
        "events": len(late),
        "lost": sum(result.lost for result in results),
        "repeated": sum(result.repeated for result in results),
        "failed": len(failures),
        "why": sorted(set(failures))[:3],
        "cuts": sum(result.cuts for result in results),
        "late_p50_ms": round(statistics.median(late) / 1000, 2) if late else None,
        "late_p99_ms": round(late[int(0.99 * (len(late) - 1))] / 1000, 2) if late else None,
        "late_max_ms": round(late[-1] / 1000, 2) if late else None,
        "kib_a_stream": round((kib - before) / count, 1) if kib else None,
        "cpu_us_an_event": round((proxy.cpu() - cpu) / max(1, len(late)) * 1e6, 1) if proxy else None,
        "cpu_us_between": round(paced * 1e6, 1) if paced else None,
    }


async def main(given: argparse.Namespace) -> int:
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    events = int(given.rate * given.seconds)
    upstream = Child("bench.load.upstream", str(given.rate), str(events))
    upstream_port = int(upstream.line("stdout"))
    with tempfile.NamedTemporaryFile("w", suffix=".toml") as file:
        file.write(CONFIG.format(port=upstream_port, guard=given.guard) + given.config)
        file.flush()
        proxy = Child("streamweir", "serve", "-c", file.name, "--port", "0", "--quiet")
        line = proxy.line("stderr")
        while "listening on" not in line:
            if not line:
                sys.exit("the proxy did not start")
            line = proxy.line("stderr")
    base = line.rpartition(" ")[2]
    port = int(base.rpartition(":")[2])
    mute: list[asyncio.StreamWriter] = []
    try:
        # code, tables and buffers of the proxy itself are no stream's
        warm = argparse.Namespace(**{**vars(given), "streams": 50, "seconds": min(given.seconds, 2), "cuts": 0})
        await round_of(base, given.face, warm, proxy)
        print(json.dumps(await round_of(f"http://127.0.0.1:{upstream_port}", "direct", given, None)))
        if given.silent:
            print(json.dumps(await round_of(base, given.face, given, proxy)))
            mute = [await silent("127.0.0.1", port) for _ in range(given.silent)]
            await asyncio.sleep(1)
        last = await round_of(base, given.face, given, proxy)
        print(json.dumps(last | ({"silent": given.silent} if given.silent else {})))
    finally:
        for writer in mute:
            writer.transport.abort()
        proxy.stop()
        asked = int(upstream.stop())
    rounds = 3 if given.silent else 2
    expected = warm.streams + rounds * given.streams + given.silent
    print(json.dumps({"upstream_requests": asked, "clients": expected}))
    if asked != expected:
        return 1
    return 1 if last["lost"] or last["repeated"] or last["failed"] else 0


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.load", description=__doc__)
    parser.add_argument("--streams", type=int, default=1000)
    parser.add_argument("--rate", type=float, default=5, help="events a second of each stream")
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--face", choices=["sse", "openai", "ws", "resumable"], default="sse")
    parser.add_argument("--guard", default="redact")
    parser.add_argument("--cuts", type=int, default=0, help="times that each resumable stream loses its connection")
    parser.add_argument("--silent", type=int, default=0, help="clients beside them that never read")
    parser.add_argument("--config", default="", help="more lines of the proxy's configuration")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(uvloop.run(main(options())))
