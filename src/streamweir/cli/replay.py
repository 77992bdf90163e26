"""`streamweir replay`: a recording, as if it came from the gateway."""

from __future__ import annotations

import sys
from typing import Any

import click

from streamweir.cli.chat import show
from streamweir.cli.run import run
from streamweir.client.aio.gateway import AsyncGateway


@click.command("replay", short_help="a recording, as if it came from the gateway")
@click.argument("file")
@click.option("--speed", type=click.FloatRange(0), default=1.0, show_default=True, help="0: as fast as possible")
@click.option("--json", "as_json", is_flag=True, help="one JSON object at the end: the report")
@click.option("--jsonl", is_flag=True, help="one event a line, `ended` last")
@click.option("-q", "--quiet", is_flag=True, help="no meter and no notes on stderr")
def command(file: str, speed: float, **flags: Any) -> None:
    """Play FILE, which `chat --record` or `record=` has made, through the same decoders, with the same exit codes."""
    if flags["as_json"] and flags["jsonl"]:
        raise click.UsageError("--json and --jsonl exclude each other: give one")
    sys.exit(run(_replay(file, speed, flags)))


async def _replay(file: str, speed: float, flags: dict[str, Any]) -> int:
    return await show(AsyncGateway.replay(file, speed=speed), flags)
