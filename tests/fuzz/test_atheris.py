"""The coverage-guided fuzzer in a time box: 8 seconds a dialect in `make check`, 5 minutes in `make soak`."""

import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from streamweir.dialects import BUILTIN
from tests.conftest import ROOT
from tests.fuzz.mutations import BODIES, PIECES

SECONDS = 300 if os.environ.get("STREAMWEIR_SOAK") else 8


@pytest.mark.check
@pytest.mark.slow
@pytest.mark.parametrize("dialect", BUILTIN)
def test_nothing_is_found_in_the_time_box(dialect: str, tmp_path: Path) -> None:
    if find_spec("atheris") is None:
        message = "atheris is missing: it is in the development tools for Linux on x86-64"
        if os.environ.get("STREAMWEIR_REQUIRE_ALL"):
            pytest.fail(message)
        pytest.skip(message)
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    for number, seed in enumerate([BODIES[dialect], *PIECES]):
        (corpus / str(number)).write_bytes(bytes((number % 7,)) + seed)
    done = subprocess.run(
        # a shell between: the peak of memory that is looked at would be this process's own, which a child inherits
        ["sh", "-c", '"$@"; exit $?', "sh", sys.executable, "-m", "tests.fuzz.fuzz_atheris", dialect, f"-max_total_time={SECONDS}", "-max_len=4096",
         "-rss_limit_mb=1024", f"-artifact_prefix={tmp_path}/", str(corpus)],
        capture_output=True, text=True, cwd=ROOT, timeout=SECONDS + 120, check=False,
        env=os.environ | {"PYTHONWARNINGS": "ignore"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    runs = re.search(r"Done (\d+) runs", done.stderr)
    assert runs is not None, done.stderr[-2000:]
    print(f"\n{dialect}: {runs[1]} inputs in {SECONDS} s, nothing found")
    assert int(runs[1]) > 200
