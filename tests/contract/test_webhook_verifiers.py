"""Receivers that people have verify our signatures, as the documentation shows them."""

import json
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from streamweir.records.outbox import Filter
from streamweir.records.settings import Closed
from streamweir.report import Report
from tests.conftest import ROOT, needs
from tests.docs.blocks import split
from tests.endpoints import OK, Endpoint, Received
from tests.outboxes import delivering, hook, store

OLD, NEW, OTHER = (f"whsec_{letter * 43}=" for letter in "AEI")


def block(kind: str) -> str:
    found = split((ROOT / "docs" / "webhooks.md").read_text(encoding="utf-8"))[0]
    (text,) = [one.body for one in found if one.info == kind]
    return text


async def delivered(path: Path) -> Received:
    """One stream's end as it arrives while secrets rotate."""
    from streamweir.flows.signature import read_secret

    keys = tuple(read_secret(one) for one in (NEW, OLD))
    async with store(path / "records.db", now=time.time()) as kept, Endpoint(lambda _: OK).running() as endpoint:
        async with delivering(kept, hook(endpoint.url, keys=keys, text=True)) as webhooks:
            report = Report(
                status="completed", request_id="r", dialect="openai", model="m",
                started_at="2027-01-15T08:00:00.000Z", ended_at="2027-01-15T08:00:01.000Z",
            )  # fmt: skip
            (row,) = webhooks.deliver(Closed("rec_1", report.without_text(), "Grüße 😊", None, kept.now))
            await kept.put("hook", row.message_id, body=row.body)
            await kept.empty()
        assert not await kept.ask(lambda database: database.run("deliveries", {**Filter()._asdict(), "most": 1}))
    return endpoint.received[0]


def cases(received: Received) -> list[tuple[str, dict[str, str], str, bool]]:
    """Secret, headers, body, and whether it is ours."""
    headers, body = received.headers, received.body.decode()
    late = {**headers, "webhook-timestamp": str(int(headers["webhook-timestamp"]) - 1000)}
    first = {**headers, "webhook-signature": headers["webhook-signature"].split()[0]}
    return [
        (NEW, headers, body, True),
        (OLD, headers, body, True),
        (NEW, first, body, True),
        (OLD, first, body, False),
        (OTHER, headers, body, False),
        (NEW, headers, body.replace("completed", "blocked"), False),
        (NEW, {**headers, "webhook-id": "msg_other"}, body, False),
        (NEW, late, body, False),
    ]


def checked(received: Received, said: list[dict[str, Any] | None]) -> None:
    assert [one is not None for one in said] == [ours for _, _, _, ours in cases(received)]
    assert said[0] is not None
    assert (said[0]["type"], said[0]["data"]["text"]) == ("stream.completed", "Grüße 😊")
    assert received.headers["webhook-id"] == "msg_rec_1"


async def test_python_verifies_what_we_sign(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    received, said = await delivered(tmp_path), []
    for secret, headers, body, _ in cases(received):
        monkeypatch.setenv("HOOK_SECRET", secret)
        names: dict[str, Any] = {}
        exec(block("python"), names)
        said.append(names["accept"](headers, body.encode()))
    checked(received, said)


@pytest.mark.check
async def test_javascript_verifies_what_we_sign(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    node = needs("node", "standardwebhooks")["node"]
    received, said = await delivered(tmp_path), []
    tail = "const [headers, body] = JSON.parse(process.argv[2]);\nconsole.log(JSON.stringify(accept(headers, body)));\n"
    for secret, headers, body, _ in cases(received):
        monkeypatch.setenv("HOOK_SECRET", secret)
        done = subprocess.run(
            [node, "--input-type=module", "-", json.dumps([headers, body])],
            input=block("js") + tail, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        said.append(json.loads(done.stdout))
    checked(received, said)
