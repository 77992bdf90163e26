"""Coverage-guided fuzzing of whole relays: `python -m tests.fuzz.fuzz_atheris DIALECT -max_total_time=10`.

The input's first byte says how the rest is cut into reads. Anything that is raised, or ends in an error of our own, is a
finding; libFuzzer writes the input into crash-….
"""

import sys
from typing import Any

import atheris

with atheris.instrument_imports(include=["streamweir"]):
    from streamweir.dialects import BUILTIN
    from streamweir.events import Ended, Opened
    from tests.fuzz.mutations import may_end
    from tests.relays import relay

DIALECT = sys.argv[1]


def one(data: bytes) -> None:
    step = data[0] % 32 or len(data) if data else 1
    body = data[1:]
    stream = relay(DIALECT)
    events: list[Any] = [*stream.start([Opened()], 0.0)]
    for at in range(0, len(body), step):
        events += stream.feed(body[at : at + step], 1.0)
    events += stream.end("eof", 2.0)
    report = stream.report
    assert isinstance(events[-1], Ended)
    assert sum(isinstance(event, Ended) for event in events) == 1
    assert report.error is None or report.error.code != "stream_failed", report.error
    assert not report.complete or may_end(DIALECT, body)


if __name__ == "__main__":
    assert DIALECT in BUILTIN
    atheris.Setup([sys.argv[0], *sys.argv[2:]], one)
    atheris.Fuzz()
