"""The knee of each proxy that runs, over SSE: probes of the search, each beside nginx's figures for as many streams."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from bench.peers import knee
from bench.peers.proxies import COLUMNS, Column
from bench.peers.rounds import Bench, say
from bench.peers.table import Result
from bench.peers.workloads import LoadError


def knees(bench: Bench, columns: Sequence[Column], result: Result) -> None:
    """Write what is found into the result. nginx is asked once for each number of streams, a WebSocket for one."""
    base: dict[int, dict[str, float]] = {}

    def carries(column: Column, streams: int) -> bool:
        try:
            if streams not in base:
                base[streams] = bench.once(knee.load(streams), COLUMNS[0])
            mine = bench.once(knee.load(streams), column)
        except LoadError as error:
            say(f"knee: {column.name}, {streams} streams: {error}")
            return False
        added = knee.added_ms(mine, base[streams])
        if streams == knee.FIRST:
            result.whole[column.name] = knee.added_ms(mine, base[streams], "ttft_p99_us"), added
        say(f"knee: {column.name}, {streams} streams: {added:+.1f} ms")
        return knee.carried(mine, base[streams])

    for column in columns:
        if column.websocket:
            carries(column, knee.FIRST)
        elif column.proxy is not COLUMNS[0].proxy:
            result.knees[column.name] = knee.find(partial(carries, column))
