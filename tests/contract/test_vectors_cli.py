"""`streamweir vectors search`, as a process of its own beside whatever writes."""

import asyncio
import json
import subprocess
from pathlib import Path

import pytest

from streamweir.simulator.app import RunningSimulator
from tests.contract.test_cli import run
from tests.contract.test_vectors import HOURS, REFUND, ROUTER, closed, keeping, settings
from tests.outboxes import store

CONFIG = """
[records]
url = "sqlite:///{path}"
[vectors]
embedder = "{url}"
model = "{model}"
"""


def config(folder: Path, url: str, model: str = "small", path: Path | None = None) -> str:
    file = folder / "streamweir.toml"
    file.write_text(CONFIG.format(path=path or folder / "r.db", url=url, model=model), encoding="utf-8")
    return str(file)


async def search(*arguments: str) -> subprocess.CompletedProcess[str]:
    return await asyncio.to_thread(run, "vectors", "search", *arguments)


async def test_the_nearest_passages_are_printed_while_the_store_is_in_use(
    tmp_path: Path, simulator: RunningSimulator
) -> None:
    url = f"{simulator.url}/v1"
    ends = [closed(REFUND, "r1", tenant="web"), closed(HOURS, "r2"), closed(ROUTER + "\n\nThen call us.", "r3")]
    file = config(tmp_path, url)
    async with store(tmp_path / "r.db") as made, keeping(made, settings(url), *ends):
        await made.empty()
        done = await search("when will my bank show the refund?", "-k", "2", "-c", file)
        assert (done.returncode, done.stderr) == (0, "")
        score, request, record, status = done.stdout.splitlines()[0].split()
        assert (request, record, status) == ("r1", "rec-r1", "completed")
        assert 0.2 < float(score) < 1
        assert done.stdout.splitlines()[1] == f"       {REFUND}"
        assert done.stdout.count("completed") == 2
        done = await search("a green lamp", "-k", "1", "-c", file, "--json")
        (passage,) = json.loads(done.stdout)["passages"]
        assert (passage["request_id"], passage["record_id"], passage["chunk"]) == ("r3", "rec-r3", 0)
        assert passage["text"] == ROUTER + "\n\nThen call us."
        assert {"score", "collection", "tenant", "guard", "start_at", "created_at", "profile"} <= set(passage)
        done = await search("router", "-c", file, "--tenant", "web", "--profile", "support")
        assert [line.split()[1] for line in done.stdout.splitlines()[::2]] == ["r1"]
        done = await search("router", "-c", file, "--tenant", "nobody", "--json")
        assert (done.returncode, json.loads(done.stdout)) == (1, {"passages": []})
        assert "no passage that fits --tenant and --profile" in done.stderr
        done = await search("router", "-c", file, "--collection", "other")
        assert (done.returncode, done.stdout) == (1, "")
        assert "the collection other has no passages; there are llm_responses (3)" in done.stderr
        done = await search("router", "-c", config(tmp_path, url, "large"))
        assert done.returncode == 1
        assert "embedded by small (384 numbers, 3 passages), and TEXT by large (384): set vectors.model" in done.stderr


async def test_what_is_missing_is_said_with_its_mend(tmp_path: Path, simulator: RunningSimulator) -> None:
    url = f"{simulator.url}/v1"
    done = await search("x", "-c", config(tmp_path, url))
    assert done.returncode == 3
    assert str(tmp_path / "r.db") in done.stderr
    async with store(tmp_path / "r.db"):
        done = await search("x", "-c", config(tmp_path, url))
        assert (done.returncode, done.stdout) == (1, "")
        assert "the collection llm_responses has no passages; and no other" in done.stderr
        done = await search("x", "-c", config(tmp_path, "http://127.0.0.1:1/v1"))
        assert done.returncode == 6
        assert "no connection to 127.0.0.1:1" in done.stderr
        done = await search(" ", "-c", config(tmp_path, url))
        assert (done.returncode, "TEXT is empty" in done.stderr) == (2, True)
    (tmp_path / "none.toml").write_text("")
    done = await search("x", "-c", str(tmp_path / "none.toml"))
    assert done.returncode == 3
    assert "no [vectors] in the configuration: give embedder" in done.stderr


@pytest.mark.parametrize("arguments", [("--help",), ("search", "--help")])
def test_help_says_what_it_does(arguments: tuple[str, ...]) -> None:
    done = run("vectors", *arguments)
    assert done.returncode == 0
    assert "passages" in done.stdout
