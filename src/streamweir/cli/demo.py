"""`streamweir demo`: simulator, proxy and page, with one reply in the terminal."""

from __future__ import annotations

import asyncio
import signal
import sys
import tempfile
import webbrowser
from typing import TYPE_CHECKING

import click

from streamweir.cli.exits import exit_code_of, say
from streamweir.cli.run import run
from streamweir.config import load_text
from streamweir.errors import StreamweirError

if TYPE_CHECKING:
    from streamweir.records.records import Records

DEFAULT_PORT = 8787

PROMPT = "Where is my order?"

CONFIG = """
[upstreams.sim]
dialect = "sse-gateway"
base_url = "{url}"
client_id = "sim-client"
client_secret = "sim-secret"

[profiles.support]
upstream = "sim"
model = "sim-1"

[profiles.cut]
upstream = "sim"
model = "sim:cut?at=12"

[profiles.stall]
upstream = "sim"
model = "sim:stall-comments?at=12"
idle_timeout = "5s"

[server]
default_profile = "support"
"""


@click.command("demo", short_help="simulator, proxy and page, with one reply in the terminal")
@click.option("--once", is_flag=True, help="end after the first reply")
@click.option("--port", type=click.IntRange(0, 65535), default=DEFAULT_PORT, show_default=True, help="0: any free port")
@click.option("--no-browser", is_flag=True, help="open no browser")
def command(once: bool, port: int, no_browser: bool) -> None:
    """See it work: a simulated gateway, the proxy before it, and one reply streamed through both.

    Then the page at /console stays up until Ctrl-C. Nothing leaves this machine.
    """
    from streamweir.records.records import Records, recording
    from streamweir.records.settings import RecordsSettings

    with tempfile.TemporaryDirectory(prefix="streamweir-") as folder:
        records = Records(RecordsSettings(f"sqlite:///{folder}/demo.db"))
        with recording(records):
            code = run(_demo(once, port, no_browser, records))
    sys.exit(code)


async def _demo(once: bool, port: int, no_browser: bool, records: Records) -> int:
    from streamweir.server.life import Server
    from streamweir.simulator.app import RunningSimulator

    simulator = RunningSimulator()
    await simulator.start()
    # with --once nobody will open the page, and a taken port must not stop the first look
    configuration = load_text(CONFIG.format(url=simulator.url), "the demo's configuration")
    server = Server(configuration, {}, "127.0.0.1", 0 if once else port, records=records)
    await server.start()
    say(f"simulated gateway on {simulator.url}, proxy on {server.url}; nothing leaves this machine")
    say(f"asking profile 'support' through the proxy: {PROMPT}")
    try:
        code = await _ask(server.url)
        if code or once:
            return code
        page = f"{server.url}/console"
        say(f"the page: {page}  (Ctrl-C ends the demo)")
        if not no_browser and sys.stdout.isatty():
            await asyncio.to_thread(webbrowser.open, page)
        stopped = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stopped.set)
        await stopped.wait()
        return 0
    finally:
        await server.stop()
        await simulator.stop()


async def _ask(url: str) -> int:
    """One reply through the proxy's OpenAI route, by the client, token by token."""
    from streamweir.cli.chat import meter
    from streamweir.client.aio.gateway import AsyncGateway

    async with AsyncGateway(dialect="openai", base_url=f"{url}/v1", api_key="demo", model="support") as gateway:
        stream = gateway.stream(messages=[{"role": "user", "content": PROMPT}])
        try:
            async with stream:
                async for text in stream.text:
                    click.echo(text, nl=False)
                    sys.stdout.flush()
        except StreamweirError as error:
            click.echo()
            say(f"error: {error.message}")
            return exit_code_of(error)
        click.echo()
        click.echo(click.style(meter(stream.report), dim=sys.stderr.isatty() or None), err=True)
    return 0
