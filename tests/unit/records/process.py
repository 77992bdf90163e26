"""A process that writes records: python -m tests.unit.records.process URL RUN, and then a command a line.

Every command is answered with one line. It says that it lives when it is told to, and not by itself.
"""

import subprocess
import sys
import time

from streamweir.records import ledger
from streamweir.records.opening import open_database
from streamweir.records.runs import alive_for
from tests.conftest import ROOT
from tests.stores import closed, interrupted, opened


class Process:
    """The process, seen from a test."""

    def __init__(self, url: str, run: str) -> None:
        self.run = run
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.unit.records.process", url, run],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT,
            env={"PYTHONPATH": str(ROOT / "src"), "PATH": "/usr/bin:/bin"},
        )  # fmt: skip
        assert self._answer() == "begun"

    def ask(self, *words: str) -> str:
        assert self._process.stdin is not None
        self._process.stdin.write(" ".join(words) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def kill(self) -> None:
        self._process.kill()
        self._process.wait(30)
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()

    def _answer(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()


def main(url: str, run: str) -> None:
    database = open_database(url)
    alive = alive_for(database)
    alive.begin(database, run, time.time())
    print("begun", flush=True)
    for line in sys.stdin:
        word, *names = line.split()
        answer: object = "done"
        if word == "open":
            ledger.write(database, run, [opened(name) for name in names], [], time.time())
        elif word == "close":
            answer = ledger.write(database, run, [], [closed(name) for name in names], time.time())
        elif word == "renew":
            alive.renew(database, time.time())
        elif word == "reconnect":
            database.close()
            database = open_database(url)
        elif word == "sweep":
            dead = alive.dead(database, time.time())
            answer = {one: ledger.sweep(database, one, interrupted, time.time()) for one in dead}
        elif word == "end":
            alive.end(database)
        print(answer, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
