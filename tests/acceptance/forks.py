"""`streamweir serve` many times over: each a process of its own, forked from an interpreter that has imported it.

A start takes a tenth of a second instead of a whole one. What runs is the interpreter's binary, with no thread before
the fork; run as a program, this file is that interpreter.
"""

import asyncio
import contextlib
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any


class Forked:
    """One process, its port, and its stderr in a file. It is no child of this process: a pidfd says when it has ended."""

    def __init__(self, pid: int, said: Path) -> None:
        self.pid = pid
        self.said = said
        self.port = 0
        self._fd = os.pidfd_open(pid)
        self._over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().add_reader(self._fd, self._ended)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def ended(self) -> bool:
        return self._over.done()

    @property
    def told(self) -> list[dict[str, Any]]:
        """Its lines of JSON; the last may have been cut off."""
        lines = self.said.read_text(encoding="utf-8").splitlines(keepends=True)
        return [json.loads(line) for line in lines if line.startswith("{") and line.endswith("}\n")]

    async def listening(self, seconds: float = 30) -> None:
        """Wait until it takes connections. A process that ends before leaves `port` at 0."""
        async with asyncio.timeout(seconds):
            while not self.port and not self.ended:
                for line in self.said.read_text(encoding="utf-8").splitlines(keepends=True):
                    if "listening on" in line and line.endswith("\n"):
                        self.port = int(line.rpartition(":")[2])
                await asyncio.sleep(0.005)

    def go_on(self) -> None:
        """What was started `held` begins."""
        self._send(signal.SIGCONT)

    async def over(self, seconds: float = 30) -> None:
        """Wait for its end."""
        await asyncio.wait_for(asyncio.shield(self._over), seconds)

    async def kill(self) -> None:
        self._send(signal.SIGKILL)
        await self.over()

    def _send(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            if not self.ended:
                signal.pidfd_send_signal(self._fd, number)

    def _ended(self) -> None:
        asyncio.get_running_loop().remove_reader(self._fd)
        os.close(self._fd)
        self._over.set_result(None)


class Forks:
    """The interpreter that is forked. `stop` kills what still runs."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._forked: list[Forked] = []
        self._turn = asyncio.Lock()

    @classmethod
    async def start(cls, root: Path) -> "Forks":
        process = await asyncio.create_subprocess_exec(
            sys.executable, str(Path(__file__)), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(root / "src")},
        )  # fmt: skip
        assert process.stdout is not None
        assert await process.stdout.readline() == b"ready\n"
        return cls(process)

    async def fork(self, config: Path, port: int = 0, *, held: bool = False) -> Forked:
        """Another one, in the folder of its configuration; `held`: it stands still before its first line runs."""
        said = config.with_name(f"said-{len(self._forked)}")
        said.touch()
        asked = {"config": str(config), "port": str(port), "said": str(said), "held": held}
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        async with self._turn:
            self._process.stdin.write(json.dumps(asked).encode() + b"\n")
            forked = Forked(int(await self._process.stdout.readline()), said)
        self._forked.append(forked)
        # a process that stops itself does so a moment behind its fork
        while held and Path(f"/proc/{forked.pid}/stat").read_text().rpartition(")")[2].split()[0] != "T":
            await asyncio.sleep(0.001)
        return forked

    async def serve(self, config: Path, port: int = 0) -> Forked:
        """Another one, which takes connections."""
        forked = await self.fork(config, port)
        await forked.listening()
        assert forked.port, forked.said.read_text(encoding="utf-8")
        return forked

    async def stop(self) -> None:
        for forked in self._forked:
            await forked.kill()
        assert self._process.stdin is not None
        self._process.stdin.close()
        await self._process.wait()


def become(asked: dict[str, Any]) -> None:
    """`streamweir serve`, in a process that was just forked."""
    from streamweir.cli import main

    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    nothing = os.open(os.devnull, os.O_RDWR)
    said = os.open(asked["said"], os.O_WRONLY | os.O_APPEND)
    for old, new in ((nothing, 0), (nothing, 1), (said, 2)):
        os.dup2(old, new)
    os.close(nothing)
    os.close(said)
    os.chdir(Path(asked["config"]).parent)
    sys.argv = ["streamweir", "serve", "-c", asked["config"], "--port", asked["port"]]
    if asked["held"]:
        os.kill(os.getpid(), signal.SIGSTOP)
    main()


def wait_for_orders() -> None:
    """Import what `serve` imports, compile the guard that it compiles, and fork whenever a line asks for it."""
    import uvloop  # noqa: F401

    import streamweir.cli.serve
    import streamweir.records.configured
    import streamweir.records.records
    import streamweir.records.vectors
    import streamweir.records.webhooks
    import streamweir.server.descriptors
    import streamweir.server.life
    import streamweir.server.log  # noqa: F401
    from streamweir.client.guarding import Guards
    from streamweir.tokens import counter

    Guards().guard("redact")
    # what the WebSocket tells of a prompt
    counter("script")("hello")
    # nobody waits for them: the system forgets them as they end
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    while line := os.read(0, 65536):
        for asked in line.splitlines():
            if not (pid := os.fork()):
                become(json.loads(asked))
            os.write(1, b"%d\n" % pid)


if __name__ == "__main__":
    wait_for_orders()
