"""From a configuration's tables to what is recorded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from streamweir.config import seconds
from streamweir.errors import ConfigError
from streamweir.records.anchors import Anchors, check_anchors
from streamweir.records.checkpoints import Announce, Every
from streamweir.records.opening import sqlite_file
from streamweir.records.outgoing import Outgoing
from streamweir.records.records import Records
from streamweir.records.settings import RecordsSettings
from streamweir.tables import Config

OFF: Final = "off"

BESIDE: Final = "sqlite:///streamweir.db"
"""Where `serve` keeps its records unless told otherwise: a file in the working directory."""

MIN_EVERY: Final = 1.0
"""Seconds. The log is looked at less often than that."""


def records_of(config: Config, environ: Mapping[str, str], default: str = OFF) -> Records | None:
    """What is recorded and what leaves with it, not yet started; `default` is the URL where none is configured.

    None: nothing is recorded. Raises ConfigError.
    """
    table = config.records
    url = table.url or default
    if url == OFF:
        left = [name for name, given in (("webhooks", config.webhooks), ("vectors", config.vectors)) if given]
        if left:
            raise ConfigError(f"{' and '.join(left)} leave with a stream's record, and none is kept: set records.url")
        return None
    sqlite_file(url)
    check_anchors(table.anchors)
    outgoing: list[Outgoing] = []
    announces: list[Announce] = []
    if config.webhooks:
        from streamweir.records.webhook_config import webhooks_of
        from streamweir.records.webhooks import Webhooks

        webhooks = Webhooks(webhooks_of(config.webhooks, environ))
        outgoing.append(webhooks)
        announces.append(webhooks.announce)
    if config.vectors is not None:
        from streamweir.records.vector_settings import vectors_settings
        from streamweir.records.vectors import Vectors

        outgoing.append(Vectors(vectors_settings(config.vectors, environ)))
    if table.anchors:
        outgoing.append(Anchors(table.anchors))
    settings = RecordsSettings(
        url,
        table.required,
        seconds(table.retention, "records.retention"),
        table.retention if isinstance(table.retention, str) else f"{table.retention:g}s",
        table.text,
        signing_key_file=table.signing_key_file,
        every=_every(table.checkpoint_every),
        anchors=tuple(table.anchors),
        legal_hold=table.legal_hold,
        announces=tuple(announces),
    )
    return Records(settings, outgoing)


def _every(given: int | str | None) -> Every:
    """Raises ConfigError."""
    default = Every()
    if isinstance(given, int):
        if given < 1:
            raise ConfigError(f'records.checkpoint_every is {given}: give a number of records, or a time such as "60s"')
        return default._replace(records=given)
    if given is None:
        return default
    if (every := seconds(given, "records.checkpoint_every")) < MIN_EVERY:
        raise ConfigError(f"records.checkpoint_every is {given!r}: give at least {MIN_EVERY:g} s")
    return default._replace(seconds=every)
