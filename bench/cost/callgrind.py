"""Instructions that a script runs between its marks, counted by valgrind: the same in every run."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
MARK = "getppid"
"""A function of libc that nothing else calls: valgrind writes its counts down, and begins anew, where it is entered."""

LONGEST = 300
"""Seconds; a script takes half a minute on a machine with nothing else to do."""


class Failed(Exception):
    """valgrind did not run the script to its end; the message says what it said."""


def counted(module: str, *arguments: str, layout: int = 0, keep: Path | None = None) -> dict[str, float]:
    """Instructions a unit for each line of JSON, [name, few, many], that the script printed behind its four marks.

    They are the difference of the two runs by the difference of their lengths, so that what a run costs once is not
    in them. `layout` is a number of one's choice: each has other addresses. `keep` is a folder for valgrind's files.
    Raises Failed.
    """
    with tempfile.TemporaryDirectory() as made:
        folder = keep or Path(made)
        # how long paths are moves the interpreter's objects: they are as long for every checkout, wherever it is
        here = Path(made, "here" * (1 + layout))
        here.symlink_to(ROOT)
        command = [
            "valgrind",
            "--tool=callgrind",
            "--instr-atstart=no",
            f"--callgrind-out-file={folder}/part",
            f"--dump-before={MARK}",
        ]
        ran = subprocess.run(
            [*command, sys.executable, "-m", module, *arguments],
            cwd=here,
            env=fixed_environment(here),
            capture_output=True,
            text=True,
            timeout=LONGEST,
            check=False,
        )
        if ran.returncode:
            raise Failed(
                f"{' '.join(command)} {sys.executable} -m {module} ended with {ran.returncode}: {ran.stderr[-2000:]}"
            )
        out: dict[str, float] = {}
        for number, line in enumerate(ran.stdout.splitlines()):
            name, few, many = json.loads(line)
            # part 1 ends at the first mark; then every second part is what ran between two
            first, second = (instructions(folder / f"part.{4 * number + at}") for at in (2, 4))
            out[name] = (second - first) / (many - few)
        return out


def instructions(part: Path) -> int:
    found = re.search(r"^summary: (\d+)", part.read_text(encoding="utf-8", errors="replace"), re.MULTILINE)
    if found is None:
        raise Failed(f"valgrind wrote no summary into {part.name}")
    return int(found[1])


def fixed_environment(here: Path = ROOT) -> dict[str, str]:
    """An environment whose size and contents are the same for all: addresses and hashes of strings depend on it."""
    path = os.pathsep.join((str(here / "src"), str(here)))
    return {
        "PATH": os.environ["PATH"],
        "LC_ALL": "C.UTF-8",
        "PYTHONPATH": path,
        "PYTHONHASHSEED": "0",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
