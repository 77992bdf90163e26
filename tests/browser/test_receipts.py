"""streamweir.js checks receipts: before a real proxy, one that loses connections, and one who changes what passes."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from streamweir.events import Ended
from streamweir.simulator.app import RunningSimulator
from streamweir.simulator.replies import SCRIPTS
from streamweir.stages.report import Conclude
from tests.browser.test_console import run
from tests.changing import Changer
from tests.conftest import needs
from tests.cutting import Cut, Cutter
from tests.planted import REDACTED, TEXT, Upstream, content
from tests.proxies import profile, proxy_with, upstream

HERE = Path(__file__).parent
pytestmark = pytest.mark.check
WHOLE = SCRIPTS["hello"]


@pytest.fixture(autouse=True)
def recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    conclude = Conclude._conclude

    def with_record(self: Conclude, *given: Any) -> Ended:
        ended = conclude(self, *given)
        ended.report.record_id = f"rec-{self.identity.profile}"
        return ended

    monkeypatch.setattr(Conclude, "_conclude", with_record)


async def read(url: str, *profiles: str) -> dict[str, Any]:
    return json.loads(await run(needs("node22")["node22"], str(HERE / "receipts.mjs"), url, *profiles))


async def test_whole_redacted_and_cut_replies(simulator: RunningSimulator) -> None:
    async with Upstream(content(TEXT)) as planted:
        text = upstream(simulator) + f'[upstreams.planted]\ndialect = "openai"\nbase_url = "{planted}"\n'
        text += profile("whole", "sim:none?rate=100") + profile("length", "sim:length?rate=100")
        text += profile("cut", "sim:cut?rate=100") + profile("redacted", "m", "planted", guard="redact")
        proxy = await proxy_with(text)
        seen = await read(proxy.url, "whole", "length", "cut", "redacted")
        await proxy.stop()
    texts = {"whole": WHOLE, "redacted": REDACTED}
    for name, ways in seen.items():
        for way, one in ways.items():
            assert one["verified"] is True, (name, way, one)
            assert one["code"] == ("stream_interrupted" if name == "cut" else None)
            assert one["record"] == f"rec-{name}"
            assert one["text"] == texts.get(name, one["text"])
    # behind a position, and without the text before it, nobody can say
    assert seen["whole"]["resumed"]["blind"] is None


async def test_one_character_that_is_changed_on_its_way(simulator: RunningSimulator) -> None:
    proxy = await proxy_with(upstream(simulator) + profile("whole", "sim:none?rate=100"))
    async with Changer(proxy.port, "thank", "Thank") as between:
        seen = await read(between.url, "whole")
        assert between.changed >= 3
    await proxy.stop()
    changed = WHOLE.replace("thank", "Thank")
    for way in ("plain", "fetch", "websocket", "resumed"):
        one = seen["whole"][way]
        assert (one["code"], one["verified"], one["text"]) == ("receipt_mismatch", False, changed), way


async def test_a_reply_over_many_connections(simulator: RunningSimulator) -> None:
    proxy = await proxy_with(upstream(simulator) + profile("whole", "sim:none?rate=60"))
    # the plain request comes first, and must come through
    cuts = [Cut(10**6, "close"), *(Cut(400 + 90 * n, "reset" if n % 2 else "close") for n in range(12))]
    cutter = Cutter(proxy.port, cuts)
    seen = await read(f"http://127.0.0.1:{await cutter.start()}", "whole")
    await cutter.stop()
    await proxy.stop()
    await asyncio.sleep(0)
    for way in ("fetch", "websocket"):
        one = seen["whole"][way]
        assert (one["code"], one["verified"], one["text"]) == (None, True, WHOLE), way
    assert seen["whole"]["fetch"]["reconnects"] > 0
