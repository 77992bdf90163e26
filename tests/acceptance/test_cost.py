"""What an event and a request cost is no more than what bench/cost/bounds.json says: counted, so that no load makes it red.

Instructions under valgrind, system calls under strace; both start a process of their own. docs/performance.md says how
small an increase is noticed.
"""

import os
import subprocess
import sys

import pytest
from bench.cost import bounds

from tests.conftest import ROOT, needs

LONGEST = 600
"""Seconds; it takes twenty on a machine with nothing else to do."""


def run(what: str, capsys: pytest.CaptureFixture[str]) -> None:
    command = [sys.executable, "-m", "bench.cost", what]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=LONGEST, check=False)
    with capsys.disabled():
        print(ran.stdout)
    if ran.returncode:
        pytest.fail(f"`{' '.join(command[1:])}` ended with {ran.returncode}:\n{ran.stderr}", pytrace=False)


@pytest.mark.check
def test_an_event_takes_no_more_instructions_than_it_did(capsys: pytest.CaptureFixture[str]) -> None:
    needs("valgrind", "vgdb")
    run("instructions", capsys)
    if bounds.version() not in bounds.load()["instructions"]:
        pytest.skip(f"nothing was compared: no figures are stored for CPython {bounds.version()} (make cost WRITE=1)")


@pytest.mark.check
def test_an_event_takes_no_more_system_calls_than_it_did(capsys: pytest.CaptureFixture[str]) -> None:
    strace = needs("strace")["strace"]
    tried = subprocess.run([strace, "-o", os.devnull, "true"], capture_output=True, text=True, check=False)
    if tried.returncode:
        pytest.fail(f"strace may trace no process here, allow ptrace: {tried.stderr.strip()}", pytrace=False)
    run("calls", capsys)


def found(**changed: float) -> dict[str, float]:
    return {"yardstick: calls": 17_000.0, "yardstick: JSON": 7_000.0, "an event": 60_000.0} | {
        name.replace("_", " "): value for name, value in changed.items()
    }


def over(**changed: float) -> list[str]:
    return [line.name for line in bounds.instructions(found(**changed), found())[1] if line.over]


def test_an_increase_beyond_the_margin_is_over_and_none_below() -> None:
    assert over() == over(an_event=60_000 * (1 + bounds.SAME_BUILD)) == []
    assert over(an_event=60_001 * (1 + bounds.SAME_BUILD)) == ["an event"]


def test_another_build_of_the_same_version_is_compared_by_its_yardsticks() -> None:
    faster = {"yardstick: calls": 15_600.0, "yardstick: JSON": 6_480.0}
    said, lines = bounds.instructions(found() | faster | {"an event": 56_200.0}, found())
    assert "another build" in said
    assert not any(line.over for line in lines)
    assert [line.name for line in bounds.instructions(found() | faster, found())[1] if line.over] == ["an event"]


def test_a_version_of_which_nothing_is_stored_is_compared_with_nothing_and_says_so() -> None:
    said, lines = bounds.instructions(found(an_event=1e9), None)
    assert "nothing is compared" in said
    assert not any(line.over for line in lines)


def test_timers_of_a_slow_machine_make_no_event_dearer() -> None:
    stored = {"an event: reads": 1.0, "an event: other calls": 0.0}
    slow = {"an event: reads": 1.0, "an event: seconds": 0.05, "an event: other calls": 2.0}
    assert not any(line.over for line in bounds.calls(slow, stored))
    fast = slow | {"an event: seconds": 0.0005}
    assert [line.name for line in bounds.calls(fast, stored) if line.over] == ["an event: other calls"]
    assert [line.name for line in bounds.calls(slow | {"an event: reads": 1.1}, stored) if line.over] == [
        "an event: reads"
    ]
