"""What the documents show is run: Python and shell blocks against a simulator and a proxy, TOML and links checked."""

import json
import os
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from streamweir.config import load_text
from streamweir.simulator.scenario import FAULTS
from tests.conftest import ROOT
from tests.contract.test_cli import start, stop
from tests.docs.blocks import relative_links, split

DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
KINDS = {"python", "sh", "sh no-run", "toml", "json", "text", "html", "js", "jsx"}
"""Pages (html, jsx) are run by tests/browser/test_pages.py, in a real browser; js by test_webhook_verifiers.py."""


def blocks(kind: str) -> list[object]:
    found = []
    for path in DOCUMENTS:
        for block in split(path.read_text(encoding="utf-8"))[0]:
            if block.info == kind:
                found.append(pytest.param(block.body, id=f"{path.name}:{block.line}"))
    return found


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    simulator, upstream = start("simulate", "--port", "0", "--speed", "0", say="listening on")
    config = tmp_path_factory.mktemp("docs") / "streamweir.toml"
    _, _, shown = (ROOT / "README.md").read_text(encoding="utf-8").partition("\n## The proxy\n")
    text = next(block.body for block in split(shown)[0] if block.info == "toml")
    config.write_text(text.replace("http://127.0.0.1:8788", upstream), encoding="utf-8")
    proxy, url = start("serve", "-c", str(config), "--port", "0", say="listening on")
    yield upstream, url
    stop(proxy)
    stop(simulator)


def run(command: list[str], text: str, servers: tuple[str, str]) -> None:
    text = text.replace("http://127.0.0.1:8788", servers[0]).replace("http://127.0.0.1:8787", servers[1])
    text = text.replace("ws://127.0.0.1:8787", servers[1].replace("http:", "ws:"))
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        command, input=text, capture_output=True, text=True, timeout=30, env=os.environ | {"PATH": path}, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout


@pytest.mark.parametrize("text", blocks("python"))
def test_python_blocks_run(text: str, servers: tuple[str, str]) -> None:
    run([sys.executable, "-W", "error", "-"], text, servers)


@pytest.mark.parametrize("text", blocks("sh"))
def test_shell_blocks_run(text: str, servers: tuple[str, str]) -> None:
    run(["bash", "-euo", "pipefail"], text, servers)


@pytest.mark.parametrize("text", blocks("toml"))
def test_toml_blocks_load(text: str) -> None:
    tomllib.loads(text)
    if text.startswith("# streamweir.toml"):
        load_text(text)


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda p: p.name)
def test_blocks_have_a_kind_and_links_a_target(path: Path) -> None:
    found, prose = split(path.read_text(encoding="utf-8"))
    for block in found:
        assert block.info in KINDS, f"line {block.line}"
        if block.info == "json":
            json.loads(block.body)
    for target in relative_links(prose):
        assert (path.parent / target).exists(), target


def test_every_fault_is_documented() -> None:
    text = (ROOT / "docs" / "simulator.md").read_text(encoding="utf-8")
    assert all(f"| `{fault}` | {what} |" in text for fault, what in FAULTS.items())
