"""The clients that people have, unchanged: a reply, a tool's round trip, and every failure said as one."""

from statistics import median

import pytest

from tests.stock_clients.matrix import FAULTS, FIRST, IDLE, LOOKED_UP, WHOLE, measured, table, written


@pytest.mark.check
async def test_no_stock_client_takes_a_failure_for_a_reply(capsys: pytest.CaptureFixture[str]) -> None:
    found = await measured()
    slowest = 0.0
    for label, one in found.items():
        seen = one["proxy"]
        assert seen["happy"]["error"] is None, (label, seen["happy"])
        assert seen["happy"]["text"] == WHOLE, label
        assert seen["tool"] == (LOOKED_UP if one["client"].tools else None), label
        for fault in FAULTS:
            cell = seen["cells"][fault]
            assert cell["error"], (label, fault)
            assert cell["error"] != "hangs", (label, fault)
            assert cell["text"] == ("" if fault == "403" else FIRST), (label, fault)
            # a machine that is busy for a second is nobody's fault; who waits for something else waits for longer
            assert cell["seconds"] <= IDLE + 5.0, (label, fault, cell)
            slowest = max(slowest, cell["seconds"])
        assert median(seen["cells"][fault]["seconds"] for fault in FAULTS) <= IDLE + 1.0, label
    with capsys.disabled():
        print(
            f"\n{len(found)} stock clients x {len(FAULTS)} failures: slowest end {slowest:.2f} s (idle limit {IDLE} s)"
        )
    assert table(found) == written(), "run `python -m tests.stock_clients.matrix --write`"
