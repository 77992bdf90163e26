"""The pages that the documents show, copied as they are into a real browser: whole replies, and cut ones."""

import asyncio
import json
from pathlib import Path

import pytest

from streamweir.simulator.app import RunningSimulator
from streamweir.simulator.replies import SCRIPTS
from tests.conftest import ROOT, needs
from tests.docs.blocks import split
from tests.networks import free_port
from tests.proxies import profile, proxy_with, upstream

HERE = Path(__file__).parent
NODE22 = ROOT / "tests" / "stock_clients" / "node22"
pytestmark = pytest.mark.check

PAGES = [
    pytest.param(block.info, block.body, id=f"{path.stem}-{block.info}")
    for path in sorted((ROOT / "docs" / "faces").glob("*.md"))
    for block in split(path.read_text(encoding="utf-8"))[0]
    if block.info in ("html", "jsx")
]
MODELS = {"whole": "sim:none?rate=12", "cut": "sim:cut?rate=40", "stall": "sim:stall-comments?rate=40"}


async def bundled(source: str, folder: Path) -> str:
    """A page that runs a React component, as a bundler makes it."""
    (folder / "page.jsx").write_text(source, encoding="utf-8")
    process = await asyncio.create_subprocess_exec(
        str(NODE22 / "node_modules" / ".bin" / "esbuild"), str(folder / "page.jsx"), "--bundle", "--format=esm",
        "--jsx=automatic", "--charset=utf8", "--define:process.env.NODE_ENV=\"production\"",
        env={"NODE_PATH": str(NODE22 / "node_modules"), "PATH": "/usr/bin:/bin"},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    script = out.decode().replace("</script", "<\\/script")
    return f"<!doctype html><meta charset=utf-8><body><script type=module>{script}</script>"


def test_there_is_a_page_for_every_face() -> None:
    assert len(PAGES) == 5


@pytest.mark.parametrize(("kind", "source"), PAGES)
async def test_a_page_of_the_documents(
    simulator: RunningSimulator, kind: str, source: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tools = needs("node", "chromium", "node22")
    needs("pyright")  # comes with playwright-core from the same `npm ci`
    port = free_port()
    for name, model in MODELS.items():
        text = upstream(simulator, idle_timeout="400ms") + profile("support", model)
        server = await proxy_with(f'{text}[server]\norigins = ["http://127.0.0.1:{port}"]\n')
        page = source.replace("http://127.0.0.1:8787", server.url)
        if kind == "jsx":
            page = await bundled(page, tmp_path)
        process = await asyncio.create_subprocess_exec(
            tools["node"], str(HERE / "pages.mjs"), tools["chromium"], str(port),
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        out, err = await process.communicate(page.encode())
        assert process.returncode == 0, err.decode()
        seen = json.loads(out)
        await server.stop()
        assert seen["errors"] == []
        if name == "whole":
            assert seen["reply"] == SCRIPTS["hello"]
            assert seen["status"] in ("completed", "ready")
            assert seen["steps"] >= 5
        else:
            assert seen["reply"] == "Hello, and thank you"
            assert ("stream_stalled" if name == "stall" else "stream_interrupted") in seen["status"]
