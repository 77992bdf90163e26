"""`streamweir serve`: the proxy."""

from __future__ import annotations

import gc
import os

import click

from streamweir.cli.exits import say
from streamweir.cli.run import run
from streamweir.config import FILE, find_config
from streamweir.errors import ConfigError

DEFAULT_PORT = 8787

GC_THRESHOLD = 20_000
"""Container objects between collections. A stream's objects form no cycles; Python's 700 means one every 30 events."""


@click.command("serve", short_help="the proxy")
@click.option("-c", "--config", metavar="FILE", help=f"configuration (default: STREAMWEIR_CONFIG, then ./{FILE})")
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", type=click.IntRange(0, 65535), help=f"default: STREAMWEIR_PORT, then PORT, then {DEFAULT_PORT}")
@click.option("--insecure", is_flag=True, help="listen beyond this machine although nobody is asked for a key")
def command(config: str | None, host: str, port: int | None, insecure: bool) -> None:
    """Serve the profiles of a configuration to browsers and OpenAI clients.

    Routes: POST /api/llm/stream, POST /v1/chat/completions, GET /v1/models, /healthz, /console.
    """
    from streamweir.server.app import check_host, serve

    found = find_config(config, os.environ)
    if found is None:
        raise ConfigError(f"no configuration: make {FILE} with an upstream and a profile, or give --config FILE")
    check_host(host, insecure)
    # what is loaded by now stays: the collector need not walk it again and again
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_THRESHOLD)
    say("no guard in this version: text passes unread")
    run(serve(found, os.environ, host, _port(port), say))


def _port(given: int | None) -> int:
    if given is not None:
        return given
    for name in ("STREAMWEIR_PORT", "PORT"):
        value = os.environ.get(name)
        if value:
            if not value.isdigit() or int(value) > 65535:
                raise ConfigError(f"{name} is {value!r}: a port is a number from 0 to 65535")
            return int(value)
    return DEFAULT_PORT
