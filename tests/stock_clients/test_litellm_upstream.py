"""LiteLLM's proxy with a mocked model, run for real, as an upstream."""

import contextlib
import os
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import needs
from tests.contract.both import Driver

REPLY = "Your order is on its way to Zürich. 😊 Anything else I can do for you today?"

KEY = "sk-a-key-for-this-test-only-0123456789abcdef"

CONFIG = f"""
model_list:
  - model_name: mocked
    litellm_params:
      model: openai/mocked
      api_key: none
      mock_response: "{REPLY}"
litellm_settings:
  telemetry: false
"""


@pytest.fixture(scope="module")
def litellm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    command = needs("litellm")["litellm"]
    folder = tmp_path_factory.mktemp("litellm")
    (folder / "config.yaml").write_text(CONFIG, encoding="utf-8")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environ = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "DATABASE_URL")}
    environ |= {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "HOME": str(folder), "LITELLM_MASTER_KEY": KEY}
    log = (folder / "log").open("w")
    process = subprocess.Popen(
        [command, "--config", str(folder / "config.yaml"), "--host", "127.0.0.1", "--port", str(port)],
        env=environ,
        stdout=log,
        stderr=subprocess.STDOUT,
        cwd=folder,
    )
    url, until = f"http://127.0.0.1:{port}", time.monotonic() + 90
    while True:
        with contextlib.suppress(OSError):
            urllib.request.urlopen(f"{url}/health/liveliness", timeout=2).close()
            break
        assert process.poll() is None, Path(log.name).read_text()[-2000:]
        assert time.monotonic() < until, Path(log.name).read_text()[-2000:]
        time.sleep(0.5)
    yield f"{url}/v1"
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(15)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    log.close()


@pytest.mark.check
@pytest.mark.parametrize("kind", ["async", "sync"])
def test_a_reply_streams_to_its_end(litellm: str, kind: str) -> None:
    driver = Driver(kind, None, dialect="openai", base_url=litellm, api_key=KEY)
    stream = driver.enter(driver.stream(model="mocked"))
    pieces = driver.read(stream.text)
    driver.leave(stream)
    report = stream.report
    assert (report.status, report.stop_reason) == ("completed", "stop")
    assert "".join(pieces) == report.text == REPLY
    assert len(pieces) > 1
    print(
        f"\nLiteLLM as an upstream, {kind}: {len(pieces)} pieces, {report.usage.completion_tokens} tokens, {report.status}"
    )
    driver.close()
