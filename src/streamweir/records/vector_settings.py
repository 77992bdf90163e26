"""What `[vectors]` says, checked and ready to be used."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from streamweir.client.proxies import proxy_for
from streamweir.config import seconds
from streamweir.errors import ConfigError
from streamweir.tables import VectorsTable


@dataclass(frozen=True, slots=True)
class EmbedderSettings:
    """An OpenAI-compatible `/v1/embeddings`; `url` is its base. `timeout` is in seconds, for all of one call."""

    url: str
    model: str
    api_key: str | None = field(default=None, repr=False)
    dimensions: int | None = None
    timeout: float = 20.0
    ca_file: str | None = None
    proxy: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class VectorsSettings:
    """Where passages go, how long they are, and who embeds them."""

    collection: str
    size: int
    overlap: int
    embedder: EmbedderSettings


def vectors_settings(table: VectorsTable, environ: Mapping[str, str], where: str = "vectors") -> VectorsSettings:
    """A checked table with what the environment adds. Raises ConfigError where the key's variable is not set."""
    key = None
    if table.api_key_env is not None:
        key = environ.get(table.api_key_env)
        if not key:
            raise ConfigError(
                f"{where}.api_key_env names {table.api_key_env}, which is not set: set it, or leave api_key_env out"
            )
    embedder = EmbedderSettings(
        table.embedder,
        table.model,
        key,
        table.dimensions,
        seconds(table.timeout, f"{where}.timeout"),
        table.ca_file,
        proxy_for(table.embedder, environ, table.proxy),
    )
    return VectorsSettings(table.collection, table.size, table.overlap, embedder)
