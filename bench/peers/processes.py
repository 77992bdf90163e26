"""Processes of a run: built, started on free ports, and ended with all that they started."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

NATIVE = Path(__file__).parent / "native"
PROGRAMS = {
    "load": ("load", "stream", "answer", "frames", "text", "marks", "options", "tally", "usage"),
    "upstream": ("upstream", "reply", "request", "marks", "due"),
}
"""Which C files each of the two programs is made of."""

START = 90.0
"""Seconds that a proxy has until it listens; LiteLLM needs a dozen on a quiet machine."""

STOP = 5.0
"""Seconds between asking a process to end and ending it."""

DESCRIPTORS = 40_000
"""Open files of a process: two for each stream of the largest load, and room."""


def build(folder: Path, *flags: str) -> dict[str, Path]:
    """Compile both programs into a folder. Raises RuntimeError where gcc is missing or fails."""
    if shutil.which("gcc") is None:
        raise RuntimeError("gcc is missing: run `make deps`")
    for name, parts in PROGRAMS.items():
        sources = [str(NATIVE / f"{part}.c") for part in parts]
        command = ["gcc", "-std=gnu11", "-O2", "-Wall", "-Wextra", *flags, "-o", str(folder / name), *sources]
        made = subprocess.run(command, capture_output=True, text=True, check=False)
        if made.returncode:
            raise RuntimeError(f"gcc cannot compile {name}; on Debian it needs libc6-dev:\n{made.stderr}")
    return {name: folder / name for name in PROGRAMS}


def raise_limit() -> None:
    """Let this process's children open enough files, as far as that is allowed."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    wanted = DESCRIPTORS if most == resource.RLIM_INFINITY else min(DESCRIPTORS, most)
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Running:
    """A process that listens on a port of this machine."""

    def __init__(self, command: Sequence[str], port: int, environ: Mapping[str, str], log: Path) -> None:
        """Start it, and wait until it listens. Raises RuntimeError where it does not; its notes say what it said."""
        self.port = port
        with log.open("w") as out:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=dict(environ), start_new_session=True
            )
        self.pid = self._process.pid
        try:
            self._wait()
        except BaseException as error:
            self.stop()
            said = log.read_text(errors="replace")[-600:].strip()
            error.add_note(f"it said: {said or 'nothing'}")
            raise

    def _wait(self) -> None:
        end = time.monotonic() + START
        while time.monotonic() < end and self._process.poll() is None:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.05)
        code = self._process.returncode
        raise RuntimeError(f"did not listen within {START:.0f} s" if code is None else f"ended with code {code}")

    def stop(self) -> None:
        """End it and whatever it started; they have a session of their own."""
        for sign in (signal.SIGTERM, signal.SIGKILL):
            with suppress(ProcessLookupError):
                os.killpg(self.pid, sign)
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(STOP)
                return
