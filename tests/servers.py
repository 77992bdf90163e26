"""`streamweir serve` as a process of its own, with all that it says."""

import asyncio
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

from tests.conftest import ROOT


class Serve:
    """The process, its address, and the lines of its stderr."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.lines: list[str] = []
        self.port = 0
        self._news = asyncio.Condition()
        self._reading = asyncio.create_task(self._read())

    @classmethod
    async def start(cls, config: Path, port: int = 0) -> "Serve":
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "streamweir", "serve", "-c", str(config), "--port", str(port),
            stderr=asyncio.subprocess.PIPE, cwd=config.parent, env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        )  # fmt: skip
        serve = cls(process)
        try:
            serve.port = int((await serve.says("listening on")).rpartition(":")[2])
        except BaseException:
            await serve.kill()
            raise
        return serve

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def told(self) -> list[dict[str, Any]]:
        """Its lines of JSON."""
        return [json.loads(line) for line in self.lines if line.startswith("{")]

    async def says(self, words: str, seconds: float = 30) -> str:
        """The first line with these words, said already or to come."""
        async with asyncio.timeout(seconds), self._news:
            while True:
                for line in self.lines:
                    if words in line:
                        return line
                assert not self._reading.done(), f"it ended without saying {words!r}: {self.lines}"
                await self._news.wait()

    def terminate(self) -> None:
        self.process.send_signal(signal.SIGTERM)

    async def ended(self, seconds: float = 30) -> int:
        """Its exit code."""
        async with asyncio.timeout(seconds):
            await self._reading
            return await self.process.wait()

    async def kill(self) -> None:
        """What a test does at its end, whatever became of it."""
        if self.process.returncode is None:
            self.process.kill()
        await self._reading
        await self.process.wait()

    async def _read(self) -> None:
        assert self.process.stderr is not None
        while line := await self.process.stderr.readline():
            async with self._news:
                self.lines.append(line.decode().rstrip("\n"))
                self._news.notify_all()
        async with self._news:
            self._news.notify_all()
