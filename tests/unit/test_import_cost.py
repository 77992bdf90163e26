"""What importing and using the library costs: CPU of a process, the least of several, against an empty one."""

import json
import resource
import subprocess
import sys

import pytest

from tests.simulators import threaded_simulator

HEAVY = ("aiohttp", "click", "rich", "uvloop", "bpe_openai", "tiktoken", "cryptography", "PureCloudPlatformClientV2")
RECORDS = ("streamweir.records", "streamweir.audit", "sqlite3", "_sqlite3", "psycopg", "numpy")
SERVER = ("streamweir.server", "streamweir.cli", "streamweir.simulator", "streamweir.faces")


def cpu(*codes: str, runs: int = 15) -> list[float]:
    """Milliseconds of CPU of a Python that runs each, the least of `runs`: noise only adds, and in turn it adds to all."""
    least = [float("inf")] * len(codes)
    for _ in range(runs):
        for number, code in enumerate(codes):
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            subprocess.run([sys.executable, "-c", code], check=True)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
            least[number] = min(least[number], spent * 1000)
    return least


def loaded(code: str) -> set[str]:
    out = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys, json; print(json.dumps(list(sys.modules)))"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return set(json.loads(out.splitlines()[-1]))


def test_importing_events_costs_hardly_more_than_what_they_are_made_of() -> None:
    """Against msgspec in the same run: 60 ms of one day were 88 of another, with the same code on the same machine."""
    start, events, alone = cpu("pass", "import streamweir.events", "import msgspec")
    cost, msgspec = events - start, alone - start
    print(f"\nimport streamweir.events: {cost:.1f} ms of CPU beyond the interpreter's own start, msgspec {msgspec:.1f}")
    assert cost <= 1.3 * msgspec


USES = {
    "import": "import streamweir",
    "async": (
        "import asyncio\nfrom streamweir import AsyncGateway\n"
        "async def main():\n"
        "    async with AsyncGateway({options}) as gateway:\n"
        "        await gateway.complete(model='sim:none?rate=0', messages=[{{'role': 'user', 'content': 'hello'}}])\n"
        "asyncio.run(main())"
    ),
    "sync": (
        "from streamweir import Gateway\n"
        "with Gateway({options}) as gateway:\n"
        "    gateway.complete(model='sim:none?rate=0', messages=[{{'role': 'user', 'content': 'hello'}}])"
    ),
}


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("dialect", ["sse-gateway", "ws-gateway"])
def test_a_client_and_its_first_request_load_no_server_no_commands_no_tokenizer_and_no_records(
    use: str, dialect: str
) -> None:
    with threaded_simulator() as simulator:
        options = f"dialect={dialect!r}, base_url={simulator.url!r}, client_id='sim-client', client_secret='sim-secret'"
        code = USES[use].format(options=options) if use != "import" else USES[use]
        if dialect == "ws-gateway":
            code = code.replace("model=", "prompt_id='p', model=")
        names = loaded(code)
    assert not {name for name in names if name.split(".")[0] in HEAVY}
    assert not {name for name in names if name in SERVER or name.startswith(tuple(f"{one}." for one in SERVER))}
    assert not {name for name in names if name in RECORDS or name.startswith(tuple(f"{one}." for one in RECORDS))}
    if use == "import":
        assert not {name for name in names if name.startswith("streamweir.")}
    if use == "sync":
        assert "asyncio" not in names
