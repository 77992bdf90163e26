"""`streamweir outbox`: deliveries that wait, and dead letters."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

import click
import msgspec

from streamweir.cli.exits import say
from streamweir.cli.log_store import store_at, url_of
from streamweir.config import FILE, find_config
from streamweir.errors import ConfigError

if TYPE_CHECKING:
    from streamweir.records.database import Database
    from streamweir.records.outbox import Entry, Filter

KINDS = ("webhook", "vectors", "anchor")
STATES = ("due", "leased", "dead")

Option = Callable[[Callable[..., Any]], Callable[..., Any]]


def chosen(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that all three verbs have."""
    options: tuple[Option, ...] = (
        click.argument("ids", nargs=-1, metavar="[ID]..."),
        click.option("--target", metavar="NAME", help="those to this webhook, vector store or anchor"),
        click.option("--kind", type=click.Choice(KINDS), metavar="KIND", help="webhook, vectors or anchor"),
        click.option("--state", type=click.Choice(STATES), metavar="STATE", help="due, leased or dead"),
        click.option(
            "-c", "--config", "path", metavar="FILE", help=f"configuration (default: STREAMWEIR_CONFIG, then ./{FILE})"
        ),
        click.option("--json", "as_json", is_flag=True, help="one JSON object"),
    )
    for option in reversed(options):
        command = option(command)
    return command


@click.group("outbox", short_help="deliveries to webhooks and vector stores")
def command() -> None:
    """Deliveries that wait for their next try, and dead letters: those whose last try failed.

    An ID is a message's or a record's. The store may be in use: what is being tried at this moment is left alone.
    """


@command.command("list", short_help="what has not been delivered")
@chosen
def list_(path: str | None, as_json: bool, **choice: Any) -> None:
    """Print what has not been delivered, oldest first: state, tries, target, message, and what went wrong."""
    from streamweir.records import outbox

    with _store(path, read_only=True) as database:
        entries = [entry for one in _filters(**choice) for entry in outbox.listed(database, one)]
        disabled = outbox.disabled(database)
    if as_json:
        gone = [{"kind": kind, "target": name, "at": at, "reason": why} for kind, name, at, why in disabled]
        shown = {"deliveries": [entry._asdict() for entry in entries], "disabled": gone}
        click.echo(msgspec.json.encode(shown).decode())
        return
    now = time.time()
    for entry in entries:
        click.echo(_line(entry, now))
    for _, target, _, reason in disabled:
        say(f"{target} is disabled ({reason}): `streamweir outbox retry --target {target}` enables it")
    if len(entries) >= outbox.SHOWN:
        say(f"these are the first {outbox.SHOWN}: choose with --target, --state or an ID")


@command.command("retry", short_help="try again, now")
@chosen
@click.option("--all", "everything", is_flag=True, help="all of them")
def retry(path: str | None, as_json: bool, everything: bool, **choice: Any) -> None:
    """Try these deliveries again now, dead letters too, with all tries before them. Enables their targets."""
    from streamweir.records import outbox

    _want_some(choice, everything)
    with _store(path) as database:
        count = sum(outbox.retry(database, one, time.time()) for one in _filters(**choice))
    _told(count, "will be tried now, by whatever runs with this store", as_json)


@command.command("drop", short_help="forget, undelivered")
@chosen
@click.option("--all", "everything", is_flag=True, help="all of them")
def drop(path: str | None, as_json: bool, everything: bool, **choice: Any) -> None:
    """Forget these deliveries: nobody will get them."""
    from streamweir.records import outbox

    _want_some(choice, everything)
    with _store(path) as database:
        count = sum(outbox.drop(database, one) for one in _filters(**choice))
    _told(count, "forgotten", as_json)


def _store(path: str | None, *, read_only: bool = False) -> AbstractContextManager[Database]:
    config = find_config(path, os.environ)
    if config is None:
        raise ConfigError(f"no configuration: make {FILE}, or give --config FILE")
    return store_at(url_of(config), read_only=read_only)


def _filters(ids: tuple[str, ...], target: str | None, kind: str | None, state: str | None) -> list[Filter]:
    from streamweir.records.outbox import Filter

    return [Filter(kind or "", target or "", state or "", one) for one in ids or ("",)]


def _want_some(choice: dict[str, Any], everything: bool) -> None:
    if not everything and not any(choice.values()):
        raise click.UsageError("which ones? Give IDs, --target, --kind or --state, or --all")


def _told(count: int, what: str, as_json: bool) -> None:
    if as_json:
        click.echo(msgspec.json.encode({"count": count}).decode())
    else:
        say(f"{count} {'delivery' if count == 1 else 'deliveries'}: {what}")


def _line(entry: Entry, now: float) -> str:
    wait = entry.due_at - now
    when = "" if entry.state != "due" else " now" if wait <= 0 else f" in {_span(wait)}"
    tries = f"{entry.attempts} {'try' if entry.attempts == 1 else 'tries'}"
    said = f"  {entry.error}" if entry.error else ""
    return f"{entry.state + when:<14} {tries:<9} {entry.kind}:{entry.target}  {entry.message_id}{said}"


def _span(seconds: float) -> str:
    for unit, size in (("d", 86400.0), ("h", 3600.0), ("min", 60.0)):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
