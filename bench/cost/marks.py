"""The inner half of callgrind.py: runs scenes under valgrind, with a mark in front of and behind each."""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping

Run = Callable[[], object]
Scene = Callable[[int], Run]
"""Makes a number of units ready, uncounted; what it gives is counted."""

Lengths = tuple[int, int]


def run(scenes: Mapping[str, tuple[Scene, Lengths]]) -> None:
    """Each scene at its two lengths. A line of JSON on stdout says how many units those were."""
    # a collection falls where it falls, and is no event's
    gc.disable()
    for scene, lengths in scenes.values():
        # the interpreter has seen all code before, and the guard the text
        scene(max(lengths))()
    _begin()
    for name, (scene, lengths) in scenes.items():
        for count in lengths:
            part = scene(count)
            os.getppid()
            part()
            os.getppid()
        print(json.dumps([name, *lengths]), flush=True)


def _begin() -> None:
    """Have valgrind count from here on: up to here it only ran the program, at a tenth of the time."""
    switch = subprocess.Popen(["vgdb", f"--pid={os.getpid()}", "instrumentation", "on"], stdout=sys.stderr)
    # asleep for no longer: valgrind looks for messages between two pieces of the program that it runs
    while switch.poll() is None:
        time.sleep(0.01)
    if switch.returncode:
        sys.exit(f"vgdb ended with {switch.returncode}: nothing was counted")
