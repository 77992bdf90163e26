"""A real proxy in a process of its own, alone or under a program that watches it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from bench.cost.callgrind import ROOT, Failed, fixed_environment
from bench.cost.lockstep import PATIENCE, Lockstep
from bench.cost.streams import config


@contextmanager
def serving(
    both: Lockstep, watch: Sequence[str] = (), watched: Callable[[], int | None] | None = None
) -> Iterator[int]:
    """A proxy between the two, ready; gives the process that was started. Raises Failed.

    `watch` is a command that starts the proxy itself: to attach to a process is forbidden on many machines. `watched`
    then says which process the proxy is, so that it can be stopped.
    """
    with tempfile.TemporaryDirectory() as folder:
        configuration, said = Path(folder, "streamweir.toml"), Path(folder, "said")
        configuration.write_text(config(both.url), encoding="utf-8")
        serve = (sys.executable, "-m", "streamweir", "serve", "-c", str(configuration), "--port", "0")
        # a file and no pipe: a proxy whose log nobody reads stops
        with said.open("wb") as log:
            process = subprocess.Popen([*watch, *serve], cwd=ROOT, env=fixed_environment(), stdout=log, stderr=log)
        try:
            both.connect(_port(process, said))
            yield process.pid
        finally:
            proxy = process.pid if watched is None else watched()
            if proxy is not None and process.poll() is None:
                os.kill(proxy, signal.SIGTERM)
            process.wait(PATIENCE)


def _port(process: subprocess.Popen[bytes], said: Path) -> int:
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until and process.poll() is None:
        if found := re.search(rb"listening on \S+:(\d+)", said.read_bytes()):
            return int(found[1])
        time.sleep(0.02)
    raise Failed(f"the proxy, or what watches it, did not start: {said.read_text()[-2000:] or 'it said nothing'}")
