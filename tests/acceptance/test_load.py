"""A thousand streams at five events a second, a hundred clients beside them that never read: nothing is lost or repeated.

Latency is printed and not asserted: it is the machine's as much as ours. docs/performance.md has what was measured.
"""

import json
import os
import subprocess
import sys

import pytest

from tests.conftest import ROOT

SECONDS = "60" if os.environ.get("STREAMWEIR_SOAK") else "6"
MOST_KIB = {"sse": 32, "resumable": 64, "ws": 48}
"""Memory of a stream, guard on. A WebSocket of aiohttp has 6 KiB more, and its frames are twice as long in the log. Where
connections are lost on purpose, there are those that are gone beside those that came; without, it is 30."""


@pytest.mark.check
@pytest.mark.slow
@pytest.mark.parametrize(
    ("face", "more"),
    [("sse", ["--silent", "100"]), ("resumable", ["--cuts", "3"]), ("ws", [])],
    ids=["sse", "resumable", "ws"],
)
def test_a_thousand_streams(face: str, more: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    command = [sys.executable, "-m", "bench.load", "--face", face, "--seconds", SECONDS, *more]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=400, check=False)
    with capsys.disabled():
        print("\n" + ran.stdout.strip())
    assert ran.returncode == 0, ran.stderr
    *rounds, asked = map(json.loads, ran.stdout.splitlines())
    assert asked["upstream_requests"] == asked["clients"]
    for one in rounds:
        assert (one["lost"], one["repeated"], one["failed"]) == (0, 0, 0), one["why"]
        assert one["events"] == 5 * int(SECONDS) * one["streams"]
        # those that never read have their own buffers, beside the thousand
        if one["kib_a_stream"] is not None and "silent" not in one:
            assert one["kib_a_stream"] <= MOST_KIB[face]
    if face == "resumable":
        assert rounds[-1]["cuts"] > 2000
