"""Streams recorded per second, and what one costs: python -m bench.records [SECONDS] [postgresql://…]

Through the writer, as a process does it: each stream is opened and told so, and closed and told so, so many at a time.
Without a URL PostgreSQL is a server of its own on this disk, with its usual settings. CPU is that of this process: the
event loop's and the writer's thread. Compare figures of one run only: what a disk needs for one flush is told first.
"""

import asyncio
import os
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from streamweir.records.database import Database
from streamweir.records.ledger import CloseRow, OpenRow
from streamweir.records.opening import open_database
from streamweir.records.runs import alive_for
from streamweir.records.writer import Job, Writer

IN_FLIGHT = (1, 10, 100)
OPENED = b"o" * 450
"""As large as that of a stream of the proxy."""
CLOSED = b"c" * 1500


def flush_ms(folder: Path) -> float:
    """Milliseconds of one write of 4 KiB with its flush: the median of 100."""
    file = os.open(folder / "flush", os.O_CREAT | os.O_WRONLY)
    times: list[float] = []
    for _ in range(100):
        began = time.perf_counter()
        os.write(file, bytes(4096))
        os.fdatasync(file)
        times.append(time.perf_counter() - began)
    os.close(file)
    return sorted(times)[50] * 1e3


async def written(writer: Writer, row: OpenRow | Callable[[], CloseRow]) -> float:
    """Milliseconds until it was told."""
    loop = asyncio.get_running_loop()
    told: asyncio.Future[bool] = loop.create_future()
    began = time.perf_counter()
    writer.put(Job(row, told.set_result, loop))
    if not await told:
        raise SystemExit(f"a row was not written: {writer.away}")
    return (time.perf_counter() - began) * 1e3


async def load(writer: Writer, together: int, seconds: float) -> None:
    opens: list[float] = []
    closes: list[float] = []
    until = time.perf_counter() + seconds

    async def one_after_another() -> None:
        while time.perf_counter() < until:
            name = os.urandom(16).hex()
            opens.append(await written(writer, OpenRow(name, time.time(), OPENED)))
            row = CloseRow(name, "stream", time.time(), os.urandom(16), CLOSED)
            closes.append(await written(writer, partial(CloseRow, *row)))

    cpu, began = time.process_time(), time.perf_counter()
    async with asyncio.TaskGroup() as tasks:
        for _ in range(together):
            tasks.create_task(one_after_another())
    took, cpu, count = time.perf_counter() - began, time.process_time() - cpu, len(closes)
    opens.sort()
    closes.sort()
    shown = [f"{times[int(count * part)]:.1f}" for times in (opens, closes) for part in (0.5, 0.99)]
    print(f" {together} | {count / took:.0f} | {cpu / count * 1e6:.0f} | {' | '.join(shown)} |", flush=True)


def measure(name: str, connect: Callable[[], Database], seconds: float) -> None:
    for together in IN_FLIGHT:
        database = connect()
        run = os.urandom(16).hex()
        alive = alive_for(database)
        alive.begin(database, run, time.time())
        writer = Writer(connect, run, alive.renew)
        writer.start(database)
        print(f"| {name} |", end="")
        asyncio.run(load(writer, together, seconds))
        writer.stop(10, alive.end)


def main(seconds: float, url: str | None) -> None:
    with ExitStack() as closing:
        folder = Path(closing.enter_context(tempfile.TemporaryDirectory(prefix="streamweir-bench-")))
        if url is None:
            from tests.postgres import PostgresServer, binaries

            server = PostgresServer(binaries())
            closing.callback(server.remove)
            server.start()
            url = server.url()
        print(f"one write of 4 KiB with its flush: {flush_ms(folder):.1f} ms\n")
        print("| store | at a time | streams a second | CPU us a stream | open p50 ms | p99 | close p50 ms | p99 |")
        print("|---|---|---|---|---|---|---|---|")
        measure("SQLite", partial(open_database, f"sqlite:///{folder}/records.db"), seconds)
        measure("PostgreSQL", partial(open_database, url), seconds)


if __name__ == "__main__":
    urls = [argument for argument in sys.argv[1:] if "://" in argument]
    numbers = [float(argument) for argument in sys.argv[1:] if "://" not in argument]
    main(numbers[0] if numbers else 5.0, urls[0] if urls else None)
