"""`streamweir serve`: the proxy."""

from __future__ import annotations

import gc
import os
from collections.abc import Mapping

import click

from streamweir.cli.exits import say
from streamweir.cli.run import run
from streamweir.config import FILE, find_config
from streamweir.errors import ConfigError
from streamweir.tables import Config

DEFAULT_PORT = 8787

GC_THRESHOLD = 5_000
"""Container objects between collections; Python's 700 means one every 30 events."""

GC_YOUNG = 2
GC_WHOLE = 50
"""How many collections of what is new go to one of what is younger, and of those to one of everything. An ended stream
leaves nothing in cycles; what a library or a mistake leaves there is collected in small parts, and all of it rarely."""


@click.command("serve", short_help="the proxy")
@click.option("-c", "--config", metavar="FILE", help=f"configuration (default: STREAMWEIR_CONFIG, then ./{FILE})")
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", type=click.IntRange(0, 65535), help=f"default: STREAMWEIR_PORT, then PORT, then {DEFAULT_PORT}")
@click.option("--quiet", is_flag=True, help="write no line a stream or refusal")
@click.option("--insecure", is_flag=True, help="listen beyond this machine although nobody is asked for a key")
def command(config: str | None, host: str, port: int | None, quiet: bool, insecure: bool) -> None:
    """Serve the profiles of a configuration to browsers, OpenAI clients and the AI SDK.

    Routes: POST /api/llm/stream, POST /api/llm/streams, GET and DELETE /api/llm/streams/ID, GET /ws,
    POST /v1/chat/completions, POST /v1/responses, GET /v1/models, POST /api/chat, GET and DELETE /api/chat/ID/stream,
    POST /api/llm/tickets, /console, /static/streamweir.js, /openapi.json, /asyncapi.json, /healthz, /readyz, /metrics,
    /version.

    SIGHUP reads the configuration again; streams that run keep the one they began with. A line of JSON on stderr says
    how each stream ended, or why a request was refused.

    Every stream is recorded in ./streamweir.db, or where records.url says; records.url = "off" keeps nothing.

    SIGTERM and Ctrl-C drain: /readyz says 503, nothing new begins, streams have server.drain (60 s) to finish, and what
    is left is told of its end. A second signal ends all at once.
    """
    from streamweir.records.configured import BESIDE, records_of
    from streamweir.records.records import recording
    from streamweir.server.descriptors import raise_limit
    from streamweir.server.life import LOOPBACK, Server, check_host, serve
    from streamweir.server.log import refused, told

    def read() -> tuple[Config, Mapping[str, str]]:
        found = find_config(config, os.environ)
        if found is None:
            raise ConfigError(f"no configuration: make {FILE} with an upstream and a profile, or give --config FILE")
        return found, os.environ

    found, environ = read()
    check_host(host, found, insecure)
    raise_limit()
    records = records_of(found, environ, BESIDE)
    server = Server(
        found,
        environ,
        host,
        _port(port),
        told=None if quiet else told,
        refused=None if quiet else refused,
        records=records,
    )
    # what is loaded by now stays: the collector need not walk it again and again
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_THRESHOLD, GC_YOUNG, GC_WHOLE)
    unread = [name for name, profile in found.profiles.items() if profile.guard == "off"]
    if unread:
        say(f'no guard reads the text of {", ".join(unread)}: guard = "off" in the profile says so')
    if host not in LOOPBACK and found.server.tls_cert is None:
        say("without server.tls_cert keys and text travel in clear: set it, or put something with TLS in front")
    if records is None:
        run(serve(server, read, say, insecure=insecure))
        return
    with recording(records):
        run(serve(server, read, say, insecure=insecure))


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
