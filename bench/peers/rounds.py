"""Rounds in turn: every column through the same load, one after the other, again and again."""

from __future__ import annotations

import sys
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from bench.peers.figures import Row
from bench.peers.processes import Running, free_port
from bench.peers.proxies import Column, Place, Proxy, environ
from bench.peers.workloads import FIRST, WARM_UP, Client, Load, LoadError, Target, Workload

PAUSE = 0.3
"""Seconds between two loads, for what the first one left: connections that close, memory that is given back."""


def say(text: str) -> None:
    """Tell whoever waits; tables go to stdout."""
    print(text, file=sys.stderr, flush=True)


class Bench:
    """The upstream, the load client, and the proxies that run."""

    def __init__(self, programs: dict[str, Path], folder: Path) -> None:
        self._folder = folder
        self._port = free_port()
        self._upstream = Running([str(programs["upstream"]), str(self._port)], self._port, {}, folder / "upstream.log")
        self._client = Client(programs["load"], self._upstream.pid)
        self._running: dict[str, tuple[Running, Place]] = {}

    def close(self) -> None:
        """End every process."""
        for running, _ in self._running.values():
            running.stop()
        self._upstream.stop()

    def start(self, columns: Sequence[Column]) -> tuple[list[Column], dict[str, str]]:
        """Start what the columns need and warm it up. Returns the columns that work, and why the others do not."""
        working: list[Column] = []
        why: dict[str, str] = {}
        for column in columns:
            proxy = column.proxy
            if missing := proxy.missing():
                why[column.name] = f"not installed: run `{missing}`"
                continue
            try:
                if proxy.name not in self._running:
                    self._running[proxy.name] = self._started(proxy)
                self._warm_up(column, *self._running[proxy.name])
            except (RuntimeError, LoadError) as error:
                why[column.name] = str(error)
                say("\n".join((f"{column.name}: {error}", *getattr(error, "__notes__", ()))))
                continue
            working.append(column)
        return working, why

    def rounds(self, workload: Workload, columns: Sequence[Column], count: int) -> Iterator[Row]:
        """The rounds of one workload, interleaved."""
        for number in range(min(count, workload.rounds or count)):
            for column in columns:
                slow = column.proxy.slow
                if slow and number >= workload.rounds_when_slow:
                    continue
                yield self._row(workload, workload.slow if slow else workload.load, column, number)
                time.sleep(PAUSE)

    def once(self, load: Load, column: Column) -> dict[str, float]:
        """The figures of one load on a proxy that runs. Raises LoadError."""
        time.sleep(PAUSE)
        return self._client.run(load, _target(column, *self._running[column.proxy.name]))

    def _row(self, workload: Workload, load: Load, column: Column, number: int) -> Row:
        say(f"{workload.letter}, round {number + 1}: {column.name}")
        try:
            if workload.fresh:
                with self._fresh(column) as target:
                    figures = self._client.run(load, target)
            else:
                figures = self._client.run(load, _target(column, *self._running[column.proxy.name]))
        except (RuntimeError, LoadError) as error:
            say(f"  {error}")
            return Row(column.name, workload.letter, number, {}, str(error))
        return Row(column.name, workload.letter, number, figures)

    def _started(self, proxy: Proxy) -> tuple[Running, Place]:
        place = Place(free_port(), self._port, self._folder)
        log = self._folder / f"{place.port}.log"
        return Running(proxy.command(place), place.port, environ(proxy, self._folder), log), place

    def _warm_up(self, column: Column, running: Running, place: Place) -> None:
        say(f"warming up: {column.name}")
        target = _target(column, running, place)
        first = self._client.run(FIRST, target)
        if bad := {name: first[name] for name in ("lost", "dup", "req_err", "unfinished") if first[name]}:
            status = f" (HTTP {first['status_err']:.0f})" if first.get("status_err") else ""
            raise LoadError(f"its first stream failed{status}: {bad}")
        for load in WARM_UP:
            self._client.run(load, target)

    @contextmanager
    def _fresh(self, column: Column) -> Generator[Target, None, None]:
        running, place = self._started(column.proxy)
        try:
            self._warm_up(column, running, place)
            yield _target(column, running, place)
        finally:
            running.stop()


def _target(column: Column, running: Running, place: Place) -> Target:
    return Target(running.port, running.pid, column.path, column.proxy.headers(place), column.websocket)
