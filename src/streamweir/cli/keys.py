"""`streamweir keys`: API keys for the proxy's clients."""

from __future__ import annotations

import json
import secrets

import click

from streamweir.cli.exits import say


@click.group("keys", short_help="API keys for the proxy's clients")
def command() -> None:
    """API keys for the proxy's clients. A configuration holds their hashes only."""


@command.command("new", short_help="make a key")
@click.argument("name")
@click.option("--profile", "profiles", multiple=True, metavar="NAME", help="a profile that it may use (default: all)")
@click.option("--admin", is_flag=True, help="it may read /metrics too")
@click.option(
    "--rate", metavar="N/TIME", help='streams that it may begin: "60/min", "5/s", "900/h" (default: no limit)'
)
@click.option("--concurrent", type=click.IntRange(1), help="streams that it may have at a time (default: any)")
@click.option("--json", "as_json", is_flag=True, help="print one JSON object")
def new(
    name: str, profiles: tuple[str, ...], admin: bool, rate: str | None, concurrent: int | None, as_json: bool
) -> None:
    """Make a key called NAME: print it once, and the lines for streamweir.toml.

    The first line of stdout is the key; the rest is TOML. Nothing is kept.
    """
    from streamweir.config import rate as rate_of
    from streamweir.server.keys import KEY_BYTES, PREFIX, digest_of

    key = PREFIX + secrets.token_urlsafe(KEY_BYTES)
    if rate is not None:
        rate_of(rate, "--rate")
    limits = {"rate": rate, "concurrent": concurrent}
    entry = {"name": name, "sha256": digest_of(key)}
    if as_json:
        shown: dict[str, object] = {"key": key, **entry, "profiles": list(profiles), "admin": admin, **limits}
        click.echo(json.dumps(shown))
        return
    click.echo(key)
    click.echo("\n[[server.keys]]")
    # JSON's strings are TOML's
    for field, value in entry.items():
        click.echo(f"{field} = {json.dumps(value)}")
    if profiles:
        click.echo(f"profiles = {json.dumps(list(profiles))}")
    if admin:
        click.echo("admin = true")
    for field, limit in limits.items():
        if limit is not None:
            click.echo(f"{field} = {json.dumps(limit)}")
    say("the key is shown this once: give it to its client, and the lines behind it to streamweir.toml")
