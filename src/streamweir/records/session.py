"""A connection to PostgreSQL that is given up when nothing comes: keepalives see a dead machine, not one that hangs."""

from __future__ import annotations

import math
import time
from collections.abc import Generator
from typing import Any, Final, TypeVar

import psycopg
from psycopg.abc import PQGen

from streamweir.records.database import Row

RV = TypeVar("RV")

SILENCE: Final = 15.0
"""Seconds in which the server answers: it ends a statement itself after 10."""


class Session(psycopg.Connection[Row]):
    """`patience` is in seconds, for each thing that is waited for."""

    patience = math.inf

    def wait(self, gen: PQGen[RV], *args: Any, **kwargs: Any) -> RV:
        return super().wait(self._bounded(gen), *args, **kwargs)

    def _bounded(self, gen: PQGen[RV]) -> Generator[Any, Any, RV]:
        until = time.monotonic() + self.patience
        try:
            wanted = next(gen)
            while True:
                ready = yield wanted
                # asked ten times a second where nothing comes
                if not ready and time.monotonic() > until:
                    # what it is in the middle of has no end any more
                    self.pgconn.finish()
                    raise psycopg.OperationalError(f"the server has said nothing for {self.patience:g} s")
                wanted = gen.send(ready)
        except StopIteration as end:
            answer: RV = end.value
            return answer
