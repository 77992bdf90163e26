"""The nearest vectors in SQLite: every one of a collection is read and compared, exactly, in bounded memory."""

from __future__ import annotations

from array import array
from heapq import nlargest
from importlib import import_module
from typing import Any, Final

from streamweir.errors import ConfigError
from streamweir.records.database import Database, Params

BLOCK: Final = 1024 * 1024
"""Bytes of vectors that are read at a time: a search takes some three times that, however many there are. With 4 MiB
it takes twice the CPU: the system gives memory and takes it back."""


def scan(database: Database, vector: array[float], asked: Params, most: int) -> list[tuple[int, float]]:
    """Numbers of the passages that are nearest to `vector`, and their cosines, the best first; of equals, the older.

    `asked` has the parameters of `passages_block` that say which are compared. Raises DatabaseError; ConfigError where
    numpy is missing.
    """
    numpy = _numpy()
    wanted = numpy.array(vector, dtype="<f4")
    rows_a_block = max(1, BLOCK // (4 * len(vector)))
    best: list[tuple[float, int]] = []
    beyond = -1
    while True:
        rows = database.run("passages_block", {**asked, "beyond": beyond, "most": rows_a_block})
        if rows:
            beyond = rows[-1][0]
            block = numpy.frombuffer(b"".join([row[1] for row in rows]), dtype="<f4").reshape(len(rows), len(vector))
            scores = block @ wanted
            # ties of the last place included: which of them stays is decided by age, below
            least = numpy.partition(scores, -most)[-most] if len(rows) > most else scores.min()
            best += [(float(scores[at]), -rows[at][0]) for at in numpy.flatnonzero(scores >= least)]
            best = nlargest(most, best)
        if len(rows) < rows_a_block:
            return [(-number, score) for score, number in best]


def _numpy() -> Any:
    try:
        return import_module("numpy")
    except ImportError:
        raise ConfigError(
            "searching vectors in SQLite needs numpy, which is not installed: pip install 'streamweir[vectors]'"
        ) from None
