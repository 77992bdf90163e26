"""`streamweir outbox` beside a process that writes and delivers."""

import asyncio
import json
import time
from pathlib import Path
from subprocess import CompletedProcess

from tests.contract.test_cli import run
from tests.endpoints import OK, Endpoint, answer
from tests.outboxes import delivering, hook, store


async def outbox(folder: Path, *arguments: str) -> CompletedProcess[str]:
    verb, *rest = arguments
    return await asyncio.to_thread(run, "outbox", verb, "-c", str(folder / "streamweir.toml"), *rest)


async def test_what_waits_is_listed_tried_and_dropped(tmp_path: Path) -> None:
    path = tmp_path / "records.db"
    (tmp_path / "streamweir.toml").write_text(f'[records]\nurl = "sqlite:///{path}"\n', encoding="utf-8")
    bad, gone = Endpoint(lambda _: answer(500)), Endpoint(lambda _: answer(410))
    async with (
        bad.running(),
        gone.running(),
        store(path, time.time()) as kept,
        delivering(kept, hook(bad.url, "bad"), hook(gone.url, "gone")),
    ):
        await kept.put("bad", "msg_1", "msg_2")
        await kept.put("gone", "msg_3")
        await kept.put("elsewhere", "msg_4", kind="vectors")
        await kept.until(lambda entries: sum(one.error is not None for one in entries) == 3)

        listed = await outbox(tmp_path, "list")
        assert listed.returncode == 0, listed.stderr
        lines = listed.stdout.splitlines()
        assert len(lines) == 4
        assert [line for line in lines if line.startswith("due in ")] == [
            line for line in lines if "1 try     webhook:bad" in line and line.endswith("  HTTP 500")
        ]
        assert "streamweir outbox retry --target gone" in listed.stderr

        told = json.loads((await outbox(tmp_path, "list", "--json", "msg_3", "rec_msg_1")).stdout)
        assert [one["message_id"] for one in told["deliveries"]] == ["msg_3", "msg_1"]
        assert (told["deliveries"][0]["state"], told["disabled"][0]["target"]) == ("dead", "gone")
        assert (await outbox(tmp_path, "list", "--kind", "vectors")).stdout.count("\n") == 1

        assert (await outbox(tmp_path, "retry")).returncode == 2
        assert (await outbox(tmp_path, "drop")).returncode == 2
        assert len(await kept.entries()) == 4

        bad.says = gone.says = lambda _: OK
        retried = await outbox(tmp_path, "retry", "msg_1", "--json")
        assert (retried.returncode, json.loads(retried.stdout)) == (0, {"count": 1}), retried.stderr
        kept.now = time.time()
        await kept.until(lambda entries: len(entries) == 3)
        again = await outbox(tmp_path, "retry", "--target", "gone")
        assert "1 delivery: will be tried now" in again.stderr
        kept.now = time.time()
        await kept.until(lambda entries: len(entries) == 2)
        dropped = await outbox(tmp_path, "drop", "--all")
        assert "2 deliveries: forgotten" in dropped.stderr
        assert await kept.entries() == []
    assert (bad.ids.count("msg_1"), bad.ids.count("msg_2"), gone.ids) == (2, 1, ["msg_3", "msg_3"])


async def test_without_a_store_it_says_why(tmp_path: Path) -> None:
    config = tmp_path / "streamweir.toml"
    config.write_text('[records]\nurl = "off"\n', encoding="utf-8")
    done = await outbox(tmp_path, "list")
    assert (done.returncode, done.stdout) == (3, "")
    assert 'records.url is "off"' in done.stderr
    config.write_text(f'[records]\nurl = "sqlite:///{tmp_path}/none.db"\n', encoding="utf-8")
    done = await outbox(tmp_path, "list")
    assert done.returncode == 3
    assert "unable to open" in done.stderr
    assert not (tmp_path / "none.db").exists()
