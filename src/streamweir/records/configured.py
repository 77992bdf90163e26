"""From a configuration's tables to what is recorded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from streamweir.config import seconds
from streamweir.errors import ConfigError
from streamweir.records.checkpoints import Every
from streamweir.records.settings import RecordsSettings
from streamweir.tables import Config

OFF: Final = "off"

BESIDE: Final = "sqlite:///streamweir.db"
"""Where `serve` keeps its records unless told otherwise: a file in the working directory."""


def records_settings(config: Config, environ: Mapping[str, str], default: str = OFF) -> RecordsSettings | None:
    """What is recorded, `default` being the URL where none is configured. None: nothing. Raises ConfigError."""
    table = config.records
    url = table.url or default
    if url == OFF:
        return None
    return RecordsSettings(
        url,
        table.required,
        seconds(table.retention, "records.retention"),
        table.retention if isinstance(table.retention, str) else f"{table.retention:g}s",
        table.text,
        signing_key_file=table.signing_key_file,
        every=_every(table.checkpoint_every),
        anchors=tuple(table.anchors),
        legal_hold=table.legal_hold,
    )


def _every(given: int | str | None) -> Every:
    """Raises ConfigError."""
    default = Every()
    if isinstance(given, int):
        if given < 1:
            raise ConfigError(f'records.checkpoint_every is {given}: give a number of records, or a time such as "60s"')
        return default._replace(records=given)
    return default if given is None else default._replace(seconds=seconds(given, "records.checkpoint_every"))
