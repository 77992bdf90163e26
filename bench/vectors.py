"""What a search in SQLite costs: `python -m bench.vectors [PASSAGES] [DIMENSIONS]`. CPU and memory.

The file is made anew in a temporary folder, with texts of 800 characters beside the vectors, and read once before it is
measured, as a file in use has been.
"""

from __future__ import annotations

import resource
import sys
import tempfile
import time
from array import array
from pathlib import Path
from random import Random

import numpy as np

from streamweir.records.ledger import Delivery
from streamweir.records.outbox import enqueue
from streamweir.records.passages import Held, Passage, Wanted, keep, nearest
from streamweir.records.sqlite import Sqlite

RUNS = 21
HELD = Held("vec", "vectors", "c")
A_REQUEST = 20


def main() -> None:
    given = [int(one) for one in sys.argv[1:]]
    count, size = (*given, *(20_000, 384)[len(given) :])
    draw = np.random.default_rng(7)
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "records.db")
        database = Sqlite(path)
        with database.transaction(durable=False):
            enqueue(database, "rec", [Delivery(*HELD, None, b"")], 1.0)
        began = time.process_time()
        for at in range(0, count, A_REQUEST):
            vectors = draw.normal(size=(min(A_REQUEST, count - at), size)).astype("f4")
            vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
            rows = [passage(at, chunk) for chunk in range(len(vectors))]
            keep(database, HELD, "e", None, rows, [array("f", one.tobytes()) for one in vectors])
        kept = time.process_time() - began
        wanted = array("f", vectors[0].tobytes())
        reader = Sqlite(path, read_only=True)
        nearest(reader, wanted, Wanted("c", "e"), 1)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        searched = timed(lambda: nearest(reader, wanted, Wanted("c", "e"), 10))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        matrix, one = draw.normal(size=(count, size)).astype("f4"), np.array(wanted)
        compared = timed(lambda: matrix @ one)
        print(f"{count} passages of {size} numbers, a file of {Path(path).stat().st_size / 1e6:.0f} MB")
        print(f"kept: {kept / count * 1e6:.0f} us a passage, {A_REQUEST} a transaction")
        print(f"searched: {searched * 1e3:.0f} ms of CPU, of which {compared * 1e3:.1f} ms compare and the rest read")
        print(f"memory: {peak / 1024:.0f} MB at most, {(peak - before) / 1024:.1f} MB more than after the first search")
        reader.close()
        database.close()


def passage(request: int, chunk: int) -> Passage:
    text = "".join(Random(request + chunk).choices("abcdefghij klmno", k=800))
    usual = ("c", "", f"r{request}", chunk, f"rec{request}", None, "support", "m", "redact", "completed", 1.0)
    return Passage(*usual, chunk * 700, chunk * 700 + 800, text)


def timed(do: object) -> float:
    assert callable(do)
    times = []
    for _ in range(RUNS):
        began = time.process_time()
        do()
        times.append(time.process_time() - began)
    # others' work on the machine only adds
    return min(times)


if __name__ == "__main__":
    main()
