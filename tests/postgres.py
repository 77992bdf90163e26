"""A PostgreSQL server of a test's own: in a temporary folder, on a free port, as an ordinary user."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT

PASSWORD = "not-for-logs"


def binaries(vector: bool = False) -> Path:
    """The newest server's folder of programs: Debian's, or the one that a wheel brings together with pgvector.

    A test that needs one that is missing skips, or fails where everything must run.
    """
    if vector:
        places = sorted((ROOT / ".peers" / "postgres").glob("lib/python*/site-packages/*/pginstall*/bin"))
        advice = "run `make deps`"
    else:
        places = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda place: int(place.parent.name))
        advice = "run `make deps`"
        if not places and (found := shutil.which("initdb")):
            places = [Path(found).resolve().parent]
    places = [place for place in places if (place / "initdb").exists()]
    if not places:
        message = f"PostgreSQL{' with pgvector' if vector else ''} is missing: {advice}"
        if os.environ.get("STREAMWEIR_REQUIRE_ALL"):
            pytest.fail(message)
        pytest.skip(message)
    return places[-1]


class PostgresServer:
    """`start`, `stop` and `kill` as often as a test likes; `remove` at its end."""

    def __init__(self, programs: Path) -> None:
        self._programs = programs
        self.folder = Path(tempfile.mkdtemp(prefix="streamweir-pg-"))
        self.folder.chmod(0o755)
        self._process: subprocess.Popen[bytes] | None = None
        # initdb refuses root
        self._as: dict[str, Any] = {"user": _ordinary(), "extra_groups": []} if os.geteuid() == 0 else {}
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        data, secret = self.folder / "data", self.folder / "password"
        data.mkdir(mode=0o700)
        secret.write_text(PASSWORD, encoding="ascii")
        if self._as:
            shutil.chown(data, self._as["user"])
            shutil.chown(self.folder, self._as["user"])
        self._data = data
        self._program(
            "initdb", "-D", str(data), "-U", "streamweir", "--pwfile", str(secret), "--auth-local=trust",
            "--auth-host=scram-sha-256", "--locale=C.UTF-8", "-E", "UTF8",
        )  # fmt: skip

    def start(self) -> None:
        """Returns when it takes connections."""
        log = (self.folder / "log").open("ab")
        self._process = subprocess.Popen(
            [
                str(self._programs / "postgres"), "-D", str(self._data), "-h", "127.0.0.1", "-p", str(self.port),
                "-k", str(self.folder), "-c", "shared_buffers=16MB",
            ],
            stdout=log, stderr=log, cwd=self.folder, **self._as,
        )  # fmt: skip
        log.close()
        until = time.monotonic() + 60
        while not self._ready():
            assert self._process.poll() is None, (self.folder / "log").read_text(encoding="utf-8")
            assert time.monotonic() < until, "the server does not begin"
            time.sleep(0.05)

    def stop(self) -> None:
        """Sessions are ended, transactions taken back."""
        self._end(signal.SIGINT)

    def kill(self) -> None:
        """As if power were lost, but for what the system has in its memory."""
        self._end(signal.SIGQUIT)

    def remove(self) -> None:
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def url(self, database: str = "postgres", password: str = PASSWORD) -> str:
        return f"postgresql://streamweir:{password}@127.0.0.1:{self.port}/{database}"

    def sql(self, text: str, database: str = "postgres") -> str:
        """What psql says."""
        where = ["-h", str(self.folder), "-p", str(self.port), "-U", "streamweir", "-d", database]
        return self._program("psql", *where, "-X", "-At", "-v", "ON_ERROR_STOP=1", "-c", text).strip()

    def _ready(self) -> bool:
        where = ["-h", str(self.folder), "-p", str(self.port), "-U", "streamweir", "-d", "postgres"]
        return subprocess.run([self._programs / "pg_isready", "-q", *where], check=False).returncode == 0

    def _program(self, name: str, *arguments: str) -> str:
        done = subprocess.run(
            [str(self._programs / name), *arguments], capture_output=True, text=True, cwd=self.folder, check=False,
            env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"}, **self._as,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    def _end(self, how: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(60)
            self._process = None


def _ordinary() -> str:
    import pwd

    names = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"
