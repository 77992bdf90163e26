"""Whether `[vectors]` can be used. Pure."""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

from streamweir.errors import ConfigError
from streamweir.flows.passages import MAX_SIZE, MIN_SIZE
from streamweir.tables import Config

MAX_TIMEOUT: Final = 45.0
"""Seconds. A delivery must end before its lease does, 60 s."""

MAX_DIMENSIONS: Final = 16_000
"""What pgvector's columns hold at most."""


def check_vectors(config: Config, timeout: float, where: str) -> None:
    """Raise ConfigError for what cannot be used; `timeout` is the table's, in seconds."""
    table = config.vectors
    if table is None:
        return
    if config.records.url == "off":
        raise ConfigError(
            f'{where} are kept with the records, and records.url is "off": give a store such as '
            '"sqlite:///streamweir.db", or take [vectors] out'
        )
    parts = urlsplit(table.embedder)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username is not None:
        # what else it holds may be a password
        raise ConfigError(
            f"{where}.embedder is no base URL: give that of an OpenAI-compatible server, without credentials, such as "
            '"https://api.openai.com/v1"; its key goes into the variable that api_key_env names'
        )
    for key in ("collection", "model"):
        if not getattr(table, key).strip():
            raise ConfigError(f"{where}.{key} is empty: give a name")
    if table.dimensions is not None and not 0 < table.dimensions <= MAX_DIMENSIONS:
        raise ConfigError(
            f"{where}.dimensions is {table.dimensions}: give 1 to {MAX_DIMENSIONS}, or leave it out for the model's own"
        )
    if not 0 < timeout <= MAX_TIMEOUT:
        raise ConfigError(f"{where}.timeout is {table.timeout!r}: give more than 0 s and at most {MAX_TIMEOUT:g} s")
    if not MIN_SIZE <= table.size <= MAX_SIZE:
        raise ConfigError(f"{where}.size is {table.size}: give {MIN_SIZE} to {MAX_SIZE} characters")
    if not 0 <= 2 * table.overlap < table.size:
        raise ConfigError(
            f"{where}.overlap is {table.overlap}: give characters, less than half of size ({table.size}); 0 for none"
        )
