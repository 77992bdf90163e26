"""The knee of each proxy that runs, over SSE: probes of the search, each beside nginx's figures for as many streams."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from bench.peers import knee
from bench.peers.proxies import NGINX, Column
from bench.peers.rounds import Bench, say
from bench.peers.table import Result
from bench.peers.workloads import LoadError


class Search:
    """Probes on proxies that run. nginx is asked once for each number of streams, and for a second try again."""

    def __init__(self, bench: Bench, nginx: Column, result: Result) -> None:
        self._bench = bench
        self._nginx = nginx
        self._result = result
        self._base: list[tuple[int, dict[str, float]]] = []

    def carries(self, column: Column, streams: int) -> bool:
        """Whether a proxy carries so many streams, in one of two tries where it is a near thing."""
        try:
            for again in (False, True):
                carried, added = self._probe(column, streams, again)
                if carried or added > knee.HOPELESS_MS:
                    return carried
        except LoadError as error:
            say(f"knee: {column.name}, {streams} streams: {error}")
        return False

    def _probe(self, column: Column, streams: int, again: bool) -> tuple[bool, float]:
        if again or all(known != streams for known, _ in self._base):
            self._base.append((streams, self._bench.once(knee.load(streams), self._nginx)))
        mine = self._bench.once(knee.load(streams), column)
        base = knee.best(self._base, streams)
        added = knee.added_ms(mine, base)
        say(f"knee: {column.name}, {streams} streams: {added:+.1f} ms")
        if streams == knee.FIRST:
            self._result.whole[column.name] = knee.added_ms(mine, base, "ttft_p99_us"), added
        return knee.carried(mine, base), added


def knees(bench: Bench, columns: Sequence[Column], result: Result) -> None:
    """Write what is found into the result. A WebSocket has only the first probe."""
    nginx = next(one for one in columns if one.proxy is NGINX)
    search = Search(bench, nginx, result)
    for column in columns:
        if column.websocket:
            search.carries(column, knee.FIRST)
        elif column is not nginx:
            result.knees[column.name] = knee.find(partial(search.carries, column))
