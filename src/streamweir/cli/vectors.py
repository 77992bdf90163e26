"""`streamweir vectors`: what streams said, found by meaning."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import click
import msgspec

from streamweir.cli.exits import say
from streamweir.cli.log_store import store_at, url_of
from streamweir.cli.run import run
from streamweir.config import FILE, find_config
from streamweir.errors import APIConnectionError, ConfigError
from streamweir.tables import Config, VectorsTable

if TYPE_CHECKING:
    from streamweir.records.database import Database
    from streamweir.records.passages import Found, Wanted

MOST = 1000
"""Passages that are shown at most."""


@click.group("vectors", short_help="what streams said, found by meaning")
def command() -> None:
    """Look into the passages of what streams said. `serve` may run meanwhile."""


@command.command("search", short_help="the nearest passages")
@click.argument("text")
@click.option("-k", "most", default=5, show_default=True, type=click.IntRange(1, MOST), help="how many")
@click.option("--collection", metavar="NAME", help="default: vectors.collection")
@click.option("--tenant", metavar="NAME", help="what was said to this API key only (default: to anybody)")
@click.option("--profile", metavar="NAME", help="what was said under this profile only (default: any)")
@click.option("--json", "as_json", is_flag=True, help="one JSON object: the passages with all that is known of them")
@click.option(
    "-c", "--config", "path", metavar="FILE", help=f"configuration (default: STREAMWEIR_CONFIG, then ./{FILE})"
)
def search(
    text: str,
    most: int,
    collection: str | None,
    tenant: str | None,
    profile: str | None,
    as_json: bool,
    path: str | None,
) -> None:
    """Print the stored passages that are nearest to TEXT, the best first.

    The configured embedder embeds TEXT. Each passage has a line with its score (the cosine: 1 is the same), request
    and record; the text follows, indented. Exits 1 where nothing is found.
    """
    from streamweir.flows.embedding import EmbeddingError
    from streamweir.records.passages import Wanted, nearest
    from streamweir.records.vector_settings import vectors_settings
    from streamweir.records.vectors import embedded

    if not text.strip():
        raise click.UsageError("TEXT is empty: what should be looked for?")
    config, table = _configured(path)
    settings = vectors_settings(table, os.environ)
    wanted = Wanted(collection or table.collection, table.model, tenant, profile)
    with store_at(url_of(config), read_only=True) as database:
        try:
            vector = run(embedded(settings, text))
        except EmbeddingError as error:
            raise APIConnectionError(error.message) from None
        found = nearest(database, vector, wanted, most)
        missing = None if found else _missing(database, wanted, len(vector))
    if as_json:
        shown = [{"score": round(one.score, 6), **one.passage._asdict()} for one in found]
        click.echo(msgspec.json.encode({"passages": shown}).decode())
    else:
        for one in found:
            _show(one)
    if missing is not None:
        say(missing)
        sys.exit(1)


def _show(found: Found) -> None:
    passage = found.passage
    click.echo(f"{found.score:.3f}  {passage.request_id}  {passage.record_id}  {passage.status}")
    for line in passage.text.strip().splitlines():
        click.echo(f"       {line}")


def _missing(database: Database, wanted: Wanted, dimension: int) -> str:
    """Why nothing was found, and what may be done."""
    from streamweir.records.passages import collections, embedders

    there = embedders(database, wanted.collection)
    if not there:
        names = ", ".join(f"{name} ({count})" for name, count in collections(database))
        more = f"there are {names}" if names else "and no other either: what `serve` carries with [vectors] comes here"
        return f"the collection {wanted.collection} has no passages; {more}"
    if not any((embedder, size) == (wanted.embedder, dimension) for embedder, size, _ in there):
        models = ", ".join(f"{embedder} ({size} numbers, {count} passages)" for embedder, size, count in there)
        return (
            f"the collection {wanted.collection} was embedded by {models}, and TEXT by {wanted.embedder} "
            f"({dimension}): set vectors.model and vectors.dimensions to the same"
        )
    return f"the collection {wanted.collection} has no passage that fits --tenant and --profile"


def _configured(path: str | None) -> tuple[Config, VectorsTable]:
    config = find_config(path, os.environ)
    if config is None:
        raise ConfigError(f"no configuration: make {FILE}, or give --config FILE")
    if config.vectors is None:
        raise ConfigError(
            'no [vectors] in the configuration: give embedder = "http://127.0.0.1:8000/v1" and model = "…" there'
        )
    return config, config.vectors
